//! The address and the key that a DSN stands for.

use ::http::HeaderValue;
use url::Url;

use crate::{FieldError, Secret, fields, http::secret_value};

/// The field that holds it.
pub(super) const POINTER: &str = "credentials/dsn";
/// Longest public key, in characters: Sentry's have 32.
const KEY_CHARS_MAX: usize = 128;
/// Longest id of a project, in characters: Sentry's are numbers.
const PROJECT_CHARS_MAX: usize = 64;
/// Where a DSN is found.
const WHERE: &str = "copy it from the project's settings, Client Keys (DSN)";

/// Where a project takes envelopes, and what it knows us by.
#[derive(Debug)]
pub(super) struct Dsn {
    /// `{scheme}://{host}{/path}/api/{project}/envelope/`.
    pub(super) envelopes: Url,
    /// The value of `X-Sentry-Auth`; never printed.
    pub(super) auth: HeaderValue,
    /// Whether it has the old form with a secret key, which is not sent any more.
    pub(super) has_secret: bool,
}

impl Dsn {
    /// Reads `{scheme}://{public key}[:{secret key}]@{host}[:{port}]{/path}/{project}`.
    pub(super) fn read(given: &Secret) -> Result<Self, FieldError> {
        let wrong = |message: String| FieldError::new(POINTER, message);
        let text = given.expose().trim();
        if text.is_empty() {
            return Err(wrong("is empty".to_owned()));
        }
        if text.len() > fields::URL_BYTES_MAX {
            return Err(wrong(format!("is longer than {} bytes", fields::URL_BYTES_MAX)));
        }
        let mut url = Url::parse(text).map_err(|error| wrong(format!("is no DSN: {error}; {WHERE}")))?;
        // Clients of long ago named their transport before the scheme, as in sync+https.
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong(format!("is no DSN: it must begin with https://; {WHERE}")));
        }
        let key = url.username().to_owned();
        if !is_word(&key, KEY_CHARS_MAX) {
            return Err(wrong(format!("has no public key before its @: {WHERE}")));
        }
        let has_secret = url.password().is_some();
        let path = url.path().trim_end_matches('/').to_owned();
        let (prefix, project) = path.rsplit_once('/').unwrap_or_default();
        if !is_word(project, PROJECT_CHARS_MAX) {
            return Err(wrong(format!("has no id of a project at its end: {WHERE}")));
        }
        // Of an address with a host both are always taken.
        let cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
        if !cleared {
            return Err(wrong(format!("has no host: {WHERE}")));
        }
        url.set_query(None);
        url.set_path(&format!("{prefix}/api/{project}/envelope/"));
        let auth = format!(
            "Sentry sentry_version=7, sentry_key={key}, sentry_client=signalbox/{}",
            env!("CARGO_PKG_VERSION")
        );
        Ok(Self {
            envelopes: fields::url(POINTER, url.as_str())?,
            auth: secret_value(&auth).map_err(|error| wrong(error.to_string()))?,
            has_secret,
        })
    }
}

/// What stands in a header beside commas and in a path between slashes without another meaning.
fn is_word(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests;
