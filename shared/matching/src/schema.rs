//! The JSON Schema of an event type: compiled once, with a bound on what a check may cost.
//!
//! The API compiles a schema when it is registered, to refuse a bad one with its place; ingest compiles it again
//! to check the data of events. Nothing outside the schema is ever read: a reference leads into the schema
//! itself, or it is refused. Patterns run in linear time. `format` is checked, whatever the draft says.

use serde_json::Value;
use signalbox_proto::{event, types};

mod cost;

/// Deepest nesting of a schema, in levels of JSON.
pub const DEPTH_MAX: usize = 64;
/// Most subschemas that may look at the values on one way from the root of the data to a leaf.
pub const STEPS_MAX: u32 = 1_000;
/// Most looks at the values of one event: its values times the steps that each may take. Some tenths of a second.
pub const LOOKS_MAX: u64 = 10_000_000;
/// Largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Room for the states that a pattern meets, in bytes.
const PATTERN_STATES_BYTES_MAX: usize = 512 * 1024;
/// Most patterns of a schema: each may take the room above.
pub const PATTERNS_MAX: usize = 50;
/// Longest place or message in an error, in characters: both may quote what somebody else wrote.
const QUOTE_CHARS_MAX: usize = 200;

/// Something is wrong at a place: of a schema, or of data that a schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", shown(.pointer))]
pub struct Fault {
    /// The place as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

fn shown(pointer: &str) -> String {
    if pointer.is_empty() {
        String::new()
    } else {
        format!("{pointer}: ")
    }
}

impl Fault {
    fn new(pointer: &str, message: impl std::fmt::Display) -> Self {
        Self {
            pointer: cut(pointer),
            message: cut(&message.to_string()),
        }
    }

    fn of(error: &jsonschema::ValidationError<'_>) -> Self {
        // Values are not repeated: they may be large, and like errors should read alike.
        let message = error.masked().to_string();
        let mut rest = message.chars();
        let first: String = rest.next().into_iter().flat_map(char::to_lowercase).collect();
        Self::new(error.instance_path().as_str(), format_args!("{first}{}", rest.as_str()))
    }
}

fn cut(text: &str) -> String {
    let mut rest = text.chars();
    let head: String = rest.by_ref().take(QUOTE_CHARS_MAX).collect();
    if rest.next().is_some() { head + "…" } else { head }
}

/// A compiled schema.
pub struct Schema {
    validator: jsonschema::Validator,
    /// Steps on the dearest way through the data: each value meets at most so many.
    steps: u32,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

impl Schema {
    /// Compiles a schema from its JSON text; the error says where in it something is wrong.
    pub fn compile(text: &[u8]) -> Result<Self, Fault> {
        if text.len() > types::SCHEMA_BYTES_MAX {
            let most = types::SCHEMA_BYTES_MAX;
            return Err(Fault::new(
                "",
                format_args!("has {} bytes, more than {most}", text.len()),
            ));
        }
        let schema: Value =
            serde_json::from_slice(text).map_err(|error| Fault::new("", format_args!("is not JSON: {error}")))?;
        if !schema.is_object() {
            return Err(Fault::new(
                "",
                "must be a JSON object, such as {\"type\": \"object\", \"required\": [\"version\"]}",
            ));
        }
        let steps = cost::check(&schema)?;
        let patterns = jsonschema::PatternOptions::regex()
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_STATES_BYTES_MAX);
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|error| Fault::of(&error))?;
        Ok(Self { validator, steps })
    }

    /// Checks the data of an event; the fault is the first that is found.
    pub fn check(&self, data: &Value) -> Result<(), Fault> {
        let values = cost::values(data);
        if values.saturating_mul(self.steps.into()) > LOOKS_MAX {
            let steps = self.steps;
            return Err(Fault::new(
                "",
                format_args!(
                    "has {values} values, each of which the schema of its type may look at {steps} times, more than \
                     {LOOKS_MAX} in all: send less data, or register a schema with fewer subschemas"
                ),
            ));
        }
        // Saying yes or no costs less than finding the place.
        if self.validator.is_valid(data) {
            return Ok(());
        }
        match self.validator.validate(data) {
            Ok(()) => Ok(()),
            Err(error) => Err(Fault::of(&error)),
        }
    }
}

/// Deepest nesting of data that is checked: that of every event's data.
const DATA_DEPTH_MAX: usize = event::DEPTH_MAX;

#[cfg(test)]
mod tests;
