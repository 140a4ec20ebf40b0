//! Checks what an owner wrote about an integration. Pure: the same text gives the same answer.
//!
//! What is wrong with fields is found together, for all integrations of a request. Only what needs other fields comes
//! later: the provider looks at `config` and `credentials` once org, name and provider can be read, and two of one name
//! are told among those that are right. What this version does not enforce is refused by name, so that nobody believes
//! in a limit that is not there.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use serde_json::{Map, Value};
use signalbox_matching::Condition;
use signalbox_proto::{
    Name, Severity,
    integration::{
        Filter, Flow, SCHEDULE_SECS, SCHEDULE_STEPS_MAX, STEP_SECS, Secrets, Subscription, TIMEOUT_SECS_RANGE, Template,
    },
    pattern::Pattern,
};
use signalbox_providers::{
    Egress, Entry, FieldError, MASK, planned,
    wording::{kind, unknown},
};
use signalbox_runtime::duration;

use crate::sealing::empty;

mod flow;
mod health;

/// Seconds until a delivery may expire: 1 s to 30 days, as long as dead letters are kept.
const EXPIRE_SECS: std::ops::RangeInclusive<u32> = 1..=30 * 86_400;
/// Most type patterns of an integration.
const PATTERNS_MAX: usize = 100;
/// Most agents of a filter.
const AGENTS_MAX: usize = 1_000;
/// Longest id of an agent, in bytes.
const AGENT_BYTES_MAX: usize = 256;

/// What an integration may have.
const KNOWN: [&str; 25] = [
    "batch",
    "batch_events",
    "batch_window_seconds",
    "config",
    "connect_timeout",
    "credentials",
    "enabled",
    "event_filters",
    "events",
    "expire_after",
    "filter",
    "health_check",
    "name",
    "order_by",
    "order_on_dead",
    "org",
    "provider",
    "rate_limit",
    "rate_limit_per_minute",
    "retry",
    "retry_count",
    "subscribed_events",
    "template",
    "timeout",
    "type",
];

/// An integration as its owner wants it, checked.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) org: Name,
    pub(crate) name: Name,
    pub(crate) provider: Name,
    pub(crate) enabled: bool,
    pub(crate) subscription: Subscription,
    /// The config without its secret fields.
    pub(crate) config: Value,
    pub(crate) secrets: Secrets,
    pub(crate) schedule_secs: Option<Vec<u32>>,
    pub(crate) expire_after_secs: Option<u32>,
    pub(crate) timeout_secs: Option<u32>,
    pub(crate) template: Option<Template>,
    pub(crate) flow: Flow,
}

/// What is stored of an integration: its config joined with its secrets, and its credentials.
pub(crate) struct Stored {
    pub(crate) config: Value,
    pub(crate) credentials: Value,
}

/// Checks all integrations of a request. `stored` says what an integration of this org, name and provider holds
/// already, so that a masked secret keeps its value.
pub(crate) fn check_all(
    given: &[Value],
    default_org: &Name,
    egress: &Egress,
    stored: &dyn Fn(&Name, &Name, &str) -> Option<Stored>,
) -> Result<Vec<Spec>, Vec<(usize, FieldError)>> {
    let mut errors = Vec::new();
    let mut specs = Vec::with_capacity(given.len());
    let mut places: BTreeMap<(Name, Name), usize> = BTreeMap::new();
    for (index, value) in given.iter().enumerate() {
        match check(value, default_org, egress, stored) {
            Ok(spec) => {
                if let Some(first) = places.insert((spec.org.clone(), spec.name.clone()), index) {
                    let message = format!("{:?} is also the name of integrations[{first}]", spec.name.as_str());
                    errors.push((index, FieldError::new("name", message)));
                }
                specs.push(spec);
            }
            Err(found) => errors.extend(found.into_iter().map(|error| (index, error))),
        }
    }
    if errors.is_empty() { Ok(specs) } else { Err(errors) }
}

/// Checks one integration.
pub(crate) fn check(
    given: &Value,
    default_org: &Name,
    egress: &Egress,
    stored: &dyn Fn(&Name, &Name, &str) -> Option<Stored>,
) -> Result<Spec, Vec<FieldError>> {
    let Value::Object(map) = given else {
        return Err(vec![FieldError::new(
            "",
            format!("is {}, not an integration with its fields", kind(given)),
        )]);
    };
    let mut reader = Reader {
        map,
        errors: Vec::new(),
    };
    reader.refuse_unknown();
    let org = if reader.has("org") {
        reader.name("org")
    } else {
        Some(default_org.clone())
    };
    let name = reader.name("name");
    let entry = reader.provider();
    let enabled = reader.flag("enabled").unwrap_or(true);
    let subscription = Subscription {
        events: reader.events(),
        filter: reader.filter(),
    };
    let flow = reader.flow(entry);
    let expire_after_secs = reader.secs("expire_after", EXPIRE_SECS);
    let timeout_secs = reader.secs("timeout", TIMEOUT_SECS_RANGE);
    let template = reader.template(entry);
    let mut config = reader.object("config");
    let mut credentials = reader.object("credentials");
    let schedule_secs = reader.schedule(entry, &config);
    if let (Some(entry), Some(org), Some(name)) = (entry, &org, &name) {
        let known = if holds_mask(&config) || holds_mask(&credentials) {
            stored(org, name, entry.name)
        } else {
            None
        };
        let known = known.unwrap_or(Stored {
            config: empty(),
            credentials: empty(),
        });
        reader.unmask("config", &mut config, &known.config);
        reader.unmask("credentials", &mut credentials, &known.credentials);
        if let Err(found) = entry.check_in(org, &config, &credentials, egress) {
            reader.errors.extend(found);
        } else if flow.health_check_secs.is_some()
            && let Some(refusal) = health::refusal(entry, org, name, &config, &credentials)
        {
            reader.fail("health_check", refusal);
        }
    }
    match (entry, org, name) {
        (Some(entry), Some(org), Some(name)) if reader.errors.is_empty() => {
            let (public, secret) = entry.split_secrets(config);
            Ok(Spec {
                org,
                name,
                provider: entry.name.parse().expect("a provider's name is a subject token"),
                enabled,
                subscription,
                config: public,
                secrets: Secrets {
                    config: secret,
                    credentials,
                },
                schedule_secs,
                expire_after_secs,
                timeout_secs,
                template,
                flow,
            })
        }
        _ => Err(reader.errors),
    }
}

/// Checks a subscription alone: `events` and `filter`.
pub(crate) fn subscription(given: &Map<String, Value>) -> Result<Subscription, Vec<FieldError>> {
    let mut reader = Reader {
        map: given,
        errors: Vec::new(),
    };
    let subscription = Subscription {
        events: reader.events(),
        filter: reader.filter(),
    };
    if reader.errors.is_empty() {
        Ok(subscription)
    } else {
        Err(reader.errors)
    }
}

/// Reads fields and collects what is wrong with them. `null` counts as not given.
struct Reader<'a> {
    map: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    fn fail(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    fn refuse_unknown(&mut self) {
        for field in self.map.keys() {
            if KNOWN.contains(&field.as_str()) {
                continue;
            }
            let message = match planned::field(field) {
                Some(version) => format!("is not enforced by this version: {version} will; leave it out until then"),
                None => unknown(field, &KNOWN),
            };
            self.fail(field, message);
        }
    }

    fn text(&mut self, field: &str) -> Option<&'a str> {
        match self.get(field) {
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.fail(field, format!("is {}, not a text", kind(other)));
                None
            }
            None => None,
        }
    }

    fn name(&mut self, field: &str) -> Option<Name> {
        if !self.has(field) {
            self.fail(field, "is missing");
            return None;
        }
        let text = self.text(field)?;
        Name::from_str(text)
            .map_err(|error| self.fail(field, error.to_string()))
            .ok()
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        match self.get(field) {
            Some(Value::Bool(flag)) => Some(*flag),
            Some(other) => {
                self.fail(field, format!("is {}, neither true nor false", kind(other)));
                None
            }
            None => None,
        }
    }

    fn provider(&mut self) -> Option<&'static Entry> {
        if !self.has("provider") {
            let message = format!("is missing: there are {}", provider_names());
            self.fail("provider", message);
            return None;
        }
        let text = self.text("provider")?;
        let name = planned::canonical(text);
        let Some(entry) = signalbox_providers::find(name) else {
            let when = match planned::provider(name) {
                Some(planned) => format!("{} will have it; ", planned.version),
                None => String::new(),
            };
            let message = format!(
                "{:?} is not a provider of this version: {when}there are {}",
                cut(text),
                provider_names()
            );
            self.fail("provider", message);
            return None;
        };
        if let Some(given) = self.text("type")
            && given != entry.kind.as_str()
        {
            let message = format!(
                "is {:?}, but {} is of type {}; leave it out",
                cut(given),
                entry.name,
                entry.kind.as_str()
            );
            self.fail("type", message);
        }
        Some(entry)
    }

    /// The field that is given of two names for the same thing.
    fn either(&mut self, field: &'static str, alias: &'static str) -> Option<(&'static str, &'a Value)> {
        match (self.get(field), self.get(alias)) {
            (Some(_), Some(_)) => {
                self.fail(alias, format!("is another name of {field}: keep one"));
                None
            }
            (Some(value), None) => Some((field, value)),
            (None, Some(value)) => Some((alias, value)),
            (None, None) => None,
        }
    }

    fn texts(&mut self, field: &str, value: &'a Value, count_max: usize) -> Vec<(String, &'a str)> {
        let Value::Array(list) = value else {
            self.fail(field, format!("is {}, not a list", kind(value)));
            return Vec::new();
        };
        if list.len() > count_max {
            self.fail(field, format!("has {} entries, more than {count_max}", list.len()));
            return Vec::new();
        }
        let mut texts = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let place = format!("{field}/{index}");
            match value {
                Value::String(text) => texts.push((place, text.as_str())),
                other => self.fail(place, format!("is {}, not a text", kind(other))),
            }
        }
        texts
    }

    fn events(&mut self) -> Vec<String> {
        let both = self.has("events") && self.has("subscribed_events");
        let Some((field, value)) = self.either("events", "subscribed_events") else {
            if !both {
                self.fail(
                    "events",
                    "is missing: name the event types that it wants, such as \"alert.*\", or \">\" for all",
                );
            }
            return Vec::new();
        };
        if value.as_array().is_some_and(Vec::is_empty) {
            self.fail(
                field,
                "is empty: name the event types that it wants, such as \"alert.*\", or \">\" for all",
            );
        }
        let mut patterns = Vec::new();
        for (place, text) in self.texts(field, value, PATTERNS_MAX) {
            match Pattern::from_str(text) {
                Ok(_) if patterns.iter().any(|known| known == text) => self.fail(place, "is there twice"),
                Ok(_) => patterns.push(text.to_owned()),
                Err(error) => self.fail(place, error.to_string()),
            }
        }
        patterns
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::default();
        let Some((field, value)) = self.either("filter", "event_filters") else {
            return filter;
        };
        let Value::Object(map) = value else {
            self.fail(field, format!("is {}, not conditions by name", kind(value)));
            return filter;
        };
        for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            let place = format!("{field}/{name}");
            match (name.as_str(), value) {
                ("agent_ids", value) => {
                    for (place, text) in self.texts(&place, value, AGENTS_MAX) {
                        if text.is_empty() || text.len() > AGENT_BYTES_MAX {
                            self.fail(place, format!("is empty or longer than {AGENT_BYTES_MAX} bytes"));
                        } else {
                            filter.agent_ids.push(text.to_owned());
                        }
                    }
                }
                ("min_severity", Value::String(text)) => match Severity::read(text) {
                    Some(severity) => filter.min_severity = Some(severity),
                    None => self.fail(place, format!("{:?} is none of low, medium, high, critical", cut(text))),
                },
                ("where", Value::String(text)) => match Condition::compile(text) {
                    Ok(_) => filter.condition = Some(text.clone()),
                    Err(error) => self.fail(place, error.to_string()),
                },
                ("min_severity" | "where", other) => self.fail(place, format!("is {}, not a text", kind(other))),
                (other, _) => {
                    let message = unknown(other, &["agent_ids", "min_severity", "where"]);
                    self.fail(place, message);
                }
            }
        }
        filter
    }

    fn secs(&mut self, field: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let value = self.get(field)?;
        self.secs_of(field, value, range)
    }

    fn secs_of(&mut self, place: &str, value: &Value, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let Value::String(text) = value else {
            self.fail(
                place,
                format!("is {}, not a duration such as 30s, 2m or 6h", kind(value)),
            );
            return None;
        };
        let span = match duration::parse(text) {
            Ok(span) => span,
            Err(error) => {
                self.fail(place, error.to_string());
                return None;
            }
        };
        let (least, most) = (range.start(), range.end());
        let written = |secs: &u32| duration::format(Duration::from_secs((*secs).into()));
        match u32::try_from(span.as_secs()) {
            Ok(secs) if span.subsec_nanos() == 0 && range.contains(&secs) => Some(secs),
            Ok(_) if span.subsec_nanos() > 0 => {
                self.fail(place, "is not a whole number of seconds");
                None
            }
            _ => {
                self.fail(
                    place,
                    format!("{text} is outside {} to {}", written(least), written(most)),
                );
                None
            }
        }
    }

    /// Texts of the owner, checked by what the provider takes.
    fn template(&mut self, entry: Option<&'static Entry>) -> Option<Template> {
        let value = self.get("template")?;
        let Value::Object(map) = value else {
            self.fail("template", format!("is {}, not title and body", kind(value)));
            return None;
        };
        let mut template = Template::default();
        for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            let place = format!("template/{name}");
            let slot = match name.as_str() {
                "title" => &mut template.title,
                "body" => &mut template.body,
                other => {
                    let message = unknown(other, &["title", "body"]);
                    self.fail(place, message);
                    continue;
                }
            };
            match value {
                Value::String(text) => *slot = Some(text.clone()),
                other => self.fail(place, format!("is {}, not a text", kind(other))),
            }
        }
        // What could not be read is complained of already.
        if self.errors.iter().any(|error| error.pointer.starts_with("template")) {
            return None;
        }
        if let Some(Err(found)) = entry.map(|entry| entry.check_template(&template)) {
            self.errors.extend(found);
            return None;
        }
        Some(template)
    }

    fn object(&mut self, field: &str) -> Value {
        match self.get(field) {
            None => empty(),
            Some(value @ Value::Object(_)) => value.clone(),
            Some(other) => {
                self.fail(field, format!("is {}, not fields with values", kind(other)));
                empty()
            }
        }
    }

    /// The retry schedule: the given one or the default, cut to `retry_count` steps.
    fn schedule(&mut self, entry: Option<&'static Entry>, config: &Value) -> Option<Vec<u32>> {
        let given = self.retry();
        let in_config = entry.and_then(|entry| entry.retry_count(config));
        let (place, count) = match (self.get("retry_count"), in_config) {
            (Some(_), Some(_)) => {
                self.fail("retry_count", "is also in config: keep one");
                return None;
            }
            (Some(value), None) => {
                let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
                let Some(count) = count.filter(|count| (1..=SCHEDULE_STEPS_MAX).contains(count)) else {
                    self.fail("retry_count", format!("is not a number from 1 to {SCHEDULE_STEPS_MAX}"));
                    return None;
                };
                ("retry_count", count)
            }
            (None, Some(count)) => ("config/retry_count", count as usize),
            (None, None) => return given,
        };
        let schedule = given.unwrap_or_else(|| SCHEDULE_SECS.to_vec());
        if count > schedule.len() {
            let steps = schedule.len();
            self.fail(
                place,
                format!("keeps {count} steps of a schedule that has {steps}: add steps to retry.schedule"),
            );
            return None;
        }
        Some(schedule[..count].to_vec())
    }

    fn retry(&mut self) -> Option<Vec<u32>> {
        let value = self.get("retry")?;
        let Value::Object(map) = value else {
            self.fail("retry", format!("is {}, not `schedule: [5s, 30s]`", kind(value)));
            return None;
        };
        for field in map.keys().filter(|field| *field != "schedule") {
            let message = unknown(field, &["schedule"]);
            self.fail(format!("retry/{field}"), message);
        }
        let value = map.get("schedule").filter(|value| !value.is_null())?;
        let Value::Array(list) = value else {
            self.fail("retry/schedule", format!("is {}, not a list of durations", kind(value)));
            return None;
        };
        if !(1..=SCHEDULE_STEPS_MAX).contains(&list.len()) {
            self.fail(
                "retry/schedule",
                format!("has {} steps, not 1 to {SCHEDULE_STEPS_MAX}", list.len()),
            );
            return None;
        }
        let steps: Vec<Option<u32>> = list
            .iter()
            .enumerate()
            .map(|(index, value)| self.secs_of(&format!("retry/schedule/{index}"), value, STEP_SECS))
            .collect();
        steps.into_iter().collect()
    }

    /// Puts stored values in the place of masks.
    fn unmask(&mut self, place: &str, given: &mut Value, stored: &Value) {
        match given {
            Value::String(text) if text == MASK => match stored {
                Value::Null => self.fail(
                    place,
                    "is masked, and nothing is stored that it could stand for: give the value",
                ),
                stored => *given = stored.clone(),
            },
            Value::Object(map) => {
                for (key, value) in map {
                    self.unmask(
                        &format!("{place}/{key}"),
                        value,
                        stored.get(key).unwrap_or(&Value::Null),
                    );
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    self.unmask(
                        &format!("{place}/{index}"),
                        value,
                        stored.get(index).unwrap_or(&Value::Null),
                    );
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn holds_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Object(map) => map.values().any(holds_mask),
        Value::Array(list) => list.iter().any(holds_mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn provider_names() -> String {
    signalbox_providers::registry()
        .iter()
        .map(|entry| entry.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
