use std::collections::BTreeMap;

use signalbox_proto::{RawJson, Severity};

use super::*;

fn input(headers: &[(&str, &str)], body: &str) -> Input {
    Input {
        subject: "signalbox.in.acme.tick".into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.into(),
    }
}

fn event(source: &str, id: &str) -> Event {
    Event {
        id: id.into(),
        org: "acme".parse().expect("a name"),
        event_type: "tick".parse().expect("a type"),
        source: source.into(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::of(&1).expect("JSON"),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    }
}

fn sent(headers: &[(&str, &str)], body: &str) -> Again {
    again(7, input(headers, body)).expect("it can be sent")
}

#[test]
fn an_input_without_an_id_gets_one_from_its_dead_letter() {
    let first = sent(&[("Nats-Expected-Stream", "X")], "{}");
    let [(name, id)] = first.headers.as_slice() else {
        panic!("{:?}", first.headers)
    };
    assert_eq!(name, "ce-id");
    assert_eq!(sent(&[], "{}").headers, first.headers, "the same each time");
    assert!(first.became(&event("/acme", id)));
    assert_ne!(
        again(8, input(&[], "{}")).expect("it can be sent").headers,
        first.headers
    );
}

#[test]
fn an_input_with_an_id_keeps_its_identity() {
    let named = sent(&[("Nats-Msg-Id", "50% \"a\""), ("ce-source", "%2Fx")], "{}");
    assert!(
        named.headers.contains(&("ce-id".into(), "50%25%20%22a%22".into())),
        "{:?}",
        named.headers
    );
    assert!(named.became(&event("/x", "50% \"a\"")));
    assert!(!named.became(&event("/acme", "50% \"a\"")));
    let structured = sent(
        &[("Content-Type", "application/cloudevents+json; charset=utf-8")],
        r#"{"id": "i", "source": "s"}"#,
    );
    assert_eq!(structured.headers.len(), 1, "its id is inside");
    assert!(structured.became(&event("s", "i")));
    assert!(sent(&[("CE-ID", "\"q%C3%A9\"")], "{}").became(&event("/acme", "qé")));
}

#[test]
fn a_later_dead_letter_of_the_same_input_is_known() {
    let again = sent(&[("ce-id", "1")], "{}");
    assert!(again.is(&input(&[("Ce-Id", "1"), ("x", "y")], "{}")));
    assert!(!again.is(&input(&[("ce-id", "2")], "{}")));
    assert!(!again.is(&input(&[("ce-id", "1")], "[]")));
}

#[test]
fn what_can_never_be_sent_says_why() {
    let foreign = Input {
        subject: "signalbox.event.0.acme.tick".into(),
        ..input(&[], "{}")
    };
    assert!(again(7, foreign).expect_err("not an input").contains("behind ingest"));
    for (name, value) in [("a b", "1"), ("a:b", "1"), ("", "1"), ("é", "1"), ("a", "1\r\n2")] {
        let reason = again(7, input(&[(name, value)], "{}")).expect_err(name);
        assert!(reason.contains("cannot be sent again"), "{reason}");
    }
    let large = "x".repeat(dead::INPUT_BYTES_MAX);
    assert!(again(7, input(&[], &large)).expect_err("too large").contains("bytes"));
}
