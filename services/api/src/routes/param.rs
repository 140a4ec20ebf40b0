//! Parameters of routes: where they stand, and what they may be.

use serde_json::{Value, json};

use crate::{
    request::{LIMIT, LIMIT_MAX},
    schema,
};

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    /// The word of the document.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// One parameter.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    /// Its JSON Schema, with examples.
    pub(crate) schema: Value,
    pub(crate) about: &'static str,
}

impl Param {
    pub(crate) fn new(place: Place, name: &'static str, schema: Value, about: &'static str) -> Self {
        Self {
            place,
            name,
            schema,
            about,
        }
    }

    /// A value that it may have.
    pub(crate) fn example(&self) -> String {
        let of = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let first = |field: &str| self.schema.get(field).and_then(|list| list.get(0)).map(of);
        first("examples").or_else(|| first("enum")).unwrap_or_default()
    }
}

/// A text with an example.
pub(super) fn text(example: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "examples": [example] })
}

/// One of some words.
pub(super) fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// `true` or `false`.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean", "default": false, "examples": [true] })
}

/// Entity tags of the revisions that a caller accepts (RFC 9110, section 13.1.1).
pub(super) fn if_match() -> Value {
    json!({ "type": "string", "pattern": r#"^(\*|"[^"]*"( *, *"[^"]*")*)$"#, "examples": ["\"3\""] })
}

/// The name of an org.
pub(super) fn org() -> Value {
    json!({ "type": "string", "pattern": schema::NAME, "examples": ["acme"] })
}

/// A UUID.
pub(super) fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid", "examples": ["0199c0de-0000-7000-8000-000000000001"] })
}

/// One of the providers of this version.
pub(super) fn provider() -> Value {
    let known: Vec<&str> = signalbox_providers::registry().iter().map(|entry| entry.name).collect();
    words(&known)
}

/// An event type.
pub(super) fn event_type() -> Value {
    json!({ "type": "string", "pattern": schema::EVENT_TYPE, "maxLength": 128, "examples": ["execution.failed"] })
}

/// A point in time, or a duration back from now.
pub(super) fn moment(example: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "examples": [example] })
}

/// An integration by id or name.
pub(super) fn integration() -> Value {
    text("oncall")
}

/// `since` and `until`.
pub(super) fn span() -> [Param; 2] {
    [
        Param::new(
            Place::Query,
            "since",
            moment("2h"),
            "From then on: a time, or a duration back from now",
        ),
        Param::new(
            Place::Query,
            "until",
            moment("1h"),
            "Before then, and after `since`: a time, or a duration back from now",
        ),
    ]
}

/// `limit` and `cursor`.
pub(super) fn page(cursor: &str) -> [Param; 2] {
    [
        Param::new(
            Place::Query,
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT, "examples": [LIMIT] }),
            "Entries of a page at most",
        ),
        Param::new(
            Place::Query,
            "cursor",
            text(cursor),
            "Where the page before ended: its `next_cursor`. Left out for the first page",
        ),
    ]
}
