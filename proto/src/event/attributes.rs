//! What attributes of an event may be: the same for one that is accepted and for one that is only tried.

use crate::{Event, relay};

/// Longest text of an attribute other than the id, and longest name of one in the metadata, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// Most attributes of a producer's own.
pub const METADATA_MAX: usize = 64;
/// Attributes of W3C Trace Context, kept with an event.
pub const TRACE: [&str; 2] = ["traceparent", "tracestate"];
/// Most attributes in all: those that are added on the way take no producer's place.
pub const METADATA_WITH_ADDED_MAX: usize = METADATA_MAX + TRACE.len() + 1;

/// An attribute that an event cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidAttribute {
    /// The field of the event.
    pub field: &'static str,
    /// Which of the metadata, as the producer wrote it.
    pub name: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Event {
    /// Checks all attributes but the id. Trace context that cannot be one is left out: it is for those who trace, and often
    /// added on the way, so whatever is in it, it refuses no event.
    pub fn check_attributes(&mut self) -> Result<(), InvalidAttribute> {
        for (field, value) in [
            ("source", Some(&self.source)),
            ("subject", self.subject.as_ref()),
            ("agent_id", self.agent_id.as_ref()),
            ("execution_id", self.execution_id.as_ref()),
            ("datacontenttype", self.datacontenttype.as_ref()),
        ] {
            check(field, None, value.map(String::as_str))?;
        }
        let is_trace = |name: &str| TRACE.contains(&name);
        self.metadata.retain(|name, value| !is_trace(name) || is_text(value));
        let wrong = |name: Option<&str>, message: String| InvalidAttribute {
            field: "metadata",
            name: name.map(str::to_owned),
            message,
        };
        if self
            .metadata
            .get(relay::HOPS)
            .is_some_and(|count| relay::is_over(count))
        {
            let message = format!(
                "the event came round more than {} times: it would go on for ever",
                relay::HOPS_MAX
            );
            return Err(wrong(Some(relay::HOPS), message));
        }
        // What is added on the way takes nobody's place.
        let is_own = |name: &str| !is_trace(name) && name != relay::HOPS;
        if self.metadata.keys().filter(|name| is_own(name)).count() > METADATA_MAX {
            return Err(wrong(None, format!("more than {METADATA_MAX} attributes")));
        }
        for (name, value) in &self.metadata {
            check("metadata", Some(name), Some(value))?;
            check("metadata", None, Some(name))?;
        }
        Ok(())
    }
}

fn check(field: &'static str, name: Option<&str>, value: Option<&str>) -> Result<(), InvalidAttribute> {
    let Some(value) = value.filter(|value| !is_text(value)) else {
        return Ok(());
    };
    let message = if value.is_empty() || value.len() > ATTRIBUTE_BYTES_MAX {
        format!("must have 1 to {ATTRIBUTE_BYTES_MAX} bytes, has {}", value.len())
    } else {
        "must not contain control characters".to_owned()
    };
    Err(InvalidAttribute {
        field,
        name: name.map(str::to_owned),
        message,
    })
}

/// Whether a text can be an attribute's.
fn is_text(text: &str) -> bool {
    // CloudEvents 1.0.2, type system: strings hold no control characters. They also end in headers.
    (1..=ATTRIBUTE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
