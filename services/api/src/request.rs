//! Reading requests strictly: an unknown parameter or field is refused by name, never skipped.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{self, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use signalbox_proto::{EventType, Timestamp, names::InvalidName};
use signalbox_runtime::{Problem, duration};

use crate::problems::{self, invalid, no_provider};

/// Entries of a page where a request names no number.
pub(crate) const LIMIT: usize = 50;
/// Most entries of a page.
pub(crate) const LIMIT_MAX: usize = 200;

/// The parameters of a URL without the org, which the frame has read.
///
/// Those that the route's entry in the table does not name are refused before a handler sees any. Each is taken by its
/// reader, and [`Query::end`] refuses what nobody took, so that none is silently passed by.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    given: BTreeMap<String, String>,
    /// Those that the table names; `None` before they are known.
    known: Option<Arc<[&'static str]>>,
}

/// What a path names: the one part of it that a route leaves open.
pub(crate) struct Path(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(name)) => Ok(Self(name)),
            Err(rejection) if rejection.status().is_client_error() => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid",
                "the path is not UTF-8: write its bytes as %xx of UTF-8",
            )),
            Err(rejection) => Err(problems::internal(&rejection)),
        }
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Entries at most.
    pub(crate) limit: usize,
    /// Where the page before ended.
    pub(crate) cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.remove::<Self>().ok_or_else(problems::not_framed)
    }
}

impl Query {
    /// Reads the part of a URL behind the `?`.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            // Taken as not given it would widen what a script with an unset variable asks for.
            if value.is_empty() {
                return Err(invalid(&name, "is empty: give it a value, or leave it out"));
            }
            if fields.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(invalid(&name, "is given twice"));
            }
        }
        Ok(Self {
            given: fields,
            known: None,
        })
    }

    /// The org that it names.
    pub(crate) fn org(&self) -> Option<&str> {
        self.given.get("org").map(String::as_str)
    }

    /// The same without the org.
    pub(crate) fn forget_org(&mut self) {
        self.given.remove("org");
    }

    /// The same, if it has these parameters alone.
    pub(crate) fn only(mut self, known: &Arc<[&'static str]>) -> Result<Self, Problem> {
        if let Some(unknown) = self.given.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(unknown_parameter(unknown));
        }
        self.known = Some(known.clone());
        Ok(self)
    }

    /// Takes a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        debug_assert!(
            self.known.as_ref().is_none_or(|known| known.contains(&name)),
            "the table does not name the parameter {name} of this route, so nobody can give it"
        );
        self.given.remove(name)
    }

    /// Takes a parameter of a type that reads itself from text.
    pub(crate) fn parse<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.take(name)
            .map(|text| text.parse().map_err(|error: T::Err| invalid(name, error.to_string())))
            .transpose()
    }

    /// Takes a parameter that is `true` or `false`; false where it is not given.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "is neither true nor false")),
        }
    }

    /// Takes a parameter that is one of some words.
    pub(crate) fn one_of(&mut self, name: &str, known: &[&'static str]) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match known.iter().copied().find(|known| *known == text) {
            Some(known) => Ok(Some(known)),
            None => Err(invalid(name, format!("is none of {}", known.join(", ")))),
        }
    }

    /// Takes the name of a provider of this version.
    pub(crate) fn provider(&mut self, name: &str) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let entry = signalbox_providers::find(&text).ok_or_else(|| no_provider(name))?;
        Ok(Some(entry.name))
    }

    /// Takes a point in time, given as such or as a duration back from now.
    pub(crate) fn time(&mut self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        self.take(name).map(|text| time(name, &text, now)).transpose()
    }

    /// Takes `since` and `until`, which is to lie behind it.
    pub(crate) fn span(&mut self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let (since, until) = (self.time("since", now)?, self.time("until", now)?);
        match (since, until) {
            (Some(since), Some(until)) if until <= since => Err(invalid(
                "until",
                format!("is {until}, not after since, {since}: nothing lies between"),
            )),
            span => Ok(span),
        }
    }

    /// Takes `limit` and `cursor`.
    pub(crate) fn page(&mut self) -> Result<Page, Problem> {
        let limit = match self.take("limit") {
            None => LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| invalid("limit", format!("is no whole number of 1 to {LIMIT_MAX}")))?,
        };
        Ok(Page {
            limit,
            cursor: self.take("cursor"),
        })
    }

    /// Refuses what is left.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.given.keys().next() {
            None => Ok(()),
            Some(name) => Err(unknown_parameter(name)),
        }
    }
}

fn unknown_parameter(name: &str) -> Problem {
    let problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "unknown_parameter",
        "is not a parameter of this route",
    );
    problem.field(name.chars().take(160).collect::<String>())
}

/// Reads an event type. A pattern is refused as such.
pub(crate) fn event_type(field: &str, text: &str) -> Result<EventType, Problem> {
    if text.contains(['*', '>']) {
        return Err(invalid(
            field,
            "is a pattern, which is not taken here: name one event type",
        ));
    }
    text.parse()
        .map_err(|error: InvalidName| invalid(field, error.to_string()))
}

/// Reads a point in time: RFC 3339, or a duration such as `2h` back from now.
pub(crate) fn time(field: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    match (duration::parse(text), text.parse()) {
        (Ok(back), _) => Ok(now - back),
        (_, Ok(at)) => Ok(at),
        _ => Err(invalid(
            field,
            "is neither a time such as 2026-01-31T09:30:00Z nor a duration such as 30m, 2h or 7d back from now",
        )),
    }
}

/// A JSON body of a type that denies unknown fields. An empty one counts as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let says_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                "too_large"
            } else {
                "unreadable_body"
            };
            Problem::new(rejection.status(), code, rejection.body_text())
        })?;
        if bytes.trim_ascii().is_empty() {
            return read_json(b"{}").map(Self);
        }
        if !says_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body is not said to be JSON: send `Content-Type: application/json`",
            )
            .field("content-type"));
        }
        read_json(&bytes).map(Self)
    }
}

/// Whether a body is JSON by its header; one without a type counts as such.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

/// Reads a JSON text and says which field does not fit.
///
/// Only for objects: fields by their place in a list would be read, too, and nobody means that.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            "the body is a list, not an object with fields",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        if inner.is_data() {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid", inner.to_string());
            if path == "." { problem } else { problem.field(path) }
        } else {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "not_json",
                format!("the body is not JSON: {inner}"),
            )
        }
    })?;
    reader.end().map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "not_json",
            format!("the body is not JSON: {error}"),
        )
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests;
