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
