//! `POST /v1/events` as the document shows it. The role ingest serves it; what stands here is what that answers.

use serde_json::{Value, json};

use crate::{
    routes::{Reach, Route, Scope, param},
    schema,
};

pub(super) fn route() -> Route {
    Route::post("/v1/events", "publishEvents")
        .needs(Scope::EventsWrite, Reach::Org)
        .says(
            "events",
            "Publish events",
            "One event, a list of them, or CloudEvents in any mode (`ce-*` headers with `ce-specversion` for binary mode). \
             Answered once they are stored on the server, never before. A list is all or nothing. Served by the role \
             ingest.",
        )
        .header("Idempotency-Key", key(), "Makes the request safe to send again, for 24 hours")
        .header(
            "Prefer",
            json!({ "type": "string", "pattern": "wait=[0-9]+", "examples": ["wait=10"] }),
            "Wait so many seconds, 60 at most, for what becomes of the deliveries",
        )
        .takes::<schema::PlainEvents>(true, example())
        .or_takes::<schema::PlainEvents>("application/msgpack")
        .or_takes::<schema::CloudEvent>("application/cloudevents+json")
        .or_takes::<schema::CloudEvents>("application/cloudevents-batch+json")
        .publishes()
        .answers::<schema::Published>(202, "The events are stored")
        .refuses(400, "malformed", "the body cannot be read")
        .refuses(403, "org_closed", "the org is erased, or is to be")
        .refuses(403, "no_org", "the org is not known, and unknown ones are refused here")
        .refuses(403, "foreign_org", "the event names another org than the key's")
        .refuses(408, "request_timeout", "the body did not come in time")
        .refuses(409, "idempotency_in_progress", "the same request is under way")
        .refuses(409, "idempotency_unknown", "whether the same request was stored can no longer be told")
        .refuses(413, "too_large", "the event, the list or the body has more bytes than are taken")
        .refuses(415, "unsupported_media_type", "the body is of no form that is read")
        .refuses(422, "invalid", "it is no event, or its data does not match the schema of its type")
        .refuses(422, "idempotency_key_reused", "another request had this key")
        .refuses(429, "quota_exceeded", "the org publishes more than its quota")
        .refuses(429, "too_much_waiting", "too many deliveries of the org wait")
        .refuses(503, "storage_full", "what waits fills the storage")
}

fn key() -> Value {
    let mut key = param::text("3f1c2a7e");
    key["maxLength"] = json!(255);
    key
}

fn example() -> Value {
    json!({
        "type": "execution.failed",
        "agent_id": "agent-7",
        "severity": "high",
        "data": { "error": "timeout after 30 s", "success_rate": 0.72 },
    })
}
