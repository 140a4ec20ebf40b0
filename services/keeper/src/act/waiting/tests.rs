use bytes::Bytes;
use signalbox_proto::{Accepted, Event, RawJson, Severity, state::Probe};

use super::*;

fn delivery(id: &str, probe: bool) -> Delivery {
    let org = Name::default_org();
    let event = Event {
        id: id.into(),
        source: Event::default_source(&org),
        org,
        event_type: "tick".parse().expect("a type"),
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
    };
    let accepted = Accepted {
        event,
        seq: 7,
        at: Timestamp::from_secs(50),
    };
    Delivery {
        probe,
        ..Delivery::first(accepted, "i1", &"webhook".parse().expect("a name"), 1, 1)
    }
}

fn state(phase: Phase, probe: Option<&Delivery>) -> State {
    State {
        phase,
        probe: probe.map(|delivery| Probe {
            delivery: delivery.id.clone(),
            due: Timestamp::from_secs(60),
            wait_secs: 60,
            failed: 0,
        }),
        ..State::default()
    }
}

fn waits(queue: &str, subject: String, seq: u64) -> Waiting {
    Waiting {
        queue: queue.to_owned(),
        stored: Stored {
            subject,
            seq,
            at: Timestamp::from_secs(51),
            body: Bytes::new(),
        },
        delivery: delivery("e", false),
    }
}

#[test]
fn what_a_worker_or_a_drain_has_in_hand_is_left_to_it() {
    let (org, provider) = (Name::default_org(), "webhook".parse().expect("a name"));
    let hands = Hands {
        lanes: BTreeMap::from([("retry", 10)]),
        drains: BTreeMap::from([("i1".to_owned(), 5)]),
        digests: BTreeMap::from([(
            "i1".to_owned(),
            Manifest {
                id: "D".to_owned(),
                org: org.clone(),
                integration: "i1".to_owned(),
                first: 4,
                last: 8,
                count: 3,
                sent: false,
                way: None,
            },
        )]),
    };
    let stream = subjects::deliver_stream(&provider);
    let in_lane = |lane, seq| waits(&stream, subjects::deliver(&provider, lane, &org, "i1"), seq);
    assert!(hands.hold(&in_lane(Lane::Retry, 10)));
    assert!(!hands.hold(&in_lane(Lane::Retry, 11)), "not handed out yet");
    assert!(!hands.hold(&in_lane(Lane::Live, 3)), "nobody has anything of this lane");
    let schedule = subjects::retry(&provider, Lane::Retry, &org, "i1", "d");
    assert!(
        !hands.hold(&waits(&stream, schedule, 3)),
        "a schedule is in nobody's hand"
    );
    let parked = |seq| waits(subjects::PARKED, subjects::parked(&org, "i1"), seq);
    assert!(hands.hold(&parked(5)));
    assert!(!hands.hold(&parked(6)));
    let gathered = |seq| waits(subjects::BATCH, subjects::batch(&org, "i1"), seq);
    assert!(hands.hold(&gathered(4)), "a member of the digest that is being closed");
    assert!(!hands.hold(&gathered(9)), "one of the next digest");
    let subject = subjects::ordered(&provider, &org, "i1", "key");
    assert!(!hands.hold(&waits(subjects::ORDERED, subject, 5)));
}

#[test]
fn what_its_worker_would_park_is_not_tried_now() {
    let (probe, other) = (delivery("p", true), delivery("o", false));
    let held = |phase, delivery| is_held(&state(phase, Some(&probe)), delivery);
    for phase in [Phase::Open, Phase::Draining] {
        assert!(!held(phase, &other));
    }
    assert!(held(Phase::Paused, &other));
    assert!(held(Phase::Suspended, &other));
    assert!(
        !held(Phase::Suspended, &probe),
        "it finds out whether the target takes deliveries"
    );
    assert!(
        held(Phase::Suspended, &delivery("x", true)),
        "another is the probe by now"
    );
}

#[test]
fn a_replay_of_what_was_given_up_can_be_given_up_again() {
    let first = delivery("e", false);
    let again = Delivery {
        generation: 9,
        ..first.clone()
    };
    assert_ne!(identity(&first), identity(&again));
    assert_eq!(
        identity(&first),
        identity(&first.next_hop()),
        "whatever hop it waits in"
    );
}
