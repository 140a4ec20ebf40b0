use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::{Event, RawJson, Severity};

fn accepted() -> Accepted {
    let event = Event {
        id: "1".to_owned(),
        org: "acme".parse().expect("a name"),
        event_type: "a.b".parse().expect("a type"),
        source: "/acme".to_owned(),
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
    };
    Accepted {
        event,
        seq: 7,
        at: Timestamp::from_secs(100),
    }
}

fn delivery() -> Delivery {
    Delivery::first(accepted(), "0199", &"webhook".parse().expect("a name"), 3, 2)
}

fn note(second: i64, text: &str) -> Note {
    Note {
        at: Timestamp::from_secs(second),
        outcome: OutcomeKind::Retry,
        response_code: Some(500),
        error_message: Some(text.to_owned()),
    }
}

#[test]
fn the_first_hop_says_what_the_router_knew() {
    let delivery = delivery();
    assert_eq!(delivery.id, id(&accepted().event.key(), "0199"));
    assert_eq!(
        (delivery.generation, delivery.hop, delivery.attempt, delivery.retries),
        (0, 0, 0, 0)
    );
    assert_eq!((delivery.revision, delivery.matched, delivery.lane), (3, 2, Lane::Live));
    assert_eq!(
        delivery.since,
        Timestamp::from_secs(100),
        "expiry counts from acceptance"
    );
    assert_eq!(delivery.event(), &accepted());
}

#[test]
fn an_event_owes_each_integration_a_delivery_of_its_own() {
    let key = accepted().event.key();
    assert_ne!(id(&key, "0199"), id(&key, "0200"));
    assert_eq!(
        id(&key, "0199"),
        "ZF9NnSs-WajElo8lJ-FvjA",
        "written down: it is the webhook-id that receivers keep"
    );
}

#[test]
fn the_next_hop_keeps_all_but_its_number_and_its_time() {
    let mut delivery = delivery();
    delivery.due = Some(Timestamp::from_secs(5));
    delivery.retries = 2;
    delivery.note(note(1, "no"));
    let next = delivery.next_hop();
    assert_eq!(
        next,
        Delivery {
            hop: 1,
            due: None,
            ..delivery
        }
    );
}

#[test]
fn two_workers_that_hold_one_delivery_publish_one_id() {
    let held = crate::wire::encode(&delivery()).expect("bytes");
    let [mut one, mut other] = [(); 2].map(|()| crate::wire::decode_delivery(&held).expect("a delivery"));
    // They may have seen different answers, at different times, and be about to do different things.
    one.note(note(1, "HTTP 500"));
    one.attempt = 1;
    other.note(note(2, "timeout"));
    other.probe = true;
    let one = Delivery {
        due: Some(Timestamp::from_secs(9)),
        ..one.next_hop()
    };
    assert_eq!(one.hop_id(), other.next_hop().hop_id());
}

#[test]
fn of_the_notes_the_first_and_the_newest_are_kept() {
    let mut delivery = delivery();
    for second in 0..50 {
        delivery.note(note(second, "no"));
    }
    let seconds: Vec<i64> = delivery.notes.iter().map(|note| note.at.secs()).collect();
    assert_eq!(seconds, [vec![0], (31..50).collect()].concat());
    assert_eq!(seconds.len(), NOTES_MAX);
}

#[test]
fn a_note_is_at_most_a_kibibyte_whatever_the_target_wrote() {
    for text in ["x", "ä", "€", "🦀", "\u{0}", "\""] {
        let mut delivery = delivery();
        delivery.note(note(0, &text.repeat(100_000)));
        let bytes = crate::wire::encode(&delivery.notes[0]).expect("bytes");
        assert!(bytes.len() <= 1_024, "{text:?}: {} bytes", bytes.len());
    }
}

/// One publish of a delivery, as the design tells it apart from all others.
type Hop = (usize, u32, u32);

proptest! {
    #[test]
    fn hop_ids_are_equal_exactly_where_the_hops_are(
        hops in prop::collection::vec((0_usize..3, 0_u32..4, 0_u32..6), 1..60),
    ) {
        let deliveries = ["0199", "0200", "0201"].map(|integration| Delivery::first(accepted(), integration, &"webhook".parse().expect("a name"), 1, 3));
        let mut ids: HashMap<String, Hop> = HashMap::new();
        let mut model: HashMap<Hop, String> = HashMap::new();
        for hop in hops {
            let (index, generation, number) = hop;
            let id = Delivery { generation, hop: number, ..deliveries[index].clone() }.hop_id();
            prop_assert_eq!(id.len(), hash::LENGTH);
            if let Some(same) = model.insert(hop, id.clone()) {
                prop_assert_eq!(&same, &id, "the same hop");
            }
            if let Some(other) = ids.insert(id, hop) {
                prop_assert_eq!(other, hop, "another hop");
            }
        }
    }

    #[test]
    fn a_chain_of_hops_repeats_no_id(hops in 1_usize..40, replays in 0_u32..3) {
        let mut seen = std::collections::HashSet::new();
        for generation in 0..=replays {
            let mut delivery = Delivery { generation, ..delivery() };
            for _ in 0..hops {
                prop_assert!(seen.insert(delivery.hop_id()));
                delivery = delivery.next_hop();
            }
        }
    }

    #[test]
    fn only_delivery_generation_and_hop_make_the_id(
        attempt: u32, retries: u32, revision: u64, matched: u32, probe: bool, due in any::<Option<i64>>(), lane in 0_usize..4,
    ) {
        let changed = Delivery {
            attempt,
            retries,
            revision,
            matched,
            probe,
            due: due.map(Timestamp::from_nanos),
            lane: Lane::ALL[lane],
            ..delivery()
        };
        prop_assert_eq!(changed.hop_id(), delivery().hop_id());
    }
}
