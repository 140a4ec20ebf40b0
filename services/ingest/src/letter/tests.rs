use super::*;

#[test]
fn an_event_of_a_batch_has_the_headers_with_which_it_can_be_sent_in_alone() {
    let given = [
        ("Content-Type", "application/cloudevents-batch+json"),
        ("CE-ID", "whole"),
        ("Nats-Msg-Id", "whole"),
        ("ce-team", "core"),
        ("traceparent", "t"),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let kept = element_headers(given);
    let kept: Vec<(&str, &str)> = kept.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        kept,
        [
            ("ce-team", "core"),
            ("traceparent", "t"),
            ("content-type", "application/cloudevents+json")
        ]
    );
}

#[test]
fn a_refused_input_without_an_id_gets_the_one_of_its_event() {
    let with_id_of = |given: &[(&str, &str)], body: &str| {
        let mut headers: Vec<(String, String)> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        add_id(&mut headers, body.as_bytes(), || "derived".to_owned());
        headers
            .into_iter()
            .find(|(_, value)| value == "derived")
            .map(|(name, _)| name)
    };
    let with_id = |given: &[(&str, &str)]| with_id_of(given, "{}");
    assert_eq!(with_id(&[]).as_deref(), Some("ce-id"));
    let structured = [("Content-Type", "application/cloudevents+json; charset=utf-8")];
    assert_eq!(with_id_of(&structured, r#"{"id": "own"}"#), None);
    assert_eq!(with_id_of(&structured, r#"{"data": {}}"#).as_deref(), Some("ce-id"));
    assert_eq!(
        with_id(&[("Content-Type", "application/json")]).as_deref(),
        Some("ce-id")
    );
    assert_eq!(with_id(&[("CE-ID", "own")]), None);
    assert_eq!(with_id(&[("Nats-Msg-Id", "own")]), None);
    assert_eq!(
        with_id(&[("content-type", "application/cloudevents-batch+json")]),
        None,
        "one of each event"
    );
}
