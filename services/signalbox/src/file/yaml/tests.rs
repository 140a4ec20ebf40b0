use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    parse(text).expect("YAML").value
}

#[test]
fn scalars_follow_the_core_schema() {
    let given =
        "{a: no, b: 12, c: 0o17, d: 0x1F, e: 1.5, f: ~, g: 'true', h: true, i: 10:30, j: .inf, k: -3, l: 1e3, m: }";
    assert_eq!(
        value(given),
        json!({"a": "no", "b": 12, "c": 15, "d": 31, "e": 1.5, "f": null, "g": "true", "h": true, "i": "10:30",
               "j": ".inf", "k": -3, "l": 1000.0, "m": null})
    );
}

#[test]
fn json_is_yaml() {
    assert_eq!(
        value(r#"{"a": [1, "x", {"b": null}]}"#),
        json!({"a": [1, "x", {"b": null}]})
    );
}

#[test]
fn every_place_knows_its_line() {
    let document = parse(
        "integrations:\n  - name: a\n    config:\n      url: x\n  - name: b\n    events:\n      - c\n      - d\n",
    )
    .expect("YAML");
    for (pointer, line) in [
        ("/integrations/0", 2),
        ("/integrations/0/config", 3),
        ("/integrations/0/config/url", 4),
        ("/integrations/1/name", 5),
        ("/integrations/1/events/1", 8),
        // What is missing stands where it would be missed.
        ("/integrations/1/config/url", 5),
    ] {
        assert_eq!(document.line(pointer), line, "{pointer}");
    }
}

#[test]
fn what_is_not_taken_is_refused_with_its_line() {
    for (text, line, part) in [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: &x 1\nb: *x\n", 1, "anchors"),
        ("a: !!str 1\n", 1, "tags"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("? [a]\n: 1\n", 1, "keys are texts"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.message.contains(part), "{text}: {error:?}");
        assert_eq!(error.line, line, "{text}: {error:?}");
    }
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    assert!(parse(&deep).expect_err("deep").message.contains("nested deeper"));
    assert!(parse(&"[".repeat(100_000)).is_err());
}
