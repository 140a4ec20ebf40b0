use serde_json::{Value, json};
use signalbox_proto::RawJson;

use super::*;
use crate::conformance::hostile;

fn event(json: &str) -> Event {
    let mut event = hostile::event("alert.created", &Value::Null);
    event.data = RawJson::from_checked(json.to_owned().into());
    event
}

fn sent(event: &Event) -> (Value, usize) {
    let data = Data::of(event);
    let value = serde_json::to_value(&data).expect("JSON");
    assert_eq!(data.is_empty(), value == json!({}));
    (value, data.left_out)
}

#[test]
fn data_goes_as_it_is_and_what_is_no_object_has_a_name() {
    for (json, expected) in [
        (
            r#"{"a": 1.50, "b": {"c": [null, true]}, "d": null}"#,
            json!({ "a": 1.50, "b": { "c": [null, true] } }),
        ),
        ("  {\n\"a\" : \"x\"}\n", json!({ "a": "x" })),
        ("[1, 2]", json!({ "data": [1, 2] })),
        (" \"text\"", json!({ "data": "text" })),
        ("7", json!({ "data": 7 })),
        ("null", json!({})),
        ("{}", json!({})),
        ("", json!({})),
    ] {
        assert_eq!(sent(&event(json)), (expected, 0), "{json}");
    }
    // No digit is lost.
    let precise = event(r#"{"n":123456789012345678901234567890}"#);
    let written = serde_json::to_string(&Data::of(&precise)).expect("JSON");
    assert_eq!(written, r#"{"n":123456789012345678901234567890}"#);
}

#[test]
fn what_is_too_long_is_cut_and_what_is_too_much_is_counted() {
    let long = json!({ "text": "\u{1}\"é".repeat(10_000), "list": vec![7; 20_000], "short": "x" });
    let (value, left_out) = sent(&event(&long.to_string()));
    assert_eq!(left_out, 0);
    for name in ["text", "list"] {
        let kept = value[name].as_str().expect("a cut value is a text");
        assert!(kept.ends_with('…'), "{name}");
        let bytes = value[name].to_string().len();
        assert!(
            (MEMBER_BYTES_MAX - 20..=MEMBER_BYTES_MAX).contains(&bytes),
            "{name}: {bytes}"
        );
    }
    assert!(value["list"].as_str().expect("a text").starts_with("[7,7,"));
    assert_eq!(value["short"], "x");

    let many: serde_json::Map<String, Value> = (0..80).map(|n| (format!("k{n:02}"), n.into())).collect();
    let (value, left_out) = sent(&event(&Value::from(many).to_string()));
    assert_eq!(
        (value.as_object().map(serde_json::Map::len), left_out),
        (Some(MEMBERS_MAX), 30)
    );

    let wide: serde_json::Map<String, Value> = (0..20)
        .map(|n| (format!("k{n:02}"), "x".repeat(12_000).into()))
        .collect();
    let mut wide = Value::from(wide);
    wide["last"] = "small".into();
    let (value, left_out) = sent(&event(&wide.to_string()));
    assert!(value.to_string().len() <= BYTES_MAX, "{}", value.to_string().len());
    assert!((10..=11).contains(&left_out), "{left_out} of 21");
    assert_eq!(value["last"], "small", "what still fits is sent");
}

#[test]
fn version_and_host_are_read_where_they_are_plain() {
    for (json, version, host) in [
        (r#"{"version":"1.4.2","host":"web-1"}"#, Some("1.4.2"), Some("web-1")),
        (r#"{"version":14,"host":"a\nb"}"#, Some("14"), Some("a b")),
        (r#"{"version":["1"],"host":{"name":"x"}}"#, None, None),
        (r#"{"version":"","host":null}"#, None, None),
        (r#"{"version":"\u0031.0"}"#, Some("1.0"), None),
        ("[]", None, None),
    ] {
        let event = event(json);
        let data = Data::of(&event);
        assert_eq!(
            (data.version().as_deref(), data.host().as_deref()),
            (version, host),
            "{json}"
        );
    }
}
