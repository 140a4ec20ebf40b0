use serde_json::json;

use super::*;
use crate::Timestamp;

fn key(more: serde_json::Value) -> Key {
    let mut value = json!({
        "id": "k", "name": "reader", "scopes": ["integrations:read"], "principal": { "kind": "user", "id": "ann" },
        "revision": 2,
    });
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    serde_json::from_value(value).expect("a key")
}

#[test]
fn what_differs_in_anything_says_something_else() {
    let one = key(json!({})).content().expect("a digest");
    assert_eq!(
        key(json!({ "of_a_newer_version": 7 })).content().expect("a digest"),
        one
    );
    for other in [
        json!({ "revision": 3 }),
        json!({ "scopes": [] }),
        json!({ "expires_at": Timestamp::from_secs(9) }),
        json!({ "revoked_at": Timestamp::from_secs(9) }),
    ] {
        assert_ne!(key(other.clone()).content().expect("a digest"), one, "{other}");
    }
}

#[test]
fn of_what_was_ended_only_that_counts() {
    let revoked = |at, name| key(json!({ "revoked_at": Timestamp::from_secs(at), "name": name })).content();
    assert_eq!(
        revoked(5, "one").expect("a digest"),
        revoked(9, "other").expect("a digest")
    );
    let at_revision = key(json!({ "revoked_at": Timestamp::from_secs(5), "revision": 3 })).content();
    assert_ne!(
        revoked(5, "one").expect("a digest"),
        at_revision.expect("a digest"),
        "the revision is part of it"
    );
}
