//! What can be wrong with a provider's configuration or with making its client.

use std::fmt;

/// Why a target or a client could not be made. Nothing here is the target's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration or the credentials do not fit the provider.
    #[error("{provider} is misconfigured: {}", list(errors))]
    Fields {
        /// The provider's name.
        provider: &'static str,
        /// What is wrong, field by field; never empty.
        errors: Vec<FieldError>,
    },
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The TLS settings could not be built.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// One field at fault. The message never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where: `config/url`, `credentials/secrets/1`.
    pub pointer: String,
    /// What is wrong, to be read behind the pointer.
    pub message: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ")
}
