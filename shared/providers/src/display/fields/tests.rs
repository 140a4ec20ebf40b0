use serde_json::json;
use signalbox_proto::{Accepted, RawJson};

use super::*;

fn event(event_type: &str, data: &str) -> Event {
    let accepted: Accepted = serde_json::from_value(json!({
        "event": { "id": "1", "org": "acme", "type": event_type, "source": "/acme", "severity": "high" },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an event");
    Event {
        data: RawJson::from_checked(data.to_owned().into()),
        ..accepted.event
    }
}

/// The fields as lines `Label: value`, a list's items parted by bars.
fn fields(data: &str) -> Vec<String> {
    let event = event("own.type", data);
    let shown = of(&event, data);
    let line = |field: &Field<'_>| format!("{}: {}", field.label, field.value.replace('\n', " | "));
    let mut lines: Vec<String> = shown.fields.iter().map(line).collect();
    if shown.more > 0 {
        lines.push(format!("{} more", shown.more));
    }
    lines
}

#[test]
fn known_fields_come_first_in_their_order_then_the_others_as_they_come() {
    let data = r#"{
        "zone": "b", "latency_ms": 840, "status": "open", "acceptance_criteria": ["It works", "It is fast"],
        "reviewers": ["ann", {"login": "bob"}], "repository": {"owner": {"login": "acme"}, "name": "site"},
        "pr": {"number": 42, "title": "Sign in"}, "branch": "spec/feat-1",
        "spec": {"id": "FEAT-1", "title": "Sign-in", "file": "specs/1.md", "status": "approved", "severity": "low"},
        "affected_agents": ["a", "b"], "version": "1.4.2", "reason": "slow", "error": "boom", "success_rate": 0.925,
        "agent_name": "builder", "title": "T", "message": "M", "answer": 42
    }"#;
    assert_eq!(
        fields(data),
        [
            "Agent: builder",
            "Success Rate: 92.5 %",
            "Error: boom",
            "Reason: slow",
            "Version: 1.4.2",
            "Affected Agents: a, b",
            "Spec: FEAT-1: Sign-in",
            "Spec File: specs/1.md",
            "Spec Status: approved",
            "Spec Severity: low",
            "Branch: spec/feat-1",
            "PR: #42",
            "PR Title: Sign in",
            "Repository: acme/site",
            "Reviewers: ann, bob",
            "Acceptance Criteria: It works, It is fast",
            "Status: open",
            "Latency: 840 ms",
            "Zone: b",
            "Answer: 42",
        ]
    );
}

#[test]
fn what_the_event_says_beside_its_data_is_shown_once() {
    let data = r#"{"agent_id": "agent-7", "execution_id": "run-1", "priority": "sev2"}"#;
    let mut event = event("own.type", data);
    event.agent_id = Some("agent-7".to_owned());
    event.execution_id = Some("run-2".to_owned());
    event.subject = Some("disk/7".to_owned());
    event.severity_named = true;
    let shown = of(&event, data);
    let pairs: Vec<(&str, &str)> = shown
        .fields
        .iter()
        .map(|field| (&*field.label, &*field.value))
        .collect();
    assert_eq!(
        pairs,
        [
            ("Agent", "agent-7"),
            ("Severity", "high"),
            ("Subject", "disk/7"),
            ("Execution", "run-1"),
            ("Execution", "run-2"),
            ("Priority", "sev2"),
        ]
    );
}

#[test]
fn values_keep_their_digits_and_nothing_is_said_of_null() {
    assert_eq!(
        fields(r#"{"big": 12345678901234567890, "price": 0.50, "on": true, "none": null, "empty": "", "list": []}"#),
        ["Big: 12345678901234567890", "Price: 0.50", "On: true"]
    );
}

#[test]
fn a_success_rate_is_per_cent_only_between_nought_and_one() {
    for (given, expected) in [
        ("0", "0.0 %"),
        ("1", "100.0 %"),
        ("0.333", "33.3 %"),
        ("0.0005", "0.1 %"),
        ("0.9994", "99.9 %"),
        ("0.9996", "100.0 %"),
        ("-0.0", "0.0 %"),
        ("97", "97"),
        ("\"good\"", "good"),
    ] {
        let data = format!(r#"{{"success_rate": {given}}}"#);
        assert_eq!(fields(&data), [format!("Success Rate: {expected}")]);
    }
}

#[test]
fn an_error_is_code_of_two_hundred_characters_whatever_its_form() {
    let long = json!({ "error": "x".repeat(300) }).to_string();
    let event = event("own.type", &long);
    let shown = of(&event, &long);
    assert_eq!(shown.fields[0].kind, FieldKind::Code);
    assert_eq!(shown.fields[0].value.chars().count(), ERROR_CHARS_MAX);
    assert_eq!(
        fields(r#"{"error": {"message": "boom", "code": 7, "at": {"line": 3}}}"#),
        ["Error: boom", "Error Code: 7", "Error At Line: 3"]
    );
    assert_eq!(fields(r#"{"error": ["a", "b"]}"#), ["Error: a, b"]);
}

#[test]
fn objects_are_flattened_as_deep_as_people_follow() {
    assert_eq!(
        fields(r#"{"build": {"image": {"tag": "v1", "layers": {"count": 3, "deep": {"x": 1}}}, "ok": true}}"#),
        [
            "Build Image Tag: v1",
            "Build Image Layers: Count: 3 and 1 more",
            "Build OK: true"
        ]
        .map(|line| {
            // OK is no abbreviation that is known.
            line.replace("Build OK", "Build Ok")
        })
    );
}

#[test]
fn lists_show_some_items_and_count_the_others() {
    let numbers = json!({ "numbers": (0..25).collect::<Vec<u32>>() }).to_string();
    assert_eq!(fields(&numbers), ["Numbers: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 15 more"]);
    assert_eq!(
        fields(
            r#"{"checks": [{"name": "lint", "ok": true}, {"name": "test", "ok": false, "log": [1]}, [1, 2], null]}"#
        ),
        ["Checks: Name: lint, Ok: true | Name: test, Ok: false and 1 more | list of 2"]
    );
    let texts = json!({ "texts": vec!["a sentence, with a comma"; 12] }).to_string();
    assert!(fields(&texts)[0].ends_with("| and 2 more"), "{:?}", fields(&texts));
}

#[test]
fn wide_data_is_counted_beyond_what_is_shown() {
    let wide: serde_json::Map<String, serde_json::Value> = (0..500).map(|n| (format!("k{n:03}"), json!(n))).collect();
    let lines = fields(&json!(wide).to_string());
    assert_eq!(lines.len(), FIELDS_MAX + 1);
    assert_eq!(lines[FIELDS_MAX], "480 more");
    let nested = json!({ "a": wide, "b": 1 }).to_string();
    assert_eq!(fields(&nested)[FIELDS_MAX], "481 more");
}

#[test]
fn links_lead_to_the_web_and_name_their_host() {
    let data = r#"{"pr": {"url": "https://example.com/pr 1"}, "spec": {"url": "http://example.com"},
        "logs_url": "https://example.com/l"}"#;
    let event = event("own.type", data);
    let links: Vec<(&str, String)> = of(&event, data)
        .links
        .into_iter()
        .map(|link| (link.label, link.url))
        .collect();
    assert_eq!(
        links,
        [
            ("View Spec", "http://example.com/".to_owned()),
            ("View PR", "https://example.com/pr%201".to_owned()),
            ("View Details", "https://example.com/l".to_owned()),
        ]
    );
    for odd in [
        "javascript:alert(1)",
        "/relative",
        "https://bank.example@evil.example/",
        "file:///etc/passwd",
        "not a url",
    ] {
        assert_eq!(address_of(odd), None, "{odd}");
        let data = json!({ "logs_url": odd }).to_string();
        assert_eq!(fields(&data), [format!("Logs URL: {odd}")]);
    }
    assert_eq!(
        address_of(&format!("https://example.com/{}", "ü".repeat(900))),
        None,
        "too long once it is encoded"
    );
}

#[test]
fn data_that_is_no_object_is_shown_as_what_it_is() {
    assert_eq!(fields("[1,2]"), ["Data: 1, 2"]);
    assert_eq!(fields("7"), ["Data: 7"]);
    assert_eq!(fields("null"), [""; 0]);
    let text = event("own.type", "\"hello\"");
    assert_eq!(of(&text, "\"hello\"").message.as_deref(), Some("hello"));
    let mut binary = event("own.type", "\"AAECAw==\"");
    binary.data_base64 = true;
    binary.datacontenttype = Some("image/png".to_owned());
    assert_eq!(of(&binary, "\"AAECAw==\"").fields[0].value, "4 bytes of image/png");
}

#[test]
fn a_type_fills_its_message_from_the_data_or_has_none() {
    let message = |event_type: &str, data: &str| of(&event(event_type, data), data).message.map(Cow::into_owned);
    for (event_type, data, expected) in [
        (
            "execution.failed",
            r#"{"error": "boom"}"#,
            Some("Execution failed: boom"),
        ),
        (
            "execution.failed",
            r#"{"error": {"message": "a\nb"}}"#,
            Some("Execution failed: a b"),
        ),
        ("execution.failed", r#"{"error": null}"#, None),
        ("execution.failed", "{}", None),
        (
            "canary.promoted",
            r#"{"version": 2}"#,
            Some("Version 2 promoted to production"),
        ),
        ("canary.promoted", r#"{"version": ""}"#, None),
        ("system.recovered", "{}", Some("System has recovered to healthy state")),
        (
            "system.degraded",
            r#"{"message": "Own words", "reason": "r"}"#,
            Some("Own words"),
        ),
        ("alert.created", "{}", None),
    ] {
        assert_eq!(message(event_type, data).as_deref(), expected, "{event_type} {data}");
    }
}

#[test]
fn what_a_message_was_made_of_is_not_said_twice_but_for_an_error() {
    let labels = |event_type: &str, data: &str| -> Vec<String> {
        let event = event(event_type, data);
        of(&event, data)
            .fields
            .into_iter()
            .map(|field| field.label.into_owned())
            .collect()
    };
    assert_eq!(
        labels("canary.rolled_back", r#"{"reason": "slow", "version": "2"}"#),
        ["Version"]
    );
    assert_eq!(labels("execution.failed", r#"{"error": "boom"}"#), ["Error"]);
    assert_eq!(
        labels("canary.rolled_back", r#"{"reason": "slow", "message": "m"}"#),
        ["Reason"]
    );
}

#[test]
fn names_become_words() {
    for (name, words) in [
        ("exit_code", "Exit Code"),
        ("exitCode", "Exit Code"),
        ("exit-code", "Exit Code"),
        ("build.id", "Build ID"),
        ("apiURL", "API URL"),
        ("p99", "P99"),
        ("ÄRA", "ÄRA"),
        ("", "Unnamed"),
        ("__", "Unnamed"),
        ("a\u{202e}\n<b>", "A <b>"),
    ] {
        assert_eq!(label(name), words, "{name:?}");
    }
    assert!(label(&"x".repeat(10_000)).chars().count() <= LABEL_CHARS_MAX);
}
