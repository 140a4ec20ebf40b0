//! The one admin key of an installation, and the header that keys come in.

use std::path::Path;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Error, problem::Problem, secret};

/// Fewest characters of a key.
pub const KEY_CHARS_MIN: usize = 16;

/// The key that may do everything. Only its hash is kept.
#[derive(Clone)]
pub struct AdminKey {
    hash: [u8; 32],
}

impl AdminKey {
    /// Takes a key. `place` names the file or setting in errors.
    pub fn new(place: &str, key: &SecretString) -> Result<Self, Error> {
        let text = key.expose_secret();
        let problem = if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "the key has characters that a header cannot carry"
        } else if text.len() < KEY_CHARS_MIN {
            "the key is shorter than 16 characters"
        } else {
            return Ok(Self {
                hash: secret::hash(key),
            });
        };
        Err(Error::Secret {
            place: place.to_owned(),
            problem: problem.to_owned(),
        })
    }

    /// Reads the key from a file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::new(&path.display().to_string(), &secret::file_secret(path)?)
    }

    /// Checks that a request carries the key: 401 `unauthenticated` without one, `bad_key` with another.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let key = presented(headers)?;
        if self.has_hash(&secret::hash_text(key)) {
            Ok(())
        } else {
            Err(bad_key())
        }
    }

    /// Whether this is the hash of the key, in a time that does not depend on how alike they are.
    pub fn has_hash(&self, hash: &[u8; 32]) -> bool {
        secret::is_same_hash(&self.hash, hash)
    }
}

/// The code of a key that does not open.
pub const BAD_KEY: &str = "bad_key";

/// The key that a request carries: 401 `unauthenticated` where it carries none.
pub fn presented(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refuse(
            "unauthenticated",
            "a key is needed: send the header `Authorization: Bearer sbx_…`",
        ));
    };
    value
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or_else(|| refuse("unauthenticated", "the Authorization header is not `Bearer` and a key"))
}

/// 401 `bad_key`: one answer for all keys that do not open, so that it tells nothing of them.
pub fn bad_key() -> Problem {
    refuse(BAD_KEY, "this key is not known, or is not valid any more")
}

fn refuse(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey")
    }
}

/// The key of `Bearer <key>`; the scheme in any case, as HTTP has it.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let key = rest.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests;
