use serde_json::json;

use super::*;

fn read(text: &str) -> Result<File, String> {
    let variable = |name: &str| (name == "URL").then(|| "https://example.com".to_owned());
    File::read(Path::new("i.yaml"), text, &variable, &|path| {
        Err(format!("cannot read {path}"))
    })
    .map_err(|error| error.to_string())
}

#[test]
fn complaints_stand_on_their_lines() {
    let file = read("integrations:\n  - name: a\n    config:\n      url: ${URL}\n").expect("a file");
    assert_eq!(
        file.integrations(),
        [json!({"name": "a", "config": {"url": "https://example.com"}})]
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
        ("integrations: {slack: {enabled: true}}\n", "not taken by this version"),
        ("integrations: 3\n", "is not a list"),
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
    assert_eq!(read(&text).expect("a file").integrations(), integrations);
    assert_eq!(
        read(&integrations_yaml(&[], "")).expect("a file").integrations(),
        [] as [serde_json::Value; 0]
    );
}
