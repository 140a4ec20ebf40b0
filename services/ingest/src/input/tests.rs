use std::str::FromStr;

use signalbox_proto::event::attributes::METADATA_MAX;

use super::*;

struct Map(Vec<(&'static str, &'static str)>);

impl Headers for Map {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(header, _)| *header == name)
            .map(|(_, value)| *value)
    }

    fn all(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

fn take(subject: &str, headers: Vec<(&'static str, &'static str)>, body: &'static str) -> Result<Event, Rejection> {
    take_bytes(subject, headers, body.as_bytes())
}

fn take_bytes(
    subject: &str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static [u8],
) -> Result<Event, Rejection> {
    let message = read_message(subject, &Map(headers), Bytes::from_static(body))?;
    let Body::Event(draft) = message.body else {
        panic!("one event is no batch");
    };
    draft.finish(&message.org, Some(&message.event_type), || "derived".into())
}

const SUBJECT: &str = "signalbox.in.acme.execution.failed";

#[test]
fn a_plain_message_is_an_event_with_the_facts_of_its_body() {
    let event = take(
        SUBJECT,
        vec![],
        r#"{"agent_id": "a1", "execution_id": "x", "severity": "sev1", "n": 1}"#,
    )
    .unwrap();
    assert_eq!(
        (event.org.as_str(), event.event_type.as_str(), event.id.as_str()),
        ("acme", "execution.failed", "derived")
    );
    assert_eq!(
        (
            event.source.as_str(),
            event.agent_id.as_deref(),
            event.execution_id.as_deref()
        ),
        ("/acme", Some("a1"), Some("x"))
    );
    assert_eq!((event.severity, event.severity_named), (Severity::Critical, true));
    assert_eq!(
        event.data.as_bytes(),
        br#"{"agent_id": "a1", "execution_id": "x", "severity": "sev1", "n": 1}"#
    );
}

#[test]
fn headers_win_over_the_body_and_are_percent_decoded() {
    let headers = vec![
        ("nats-msg-id", "msg-1"),
        ("ce-source", "/ci"),
        ("ce-agentid", "agent%20%C3%A9"),
        ("ce-severity", "HIGH"),
        ("ce-team", "core"),
        ("ce-my-ext", "\"a%20b\""),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let event = take(SUBJECT, headers, r#"{"agent_id": "other", "severity": "low"}"#).unwrap();
    assert_eq!((event.id.as_str(), event.source.as_str()), ("msg-1", "/ci"));
    assert_eq!(
        (event.agent_id.as_deref(), event.severity),
        (Some("agent é"), Severity::High)
    );
    assert_eq!(event.metadata.get("team").map(String::as_str), Some("core"));
    assert_eq!(event.metadata.get("my-ext").map(String::as_str), Some("a b"));
    assert!(event.metadata.contains_key("traceparent"));
}

#[test]
fn ce_id_wins_over_the_message_id() {
    let event = take(SUBJECT, vec![("nats-msg-id", "m"), ("ce-id", "c")], "{}").unwrap();
    assert_eq!(event.id, "c");
}

#[test]
fn an_unknown_severity_reads_as_the_types_default_and_is_kept() {
    let event = take(SUBJECT, vec![], r#"{"severity": "apocalyptic"}"#).unwrap();
    assert_eq!((event.severity, event.severity_named), (Severity::High, false));
    assert_eq!(
        event.metadata.get("severity_given").map(String::as_str),
        Some("apocalyptic")
    );
    let event = take(
        "signalbox.in.acme.custom",
        vec![],
        r#"{"spec": {"severity": "critical"}}"#,
    )
    .unwrap();
    assert_eq!(event.severity, Severity::Critical);
    let event = take("signalbox.in.acme.custom", vec![], r#"{"priority": "warning"}"#).unwrap();
    assert_eq!(event.severity, Severity::Medium);
}

#[test]
fn a_cloudevent_in_structured_mode_keeps_its_data_as_it_was_written() {
    let body = r#"{"specversion":"1.0","id":"1","source":"/s","type":"execution.failed","time":"2026-01-02T03:04:05Z","agentid":"a","ext":7,"data":{ "a" : 1.50 }}"#;
    let event = take(
        SUBJECT,
        vec![("content-type", "application/cloudevents+json; charset=utf-8")],
        body,
    )
    .unwrap();
    assert_eq!(event.data.as_bytes(), br#"{ "a" : 1.50 }"#);
    assert_eq!(event.time, Some(Timestamp::from_str("2026-01-02T03:04:05Z").unwrap()));
    assert_eq!(
        (event.agent_id.as_deref(), event.metadata.get("ext").map(String::as_str)),
        (Some("a"), Some("7"))
    );
}

#[test]
fn data_of_other_content_types_becomes_a_json_string() {
    let text = vec![("ce-specversion", "1.0"), ("content-type", "text/plain")];
    let event = take(SUBJECT, text, "say \"hi\"").unwrap();
    assert_eq!(
        (event.data.as_bytes(), event.datacontenttype.as_deref()),
        (br#""say \"hi\"""#.as_slice(), Some("text/plain"))
    );
    let binary = vec![("ce-specversion", "1.0"), ("content-type", "image/png")];
    let event = take_bytes(SUBJECT, binary, &[0xff, 0x00]).unwrap();
    assert_eq!(
        (event.data.as_bytes(), event.data_base64),
        (br#""/wA=""#.as_slice(), true)
    );
}

#[test]
fn what_cannot_be_an_event_names_its_field() {
    let deep: &'static str = Box::leak(format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)).into_boxed_str());
    type Row = (
        &'static str,
        Vec<(&'static str, &'static str)>,
        &'static str,
        Option<&'static str>,
    );
    let rows: Vec<Row> = vec![
        (SUBJECT, vec![], "{", None),
        (SUBJECT, vec![], "", None),
        (SUBJECT, vec![], "[1]", Some("data")),
        (SUBJECT, vec![], "\"text\"", Some("data")),
        (SUBJECT, vec![], r#"{"a":"\ud800"}"#, None),
        (SUBJECT, vec![], r#"{"a":1e999}"#, None),
        (SUBJECT, vec![], r"{} {}", None),
        (SUBJECT, vec![], deep, Some("data")),
        ("signalbox.in.acme", vec![], "{}", Some("subject")),
        ("signalbox.in.ACME.x", vec![], "{}", Some("subject")),
        ("signalbox.in.acme.a b", vec![], "{}", Some("subject")),
        ("signalbox.in.acme.1.2.3.4.5.6.7.8.9", vec![], "{}", Some("subject")),
        (SUBJECT, vec![("ce-id", "has space")], "{}", Some("id")),
        (SUBJECT, vec![("ce-id", "%20")], "{}", Some("id")),
        (SUBJECT, vec![("ce-time", "yesterday")], "{}", Some("time")),
        (SUBJECT, vec![("ce-type", "other.type")], "{}", Some("type")),
        (SUBJECT, vec![("ce-org", "other")], "{}", Some("org")),
        (SUBJECT, vec![("ce-specversion", "0.3")], "{}", Some("specversion")),
        (SUBJECT, vec![("ce-source", "a%0Ab")], "{}", Some("source")),
        (SUBJECT, vec![("ce-source", "%ff")], "{}", Some("ce-source")),
        (SUBJECT, vec![("ce-not valid", "x")], "{}", Some("not valid")),
        (
            SUBJECT,
            vec![("content-type", "text/plain")],
            "hi",
            Some("content-type"),
        ),
        (SUBJECT, vec![("content-type", "application/msgpack")], "hi", None),
        (
            SUBJECT,
            vec![("content-type", "application/msgpack")],
            "\x01",
            Some("data"),
        ),
        (
            SUBJECT,
            vec![("content-type", "application/x-ndjson")],
            "{}\n{}",
            Some("content-type"),
        ),
        (
            SUBJECT,
            vec![("content-type", "application/cloudevents-batch+json")],
            "{}",
            None,
        ),
        (
            SUBJECT,
            vec![("content-type", "application/cloudevents+json")],
            r#"{"specversion":"1.0","id":"1","type":"execution.failed"}"#,
            Some("source"),
        ),
        (
            SUBJECT,
            vec![("content-type", "application/cloudevents+json")],
            r#"{"specversion":"1.0","id":1.5,"source":"s","type":"execution.failed"}"#,
            Some("id"),
        ),
    ];
    for (subject, headers, body, field) in rows {
        let rejection = take(subject, headers.clone(), body).expect_err(&format!("{subject} {headers:?} {body}"));
        assert_eq!(
            rejection.field.as_deref(),
            field,
            "{subject} {headers:?} {body}: {rejection}"
        );
    }
    assert_eq!(
        take_bytes(SUBJECT, vec![], b"{\"a\":\"\xff\"}").unwrap_err().kind,
        Wrong::Malformed
    );
}

#[test]
fn data_may_be_messagepack() {
    let packed = || vec![("content-type", "application/msgpack"), ("ce-id", "m-1")];
    let event = take_bytes(SUBJECT, packed(), b"\x82\xa8agent_id\xa2a1\xa3bin\xc4\x01\xff").unwrap();
    assert_eq!(event.data.as_bytes(), br#"{"agent_id":"a1","bin":"/w=="}"#);
    assert_eq!((event.agent_id.as_deref(), event.datacontenttype), (Some("a1"), None));
    for (body, field, message) in [
        (&b"\x81\xa1a\x81\x07\x01"[..], "data.a", "the key 7,"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "data.a", "RFC 3339"),
        (b"\x91\x80", "data", "must be an object"),
    ] {
        let rejection = take_bytes(SUBJECT, packed(), body).unwrap_err();
        assert_eq!(rejection.field.as_deref(), Some(field), "{rejection}");
        assert!(rejection.message.contains(message), "{rejection}");
    }
    // In binary mode data may be anything.
    let binary = [packed(), vec![("ce-specversion", "1.0")]].concat();
    assert_eq!(
        take_bytes(SUBJECT, binary, b"\x91\x01").unwrap().data.as_bytes(),
        b"[1]"
    );
}

fn take_batch(headers: Vec<(&'static str, &'static str)>, body: &'static str) -> Vec<Result<Event, Rejection>> {
    let headers = Map([headers, vec![("content-type", "application/cloudevents-batch+json")]].concat());
    let message = read_message(SUBJECT, &headers, Bytes::from_static(body.as_bytes())).unwrap();
    let Body::Batch(elements) = message.body else {
        panic!("a batch is no event");
    };
    let read = |element| read_element(&headers, element)?.finish(&message.org, Some(&message.event_type), String::new);
    elements.iter().map(read).collect()
}

#[test]
fn each_event_of_a_batch_is_judged_by_itself_and_the_subject_is_the_truth_for_all() {
    let events = take_batch(
        vec![],
        r#"[
            {"specversion":"1.0","id":"1","source":"/s","type":"execution.failed"},
            {"specversion":"1.0","id":"2","source":"/s","type":"execution.started"},
            {"specversion":"1.0","id":"3","source":"/s","type":"execution.failed","org":"other"},
            {"specversion":"1.0","source":"/s","type":"execution.failed"},
            {"type":"execution.failed"}, 7, null,
            {"specversion":"1.0","id":"8","source":"/s","type":"execution.failed","org":"acme"}
        ]"#,
    );
    let told: Vec<Result<&str, Option<&str>>> = events
        .iter()
        .map(|event| match event {
            Ok(event) => Ok(event.id.as_str()),
            Err(rejection) => Err(rejection.field.as_deref()),
        })
        .collect();
    assert_eq!(
        told,
        [
            Ok("1"),
            Err(Some("type")),
            Err(Some("org")),
            Err(Some("id")),
            Err(Some("specversion")),
            Err(None),
            Err(None),
            Ok("8")
        ]
    );
}

#[test]
fn headers_of_a_batch_hold_for_all_its_events_but_an_id_is_of_one_alone() {
    let headers = vec![
        ("ce-id", "whole"),
        ("nats-msg-id", "whole"),
        ("ce-team", "core"),
        ("ce-severity", "high"),
        ("traceparent", "of the batch"),
    ];
    let body = r#"[
        {"specversion":"1.0","id":"1","source":"/s","type":"execution.failed"},
        {"specversion":"1.0","id":"2","source":"/s","type":"execution.failed","traceparent":"own","severity":"low"}
    ]"#;
    let events: Vec<Event> = take_batch(headers, body).into_iter().map(Result::unwrap).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.id.as_str(),
                event.metadata["team"].as_str(),
                event.severity,
                event.metadata["traceparent"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("1", "core", Severity::High, "of the batch"),
            ("2", "core", Severity::High, "own")
        ]
    );
}

#[test]
fn a_packed_body_is_refused_and_never_taken_for_data() {
    let binary = |coding| {
        vec![
            ("content-type", "text/plain"),
            ("ce-specversion", "1.0"),
            ("content-encoding", coding),
        ]
    };
    for coding in ["gzip", "GZIP", "identity, br", "deflate", "x-unknown"] {
        let rejection = take_bytes(SUBJECT, binary(coding), b"\x1f\x8b\x08\x00").unwrap_err();
        assert_eq!(
            (rejection.field.as_deref(), rejection.kind),
            (Some("content-encoding"), Wrong::Unsupported),
            "{coding}"
        );
    }
    for coding in ["", "identity", "Identity"] {
        assert!(take(SUBJECT, binary(coding), "text").is_ok(), "{coding}");
    }
}

#[test]
fn whatever_is_in_a_trace_context_it_refuses_no_event() {
    let long: &'static str = "a=b,".repeat(300).leak();
    for value in ["", long, "a=1,\tb=2"] {
        let event = take(SUBJECT, vec![("tracestate", value), ("traceparent", "kept")], "{}").unwrap();
        assert_eq!(event.metadata.get("tracestate"), None, "{value}");
        assert_eq!(event.metadata["traceparent"], "kept");
    }
    let mut draft = Draft {
        metadata: (0..METADATA_MAX).map(|n| (n.to_string(), "x".to_owned())).collect(),
        ..Draft::default()
    };
    for name in TRACE {
        draft.metadata.insert(name.to_owned(), "x".to_owned());
    }
    let event_type = "a.b".parse().unwrap();
    let org = Name::default_org();
    let finish = |draft: Draft| draft.finish(&org, Some(&event_type), || "1".into());
    assert!(
        finish(draft.clone()).is_ok(),
        "it takes no place of a producer's own attributes"
    );
    draft.metadata.insert("more".into(), "x".into());
    assert_eq!(finish(draft).unwrap_err().field.as_deref(), Some("metadata"));
}

#[test]
fn a_rejection_quotes_only_the_beginning_of_what_was_sent() {
    let long = "x".repeat(100_000);
    let plain = |field: &str, value: &str| {
        let body = serde_json::json!({ "type": "a.b", field: value }).to_string().into();
        crate::plain::read(&body).and_then(|draft| draft.finish(&Name::default_org(), None, || "1".into()))
    };
    let cloudevent = |field: &str, value: &serde_json::Value| {
        let body = serde_json::json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "a.b", field: value });
        crate::plain::read(&body.to_string().into())
            .and_then(|draft| draft.finish(&Name::default_org(), None, || "1".into()))
    };
    let text = serde_json::Value::from(&*long);
    for rejection in [
        plain("time", &long),
        plain("org", &long),
        plain("type", &long),
        plain("id", &long),
        plain(&long, "x"),
        cloudevent("specversion", &text),
        cloudevent("time", &text),
        cloudevent("data_base64", &text),
        cloudevent(&long, &serde_json::json!("x")),
        cloudevent(&long, &serde_json::json!({})),
        Err(Rejection::unsupported(&long)),
        check_coding(CONTENT_ENCODING, &long).and_then(|()| plain("id", "1")),
    ] {
        let rejection = rejection.unwrap_err();
        assert!(rejection.to_string().len() < 1_000, "{rejection}");
    }
    let time = plain("time", "2026-01-01").unwrap_err().message;
    assert!(time.starts_with("\"2026-01-01\" is not an RFC 3339 time"), "{time}");
    let subject = take(SUBJECT, vec![("ce-type", long.leak())], "{}").unwrap_err();
    assert!(subject.message.len() < 300, "{subject}");
    assert!(subject.message.contains("execution.failed"), "{subject}");
}

#[test]
fn the_count_of_hops_is_kept_and_what_went_round_too_often_is_no_event() {
    let hops = |count| take(SUBJECT, vec![("ce-signalboxhops", count)], "{}");
    for count in ["0", "3", "what"] {
        let event = hops(count).unwrap();
        assert_eq!(event.metadata.get(relay::HOPS).map(String::as_str), Some(count));
    }
    for count in ["4", "255"] {
        let rejection = hops(count).unwrap_err();
        assert_eq!(rejection.field.as_deref(), Some("signalboxhops"));
        assert!(rejection.message.contains("more than 3 times"), "{rejection}");
    }
}

#[test]
fn the_count_of_hops_takes_no_place_of_a_producers_own_attributes() {
    let names: Vec<String> = (0..METADATA_MAX).map(|index| format!("ce-own{index}")).collect();
    let mut headers: Vec<(&'static str, &'static str)> = names.into_iter().map(|name| (&*name.leak(), "x")).collect();
    headers.push(("ce-signalboxhops", "1"));
    assert_eq!(
        take(SUBJECT, headers.clone(), "{}").unwrap().metadata.len(),
        METADATA_MAX + 1
    );
    headers.push(("ce-more", "x"));
    take(SUBJECT, headers, "{}").unwrap_err();
}
