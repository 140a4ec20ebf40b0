//! A request as an owner may see it: what would be sent, with every secret masked.
//!
//! Masked twice. By structure: what proves who we are, headers that are marked as sensitive or hold a signature, and an
//! address that is a secret field. And by text: wherever a secret stands, as it is or in one of the spellings that
//! addresses and JSON give it. Shorter secrets than [`SECRET_BYTES_MIN`] are masked by structure alone, as they would
//! be found in any text.

use std::collections::BTreeMap;

use ::http::header::{AUTHORIZATION, USER_AGENT};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    MASK,
    http::{self, Auth},
};

/// Shortest secret that is looked for in texts, in bytes.
pub const SECRET_BYTES_MIN: usize = 6;
/// Headers that hold what is made of a secret and the time.
const SIGNATURES: [&str; 4] = ["webhook-signature", "x-signature-256", "cookie", "proxy-authorization"];
/// Schemes of `Authorization` that may be shown; what follows them may not.
const SCHEMES: [&str; 3] = ["Basic", "Bearer", "Token"];

/// A request, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The method.
    pub method: String,
    /// The address.
    pub url: String,
    /// The headers by name, in lower case; those of the connection are left out.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

/// Shows a request. `secrets` are those of its integration.
pub fn show(request: &http::Request, secrets: &[String]) -> Shown {
    let masks = Masks::of(secrets);
    let mut headers = BTreeMap::new();
    headers.insert(USER_AGENT.to_string(), http::USER_AGENT.to_owned());
    for name in request.headers.keys() {
        let values = request.headers.get_all(name).iter().map(|value| {
            let hidden = value.is_sensitive() || SIGNATURES.contains(&name.as_str()) || *name == AUTHORIZATION;
            match value.to_str() {
                Ok(text) if *name == AUTHORIZATION => scheme(text),
                Ok(text) if !hidden => masks.text(text),
                _ => MASK.to_owned(),
            }
        });
        headers.insert(name.to_string(), values.collect::<Vec<_>>().join(", "));
    }
    if let Auth::Authorization(value) = &request.auth {
        headers.insert(AUTHORIZATION.to_string(), scheme(value.to_str().unwrap_or_default()));
    }
    Shown {
        method: request.method.to_string(),
        url: masks.url(&request.url, secrets),
        headers,
        body: masks.body(&request.body),
    }
}

/// Masks secrets wherever they stand in a document that is shown beside a request.
pub fn mask(document: &Value, secrets: &[String]) -> Value {
    Masks::of(secrets).value(document)
}

/// `Bearer ***`: the scheme says which way is taken, and is no secret.
fn scheme(authorization: &str) -> String {
    let first = authorization.split(' ').next().unwrap_or_default();
    match SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(first)) {
        Some(known) => format!("{known} {MASK}"),
        None => MASK.to_owned(),
    }
}

/// What is to be masked wherever it stands, the longest first.
struct Masks(Vec<String>);

impl Masks {
    fn of(secrets: &[String]) -> Self {
        let mut all = Vec::new();
        for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
            let quoted = serde_json::to_string(secret).expect("a string is written to memory");
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            all.extend(inside.map(str::to_owned));
            all.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
            if let Ok(url) = Url::parse(secret) {
                all.push(url.to_string());
            }
            all.push(secret.clone());
        }
        all.sort_by_key(|text| std::cmp::Reverse(text.len()));
        all.dedup();
        Self(all)
    }

    fn text(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(list) => list.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => {
                let members = map.iter().map(|(name, value)| (self.text(name), self.value(value)));
                members.collect::<Map<_, _>>().into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// An address that is a secret is shown without what follows its host; one that holds a secret, without that.
    fn url(&self, url: &Url, secrets: &[String]) -> String {
        let is_secret = |secret: &String| {
            Url::parse(secret).is_ok_and(|secret| {
                let origin = secret.has_host() && secret.origin() == url.origin();
                origin && url.path().starts_with(secret.path().trim_end_matches('/'))
            })
        };
        if secrets.iter().any(is_secret) {
            return format!("{}/{MASK}", url.origin().ascii_serialization());
        }
        let masked = self.text(url.as_str());
        // Addresses may spell any character in another way: then nothing of it is shown.
        let plain = percent_decode_str(&masked).decode_utf8_lossy().into_owned();
        if self.text(&plain) == plain {
            masked
        } else {
            format!("{}/{MASK}", url.origin().ascii_serialization())
        }
    }

    fn body(&self, body: &Bytes) -> Bytes {
        match std::str::from_utf8(body) {
            Ok(text) if self.0.iter().any(|secret| text.contains(secret.as_str())) => self.text(text).into(),
            Ok(_) => body.clone(),
            Err(_) if self.0.iter().any(|secret| contains(body, secret.as_bytes())) => MASK.into(),
            Err(_) => body.clone(),
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests;
