use serde_json::{Value, json};

use super::*;

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = json!({
        "team_id": "https://linear.app/acme/team/ENG", "labels": ["spec", " "], "base_url": "linear",
        "state_mappings": { "draft": "", "implemented": "a\nb" },
    });
    let config = serde_json::from_value(config).expect("its fields");
    let credentials = serde_json::from_value(json!({ "api_key": "Bearer lin_api_1" })).expect("its fields");
    let errors = Linear::prepare(config, credentials).expect_err("all of it");
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "config/base_url",
            "config/team_id",
            "config/labels/1",
            "config/state_mappings/draft",
            "config/state_mappings/implemented",
            "credentials/api_key",
        ]
    );
}

#[test]
fn a_key_is_sent_as_it_is_and_a_token_of_oauth_behind_bearer() {
    for (given, sent) in [(" lin_api_1\n", "lin_api_1"), ("lin_oauth_1", "Bearer lin_oauth_1")] {
        let auth = given::auth(&given.into()).expect("a key");
        let Auth::Authorization(value) = auth else {
            panic!("{auth:?}");
        };
        assert_eq!(value, sent);
    }
}

#[test]
fn the_address_is_linears() {
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    let linear = find("linear").expect("built in");
    let check = |base_url: &str| {
        let credentials = json!({ "api_key": "lin_api_a-long-key" });
        let checked = linear.check(&with(json!({ "base_url": base_url })), &credentials, &egress);
        checked.map_err(|errors| errors[0].pointer.clone())
    };
    assert_eq!(check("https://api.linear.app/graphql"), Ok(()));
    for wrong in ["http://api.linear.app", "https://linear.example.com"] {
        assert_eq!(check(wrong), Err("config/base_url".to_owned()), "{wrong}");
    }
    for base in [
        "https://api.linear.app",
        "https://api.linear.app/",
        "https://api.linear.app/graphql",
    ] {
        let url = given::endpoint(&Url::parse(base).expect("a URL"));
        assert_eq!(url.as_str(), "https://api.linear.app/graphql");
    }
}

#[test]
fn who_gives_no_state_is_warned() {
    let linear = find("linear").expect("built in");
    let credentials = json!({ "api_key": "lin_api_a-long-key" });
    let warned = |change: Value| linear.warnings(&with(change), &credentials).len();
    assert_eq!(warned(json!({})), 0);
    assert_eq!(warned(json!({ "state_mappings": {} })), 1);
    assert_eq!(warned(json!({ "state_mappings": {}, "action": "comment" })), 0);
}
