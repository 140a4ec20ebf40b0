use signalbox_proto::{
    Accepted, DeadReason, Event, RawJson, Severity, Stage, Timestamp,
    outcome::{EventRef, OutcomeKind},
};

use super::*;

fn org() -> Name {
    "acme".parse().expect("a name")
}

fn event() -> Event {
    Event {
        id: "e".to_owned(),
        org: org(),
        event_type: "a".parse().expect("a type"),
        source: "/s".to_owned(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    }
}

fn attempt(delivery: &str, generation: u32, next: Next) -> Record {
    Record::Attempt(Attempt {
        delivery: delivery.to_owned(),
        generation,
        attempt: 1,
        org: org(),
        provider: "webhook".parse().expect("a name"),
        integration: format!("i-{delivery}"),
        events: vec![EventRef {
            id: "e".to_owned(),
            source: "/s".to_owned(),
            event_type: "a".parse().expect("a type"),
            seq: 7,
            accepted_at: Timestamp::default(),
            matched: 2,
        }],
        at: Timestamp::from_secs(1),
        duration_ms: 1,
        outcome: Some(OutcomeKind::Delivered),
        response_code: Some(200),
        response_body: String::new(),
        error_message: None,
        next,
        next_at: None,
    })
}

fn watched() -> Watched {
    let mut watched = Watched::default();
    watched.events.insert(event().key(), Watch::default());
    watched
}

fn watch(watched: &Watched) -> &Watch {
    watched.events.get(&event().key()).expect("it is watched")
}

const DELIVERED: Next = Next::Final(Final::Delivered);

#[test]
fn an_event_is_settled_when_as_many_deliveries_as_it_matched_have_ended() {
    let mut watched = watched();
    watched.record(attempt("d1", 0, DELIVERED));
    assert!(!watch(&watched).is_settled(), "the other is not known yet");
    watched.record(attempt("d2", 0, Next::Retrying));
    assert!(!watch(&watched).is_settled(), "the other is tried again");
    watched.record(attempt("d2", 0, DELIVERED));
    assert!(watch(&watched).is_settled());
    watched.record(attempt("d2", 0, Next::Retrying));
    assert!(watch(&watched).is_settled(), "a record that comes late changes nothing");
    watched.record(attempt("d2", 3, Next::Retrying));
    assert!(!watch(&watched).is_settled(), "a replay began");
    let view = watch(&watched).view("e");
    let statuses: Vec<_> = view["deliveries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["status"])
        .collect();
    assert_eq!(statuses, [&json!("delivered"), &json!("retrying")]);
}

#[test]
fn events_of_others_are_passed_by() {
    let mut watched = watched();
    let Record::Attempt(mut other) = attempt("d1", 0, DELIVERED) else {
        unreachable!("it is an attempt")
    };
    other.org = "other".parse().expect("a name");
    watched.record(Record::Attempt(other.clone()));
    other.org = org();
    other.events[0].source = "/t".to_owned();
    watched.record(Record::Attempt(other));
    assert!(watch(&watched).deliveries.is_empty());
}

#[test]
fn an_event_without_a_route_is_settled_whether_its_place_is_known_before_or_after() {
    for known_first in [true, false] {
        let mut watched = watched();
        let place = |watched: &mut Watched| {
            let ranges: Vec<(u64, u64)> = watched.no_route.iter().copied().collect();
            let watch = watched.events.get_mut(&event().key()).expect("it is watched");
            watch.seq = Some(7);
            ranges.into_iter().for_each(|range| watch.without_route(range));
        };
        if known_first {
            place(&mut watched);
        }
        watched.record(Record::NoRoute(vec![(1, 6), (8, 9)]));
        assert!(!watch(&watched).is_settled());
        watched.record(Record::NoRoute(vec![(7, 7)]));
        if !known_first {
            place(&mut watched);
        }
        assert!(watch(&watched).is_settled(), "known first: {known_first}");
    }
    let mut watched = watched();
    for seq in 0..2 * RANGES_MAX as u64 {
        watched.record(Record::NoRoute(vec![(seq, seq)]));
    }
    assert_eq!(watched.no_route.len(), RANGES_MAX);
}

#[test]
fn a_dead_letter_ends_its_delivery_or_its_event() {
    let mut watched = watched();
    let accepted = Accepted {
        event: event(),
        seq: 7,
        at: Timestamp::from_secs(1),
    };
    let delivery = Delivery::first(accepted, "i-1", &"webhook".parse().expect("a name"), 1, 1);
    let now = Timestamp::from_secs(2);
    let letter = DeadLetter::of_delivery(Stage::Route, DeadReason::Invalid, "the filter fails", delivery, now);
    watched.letter(&letter);
    assert!(watch(&watched).is_settled());
    let view = watch(&watched).view("e");
    assert_eq!(view["deliveries"][0]["status"], "dead");
    assert_eq!(view["deliveries"][0]["error_message"], "the filter fails");

    let mut watched = self::watched();
    let unmade = DeadLetter {
        delivery: None,
        event_seq: Some(7),
        ..letter
    };
    watched.letter(&unmade);
    assert!(!watch(&watched).is_settled(), "nobody knows yet that it is this event");
    watched.events.get_mut(&event().key()).expect("it is watched").seq = Some(7);
    watched.letter(&unmade);
    assert!(watch(&watched).is_settled());
    assert_eq!(watch(&watched).view("e")["error_message"], "the filter fails");
}

#[test]
fn what_is_found_waiting_does_not_undo_what_has_ended() {
    let mut watched = watched();
    let accepted = Accepted {
        event: event(),
        seq: 7,
        at: Timestamp::from_secs(1),
    };
    let mut delivery = Delivery::first(accepted, "i-1", &"webhook".parse().expect("a name"), 1, 2);
    watched.waits(&delivery, "parked");
    assert_eq!(watch(&watched).view("e")["deliveries"][0]["status"], "parked");
    delivery.attempt = 1;
    watched.waits(&delivery, "pending");
    assert_eq!(watch(&watched).view("e")["deliveries"][0]["status"], "retrying");
    // The member of a digest ends under the digest's id, and is the same delivery.
    let Record::Attempt(delivered) = attempt("digest", 0, DELIVERED) else {
        panic!("an attempt is made")
    };
    watched.record(Record::Attempt(Attempt {
        integration: delivery.integration.clone(),
        ..delivered
    }));
    watched.waits(&delivery, "pending");
    let view = watch(&watched).view("e");
    assert_eq!(view["deliveries"].as_array().map(Vec::len), Some(1), "{view}");
    assert_eq!(view["deliveries"][0]["status"], "delivered");
    assert_eq!(view["deliveries"][0]["id"], "digest");
    assert_eq!(view["deliveries"][0]["integration_id"], "i-1");
}
