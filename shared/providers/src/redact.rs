//! Secrets taken out of texts that somebody may see: previews, reasons, and what targets answer, which may repeat
//! what was sent to them.
//!
//! A secret is found as it is, in the spellings that addresses and JSON give it, and in base64; of an address that is a secret also
//! its user and password, its path, its query and each long part of these two, as a redirection names no more than that; of
//! HTTP Basic also what it makes of user and password. A text that was cut in the midst of a secret loses the part that is left of it.
//! Secrets shorter than [`SECRET_BYTES_MIN`] would be found in any text and are left to who knows where they stand.

use std::{borrow::Cow, cmp::Reverse};

use ::http::HeaderValue;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use signalbox_proto::Outcome;
use url::Url;

use crate::{
    MASK,
    http::{Auth, Response},
};

/// Shortest secret that is looked for in texts, in bytes.
pub const SECRET_BYTES_MIN: usize = 6;
/// Shortest part of a secret address that counts as a secret alone, in bytes: a token, and no common word.
const PART_BYTES_MIN: usize = 16;
/// Shortest text in base64 that is looked for.
const BASE64_BYTES_MIN: usize = 8;
/// What most encoders of addresses escape: all but letters, digits and four signs (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What follows a text that was cut.
const ELLIPSIS: char = '…';

/// What is to be taken out wherever it stands, the longest first.
#[derive(Clone, Default)]
pub struct Redactor(Vec<Spelling>);

/// One way to write a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    text: Box<str>,
    /// Bytes at its beginning that are no secret: scheme and host of an address.
    open: usize,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Redactor").field(&self.0.len()).finish()
    }
}

impl Redactor {
    /// For these secrets of one integration.
    pub fn of(secrets: &[String]) -> Self {
        Self::with_auth(secrets, &Auth::None)
    }

    /// For these secrets, and for what requests make of them to prove who we are.
    pub(crate) fn with_auth(secrets: &[String], auth: &Auth) -> Self {
        let mut all = Vec::new();
        // Many are written with a space or a line end behind them and sent without.
        let trimmed = secrets.iter().map(|secret| secret.trim());
        for secret in trimmed {
            match Url::parse(secret).ok().filter(Url::has_host) {
                None => spellings("", secret, &mut all),
                Some(url) => {
                    for text in [secret, url.as_str()] {
                        let (open, rest) = at_path(text);
                        spellings(open, rest, &mut all);
                    }
                    address_parts(&url, &mut all);
                }
            }
        }
        match auth {
            Auth::Authorization(value) => {
                let value = value.to_str().unwrap_or_default();
                let proof = value.split_once(' ').map_or(value, |(_, proof)| proof);
                spellings("", proof, &mut all);
            }
            // Tokens come and go: the client takes them out of answers.
            Auth::OAuth2(grant) => spellings("", &grant.basic(), &mut all),
            Auth::None => {}
        }
        all.sort_by(|a, b| (Reverse(a.text.len()), a).cmp(&(Reverse(b.text.len()), b)));
        all.dedup();
        Self(all)
    }

    /// A text without them.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut left = Cow::Borrowed(text);
        for Spelling { text: secret, .. } in &self.0 {
            if left.contains(&**secret) {
                left = Cow::Owned(left.replace(&**secret, MASK));
            }
        }
        match self.cut(&left) {
            Some(cut) => Cow::Owned(cut),
            None => left,
        }
    }

    /// A text without them that ends in a part of one, where it was cut; `None` where it does not.
    fn cut(&self, text: &str) -> Option<String> {
        let (text, end) = match text.strip_suffix(ELLIPSIS) {
            Some(text) => (text, "…"),
            None => (text, ""),
        };
        let part = self.0.iter().filter_map(|spelling| spelling.part_at_end(text)).max()?;
        let (head, _) = text.split_at_checked(text.len() - part)?;
        Some(format!("{head}{MASK}{end}"))
    }

    /// An outcome whose reason is without them.
    pub fn outcome(&self, outcome: Outcome) -> Outcome {
        outcome.map_reason(|reason| match self.text(&reason) {
            Cow::Borrowed(_) => reason,
            Cow::Owned(redacted) => redacted,
        })
    }

    /// A document without them, in names and values.
    pub fn document(&self, document: &Value) -> Value {
        match document {
            Value::String(text) => self.text(text).into(),
            Value::Array(list) => list.iter().map(|value| self.document(value)).collect(),
            Value::Object(map) => {
                let members = map
                    .iter()
                    .map(|(name, value)| (self.text(name).into_owned(), self.document(value)));
                members.collect::<Map<_, _>>().into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => document.clone(),
        }
    }

    /// An answer that does not repeat them, in headers and body.
    pub(crate) fn response(&self, mut response: Response) -> Response {
        for value in response.headers.values_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            if let Cow::Owned(without) = self.text(&text) {
                *value = HeaderValue::from_str(&without).unwrap_or(HeaderValue::from_static(MASK));
            }
        }
        let text = String::from_utf8_lossy(&response.body);
        if let Cow::Owned(without) = self.text(&text) {
            response.body = without.into();
        }
        response
    }

    /// What is taken out.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|spelling| &*spelling.text)
    }
}

impl Spelling {
    /// How many bytes of its beginning stand at the end of a text; `None` for too few to be known as such.
    fn part_at_end(&self, text: &str) -> Option<usize> {
        let most = self.text.len().min(text.len() + 1);
        let parts = self.open + SECRET_BYTES_MIN..most;
        parts.rev().find(|bytes| {
            let beginning = self.text.split_at_checked(*bytes);
            beginning.is_some_and(|(beginning, _)| text.ends_with(beginning))
        })
    }
}

/// An address in two: what anybody may see, its scheme and host, and the rest.
fn at_path(address: &str) -> (&str, &str) {
    let host = address.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = address.split_at(host);
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    address.split_at(scheme.len() + path)
}

/// Adds a secret as it is, as in JSON and as in an address. Its beginning is open.
fn spellings(open: &str, secret: &str, all: &mut Vec<Spelling>) {
    if open.len() + secret.len() < SECRET_BYTES_MIN {
        return;
    }
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let quoted = |text: &str| {
        let quoted = Value::from(text).to_string();
        let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inside.unwrap_or_default().to_owned()
    };
    let usual = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let lower = |text: &str| lower_escapes(&usual(text));
    for spell in [
        &str::to_owned as &dyn Fn(&str) -> String,
        &encoded,
        &usual,
        &lower,
        &quoted,
    ] {
        let beginning = spell(open);
        all.push(Spelling {
            text: (beginning.clone() + &spell(secret)).into(),
            open: beginning.len(),
        });
    }
    in_base64(secret, all);
}

/// A percent-encoded text with its escapes in lower case, as some write them.
fn lower_escapes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.push('%');
        text.push_str(&escape.to_ascii_lowercase());
        text.push_str(rest);
    }
    text
}

/// Adds what base64 makes of a secret: alone, and in the midst of another text, where its first and last letters depend on
/// what stands beside it.
fn in_base64(secret: &str, all: &mut Vec<Spelling>) {
    let mut add = |text: &str| {
        if text.len() >= BASE64_BYTES_MIN {
            all.push(Spelling {
                text: text.into(),
                open: 0,
            });
        }
    };
    add(&STANDARD.encode(secret));
    for before in 0..3_usize {
        let text = [vec![0; before], secret.as_bytes().to_vec()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            // Each letter is six bits: those that have a bit of something else go.
            let first = (text.len() - secret.len()) * 8;
            let from = first.div_ceil(6);
            let until = text.len() * 8 / 6;
            if let Some(inside) = encoded.get(from..until) {
                add(inside);
            }
        }
    }
}

/// What may stand alone of an address that is a secret: its user and password, its path, its query, and what is long in
/// these.
fn address_parts(url: &Url, all: &mut Vec<Spelling>) {
    for part in [url.username(), url.password().unwrap_or_default()] {
        spellings("", part, all);
    }
    let query = url.query().unwrap_or_default();
    spellings("", url.path().trim_end_matches('/'), all);
    spellings("", query, all);
    for part in url.path().split('/').chain(query.split(['&', '='])) {
        if part.len() >= PART_BYTES_MIN {
            spellings("", part, all);
        }
    }
}

#[cfg(test)]
mod tests;
