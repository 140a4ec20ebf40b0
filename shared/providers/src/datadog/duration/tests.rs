use super::*;

#[test]
fn a_duration_is_in_seconds_and_anything_else_is_none() {
    let duration = |data: &str| secs("invocation.completed", data.as_bytes());
    for (data, expected) in [
        (r#"{"duration": 2.5}"#, Some(2.5)),
        (r#"{"duration_seconds": 90}"#, Some(90.0)),
        (r#"{"duration_ms": 1500, "latency_ms": 7}"#, Some(1.5)),
        (r#"{"latency_ms": 250}"#, Some(0.25)),
        (r#"{"latency_ms": 250, "duration": 3}"#, Some(3.0)),
        (r#"{"duration": "2 s", "duration_ms": 10}"#, Some(0.01)),
        (r#"{"duration": 1, "duration": 2}"#, Some(2.0)),
        (r#"{"duration": 0}"#, Some(0.0)),
        (r#"{"duration": -1}"#, None),
        (r#"{"duration": 1e300}"#, None),
        (r#"{"duration": {"secs": [1]}}"#, None),
        (r#"{"duration": [1, {}]}"#, None),
        (r#"{"duration": null, "x": true}"#, None),
        (r#"{"inner": {"duration": 1}}"#, None),
        (r#""duration""#, None),
        ("[\"duration\"]", None),
        ("{}", None),
    ] {
        assert_eq!(duration(data), expected, "{data}");
    }
}

#[test]
fn a_latency_is_a_duration_of_invocations_alone() {
    let data = br#"{"latency_ms": 840}"#;
    assert_eq!(secs("invocation.failed", data), Some(0.84));
    assert_eq!(secs("alert.created", data), None);
    assert_eq!(
        secs("alert.created", br#"{"latency_ms": 840, "duration_s": 2}"#),
        Some(2.0)
    );
}
