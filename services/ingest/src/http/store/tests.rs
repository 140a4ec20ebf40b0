use signalbox_proto::{Event, Name};

use super::*;

fn ready(id: &str) -> Ready {
    let draft = crate::input::Draft {
        event_type: Some("a.b".into()),
        ..Default::default()
    };
    let event: Event = draft.finish(&Name::default_org(), None, || id.to_owned()).unwrap();
    let publish = Publish {
        subject: "s".into(),
        id: Some(event.key()),
        headers: Vec::new(),
        body: id.to_owned().into(),
    };
    Ready { event, publish }
}

#[test]
fn events_of_one_identity_are_stored_once_and_each_has_its_acknowledgement() {
    let all: Vec<Ready> = ["a", "b", "a", "c", "b", "a"].map(ready).into();
    let distinct = Distinct::of(&all);
    assert_eq!(distinct.publishes.len(), 3);
    let acks: Vec<Ack> = (7..10)
        .map(|seq| Ack {
            seq,
            duplicate: false,
            value: None,
        })
        .collect();
    let each: Vec<(u64, bool)> = distinct
        .acks_of_each(&acks)
        .iter()
        .map(|ack| (ack.seq, ack.duplicate))
        .collect();
    assert_eq!(
        each,
        [(7, false), (8, false), (7, true), (9, false), (8, true), (7, true)]
    );
}
