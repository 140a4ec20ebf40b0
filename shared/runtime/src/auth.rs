//! The one admin key of an installation, as those who answer HTTP requests check it.

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
        let refuse = |code, detail: &str| {
            Problem::new(StatusCode::UNAUTHORIZED, code, detail)
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        };
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(refuse(
                "unauthenticated",
                "a key is needed: send the header `Authorization: Bearer sbx_…`",
            ));
        };
        match value.to_str().ok().and_then(bearer) {
            Some(key) if secret::matches(key, &self.hash) => Ok(()),
            Some(_) => Err(refuse("bad_key", "this key is not known")),
            None => Err(refuse(
                "unauthenticated",
                "the Authorization header is not `Bearer` and a key",
            )),
        }
    }
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
