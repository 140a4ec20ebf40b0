use serde_json::json;

use super::*;

fn read(text: &str) -> Result<File, String> {
    let reading = Reading {
        variable: &|name| (name == "URL").then(|| "https://example.com".to_owned()),
        file: &|path| Err(format!("cannot read {path}")),
        skip_unavailable: false,
        version: Version::THIS,
    };
    File::read(Path::new("i.yaml"), text, &reading).map_err(|error| error.to_string())
}

fn values(file: &File) -> Vec<&Value> {
    file.integrations().iter().map(Made::value).collect()
}

#[test]
fn complaints_stand_on_their_lines() {
    let file = read("integrations:\n  - name: a\n    config:\n      url: ${URL}\n").expect("a file");
    assert_eq!(
        values(&file),
        [&json!({"name": "a", "config": {"url": "https://example.com"}})]
    );
    let complaint = |field: &str, message: &str| ("0".to_owned(), field.to_owned(), message.to_owned());
    let complaints = [
        complaint("config/url", "is bad"),
        complaint("provider", "is missing"),
        complaint("", "is bad"),
    ];
    assert_eq!(
        file.explain(complaints.into_iter()).to_string(),
        "i.yaml:2: integrations[0].provider: is missing\ni.yaml:2: integrations[0]: is bad\n\
         i.yaml:4: integrations[0].config.url: is bad"
    );
}

#[test]
fn every_reference_that_fails_is_told_at_once() {
    let error = read("integrations:\n  - name: ${A}\n    org: ${file:b}\n").expect_err("refused");
    assert_eq!(
        error,
        "i.yaml:2: integrations[0].name: the variable A is not set\ni.yaml:3: integrations[0].org: cannot read b"
    );
}

#[test]
fn other_shapes_are_refused_with_what_is_wanted() {
    for (text, part) in [
        ("", "the file is empty"),
        ("[]", "does not begin with"),
        ("integrations:\nintegration: []\n", "is not known here"),
        ("integrations: 3\n", "is a number: write a list"),
        ("slack: {enabled: true}\n", "put it below `integrations:`"),
        ("integrations: []\nnotifications: {}\n", "stands beside a list"),
        ("note: x\n", "`integrations` is missing"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let integrations = [json!({
        "name": "a", "org": "no", "provider": "webhook",
        "config": {"url": "https://example.com/?a=1", "headers": {"X-A: b": "***", "n": "1.0"}},
        "events": ["alert.*", ">"], "filter": {"where": "event.type == \"${x}\""}, "enabled": false,
    })];
    let text = integrations_yaml(&integrations, "one\ntwo");
    assert!(
        text.starts_with("# one\n# two\nintegrations:\n  - name: a\n    org: \"no\"\n    provider: webhook\n"),
        "{text}"
    );
    assert_eq!(values(&read(&text).expect("a file")), [&integrations[0]]);
    assert!(values(&read(&integrations_yaml(&[], "")).expect("a file")).is_empty());
}

#[test]
fn an_entry_with_endpoints_is_a_webhook_for_each() {
    let text = "integrations:\n  - provider: webhooks\n    org: acme\n    timeout: 5s\n    endpoints:\n      - name: one\n        \
                url: ${URL}/1\n        events: [pr_merged]\n      - name: two\n        url: ${URL}/2\n        secret: \
                abc\n        events: [\"spec.*\"]\n";
    let file = read(text).expect("a file");
    assert_eq!(
        values(&file),
        [
            &json!({
                "name": "one", "provider": "webhook", "org": "acme", "timeout": "5s", "enabled": true,
                "events": ["pr.merged"], "config": { "url": "https://example.com/1", "payload": "flat" },
                "credentials": {},
            }),
            &json!({
                "name": "two", "provider": "webhook", "org": "acme", "timeout": "5s", "enabled": true,
                "events": ["spec.*"], "credentials": { "secret": "abc" },
                "config": { "url": "https://example.com/2", "payload": "flat", "signature": "x_signature_256" },
            }),
        ]
    );
    let complaints = [("1", "timeout", "is bad"), ("1", "config/url", "is bad")];
    let complaints = complaints.map(|(index, field, message)| (index.to_owned(), field.to_owned(), message.to_owned()));
    assert_eq!(
        file.explain(complaints.into_iter()).to_string(),
        "i.yaml:4: integrations[0].timeout: is bad\ni.yaml:10: integrations[0].endpoints[1].url: is bad"
    );
    let error = read("integrations:\n  - provider: webhooks\n    name: a\n    config: { endpoints: [{ url: x }] }\n")
        .expect_err("refused");
    for part in [
        "i.yaml:3: integrations[0].name: belongs to one of the endpoints",
        "i.yaml:4: integrations[0].config.endpoints[0].name: is missing",
        "i.yaml:4: integrations[0].config.endpoints[0]: names no events: add some, as in `events: [",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
