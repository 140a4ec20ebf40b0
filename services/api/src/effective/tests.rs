//! What holds, and who said so.

use serde_json::{Value, json};
use signalbox_proto::{Integration, Timestamp};

use super::*;

const LIMITS: Limits = Limits {
    integration_in_flight_max: 64,
    org_share_percent: 50,
    waiting_org_max: 0,
};

fn told(provider: &str, over: Value) -> Value {
    let mut given = json!({
        "id": "i", "org": "acme", "name": "a", "provider": provider, "revision": 1, "status": "active",
        "created_at": Timestamp::default(), "updated_at": Timestamp::default(),
    });
    for (field, value) in over.as_object().expect("fields") {
        given[field] = value.clone();
    }
    let integration: Integration = serde_json::from_value(given).expect("an integration");
    json!(settings(&integration, LIMITS))
}

#[test]
fn what_nobody_set_is_the_default_of_the_version_or_of_the_provider() {
    let slack = told("slack", json!({}));
    assert_eq!(
        slack["rate_limit"],
        json!({ "value": { "per_minute": 60 }, "origin": "provider" })
    );
    assert_eq!(told("webhook", json!({}))["rate_limit"]["value"], "none");
    assert_eq!(slack["timeout"], json!({ "value": "15s", "origin": "default" }));
    assert_eq!(slack["connect_timeout"], json!({ "value": "5s", "origin": "default" }));
    assert_eq!(slack["expire_after"], json!({ "value": "3d", "origin": "default" }));
    assert_eq!(slack["retry_schedule"]["value"][0], "5s");
    assert_eq!(slack["template"], json!({ "value": null, "origin": "provider" }));
    assert_eq!(slack["health_check"], json!({ "value": null, "origin": "default" }));
    assert_eq!(slack["org_share_percent"], json!({ "value": 50, "origin": "org" }));
    assert_eq!(slack["org_waiting_max"]["value"], Value::Null);
}

#[test]
fn what_the_owner_set_is_the_integrations() {
    let over = json!({
        "schedule_secs": [5], "timeout_secs": 15, "expire_after_secs": 60,
        "flow": {
            "rate_limit": { "per_hour": 5 }, "batch": { "window_secs": 60, "events_max": 7 }, "order_on_dead": "hold",
            "health_check_secs": 3_600,
        },
    });
    let told = told("slack", over);
    assert_eq!(
        told["rate_limit"],
        json!({ "value": { "per_hour": 5 }, "origin": "integration" })
    );
    // The same as the default, and yet said by its owner.
    assert_eq!(told["timeout"], json!({ "value": "15s", "origin": "integration" }));
    assert_eq!(
        told["retry_schedule"],
        json!({ "value": ["5s"], "origin": "integration" })
    );
    assert_eq!(told["batch"]["value"], json!({ "window": "1m", "events_max": 7 }));
    assert_eq!(
        told["order_on_dead"],
        json!({ "value": "hold", "origin": "integration" })
    );
    assert_eq!(told["health_check"], json!({ "value": "1h", "origin": "integration" }));
    assert_eq!(told["order_by"], json!({ "value": null, "origin": "default" }));
}
