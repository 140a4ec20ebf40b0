use serde_json::json;

use super::*;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "the schema alone is of interest")]
struct Sample {
    url: String,
    token: Option<Secret>,
    headers: std::collections::BTreeMap<String, Secret>,
    keys: Vec<Secret>,
    basic: Option<Basic>,
    tags: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "the schema alone is of interest")]
struct Basic {
    username: String,
    password: Secret,
}

fn schema() -> Value {
    crate::entry::schema_of::<Sample>()
}

fn document() -> Value {
    json!({
        "url": "https://a.example",
        "token": "t1",
        "headers": { "X-Team": "t2" },
        "keys": ["t3", "t4"],
        "basic": { "username": "ada", "password": "t5" },
        "tags": ["x"],
        "unknown": 1,
    })
}

#[test]
fn secrets_are_parted_from_the_rest_at_every_depth() {
    let (public, secret) = split(&schema(), document());
    assert_eq!(
        public,
        json!({
            "url": "https://a.example", "headers": {}, "basic": { "username": "ada" }, "tags": ["x"], "unknown": 1
        })
    );
    assert_eq!(
        secret,
        json!({ "token": "t1", "headers": { "X-Team": "t2" }, "keys": ["t3", "t4"], "basic": { "password": "t5" } })
    );
}

#[test]
fn parts_join_to_the_whole() {
    let (public, secret) = split(&schema(), document());
    assert_eq!(join(public, secret), document());
}

#[test]
fn a_document_without_secrets_has_an_empty_secret_part() {
    let open = json!({ "url": "https://a.example", "token": null });
    let (public, secret) = split(&schema(), open.clone());
    assert_eq!((public, secret), (open, json!({})));
}

#[test]
fn masks_cover_every_secret_and_nothing_else() {
    assert_eq!(
        mask(&schema(), &document()),
        json!({
            "url": "https://a.example",
            "token": "***",
            "headers": { "X-Team": "***" },
            "keys": ["***", "***"],
            "basic": { "username": "ada", "password": "***" },
            "tags": ["x"],
            "unknown": 1,
        })
    );
}

#[test]
fn debug_output_does_not_hold_the_text() {
    assert!(!format!("{:?}", Secret::from("hush")).contains("hush"));
}
