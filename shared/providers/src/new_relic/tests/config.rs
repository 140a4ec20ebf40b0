//! What an owner may write, and what he is told of the rest.

use serde_json::{Value, json};

use super::*;

fn check(config: Value, credentials: Value) -> Vec<String> {
    let egress: Egress = serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).unwrap();
    match find("new_relic").unwrap().check(&config, &credentials, &egress) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn configs_that_are_wrong_are_refused_with_the_remedy() {
    let key = json!({ "api_key": KEY });
    for (config, said) in [
        (json!({}), "config/account_id: is missing"),
        (json!({ "account_id": "" }), "config/account_id: is empty"),
        (json!({ "account_id": "acme" }), "config/account_id: is not the number"),
        (json!({ "account_id": "12 34" }), "config/account_id: is not the number"),
        (json!({ "account_id": "7", "region": "asia" }), "config/region: "),
        (
            json!({ "account_id": "7", "event_type": "a.b" }),
            "config/event_type: is not the name",
        ),
        (
            json!({ "account_id": "7", "event_type": "1st" }),
            "config/event_type: is not the name",
        ),
        (
            json!({ "account_id": "7", "event_type": "Metric" }),
            "config/event_type: is a name that",
        ),
        (
            json!({ "account_id": "7", "event_type": "Metric2" }),
            "config/event_type: is a name that",
        ),
        (
            json!({ "account_id": "7", "event_type": "Public_x" }),
            "config/event_type: is a name that",
        ),
        (
            json!({ "account_id": "7", "event_type": "Limit" }),
            "config/event_type: is a word",
        ),
        (
            json!({ "account_id": "7", "event_type": "x".repeat(256) }),
            "config/event_type: is longer",
        ),
        (
            json!({ "account_id": "7", "base_url": "https://example.com" }),
            "config/base_url: must be on insights-",
        ),
    ] {
        let errors = check(config.clone(), key.clone());
        assert!(errors.len() == 1 && errors[0].starts_with(said), "{config}: {errors:?}");
    }
    let all = check(
        json!({ "account_id": "x", "event_type": "-" }),
        json!({ "api_key": " " }),
    );
    assert_eq!(all.len(), 3, "{all:?}");
    for config in [
        json!({ "account_id": 1_234_567 }),
        json!({ "account_id": " 7 ", "region": "us", "event_type": "Metrics" }),
        json!({ "account_id": "7", "base_url": "http://127.0.0.1:9000/new-relic" }),
    ] {
        assert_eq!(check(config.clone(), key.clone()), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn a_key_of_the_other_data_centre_is_told() {
    let warnings = |config: Value, key: &str| {
        let found = find("new_relic").unwrap().warnings(&config, &json!({ "api_key": key }));
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let eu = format!("eu01xx{KEY}");
    assert_eq!(warnings(json!({ "account_id": "7" }), KEY), Vec::<String>::new());
    assert_eq!(
        warnings(json!({ "account_id": "7", "region": "eu" }), &eu),
        Vec::<String>::new()
    );
    assert!(warnings(json!({ "account_id": "7" }), &eu)[0].contains("set region to eu"));
    assert!(warnings(json!({ "account_id": "7", "region": "eu" }), KEY)[0].contains("check region and api_key"));
    let both = json!({ "account_id": "7", "region": "eu", "base_url": "https://insights-collector.newrelic.com" });
    assert!(warnings(both, KEY)[0].contains("has no effect beside base_url"));
}

#[test]
fn a_base_url_may_have_a_path_and_the_key_is_trimmed() {
    let config = json!({ "account_id": "7", "base_url": "http://127.0.0.1:9000/new-relic/" });
    let config = serde_json::from_value(config).unwrap();
    let credentials = serde_json::from_value(json!({ "api_key": format!(" {KEY}\n") })).unwrap();
    let prepared = NewRelic::prepare(config, credentials).unwrap();
    assert_eq!(
        prepared.events.as_str(),
        "http://127.0.0.1:9000/new-relic/v1/accounts/7/events"
    );
    assert_eq!(prepared.key, KEY);
    assert!(!format!("{prepared:?}").contains(KEY));
}
