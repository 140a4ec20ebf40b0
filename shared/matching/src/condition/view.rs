//! An event as conditions see it, read at most once however many ask.

use std::{collections::HashMap, fmt, sync::OnceLock};

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt},
    value::Val,
};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use signalbox_proto::event::Accepted;

use super::{ConditionError, cut};

/// An event, with its JSON read when the first condition asks. Texts without escapes stay where they
/// are in the event.
#[derive(Debug)]
pub struct EventView<'e> {
    accepted: &'e Accepted,
    value: OnceLock<Result<CelMap<'e>, ConditionError>>,
}

impl<'e> EventView<'e> {
    /// Reads nothing yet.
    pub fn new(accepted: &'e Accepted) -> Self {
        Self {
            accepted,
            value: OnceLock::new(),
        }
    }

    pub(super) fn value(&self) -> Result<&CelMap<'e>, ConditionError> {
        self.value
            .get_or_init(|| read(self.accepted))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn read(accepted: &Accepted) -> Result<CelMap<'_>, ConditionError> {
    let event = &accepted.event;
    let mut json = serde_json::Deserializer::from_slice(event.data.as_bytes());
    let data = Json
        .deserialize(&mut json)
        .and_then(|data| json.end().map(|()| data))
        .map_err(|error| ConditionError::Data(cut(&error.to_string())))?;
    let time = chrono::DateTime::from_timestamp_nanos(accepted.time().nanos()).fixed_offset();
    let metadata: HashMap<_, _> = event
        .metadata
        .iter()
        .map(|(key, value)| (CelMapKey::from(key.as_str()), text(value)))
        .collect();

    let mut fields: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = HashMap::with_capacity(11);
    let mut put = |name: &'static str, value| fields.insert(name.into(), value);
    put("id", text(&event.id));
    put("org", text(event.org.as_str()));
    put("type", text(event.event_type.as_str()));
    put("source", text(&event.source));
    put("severity", text(event.severity.as_str()));
    put("time", Box::new(CelTimestamp::from(time)));
    put("metadata", Box::new(CelMap::from(metadata)));
    put("data", data);
    for (name, value) in [
        ("subject", &event.subject),
        ("agent_id", &event.agent_id),
        ("execution_id", &event.execution_id),
    ] {
        if let Some(value) = value {
            put(name, text(value));
        }
    }
    Ok(fields.into())
}

fn text(text: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(text))
}

/// Reads JSON straight into values of the evaluator. `serde_json` bounds its depth.
struct Json;

impl<'de> DeserializeSeed<'de> for Json {
    type Value = Box<dyn Val + 'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Box<dyn Val + 'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values: Vec<Box<dyn Val + 'de>> = Vec::new();
        while let Some(value) = seq.next_element_seed(Json)? {
            values.push(value);
        }
        Ok(Box::new(CelList::from(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: HashMap<CelMapKey<'de>, Box<dyn Val + 'de>> = HashMap::new();
        while let Some(Key(key)) = map.next_key()? {
            values.insert(key, map.next_value_seed(Json)?);
        }
        Ok(Box::new(CelMap::from(values)))
    }
}

struct Key<'de>(CelMapKey<'de>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyText;

        impl<'de> Visitor<'de> for KeyText {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Key(CelMapKey::String(CelString::from(value.to_owned()))))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Key(CelMapKey::from(value)))
            }
        }

        deserializer.deserialize_str(KeyText)
    }
}
