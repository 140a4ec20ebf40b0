use super::*;

fn event(org: &str, source: &str, id: &str) -> Event {
    Event {
        id: id.to_owned(),
        org: org.parse().expect("a name"),
        event_type: "a.b".parse().expect("a type"),
        source: source.to_owned(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::default(),
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    }
}

#[test]
fn the_identity_is_org_source_and_id_and_nothing_else() {
    let one = event("acme", "/acme", "1");
    let keys = [
        one.key(),
        event("other", "/acme", "1").key(),
        event("acme", "/other", "1").key(),
        event("acme", "/acme", "2").key(),
        // The same characters, cut elsewhere.
        event("acme", "/acme1", "").key(),
        event("acm", "e/acme", "1").key(),
    ];
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[index + 1..].contains(key), "{index}");
    }
    let same = Event {
        severity: Severity::High,
        agent_id: Some("a".to_owned()),
        ..event("acme", "/acme", "1")
    };
    assert_eq!(same.key(), one.key());
}

#[test]
fn data_is_kept_to_the_byte() {
    let text = "{ \"b\": 1.0, \"a\" : 10000000000000000000000000000001, \"a\":\"\\u00e4\" }";
    let data = RawJson::from_checked(Bytes::from_static(text.as_bytes()));
    let bytes = crate::wire::encode(&data).expect("bytes");
    assert_eq!(crate::wire::decode::<RawJson>(&bytes).expect("data"), data);
    assert_eq!(serde_json::to_string(&data).expect("JSON"), text);
    assert_eq!(serde_json::from_str::<RawJson>(text).expect("data"), data);
    assert_eq!(format!("{data:?}"), text);
}

#[test]
fn no_data_is_null() {
    assert_eq!(RawJson::default().as_bytes(), b"null");
    assert_eq!(RawJson::default(), RawJson::from_checked(Bytes::from_static(b"null")));
    assert_ne!(RawJson::default(), RawJson::from_checked(Bytes::from_static(b"{}")));
    assert_eq!(RawJson::default().value().expect("JSON"), serde_json::Value::Null);
    assert_eq!(RawJson::of(&[1, 2]).expect("JSON").as_bytes(), b"[1,2]");
}

#[test]
fn an_event_without_a_time_has_that_of_its_acceptance() {
    let (at, time) = (Timestamp::from_secs(20), Timestamp::from_secs(10));
    let mut accepted = Accepted {
        event: event("acme", "/acme", "1"),
        seq: 1,
        at,
    };
    assert_eq!(accepted.time(), at);
    accepted.event.time = Some(time);
    assert_eq!(accepted.time(), time);
    assert_eq!(Event::default_source(&Name::default_org()), "/default");
}
