//! The id of a request: in its answer, in its problem document, and in every line of the log that it causes.
//!
//! A caller may give one (`X-Request-Id`), so that its own log and ours can be read side by side. One that could not
//! stand in a log or a header as it is, is passed by as if none had been given.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::Problem;

/// The header that carries it, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that a caller may give, in characters.
pub const CHARS_MAX: usize = 128;

/// The id of the request at hand. Routes find it among the extensions of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// What the caller gave, if it is 1 to 128 visible ASCII characters, else a new UUIDv7.
    pub fn of(given: Option<&HeaderValue>) -> Self {
        let is_fit = |value: &&HeaderValue| {
            (1..=CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match given.filter(is_fit) {
            Some(value) => Self(value.clone()),
            None => Self::new(),
        }
    }

    /// A new one.
    pub fn new() -> Self {
        let id = Uuid::now_v7().to_string();
        Self(HeaderValue::try_from(id).expect("a UUID is visible ASCII"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("it is visible ASCII")
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives the request its id and the answer the same. A layer around all routes, and so around what no route answers.
pub async fn carry(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers().get(HEADER));
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request.id = id.as_str());
    let mut response = next.run(request).instrument(span).await;
    // The problem itself travels beside its bytes, so that these need not be read again.
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.with("request_id", id.as_str()).body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    response.headers_mut().insert(HEADER, id.0);
    response
}

#[cfg(test)]
mod tests;
