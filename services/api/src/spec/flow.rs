//! How fast, in which order and in what groups deliveries go: the fields of [`Flow`].

use serde_json::{Map, Value};
use signalbox_matching::OrderBy;
use signalbox_proto::health::HEALTH_CHECK_SECS;
use signalbox_proto::integration::{
    BATCH_EVENTS, BATCH_EVENTS_DEFAULT, BATCH_WINDOW_SECS, BATCH_WINDOW_SECS_DEFAULT, Batch, Flow, OrderOnDead, RATE,
    RateLimit, TIMEOUT_SECS_RANGE,
};
use signalbox_providers::{
    Entry,
    wording::{kind, unknown},
};

use super::{Reader, cut};

impl Reader<'_> {
    pub(super) fn flow(&mut self, entry: Option<&'static Entry>) -> Flow {
        let flow = Flow {
            rate_limit: self.rate_limit(entry),
            batch: self.batch(),
            order_by: self.order_by(),
            order_on_dead: self.order_on_dead(),
            connect_timeout_secs: self.secs("connect_timeout", TIMEOUT_SECS_RANGE),
            health_check_secs: self.secs("health_check", HEALTH_CHECK_SECS),
        };
        if flow.batch.is_some() && flow.order_by.is_some() {
            let message = "cannot be had with batch: a digest holds the events of all keys, in the order of acceptance; \
                           keep one";
            self.fail("order_by", message);
        }
        flow
    }

    /// A limit in full: what is not named of the minute is the provider's default.
    fn rate_limit(&mut self, entry: Option<&'static Entry>) -> Option<RateLimit> {
        if self.has("rate_limit") && self.has("rate_limit_per_minute") {
            self.fail(
                "rate_limit_per_minute",
                "is another name of rate_limit.per_minute: keep one",
            );
            return None;
        }
        let default = entry.map_or_else(RateLimit::default, |entry| entry.limits.rate_limit());
        if let Some(value) = self.get("rate_limit_per_minute") {
            let per_minute = self.rate("rate_limit_per_minute", value)?;
            return Some(RateLimit { per_minute, ..default });
        }
        match self.get("rate_limit")? {
            Value::String(text) if text == "none" => Some(RateLimit::default()),
            Value::Object(map) => {
                let mut limit = default;
                for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                    let place = format!("rate_limit/{name}");
                    let slot = match name.as_str() {
                        "per_minute" => &mut limit.per_minute,
                        "per_hour" => &mut limit.per_hour,
                        "per_day" => &mut limit.per_day,
                        other => {
                            let message = unknown(other, &["per_minute", "per_hour", "per_day"]);
                            self.fail(place, message);
                            continue;
                        }
                    };
                    if let Some(rate) = self.rate(&place, value) {
                        *slot = rate;
                    }
                }
                Some(limit)
            }
            other => {
                self.fail(
                    "rate_limit",
                    format!("is {}, neither none nor {{ per_minute: 60 }}", kind(other)),
                );
                None
            }
        }
    }

    /// A number of requests; `none` is without a limit.
    fn rate(&mut self, place: &str, value: &Value) -> Option<Option<u32>> {
        let (least, most) = (RATE.start(), RATE.end());
        match value {
            Value::String(text) if text == "none" => Some(None),
            Value::Number(_) => {
                let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok());
                if rate.is_none_or(|rate| !RATE.contains(&rate)) {
                    self.fail(
                        place,
                        format!("{value} is not a whole number from {least} to {most}; write none for no limit"),
                    );
                    return None;
                }
                Some(rate)
            }
            other => {
                self.fail(
                    place,
                    format!(
                        "is {}, not a whole number from {least} to {most}, nor none",
                        kind(other)
                    ),
                );
                None
            }
        }
    }

    fn batch(&mut self) -> Option<Batch> {
        let others = ["batch_events", "batch_window_seconds"];
        let given = others.into_iter().find(|name| self.has(name));
        if let Some(other) = given.filter(|_| self.has("batch")) {
            self.fail(other, "is another name of a field of batch: keep one");
            return None;
        }
        let mut batch = Batch {
            window_secs: BATCH_WINDOW_SECS_DEFAULT,
            events_max: BATCH_EVENTS_DEFAULT,
        };
        if given.is_some() {
            return self.batch_by_seeds(batch);
        }
        let Value::Object(map) = self.get("batch")? else {
            let message = format!(
                "is {}, not {{ window: 60s, events_max: 100 }}",
                kind(self.get("batch")?)
            );
            self.fail("batch", message);
            return None;
        };
        let map: &Map<String, Value> = map;
        for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            let place = format!("batch/{name}");
            match name.as_str() {
                "window" => {
                    if let Some(secs) = self.secs_of(&place, value, BATCH_WINDOW_SECS) {
                        batch.window_secs = secs;
                    }
                }
                "events_max" => self.count(&place, value, BATCH_EVENTS, &mut batch.events_max),
                other => {
                    let message = unknown(other, &["window", "events_max"]);
                    self.fail(place, message);
                }
            }
        }
        Some(batch)
    }

    /// `batch_events: true` with `batch_window_seconds`, as older files say it.
    fn batch_by_seeds(&mut self, mut batch: Batch) -> Option<Batch> {
        let wanted = self.flag("batch_events");
        if let Some(value) = self.get("batch_window_seconds") {
            self.count("batch_window_seconds", value, BATCH_WINDOW_SECS, &mut batch.window_secs);
        }
        if self.get("batch_events").is_none() {
            self.fail("batch_window_seconds", "says nothing without batch_events: true");
        }
        (wanted == Some(true)).then_some(batch)
    }

    fn count(&mut self, place: &str, value: &Value, range: std::ops::RangeInclusive<u32>, slot: &mut u32) {
        match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if range.contains(&count) => *slot = count,
            _ => self.fail(
                place,
                format!("is not a whole number from {} to {}", range.start(), range.end()),
            ),
        }
    }

    fn order_by(&mut self) -> Option<String> {
        let text = self.text("order_by")?;
        match OrderBy::compile(text) {
            Ok(_) => Some(text.to_owned()),
            Err(error) => {
                self.fail("order_by", error.to_string());
                None
            }
        }
    }

    fn order_on_dead(&mut self) -> OrderOnDead {
        let Some(text) = self.text("order_on_dead") else {
            return OrderOnDead::default();
        };
        // What is read and sent back says the default, too.
        if !self.has("order_by") && text != "release" {
            self.fail("order_on_dead", "says nothing without order_by");
        }
        match text {
            "release" => OrderOnDead::Release,
            "hold" => OrderOnDead::Hold,
            other => {
                self.fail("order_on_dead", format!("{:?} is neither release nor hold", cut(other)));
                OrderOnDead::default()
            }
        }
    }
}

#[cfg(test)]
mod tests;
