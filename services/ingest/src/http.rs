//! `POST /v1/events`: publishing over HTTP, straight to EVENTS.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use signalbox_broker::{Broker, PublishError};
use signalbox_proto::{Event, Name};
use signalbox_runtime::{AdminKey, Problem};

use crate::{
    Config, cloudevents, facts,
    input::{Draft, Headers, Rejection, Wrong, is_json, media_type},
    plain,
};

/// Bytes that a request may have beyond those of the event itself: attributes, white space, escapes.
const BODY_SLACK_BYTES: usize = 64 * 1024;
/// Seconds after which a publisher is asked to come again while NATS is away.
const RETRY_AFTER_SECS: u32 = 2;

#[derive(Clone)]
struct Door {
    broker: Broker,
    key: AdminKey,
    event_bytes_max: usize,
    timeout: Duration,
}

/// The route of this role.
pub fn routes(broker: Broker, config: &Config, key: AdminKey) -> Router {
    let door = Door {
        broker,
        key,
        event_bytes_max: config.event_bytes_max,
        timeout: Duration::from_millis(config.http_timeout_ms),
    };
    Router::new()
        .route("/v1/events", post(publish))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(door))
}

async fn publish(
    State(door): State<Arc<Door>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    match door.publish(&query, request).await {
        Ok(id) => (
            StatusCode::ACCEPTED,
            axum::Json(serde_json::json!({ "events": [{ "id": id }] })),
        )
            .into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Door {
    async fn publish(&self, query: &HashMap<String, String>, request: Request) -> Result<String, Problem> {
        let (parts, body) = request.into_parts();
        self.key.check(&parts.headers)?;
        if parts.headers.contains_key("idempotency-key") {
            let detail = "this version does not honour Idempotency-Key; give the event an `id` of its own instead";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "unsupported", detail).field("idempotency-key"));
        }
        let org = org_of(query)?;
        let bytes_max = self.event_bytes_max + BODY_SLACK_BYTES;
        let body = axum::body::to_bytes(body, bytes_max).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("the body has more than {bytes_max} bytes"),
            )
        })?;
        let draft = read_request(&parts.headers, body).map_err(problem_of)?;
        let event = draft
            .finish(&org, None, || uuid::Uuid::now_v7().to_string())
            .map_err(problem_of)?;
        let publish = self.broker.event_publish(&event).map_err(|error| {
            tracing::error!(%error, "cannot encode an event");
            Problem::internal()
        })?;
        if publish.body.len() > self.event_bytes_max {
            return Err(problem_of(Rejection::too_large(
                publish.body.len(),
                self.event_bytes_max,
            )));
        }
        let Event { id, .. } = event;
        match self.broker.publisher().publish_within(publish, self.timeout).await {
            Ok(_) => Ok(id),
            Err(error) => Err(refusal(&error)),
        }
    }
}

fn refusal(error: &PublishError) -> Problem {
    tracing::warn!(%error, "an event published over HTTP was not stored");
    match error {
        PublishError::Full { .. } => {
            Problem::unavailable("the store of accepted events is full; an operator has to make room", 30)
        }
        PublishError::TimedOut | PublishError::Closed | PublishError::Stale { .. } => Problem::unavailable(
            "events cannot be stored just now; send this one again under the same id",
            RETRY_AFTER_SECS,
        ),
        PublishError::Refused { .. } => Problem::internal(),
    }
}

fn org_of(query: &HashMap<String, String>) -> Result<Name, Problem> {
    if let Some(unknown) = query.keys().find(|name| *name != "org") {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "unknown_parameter",
            "the only parameter here is `org`",
        )
        .field(unknown));
    }
    match query.get("org") {
        None => Ok(Name::default_org()),
        Some(org) => org.parse().map_err(|error: signalbox_proto::names::InvalidName| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid", error.to_string()).field("org")
        }),
    }
}

impl Headers for HeaderMap {
    fn get(&self, name: &str) -> Option<&str> {
        HeaderMap::get(self, name).and_then(|value| value.to_str().ok())
    }

    fn all(&self) -> Vec<(String, String)> {
        self.iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect()
    }
}

/// Told apart by content type and, for binary mode, by `ce-specversion`.
fn read_request(headers: &HeaderMap, body: Bytes) -> Result<Draft, Rejection> {
    let content_type = Headers::get(headers, "content-type")
        .unwrap_or("application/json")
        .to_owned();
    let media = media_type(&content_type);
    // The content type tells structured mode from binary, as the HTTP binding asks.
    let structured = media.starts_with("application/cloudevents");
    if !structured && HeaderMap::contains_key(headers, "ce-specversion") {
        let mut draft = Draft::default();
        cloudevents::attributes_of_headers(&mut draft, headers)?;
        for (name, missing) in [
            ("ce-id", draft.id.is_none()),
            ("ce-source", draft.source.is_none()),
            ("ce-type", draft.event_type.is_none()),
        ] {
            if missing {
                return Err(Rejection::invalid(
                    name,
                    format!("a CloudEvent in binary mode needs the header \"{name}\""),
                ));
            }
        }
        if is_json(&media) {
            if !body.is_empty() {
                draft.facts = Some(facts::read(&body)?);
                draft.data = body;
            }
        } else {
            cloudevents::foreign_data(&mut draft, &content_type, &body)?;
        }
        return Ok(draft);
    }
    let mut draft = match media.as_str() {
        "application/cloudevents+json" => cloudevents::structured(&body)?,
        "application/json" | "text/json" => plain::read(&body)?,
        _ => return Err(Rejection::unsupported(&content_type)),
    };
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = Headers::get(headers, name) {
            draft.metadata.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(draft)
}

fn problem_of(rejection: Rejection) -> Problem {
    let (status, code) = match rejection.kind {
        Wrong::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
        Wrong::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Wrong::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Wrong::Unsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Wrong::ForeignOrg => (StatusCode::FORBIDDEN, "foreign_org"),
    };
    let problem = Problem::new(status, code, rejection.message);
    match rejection.field {
        Some(field) => problem.field(field),
        None => problem,
    }
}
