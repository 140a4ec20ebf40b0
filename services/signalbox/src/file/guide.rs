//! The guide's form of a file: a block for each service below `integrations`, as in `slack: { channel: … }`.
//!
//! Each block becomes integrations of the list form, which are posted as if they had been written so. Event names
//! with underscores are translated, and what a block does not say is taken from the variables of the environment that
//! the guide names. All that is wrong is told at once, what this version does not have yet included.
//!
//! Decided here, where the guide leaves it open:
//! - Other keys of the file are not read, and a warning names them: the file is a larger configuration.
//! - A block without `enabled` is enabled, as an integration of the list form is; a warning says so.
//! - A disabled block needs no secrets. Where the integration is there, it keeps the stored ones and is switched off;
//!   where it is not, the block is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use signalbox_providers::{
    Kind, planned,
    wording::{self, kind},
};

use super::{
    dotted,
    made::{Made, Source},
    yaml::Document,
};

pub(super) mod block;
mod blocks;
mod events;

/// What the keys of the file that are read are called.
const INTEGRATIONS: &str = "integrations";
const NOTIFICATIONS: &str = "notifications";

/// What surrounds the reading of a file.
pub(super) struct Reading<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) file: &'a dyn Fn(&str) -> Result<String, String>,
    /// Leave out what this version does not have, instead of refusing the file.
    pub(super) skip_unavailable: bool,
    pub(super) version: Version,
}

/// What the running version has, and what it knows of those behind it.
#[derive(Clone, Copy)]
pub(super) struct Version {
    pub(super) provides: fn(&str) -> bool,
    /// The version that brings a provider which this one does not have.
    pub(super) brings: fn(&str) -> Option<&'static str>,
}

impl Version {
    pub(super) const THIS: Self = Self {
        provides: |provider| signalbox_providers::find(provider).is_some(),
        brings: |provider| planned::provider(provider).map(|planned| planned.version),
    };
}

/// What came of a file.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub(super) made: Vec<Made>,
    /// What is not made though it is written: where, and why not.
    pub(super) left_out: Vec<(String, String)>,
    /// What should be known though nothing is wrong.
    pub(super) warnings: Vec<String>,
    /// What is wrong, with its place.
    pub(super) errors: Vec<(String, String)>,
    /// How many of the errors are about what a later version has.
    pub(super) unavailable: usize,
}

/// Whether a file is of this form rather than a list.
pub(super) fn is_form(file: &Map<String, Value>) -> bool {
    match file.get(INTEGRATIONS) {
        Some(Value::Object(_)) => true,
        None | Some(Value::Null) => file.contains_key(NOTIFICATIONS),
        Some(_) => false,
    }
}

/// Whether a key names a block, so that it belongs below `integrations`.
pub(super) fn is_block(key: &str) -> bool {
    blocks::find(key).is_some()
}

/// Reads a document of this form.
pub(super) fn translate(document: &Document, reading: &Reading<'_>) -> Translation {
    let mut translation = Translation::default();
    let Value::Object(file) = &document.value else {
        return translation;
    };
    translation.warn_of_other_keys(document, file);
    if let Some(Value::Object(blocks)) = file.get(INTEGRATIONS) {
        // In the order in which they stand, which is not the map's.
        let mut keys: Vec<&String> = blocks.keys().collect();
        keys.sort_by_key(|key| document.line(&format!("/{INTEGRATIONS}/{key}")));
        for key in keys {
            let place = format!("/{INTEGRATIONS}/{key}");
            block::read(&mut translation, reading, &place, key, &blocks[key.as_str()]);
        }
    }
    translation.refuse_same_names();
    if let Some(notifications) = file.get(NOTIFICATIONS) {
        translation.limit(document, notifications);
    }
    translation
}

impl Translation {
    /// Notes what is wrong, once where a block becomes two integrations.
    fn fail(&mut self, place: impl Into<String>, message: impl Into<String>) {
        let error = (place.into(), message.into());
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Something that a later version has: refused, or left out where that is asked for.
    fn unavailable(&mut self, reading: &Reading<'_>, place: &str, message: String) {
        if reading.skip_unavailable {
            self.left_out.push((dotted(place), message));
        } else {
            self.unavailable += 1;
            self.fail(place, message);
        }
    }

    fn warn_of_other_keys(&mut self, document: &Document, file: &Map<String, Value>) {
        let mut others: Vec<(usize, &String)> = file
            .keys()
            .filter(|key| !matches!(key.as_str(), INTEGRATIONS | NOTIFICATIONS))
            .map(|key| (document.line(&format!("/{key}")), key))
            .collect();
        others.sort();
        for (line, key) in &others {
            if is_block(key) {
                self.fail(format!("/{key}"), "stands beside `integrations`: move it below");
            } else if let Some(meant) = wording::nearest(key, &[INTEGRATIONS, NOTIFICATIONS]) {
                self.warnings
                    .push(format!("line {line}: {key} is not read: did you mean {meant}?"));
            }
        }
        others.retain(|(_, key)| !is_block(key) && wording::nearest(key, &[INTEGRATIONS, NOTIFICATIONS]).is_none());
        if !others.is_empty() {
            let others: Vec<String> = others
                .iter()
                .map(|(line, key)| format!("{key} (line {line})"))
                .collect();
            self.warnings.push(format!(
                "only {INTEGRATIONS} and {NOTIFICATIONS} are read here, not {}",
                others.join(", ")
            ));
        }
    }

    fn refuse_same_names(&mut self) {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut same = Vec::new();
        for made in &self.made {
            let (place, _) = made.origin("name");
            match seen.get(made.name()) {
                Some(first) => same.push((
                    place,
                    format!("{:?} is also the name of {}", made.name(), dotted(first)),
                )),
                None => drop(seen.insert(made.name().to_owned(), made.place.clone())),
            }
        }
        self.errors.extend(same);
    }

    /// Shares the limit of all notifications out to the integrations that are such.
    fn limit(&mut self, document: &Document, notifications: &Value) {
        let map = match notifications {
            Value::Null => return,
            Value::Object(map) => map,
            other => {
                return self.fail(
                    format!("/{NOTIFICATIONS}"),
                    format!("is {}, not `rate_limit: …`", kind(other)),
                );
            }
        };
        for key in map.keys().filter(|key| *key != "rate_limit") {
            let place = format!("/{NOTIFICATIONS}/{key}");
            match wording::nearest(key, &["rate_limit"]) {
                Some(meant) => self.fail(place, format!("is not a field here: did you mean {meant}?")),
                None => self.warnings.push(format!(
                    "line {}: {} is not read: only rate_limit is",
                    document.line(&place),
                    dotted(&place)
                )),
            }
        }
        let place = format!("/{NOTIFICATIONS}/rate_limit");
        let Some(limit) = self.read_limit(&place, map.get("rate_limit")) else {
            return;
        };
        let concerned: Vec<&mut Made> = self
            .made
            .iter_mut()
            .filter(|made| is_notification(made.provider()))
            .collect();
        for made in concerned {
            made.value["rate_limit"] = limit.clone();
            for (ours, given) in [("per_hour", "max_per_hour"), ("per_day", "max_per_day")] {
                let source = Source::Place(format!("{place}/{given}"));
                made.fields.insert(format!("rate_limit/{ours}"), source);
            }
            made.fields
                .insert("rate_limit".to_owned(), Source::Place(place.clone()));
        }
    }

    /// The limit in our words.
    fn read_limit(&mut self, place: &str, given: Option<&Value>) -> Option<Value> {
        let map = match given {
            None | Some(Value::Null) => return None,
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.fail(place, format!("is {}, not `max_per_hour: 30`", kind(other)));
                return None;
            }
        };
        let mut limit = Map::new();
        let before = self.errors.len();
        for (field, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            let place = format!("{place}/{field}");
            let ours = match field.as_str() {
                "max_per_hour" => "per_hour",
                "max_per_day" => "per_day",
                other => {
                    self.fail(place, wording::unknown(other, &["max_per_day", "max_per_hour"]));
                    continue;
                }
            };
            match value.as_u64() {
                Some(count) if count > 0 => drop(limit.insert(ours.to_owned(), json!(count))),
                _ => self.fail(place, "is not a whole number above 0"),
            }
        }
        if limit.is_empty() && self.errors.len() == before {
            self.fail(place, "limits nothing: give max_per_hour or max_per_day");
        }
        (self.errors.len() == before).then_some(Value::Object(limit))
    }
}

fn is_notification(provider: &str) -> bool {
    let kind = signalbox_providers::find(provider)
        .map(|entry| entry.kind)
        .or_else(|| planned::provider(provider).map(|planned| planned.kind));
    kind == Some(Kind::Notification)
}

#[cfg(test)]
mod tests;
