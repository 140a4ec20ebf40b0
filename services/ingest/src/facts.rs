//! One walk over an event's data: that it is valid JSON, and the few fields that ingest reads.
//!
//! The walk decodes every string and number and bounds the nesting, so that what is accepted here
//! can be parsed by every later reader, also inside of what they wrap it in.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use signalbox_proto::event::DEPTH_MAX;

use crate::input::Rejection;

/// What ingest reads of an event's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) is_object: bool,
    pub(crate) agent_id: Option<String>,
    pub(crate) execution_id: Option<String>,
    /// `severity`, else `spec.severity`, else `priority`.
    pub(crate) severity: Option<String>,
}

/// Levels that an envelope of JSON (a plain event, a CloudEvent) adds around the data.
const ENVELOPE_LEVELS: usize = 1;

/// Checks the JSON of an event's data and reads the facts.
pub(crate) fn read(json: &[u8]) -> Result<Facts, Rejection> {
    walk(json, DEPTH_MAX)
}

/// Checks the JSON of a whole event, data included.
pub(crate) fn check_envelope(json: &[u8]) -> Result<(), Rejection> {
    walk(json, DEPTH_MAX + ENVELOPE_LEVELS).map(|_| ())
}

fn walk(json: &[u8], levels: usize) -> Result<Facts, Rejection> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let walked = Walk {
        place: Place::Root,
        levels,
        found: &mut found,
    }
    .deserialize(&mut deserializer);
    walked.and_then(|()| deserializer.end()).map_err(|error| {
        if error.is_data() {
            Rejection::invalid("data", error.to_string())
        } else {
            Rejection::malformed(format!("the body is not JSON: {error}"))
        }
    })?;
    Ok(Facts {
        is_object: found.is_object,
        agent_id: found.agent_id,
        execution_id: found.execution_id,
        severity: found.severity.or(found.spec_severity).or(found.priority),
    })
}

#[derive(Default)]
struct Found {
    is_object: bool,
    agent_id: Option<String>,
    execution_id: Option<String>,
    severity: Option<String>,
    spec_severity: Option<String>,
    priority: Option<String>,
}

/// Where the walk is; only a few places hold a fact.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Spec,
    AgentId,
    ExecutionId,
    Severity,
    SpecSeverity,
    Priority,
    Elsewhere,
}

impl Place {
    fn under(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root, "agent_id") => Self::AgentId,
            (Self::Root, "execution_id") => Self::ExecutionId,
            (Self::Root, "severity") => Self::Severity,
            (Self::Root, "priority") => Self::Priority,
            (Self::Root, "spec") => Self::Spec,
            (Self::Spec, "severity") => Self::SpecSeverity,
            _ => Self::Elsewhere,
        }
    }
}

struct Walk<'a> {
    place: Place,
    /// Levels that may still be opened.
    levels: usize,
    found: &'a mut Found,
}

impl Walk<'_> {
    fn text(self, text: &str) {
        let slot = match self.place {
            Place::AgentId => &mut self.found.agent_id,
            Place::ExecutionId => &mut self.found.execution_id,
            Place::Severity => &mut self.found.severity,
            Place::SpecSeverity => &mut self.found.spec_severity,
            Place::Priority => &mut self.found.priority,
            Place::Root | Place::Spec | Place::Elsewhere => return,
        };
        if !text.is_empty() {
            *slot = Some(text.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.text(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.text(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.text(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let levels = deeper(self.levels)?;
        while seq
            .next_element_seed(Walk {
                place: Place::Elsewhere,
                levels,
                found: self.found,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Root) {
            self.found.is_object = true;
        }
        let levels = deeper(self.levels)?;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let place = self.place.under(&key);
            map.next_value_seed(Walk {
                place,
                levels,
                found: self.found,
            })?;
        }
        Ok(())
    }
}

fn deeper<E: serde::de::Error>(levels: usize) -> Result<usize, E> {
    levels
        .checked_sub(1)
        .ok_or_else(|| E::custom(format_args!("the data is nested deeper than {DEPTH_MAX} levels")))
}

#[cfg(test)]
mod tests;
