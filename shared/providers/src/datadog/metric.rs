//! Events as counts and a gauge (`POST /api/v2/series`).
//!
//! Of points with the same name, tags and second Datadog keeps the last. So what a digest holds is added up first, by
//! type and agent, and a repeated attempt writes the second of the first one: it replaces what that may have left.

use std::{collections::BTreeMap, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use signalbox_proto::{Accepted, Delivery, Timestamp, types::Tone};

use super::tags;
use crate::display::Look;

/// Longest name of a metric, in bytes: all of them are ASCII.
pub(super) const NAME_BYTES_MAX: usize = 200;
/// Largest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 512_000;
/// Longest duration that is believed, in seconds: thirty years.
const DURATION_SECS_MAX: f64 = 1e9;
/// An older point is dropped, an hour after it; ten minutes less, as the request takes its time and clocks differ.
const AGE_MAX: Duration = Duration::from_secs(3_000);
/// What the kinds of metrics are called.
const COUNT: u8 = 1;
const GAUGE: u8 = 3;
/// Seconds that a count stands for.
const INTERVAL_SECS: u8 = 1;

/// What the metrics of an integration are called.
#[derive(Debug)]
pub(super) enum Names {
    /// One count of all events.
    One(String),
    /// Counts by how it went, and the time that it took.
    Four(Box<Four>),
}

#[derive(Debug)]
pub(super) struct Four {
    processed: String,
    success: String,
    failure: String,
    duration: String,
}

impl Names {
    /// The four below a prefix.
    pub(super) fn below(prefix: &str) -> Self {
        let name = |last: &str| format!("{prefix}.{last}");
        Self::Four(Box::new(Four {
            processed: name("processed"),
            success: name("success"),
            failure: name("failure"),
            duration: name("duration"),
        }))
    }
}

/// One series of the request.
#[derive(Serialize)]
struct Series<'a> {
    metric: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    points: [Point; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
struct Point {
    timestamp: i64,
    value: Value,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Count(u64),
    Gauge(f64),
}

/// What happened to one agent that is of one type.
#[derive(Default)]
struct Tally {
    processed: u64,
    success: u64,
    failure: u64,
    durations: u64,
    duration_secs: f64,
}

impl Tally {
    fn add(&mut self, accepted: &Accepted, names: &Names) {
        self.processed += 1;
        if matches!(names, Names::One(_)) {
            return;
        }
        match Look::of(accepted).tone {
            Tone::Good => self.success += 1,
            Tone::Bad => self.failure += 1,
            Tone::Neutral => {}
        }
        if let Some(secs) = duration_secs(accepted.event.data.as_bytes()) {
            self.durations += 1;
            self.duration_secs += secs;
        }
    }

    /// Its series, those of nothing left out.
    fn each<'n>(&self, names: &'n Names, mut write: impl FnMut(&'n str, Value)) {
        let names = match names {
            Names::One(name) => return write(name, Value::Count(self.processed)),
            Names::Four(names) => names,
        };
        write(&names.processed, Value::Count(self.processed));
        for (name, count) in [(&names.success, self.success), (&names.failure, self.failure)] {
            if count > 0 {
                write(name, Value::Count(count));
            }
        }
        if self.durations > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a digest has at most thousands of events")]
            let mean = self.duration_secs / self.durations as f64;
            write(&names.duration, Value::Gauge(mean));
        }
    }
}

/// The body of the `index`-th request of a delivery; `None` where those before it hold all.
pub(super) fn body(
    delivery: &Delivery,
    names: &Names,
    own: &[String],
    now: Timestamp,
    index: usize,
) -> Option<Vec<u8>> {
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for accepted in &delivery.events {
        let event = &accepted.event;
        let tags = (
            tags::event_type(event.event_type.as_str()),
            tags::agent(event.agent_id.as_deref()),
        );
        tallies.entry(tags).or_default().add(accepted, names);
    }
    let mut bodies = Bodies {
        wanted: index,
        at: 0,
        body: Vec::with_capacity(if delivery.is_digest() { 8 * 1024 } else { 1_024 }),
    };
    bodies.body.extend_from_slice(BEGIN);
    let timestamp = second(delivery, now);
    for ((event_type, agent), tally) in &tallies {
        tally.each(names, |metric, value| {
            let is_count = matches!(value, Value::Count(_));
            let mut tags = Vec::with_capacity(2 + own.len());
            tags.extend([event_type.as_str(), agent.as_str()]);
            tags.extend(
                own.iter()
                    .filter(|own| ![event_type, agent].contains(own))
                    .map(String::as_str),
            );
            bodies.push(&Series {
                metric,
                kind: if is_count { COUNT } else { GAUGE },
                points: [Point { timestamp, value }],
                interval: is_count.then_some(INTERVAL_SECS),
                unit: (!is_count).then_some("second"),
                tags,
            });
        });
    }
    bodies.finish()
}

/// The second of the first attempt, else of this one: at that of an event others of its kind may be, and the last would
/// replace all before it. Where the first attempt is too long ago this one's is taken.
fn second(delivery: &Delivery, now: Timestamp) -> i64 {
    let first = delivery.notes.first().map(|note| note.at);
    first
        .filter(|first| *first <= now && now.since(*first) <= AGE_MAX)
        .unwrap_or(now)
        .secs()
}

const BEGIN: &[u8] = br#"{"series":["#;
const END: &[u8] = b"]}";

/// Series, parted into bodies that are not too large; one of them is kept.
struct Bodies {
    wanted: usize,
    at: usize,
    body: Vec<u8>,
}

impl Bodies {
    fn push(&mut self, series: &Series<'_>) {
        if self.at > self.wanted {
            return;
        }
        let begin = self.body.len();
        let is_first = begin == BEGIN.len();
        if !is_first {
            self.body.push(b',');
        }
        serde_json::to_writer(&mut self.body, series).expect("texts and numbers are written to memory");
        if self.body.len() + END.len() <= BODY_BYTES_MAX || is_first {
            return;
        }
        if self.at == self.wanted {
            self.body.truncate(begin);
        } else {
            // With its comma: what is left begins the next body.
            self.body.drain(BEGIN.len()..=begin);
        }
        self.at += 1;
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.at < self.wanted || self.body.len() == BEGIN.len() {
            return None;
        }
        self.body.extend_from_slice(END);
        Some(self.body)
    }
}

/// How long something took, by the event's data.
fn duration_secs(data: &[u8]) -> Option<f64> {
    // Most data says nothing of it, and is then not read.
    let text = std::str::from_utf8(data).ok()?;
    if !text.contains("duration") && !text.contains("latency_ms") {
        return None;
    }
    let Durations(found) = serde_json::from_str(text).ok()?;
    let (name, value) = FIELDS
        .iter()
        .zip(found)
        .find_map(|(field, value)| Some((field, value?)))?;
    let secs = if name.ends_with("_ms") { value / 1_000.0 } else { value };
    (0.0..=DURATION_SECS_MAX).contains(&secs).then_some(secs)
}

/// Fields of the data that say how long something took, the first that is a number counts.
const FIELDS: [&str; 6] = [
    "duration",
    "duration_seconds",
    "duration_secs",
    "duration_s",
    "duration_ms",
    "latency_ms",
];

/// The numbers of these fields.
struct Durations([Option<f64>; FIELDS.len()]);

impl<'de> Deserialize<'de> for Durations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Durations;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Durations, A::Error> {
                let mut found = [None; FIELDS.len()];
                while let Some(place) = map.next_key_seed(Place)? {
                    match place {
                        Some(place) => found[place] = map.next_value_seed(Number)?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Durations(found))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// Which of the fields a name is.
struct Place;

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.iter().position(|field| *field == name))
    }
}

/// A number; what is none says nothing.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds and milliseconds that are believed are far below 2^53"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        // Below zero, as serde_json tells it.
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
