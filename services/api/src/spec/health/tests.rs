use serde_json::json;

use crate::spec::tests::{complaints, valid};

#[test]
fn a_provider_without_a_connection_test_is_refused_with_the_reason() {
    let found = complaints(json!({ "health_check": "1h" }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("health_check: webhook has no connection test that leaves nothing behind"),
        "{found:?}"
    );
    let slack = json!({
        "provider": "slack",
        "config": { "webhook_url": "https://hooks.slack.com/services/T0/B0/x" },
        "health_check": "1h",
    });
    assert!(complaints(slack)[0].contains("give credentials.bot_token"));
}

#[test]
fn an_interval_has_its_bounds() {
    let with = |every: &str| {
        json!({
            "provider": "slack",
            "config": { "channel": "#ops" },
            "credentials": { "bot_token": "xoxb-1" },
            "health_check": every,
        })
    };
    assert_eq!(valid(with("1h")).flow.health_check_secs, Some(3_600));
    for every in ["4m", "8d"] {
        let found = complaints(with(every));
        assert!(found[0].contains("is outside 5m to 7d"), "{found:?}");
    }
}
