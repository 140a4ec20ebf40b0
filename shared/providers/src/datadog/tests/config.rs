//! What an owner may write, and what he is told of the rest.

use serde_json::{Value, json};

use super::*;

fn check(config: &Value, credentials: &Value) -> Vec<String> {
    let egress: Egress = serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).unwrap();
    match find("datadog").unwrap().check(config, credentials, &egress) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn configs_that_are_wrong_are_refused_with_the_remedy() {
    for (config, said) in [
        (
            json!({ "site": "datadog.com" }),
            "config/site: is not a site of Datadog: did you mean datadoghq.com",
        ),
        (
            json!({ "site": "example.org/very/else" }),
            "config/site: is not a site of Datadog",
        ),
        (json!({ "action": "log" }), "config/action: "),
        (
            json!({ "action": "metric", "metric_name": "a", "metric_prefix": "b" }),
            "config/metric_prefix: cannot be given beside",
        ),
        (
            json!({ "action": "metric", "metric_name": "1st" }),
            "config/metric_name: is not the name of a metric",
        ),
        (
            json!({ "action": "metric", "metric_prefix": "a-b" }),
            "config/metric_prefix: is not the name of a metric",
        ),
        (
            json!({ "action": "metric", "metric_prefix": "x".repeat(191) }),
            "config/metric_prefix: is longer than 190",
        ),
        (
            json!({ "action": "event", "send_metrics": true }),
            "config/send_metrics: does not agree",
        ),
        (
            json!({ "action": "metric", "send_events": true }),
            "config/send_events: does not agree",
        ),
        (
            json!({ "action": "event", "send_events": false }),
            "config/send_events: does not agree",
        ),
        (
            json!({ "action": "metric", "send_metrics": false }),
            "config/send_metrics: does not agree",
        ),
        (
            json!({ "send_events": true, "send_metrics": true }),
            "config/send_metrics: cannot be true beside",
        ),
        (
            json!({ "send_events": false, "send_metrics": false }),
            "config/send_events: leaves nothing to send",
        ),
        (json!({ "tags": ["team:a", "42"] }), "config/tags/1: is not a tag"),
        (json!({ "tags": ["a\nb"] }), "config/tags/0: holds a line break"),
        (
            json!({ "event_tags": vec!["a"; 21] }),
            "config/event_tags: has more than 20",
        ),
        (
            json!({ "tags": (0..20).map(|n| format!("a{n}:{}", "日".repeat(150))).collect::<Vec<_>>() }),
            "config/tags: is longer than 2000",
        ),
        (
            json!({ "base_url": "https://example.com" }),
            "config/base_url: must be on api.datadoghq.com",
        ),
    ] {
        let errors = check(&config, &json!({ "api_key": KEY }));
        assert!(errors.len() == 1 && errors[0].starts_with(said), "{config}: {errors:?}");
    }
    let all = check(
        &json!({ "site": "x", "tags": ["1"], "metric_name": "-" }),
        &json!({ "api_key": "", "app_key": "a\nb" }),
    );
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(check(&json!({}), &json!({})), ["credentials/api_key: is missing"]);
}

#[test]
fn a_site_may_be_written_as_the_browser_shows_it() {
    for (site, host) in [
        ("datadoghq.com", "api.datadoghq.com"),
        (" US5.datadoghq.com ", "api.us5.datadoghq.com"),
        ("app.datadoghq.eu", "api.datadoghq.eu"),
        ("https://app.datadoghq.eu/event/explorer", "api.datadoghq.eu"),
        ("https://ap1.datadoghq.com", "api.ap1.datadoghq.com"),
        ("api.us2.ddog-gov.com", "api.us2.ddog-gov.com"),
    ] {
        assert_eq!(site::base(Some(site)).unwrap().host_str(), Some(host), "{site}");
    }
    for (site, host) in site::SITES.iter().zip(site::HOSTS) {
        assert_eq!(host, format!("api.{site}"));
        assert_eq!(
            check(&json!({ "site": site }), &json!({ "api_key": KEY })),
            Vec::<String>::new()
        );
    }
}

#[test]
fn fields_without_an_effect_are_told() {
    let warnings = |config: Value| {
        let found = find("datadog").unwrap().warnings(&config, &json!({ "api_key": KEY }));
        found.iter().map(|warning| warning.pointer.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        warnings(json!({ "tags": ["Team:Platform"], "site": "datadoghq.eu" })),
        Vec::<String>::new()
    );
    assert_eq!(warnings(json!({ "metric_prefix": "a" })), ["config/metric_prefix"]);
    assert_eq!(
        warnings(json!({ "send_events": true, "metric_name": "a" })),
        ["config/metric_name"]
    );
    assert_eq!(
        warnings(json!({ "send_metrics": true, "event_tags": ["a:b"] })),
        ["config/event_tags"]
    );
    assert_eq!(warnings(json!({ "tags": ["a:b c", "a:b"] })), ["config/tags/0"]);
    let both = json!({ "site": "datadoghq.eu", "base_url": "https://api.datadoghq.com" });
    assert_eq!(warnings(both), ["config/site"]);
}

#[test]
fn a_base_url_may_have_a_path_and_the_key_is_trimmed() {
    let config =
        serde_json::from_value(json!({ "base_url": "http://127.0.0.1:9000/dd/", "send_metrics": true })).unwrap();
    let credentials = serde_json::from_value(json!({ "api_key": format!(" {KEY}\n") })).unwrap();
    let prepared = Datadog::prepare(config, credentials).unwrap();
    assert_eq!(prepared.post.as_str(), "http://127.0.0.1:9000/dd/api/v2/series");
    assert_eq!(prepared.validate.as_str(), "http://127.0.0.1:9000/dd/api/v1/validate");
    assert_eq!(prepared.key, KEY);
    assert!(!format!("{prepared:?}").contains(KEY));
}
