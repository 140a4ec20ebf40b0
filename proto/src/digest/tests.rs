use std::collections::BTreeMap;

use super::*;
use crate::{Accepted, Event, RawJson, Severity, Timestamp};

fn member(seq: u64, id: &str, since: i64) -> Delivery {
    let org: Name = "acme".parse().expect("a name");
    let event = Event {
        id: id.to_owned(),
        org: org.clone(),
        event_type: "tick".parse().expect("a type"),
        source: Event::default_source(&org),
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
        seq,
        at: Timestamp::from_secs(since),
    };
    let matched = u32::try_from(seq).expect("a small number");
    Delivery::first(accepted, "i1", &"webhook".parse().expect("a name"), seq, matched)
}

fn manifest() -> Manifest {
    Manifest {
        id: "D".to_owned(),
        org: "acme".parse().expect("a name"),
        integration: "i1".to_owned(),
        first: 10,
        last: 12,
        count: 3,
        sent: false,
        way: None,
    }
}

#[test]
fn a_digest_has_its_members_in_the_order_of_acceptance_each_once() {
    let members = vec![
        member(3, "c", 30),
        member(1, "a", 12),
        member(2, "b", 11),
        member(1, "a", 12),
    ];
    let digest = manifest().digest(members.clone(), 2).expect("a digest");
    let ids: Vec<&str> = digest.events.iter().map(|one| one.event.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(digest.matched_each, [1, 2, 3]);
    assert_eq!((digest.matched_of(0), digest.matched_of(2)), (1, 3));
    assert_eq!(digest.since, Timestamp::from_secs(11), "the oldest member's");
    assert_eq!(digest.revision, 3, "the newest that is known");
    assert_eq!((digest.id.as_str(), digest.hop, digest.lane), ("D", 0, Lane::Live));
    assert!(digest.is_digest());
    let mut wanted: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
    wanted.sort();
    wanted.dedup();
    let mut found = digest.member_ids();
    found.sort();
    assert_eq!(found, wanted, "the members' own ids");
    // Whoever reads them in another order makes the same digest.
    let mut turned = members;
    turned.reverse();
    assert_eq!(manifest().digest(turned, 2), Some(digest));
}

#[test]
fn a_digest_of_one_is_a_digest_and_one_of_none_is_nothing() {
    let digest = manifest().digest(vec![member(1, "a", 1)], 9).expect("a digest");
    assert!(digest.is_digest());
    assert_eq!(digest.revision, 9);
    assert_eq!(digest.member_ids(), [member(1, "a", 1).id]);
    assert_ne!(digest.id, digest.member_ids()[0]);
    assert_eq!(manifest().digest(Vec::new(), 9), None);
    let tried =
        |delivery: &Delivery| Attempt::unasked(delivery, crate::outcome::Next::Retrying, Timestamp::from_secs(2));
    assert!(tried(&digest).is_digest());
    let single = member(1, "a", 1);
    assert!(!single.is_digest());
    assert!(!tried(&single).is_digest());
    assert_eq!(single.member_ids(), [single.id.as_str()]);
}

#[test]
fn sent_to_another_integration_a_digest_keeps_apart_from_others_with_the_same_first_event() {
    let digest = manifest().digest(vec![member(1, "a", 1)], 1).expect("a digest");
    let other = Delivery {
        id: "E".to_owned(),
        ..digest.clone()
    };
    assert_eq!(digest.id_at("i1"), "D");
    assert_ne!(digest.id_at("i2"), other.id_at("i2"));
    let single = member(1, "a", 1);
    assert_eq!(single.id_at("i1"), single.id);
    assert_eq!(single.id_at("i2"), delivery::id(&single.event().event.key(), "i2"));
}

#[test]
fn digests_that_begin_with_the_same_delivery_have_ids_of_their_own() {
    let of = delivery::digest_id;
    assert_eq!(of("a", (7, 9)), of("a", (7, 9)));
    for other in [of("a", (8, 9)), of("a", (7, 8)), of("b", (7, 9))] {
        assert_ne!(of("a", (7, 9)), other);
    }
}
