use serde_json::json;
use signalbox_proto::Name;

use super::*;
use crate::{find, registry};

fn errors(config: Value, credentials: Value) -> Vec<(String, String)> {
    let checked = find("webhook")
        .expect("built in")
        .check(&config, &credentials, &Egress::default());
    checked
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|error| (error.pointer, error.message))
        .collect()
}

#[test]
fn every_provider_has_a_name_a_sentence_and_schemas_of_objects() {
    for entry in registry() {
        let name: Name = entry.name.parse().expect("a subject token");
        assert!(std::ptr::eq(find(name.as_str()).expect("found by its name"), entry));
        assert!(!entry.description.is_empty());
        for schema in [entry.config_schema(), entry.credentials_schema()] {
            assert_eq!(schema["type"], "object", "{}", entry.name);
            assert_eq!(schema["additionalProperties"], false, "{}", entry.name);
            assert!(
                !schema.to_string().contains("$ref"),
                "{}: schemas are walked without references",
                entry.name
            );
        }
    }
    assert!(find("nowhere").is_none());
}

#[test]
fn nothing_at_all_is_read_as_an_empty_object() {
    assert_eq!(
        errors(Value::Null, Value::Null),
        [("config/url".to_owned(), "is missing".to_owned())]
    );
}

#[test]
fn fields_that_do_not_fit_are_named() {
    let field = |config, credentials| errors(config, credentials).remove(0);
    let url = "https://hooks.example.com/";
    let (pointer, message) = field(json!({ "url": url, "colour": 1 }), json!({}));
    assert_eq!(pointer, "config/colour");
    assert!(
        message.starts_with("is not a field here: there are ") && message.contains("headers"),
        "{message}"
    );
    assert_eq!(
        field(json!({ "url": 7 }), json!({})),
        ("config/url".into(), "does not fit: expected a string".into())
    );
    assert_eq!(
        field(json!({ "url": url, "payload": "xml" }), json!({})).0,
        "config/payload",
        "an unknown word points to its field"
    );
    assert_eq!(
        field(json!({ "url": url }), json!({ "basic": { "username": "ada" } })),
        ("credentials/basic/password".into(), "is missing".into())
    );
    assert_eq!(
        field(json!({ "url": url }), json!({ "secrets": [1] })).0,
        "credentials/secrets/0"
    );
    assert_eq!(
        field(json!({ "url": url, "headers": { "X-A": 1 } }), json!({})).0,
        "config/headers/X-A"
    );
}

#[test]
fn both_parts_are_reported_at_once() {
    assert_eq!(errors(json!({}), json!({ "nothing": 1 })).len(), 2);
}

#[test]
fn errors_never_repeat_a_value() {
    let shown = format!(
        "{:?}",
        errors(json!({ "url": 1 }), json!({ "basic": "ada:hush, expected hush" }))
    );
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn egress_rules_are_part_of_the_check() {
    let entry = find("webhook").expect("built in");
    let config = json!({ "url": "http://127.0.0.1:9000/" });
    let refused = entry
        .check(&config, &json!({}), &Egress::default())
        .expect_err("loopback");
    assert_eq!(refused[0].pointer, "config/url");
    let open = Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    };
    assert_eq!(entry.check(&config, &json!({}), &open), Ok(()));
}

#[test]
fn a_target_opens_from_config_and_secrets() {
    let entry = find("webhook").expect("built in");
    let config = json!({ "url": "https://hooks.example.com/", "headers": { "X-Key": "hush" }, "retry_count": 3 });
    assert_eq!(entry.retry_count(&config), Some(3));
    assert_eq!(entry.mask(&config)["headers"]["X-Key"], "***");
    assert_eq!(entry.mask(&config)["url"], "***");
    assert_eq!(
        entry.mask_credentials(&json!({ "secret": "hush", "basic": { "username": "ada", "password": "hush" } })),
        json!({ "secret": "***", "basic": { "username": "ada", "password": "***" } })
    );
    let (public, secret) = entry.split_secrets(config.clone());
    assert_eq!(
        secret,
        json!({ "headers": { "X-Key": "hush" }, "url": "https://hooks.example.com/" })
    );
    assert_eq!(entry.join_secrets(public.clone(), secret), config);

    let about = About {
        integration: "i1".to_owned(),
        name: "hooks".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    };
    let target = entry.open(config, json!({}), about.clone()).expect("a target");
    assert_eq!(target.about(), &about);
    assert!(target.probe(Timestamp::from_secs(0)).is_none());
    let error = entry.open(json!({}), json!({}), about).err().expect("no url");
    assert_eq!(error.to_string(), "webhook is misconfigured: config/url: is missing");
}

#[test]
fn a_vendors_hosts_are_called_by_https_and_others_only_where_it_is_allowed() {
    let hosts = ["example.com", "*.example.net"];
    let open = Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    };
    for (url, closed, allowed) in [
        ("https://example.com/x", true, true),
        ("https://a.example.net/x", true, true),
        ("https://a.b.example.net/x", true, true),
        ("https://example.net/x", false, false),
        ("https://badexample.net/x", false, false),
        ("https://a.example.com/x", false, false),
        ("https://example.com.evil.example/x", false, false),
        ("http://example.com/x", false, false),
        ("http://127.0.0.1/x", false, true),
        ("https://127.0.0.1/x", false, true),
        ("http://localhost/x", false, true),
        ("http://10.0.0.1/x", false, false),
        ("http://inside/x", false, true),
        ("https://inside/x", false, false),
    ] {
        let parsed = Url::parse(url).expect(url);
        assert_eq!(on_hosts(&hosts, &parsed, &Egress::default()).is_ok(), closed, "{url}");
        assert_eq!(on_hosts(&hosts, &parsed, &open).is_ok(), allowed, "{url}");
        assert_eq!(
            on_hosts(&[], &parsed, &open),
            Ok(()),
            "{url}: a provider without hosts of its own"
        );
    }
}
