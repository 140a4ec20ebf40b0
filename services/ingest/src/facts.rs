//! One walk over an event's data: that it is valid JSON, and the few fields that ingest reads.
//!
//! The walk decodes every string and number, so that what is accepted here can be parsed by every
//! later reader; the nesting is bounded by the recursion limit of `serde_json`, 127 levels.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

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

/// Checks the JSON and reads the facts.
pub(crate) fn read(json: &[u8]) -> Result<Facts, Rejection> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let walked = Walk { place: Place::Root, found: &mut found }.deserialize(&mut deserializer);
    walked.and_then(|()| deserializer.end()).map_err(|error| {
        Rejection::malformed(format!("the body is not JSON: {error}"))
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

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
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
        while seq.next_element_seed(Walk { place: Place::Elsewhere, found: self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Root) {
            self.found.is_object = true;
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let place = self.place.under(&key);
            map.next_value_seed(Walk { place, found: self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
