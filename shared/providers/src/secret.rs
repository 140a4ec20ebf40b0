//! Secret fields: the type that marks them, and how a document is parted along the mark.
//!
//! A provider writes [`Secret`] for a field; its schema then carries [`SECRET_MARK`], and sealing
//! and masking follow the schema alone, so that a new secret field cannot be forgotten in either.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What an answer shows in place of a secret.
pub const MASK: &str = "***";
/// The key that marks a secret in a JSON Schema.
pub const SECRET_MARK: &str = "x-secret";

/// A text that is never printed. Wiped from memory when it is dropped.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", SECRET_MARK: true })
    }
}

/// Parts a document into what may lie open and what is to be sealed. The second has the shape of
/// the first with the secrets alone; a list that holds secrets goes there whole.
pub(crate) fn split(schema: &Value, value: Value) -> (Value, Value) {
    let (public, secret) = part(schema, value);
    (public.unwrap_or_else(empty), secret.unwrap_or_else(empty))
}

/// Undoes [`split`].
pub(crate) fn join(public: Value, secret: Value) -> Value {
    match (public, secret) {
        (Value::Object(mut public), Value::Object(secret)) => {
            for (key, value) in secret {
                let joined = match public.remove(&key) {
                    Some(other) => join(other, value),
                    None => value,
                };
                public.insert(key, joined);
            }
            Value::Object(public)
        }
        (public, Value::Null) => public,
        (_, secret) => secret,
    }
}

/// Puts [`MASK`] in the place of every secret.
pub(crate) fn mask(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if is_secret(schema) => Value::String(MASK.to_owned()),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let masked = child(schema, key).map_or_else(|| value.clone(), |schema| mask(schema, value));
                (key.clone(), masked)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => match items(schema) {
            Some(schema) => list.iter().map(|value| mask(schema, value)).collect(),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

/// Collects the texts of all secrets.
pub(crate) fn texts(schema: &Value, value: &Value, out: &mut Vec<String>) {
    let (_, secret) = split(schema, value.clone());
    every_text(&secret, out);
}

fn every_text(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| every_text(value, out)),
        Value::Object(map) => map.values().for_each(|value| every_text(value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn part(schema: &Value, value: Value) -> (Option<Value>, Option<Value>) {
    match value {
        Value::Null => (Some(Value::Null), None),
        value if is_secret(schema) => (None, Some(value)),
        Value::Object(map) => {
            let (mut public, mut secret) = (Map::new(), Map::new());
            for (key, value) in map {
                let (open, sealed) = match child(schema, &key) {
                    Some(schema) => part(schema, value),
                    None => (Some(value), None),
                };
                if let Some(sealed) = sealed {
                    secret.insert(key.clone(), sealed);
                }
                if let Some(open) = open {
                    public.insert(key, open);
                }
            }
            (Some(public.into()), (!secret.is_empty()).then(|| secret.into()))
        }
        Value::Array(_) if items(schema).is_some_and(holds_secrets) => (None, Some(value)),
        value => (Some(value), None),
    }
}

fn is_secret(schema: &Value) -> bool {
    schema.get(SECRET_MARK) == Some(&Value::Bool(true)) || variants(schema).any(is_secret)
}

/// Whether anything below this schema is secret.
fn holds_secrets(schema: &Value) -> bool {
    is_secret(schema)
        || schema
            .get("properties")
            .and_then(Value::as_object)
            .is_some_and(|map| map.values().any(holds_secrets))
        || schema.get("additionalProperties").is_some_and(holds_secrets)
        || schema.get("items").is_some_and(holds_secrets)
        || variants(schema).any(holds_secrets)
}

/// The schema of a member. An optional object is described as one of several variants.
fn child<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    schema
        .get("properties")
        .and_then(|properties| properties.get(key))
        .or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
        .or_else(|| variants(schema).find_map(|variant| child(variant, key)))
}

fn items(schema: &Value) -> Option<&Value> {
    schema.get("items").or_else(|| variants(schema).find_map(items))
}

fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_array())
        .flatten()
}

#[cfg(test)]
mod tests;
