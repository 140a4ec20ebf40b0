use serde_json::json;
use signalbox_proto::integration::{Batch, Flow, OrderOnDead, RateLimit};

use crate::spec::tests::{complaints, valid};

const SLACK: &str = "https://hooks.slack.com/services/T0/B0/x";

fn limit(per_minute: Option<u32>, per_hour: Option<u32>, per_day: Option<u32>) -> Option<RateLimit> {
    Some(RateLimit {
        per_minute,
        per_hour,
        per_day,
    })
}

#[test]
fn a_limit_that_is_not_named_is_the_providers_own() {
    assert_eq!(valid(json!({})).flow, Flow::default());
    let of = |given| valid(json!({ "rate_limit": given })).flow.rate_limit;
    assert_eq!(of(json!("none")), limit(None, None, None));
    assert_eq!(of(json!({ "per_hour": 500 })), limit(None, Some(500), None));
    assert_eq!(
        of(json!({ "per_minute": 60, "per_hour": 500, "per_day": 5000 })),
        limit(Some(60), Some(500), Some(5_000))
    );
    let slack = |given| {
        let over = json!({ "provider": "slack", "config": { "webhook_url": SLACK }, "rate_limit": given });
        valid(over).flow.rate_limit
    };
    assert_eq!(slack(json!(null)), None);
    assert_eq!(slack(json!({ "per_hour": 500 })), limit(Some(60), Some(500), None));
    assert_eq!(slack(json!({ "per_minute": "none" })), limit(None, None, None));
}

#[test]
fn names_of_older_files_are_taken_but_not_beside_ours() {
    assert_eq!(
        valid(json!({ "rate_limit_per_minute": 7 })).flow.rate_limit,
        limit(Some(7), None, None)
    );
    assert_eq!(
        complaints(json!({ "rate_limit_per_minute": 7, "rate_limit": "none" })),
        ["rate_limit_per_minute: is another name of rate_limit.per_minute: keep one"]
    );
    let batch = |over| {
        valid(over)
            .flow
            .batch
            .map(|batch| (batch.window_secs, batch.events_max))
    };
    assert_eq!(batch(json!({ "batch_events": true })), Some((60, 100)));
    assert_eq!(
        batch(json!({ "batch_events": false, "batch_window_seconds": 30 })),
        None
    );
    assert_eq!(
        batch(json!({ "batch_events": true, "batch_window_seconds": 30 })),
        Some((30, 100))
    );
    assert_eq!(
        complaints(json!({ "batch_window_seconds": 30 })),
        ["batch_window_seconds: says nothing without batch_events: true"]
    );
    assert_eq!(
        complaints(json!({ "batch": {}, "batch_events": true })),
        ["batch_events: is another name of a field of batch: keep one"]
    );
}

#[test]
fn a_batch_has_defaults_and_bounds() {
    let batch = |given| valid(json!({ "batch": given })).flow.batch;
    let wanted = |window_secs, events_max| {
        Some(Batch {
            window_secs,
            events_max,
        })
    };
    assert_eq!(batch(json!({})), wanted(60, 100));
    assert_eq!(batch(json!({ "window": "10s", "events_max": 1000 })), wanted(10, 1_000));
    assert_eq!(
        complaints(json!({ "batch": { "window": "9s", "events_max": 1001, "size": 1 } })),
        [
            "batch/events_max: is not a whole number from 1 to 1000",
            "batch/size: is not a field here: there are window, events_max",
            "batch/window: 9s is outside 10s to 1h",
        ]
    );
    assert_eq!(
        complaints(json!({ "batch": true })),
        ["batch: is true or false, not { window: 60s, events_max: 100 }"]
    );
}

#[test]
fn an_order_is_an_expression_and_no_companion_of_a_batch() {
    let flow = valid(json!({ "order_by": "event.agent_id", "order_on_dead": "hold" })).flow;
    assert_eq!(
        (flow.order_by.as_deref(), flow.order_on_dead),
        (Some("event.agent_id"), OrderOnDead::Hold)
    );
    assert!(complaints(json!({ "order_by": "event.(" }))[0].starts_with("order_by: "));
    assert_eq!(
        complaints(json!({ "order_on_dead": "hold" })),
        ["order_on_dead: says nothing without order_by"]
    );
    assert_eq!(
        complaints(json!({ "order_by": "event.subject", "order_on_dead": "wait" })),
        ["order_on_dead: \"wait\" is neither release nor hold"]
    );
    assert!(complaints(json!({ "order_by": "event.subject", "batch": {} }))[0].contains("keep one"));
}

#[test]
fn numbers_of_requests_have_bounds() {
    for (given, complaint) in [
        (
            json!({ "per_minute": 0 }),
            "rate_limit/per_minute: 0 is not a whole number from 1 to 1000000; write none for no limit",
        ),
        (
            json!({ "per_day": "many" }),
            "rate_limit/per_day: is a text, not a whole number from 1 to 1000000, nor none",
        ),
        (
            json!(60),
            "rate_limit: is a number, neither none nor { per_minute: 60 }",
        ),
        (
            json!({ "per_minut": 1 }),
            "rate_limit/per_minut: is not a field here: did you mean per_minute?",
        ),
    ] {
        assert_eq!(complaints(json!({ "rate_limit": given })), [complaint]);
    }
    assert_eq!(
        valid(json!({ "connect_timeout": "3s" })).flow.connect_timeout_secs,
        Some(3)
    );
    assert!(complaints(json!({ "connect_timeout": "61s" }))[0].contains("outside 1s to 1m"));
}
