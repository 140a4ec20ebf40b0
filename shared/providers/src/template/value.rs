//! What expressions of a template work with: the data of events and what is made of it.
//!
//! A value that is shared costs nothing to copy. Whole numbers of 64 bits are exact; others are as near as 64 bits of
//! floating point come, as in every reader of JSON that does not say otherwise. Members keep their order.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::eval::{Budget, Fault};

/// Deepest nesting of a value that a template makes.
const DEPTH_MAX: u16 = 200;
/// What one entry of a list counts, in bytes.
pub(super) const ENTRY_BYTES: usize = 32;

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// There is no such field. Renders as nothing.
    Undefined,
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
    List(Arc<List>),
    Map(Arc<Map>),
}

/// A text, and whether it is in the target's markup already.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    pub(super) safe: bool,
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    depth: u16,
}

/// Members in their order, found by name.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) members: Vec<(Arc<str>, Value)>,
    places: BTreeMap<Arc<str>, usize>,
    depth: u16,
}

impl Map {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.places.get(name).map(|place| &self.members[*place].1)
    }

    fn put(&mut self, name: Arc<str>, value: Value) {
        self.depth = self.depth.max(value.depth() + 1);
        match self.places.get(&name) {
            Some(place) => self.members[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name, value));
            }
        }
    }
}

impl FromIterator<(Arc<str>, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(members: I) -> Self {
        let mut map = Self::default();
        for (name, value) in members {
            map.put(name, value);
        }
        map
    }
}

impl Value {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text {
            text: text.into(),
            safe: false,
        })
    }

    pub(super) fn safe(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text {
            text: text.into(),
            safe: true,
        })
    }

    /// A text, or nothing where there is none.
    pub(super) fn optional(text: Option<&str>) -> Self {
        text.map_or(Self::Undefined, Self::text)
    }

    /// A list of values that are there already, so that none is deeper than the data was.
    pub(super) fn list_of(items: Vec<Self>) -> Self {
        let depth = items.iter().map(Self::depth).max().unwrap_or_default() + 1;
        Self::List(Arc::new(List { items, depth }))
    }

    /// A list that a template makes.
    pub(super) fn list(items: Vec<Self>, budget: &mut Budget) -> Result<Self, Fault> {
        budget.take(items.len().saturating_mul(ENTRY_BYTES))?;
        bounded(Self::list_of(items))
    }

    /// A group of fields that a template makes.
    pub(super) fn map(members: Vec<(Arc<str>, Self)>, budget: &mut Budget) -> Result<Self, Fault> {
        budget.take(members.len().saturating_mul(2 * ENTRY_BYTES))?;
        bounded(Self::Map(Arc::new(members.into_iter().collect())))
    }

    fn depth(&self) -> u16 {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            Self::Undefined | Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) => 0,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(flag) => *flag,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.members.is_empty(),
        }
    }

    /// What it is, in words that do not repeat it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "a missing field",
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a group of fields",
        }
    }

    /// The member or item of this name; nothing where there is none.
    pub(super) fn member(&self, name: &str) -> Self {
        match self {
            Self::Map(map) => map.get(name).cloned().unwrap_or(Self::Undefined),
            _ => Self::Undefined,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            // The nearest float is what arithmetic with floats asks for.
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Writes it as people read it: texts as they are, lists and groups of fields as JSON, nothing for what is
    /// missing or null.
    pub(super) fn write(&self, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        match self {
            Self::Undefined | Self::Null => Ok(()),
            Self::Text(text) => {
                budget.take(text.text.len())?;
                out.push_str(&text.text);
                Ok(())
            }
            other => other.write_json(out, budget),
        }
    }

    /// Writes it as JSON on one line. What is missing is `null`.
    pub(super) fn write_json(&self, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        use fmt::Write as _;
        budget.step()?;
        let start = out.len();
        match self {
            Self::Undefined | Self::Null => out.push_str("null"),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Int(number) => write!(out, "{number}").expect("a String takes any text"),
            Self::Float(number) => out.push_str(&float(*number)),
            Self::Text(text) => json_text(&text.text, out, budget)?,
            Self::List(list) => {
                out.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out, budget)?;
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (index, (name, value)) in map.members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json_text(name, out, budget)?;
                    out.push(':');
                    value.write_json(out, budget)?;
                }
                out.push('}');
            }
        }
        match self {
            // The parts are counted already.
            Self::List(_) | Self::Map(_) | Self::Text(_) => Ok(()),
            _ => budget.take(out.len() - start),
        }
    }

    /// Whether two are the same: numbers by value, texts by their characters, lists and groups part by part.
    pub(super) fn same(&self, other: &Self, budget: &mut Budget) -> Result<bool, Fault> {
        budget.step()?;
        Ok(match (self, other) {
            (Self::Undefined | Self::Null, Self::Undefined | Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Int(left), Self::Int(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => {
                budget.take(left.text.len().min(right.text.len()))?;
                left.text == right.text
            }
            (Self::List(left), Self::List(right)) => {
                if left.items.len() != right.items.len() {
                    return Ok(false);
                }
                for (left, right) in left.items.iter().zip(&right.items) {
                    if !left.same(right, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(left), Self::Map(right)) => {
                if left.members.len() != right.members.len() {
                    return Ok(false);
                }
                for (name, value) in &left.members {
                    let Some(other) = right.get(name) else { return Ok(false) };
                    if !value.same(other, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => matches!((self.as_number(), other.as_number()), (Some(left), Some(right)) if left == right),
        })
    }
}

fn bounded(value: Value) -> Result<Value, Fault> {
    if value.depth() > DEPTH_MAX {
        return Err(Fault::new(format!("a value is nested deeper than {DEPTH_MAX} levels")));
    }
    Ok(value)
}

/// The shortest text that reads as this number again, with a point or an exponent, as JSON has it.
pub(super) fn float(number: f64) -> String {
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn json_text(text: &str, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
    budget.take(text.len())?;
    let written = serde_json::to_string(text).expect("a string is written to memory");
    budget.take(written.len())?;
    out.push_str(&written);
    Ok(())
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Json;

        impl<'de> Visitor<'de> for Json {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Int(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Value::list_of(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut members = Map::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    members.put(name.into(), value);
                }
                Ok(Value::Map(Arc::new(members)))
            }
        }

        deserializer.deserialize_any(Json)
    }
}
