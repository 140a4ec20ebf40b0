//! Two versions run beside each other during every upgrade: what one writes, the other reads.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signalbox_proto::{
    Attempt, DeadLetter, DeadReason, Delivery, Event, Integration, Key, Lane, Org, Scope, Severity, State, Timestamp,
    act::{Act, ActStatus, Did, Mark},
    integration::Status,
    key::PrincipalKind,
    ledger::Final,
    org::OrgStatus,
    outcome::{Next, OutcomeKind},
    types::Registered,
    wire,
};

use crate::samples;

/// The message that this JSON stands for; times are whole nanoseconds, as inside.
fn read<T: DeserializeOwned>(json: &Value) -> T {
    wire::decode(&wire::encode(json).expect("bytes")).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The same message as a newer version might write it: two more fields at the end of its map.
fn newer(mut bytes: Vec<u8>) -> Vec<u8> {
    const MORE: &[u8] = b"\xa5later\x93\x01\xc4\x02\xff\xfe\x81\xa1k\xc0\xaalater_flag\xc3";
    let count = match bytes[0] {
        first @ 0x80..=0x8f => {
            bytes.remove(0);
            u16::from(first & 0x0f)
        }
        0xde => {
            let count = u16::from_be_bytes([bytes[1], bytes[2]]);
            bytes.drain(..3);
            count
        }
        other => panic!("{other:#04x} does not begin a map"),
    };
    [&[0xde], &(count + 2).to_be_bytes()[..], &bytes, MORE].concat()
}

fn survives_more_fields<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = newer(wire::encode(value).expect("bytes"));
    assert_eq!(wire::decode::<T>(&bytes).expect("a newer message"), *value);
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    survives_more_fields(&samples::event());
    survives_more_fields(&samples::event_minimal());
    survives_more_fields(&samples::delivery());
    survives_more_fields(&samples::delivery_minimal());
    survives_more_fields(&samples::attempt());
    survives_more_fields(&samples::batch());
    survives_more_fields(&samples::dead_letter());
    survives_more_fields(&samples::dead_input());
    survives_more_fields(&samples::integration());
    survives_more_fields(&samples::state());
    survives_more_fields(&samples::delivery_of_a_digest());
    survives_more_fields(&samples::integration_with_flow());
    survives_more_fields(&samples::state_of_a_limited_one());
    survives_more_fields(&samples::manifest());
    survives_more_fields(&samples::mark());
    survives_more_fields(&samples::act());
    survives_more_fields(&samples::registered_counted());
    survives_more_fields(&samples::key());
    survives_more_fields(&samples::org());
}

#[test]
fn a_newer_field_may_lie_deep_inside() {
    let delivery: Delivery = read(&json!({
        "id": "d", "org": "acme", "provider": "webhook", "integration": "i", "revision": 1, "since": 5,
        "events": [{
            "event": { "id": "1", "org": "acme", "type": "a.b", "source": "/acme", "later": { "a": [1, { "b": null }] } },
            "seq": 1, "at": 5, "later": -1,
        }],
        "notes": [{ "at": 6, "outcome": "retry", "later": "x" }],
        "suspends": { "count": 1, "since": 7, "later": true },
    }));
    assert_eq!(delivery.events[0].event.id, "1");
    assert_eq!(delivery.notes[0].outcome, OutcomeKind::Retry);
}

#[test]
fn an_event_of_an_older_version_is_read() {
    let event: Event = read(&json!({ "id": "1", "org": "acme", "type": "a.b", "source": "/acme" }));
    assert_eq!(
        (event.severity, event.severity_named, event.data.as_bytes()),
        (Severity::Low, false, &b"null"[..])
    );
}

#[test]
fn a_delivery_of_an_older_version_is_read() {
    let delivery: Delivery = read(&json!({
        "id": "d", "org": "acme", "provider": "webhook", "integration": "i", "revision": 1, "since": 5,
        "events": [{ "event": { "id": "1", "org": "acme", "type": "a.b", "source": "/acme" }, "seq": 1, "at": 5 }],
    }));
    assert_eq!(
        (delivery.generation, delivery.hop, delivery.attempt, delivery.retries),
        (0, 0, 0, 0)
    );
    assert_eq!(
        (delivery.lane, delivery.matched, delivery.probe),
        (Lane::Live, 0, false)
    );
    assert!(delivery.notes.is_empty() && delivery.progress.is_none() && delivery.filed.is_none());
}

#[test]
fn records_and_dead_letters_of_an_older_version_are_read() {
    let attempt: Attempt = read(&json!({
        "delivery": "d", "org": "acme", "provider": "webhook", "integration": "i", "at": 5, "next": "parked",
        "events": [{ "id": "1", "source": "/acme", "type": "a.b", "seq": 1 }],
    }));
    assert_eq!(
        (attempt.attempt, attempt.outcome, attempt.next),
        (0, None, Next::Parked)
    );
    let dead: DeadLetter = read(&json!({
        "stage": "ingest", "reason": "invalid", "message": "m", "fingerprint": "f", "first_at": 5, "last_at": 6,
        "input": { "subject": "s" },
    }));
    assert!(dead.org.is_none() && dead.delivery.is_none());
    assert!(dead.input.expect("the original").body.is_empty());
    let mark: Mark = read(&json!({ "act": "a", "did": "replayed", "seqs": [1], "at": 5 }));
    assert_eq!((mark.did, mark.at), (Did::Replayed, Timestamp::from_nanos(5)));
}

#[test]
fn entries_of_an_older_version_are_read() {
    let integration: Integration = read(&json!({
        "id": "i", "org": "acme", "name": "ops", "provider": "webhook", "revision": 1, "status": "active",
        "created_at": 0, "updated_at": 0,
    }));
    assert!(integration.sealed.is_none() && integration.subscription.events.is_empty());
    let state: State = read(&json!({ "phase": "paused" }));
    assert_eq!((state.gate, state.probe), (0, None));
    let act: Act = read(&json!({
        "id": "a", "kind": { "kind": "replay" }, "filter": {}, "per_second": 1, "through": 1, "cursor": 0,
        "status": "running", "created_at": 0, "updated_at": 0,
    }));
    assert_eq!((act.done, act.message.as_str()), (0, ""));
    let registered: Registered = read(&json!({ "org": "acme", "name": "a.b", "created_at": 0, "updated_at": 0 }));
    assert_eq!(registered.revision, 0);
    let key: Key = read(&json!({ "id": "k", "principal": { "kind": "user" } }));
    assert!(key.org.is_none() && key.scopes.is_empty() && key.revoked_at.is_none() && key.revision == 0);
    let org: Org = read(&json!({ "name": "acme", "status": "active" }));
    assert_eq!(org.revision, 0);
}

#[test]
fn a_word_of_a_newer_version_is_unknown_and_nothing_worse() {
    let word = json!("from_the_future");
    assert_eq!(read::<DeadReason>(&word), DeadReason::Unknown);
    assert_eq!(read::<OutcomeKind>(&word), OutcomeKind::Unknown);
    assert_eq!(read::<Final>(&word), Final::Unknown);
    assert_eq!(read::<Status>(&word), Status::Unknown);
    assert_eq!(read::<ActStatus>(&word), ActStatus::Unknown);
    assert_eq!(read::<Did>(&word), Did::Unknown);
    assert_eq!(read::<Next>(&word), Next::Unknown);
    assert_eq!(read::<PrincipalKind>(&word), PrincipalKind::Unknown);
    assert_eq!(read::<OrgStatus>(&word), OrgStatus::Unknown);
    assert!(!OrgStatus::Unknown.is_closed(), "nothing is lost");
    // A scope keeps its word, so that whoever writes the key again does not take it away.
    assert_eq!(read::<Scope>(&word), Scope::Other("from_the_future".into()));
    assert_eq!(
        read::<Next>(&json!({ "final": "from_the_future" })),
        Next::Final(Final::Unknown)
    );
}

#[test]
fn what_a_newer_version_attaches_to_a_word_is_no_reason_to_lose_the_rest() {
    let attempt = wire::encode(&json!({
        "delivery": "d", "org": "acme", "provider": "webhook", "integration": "i", "at": 5, "events": [],
        "next": { "from_the_future": 7 },
    }));
    // The record is counted as unknown by `decode_records`, the batch around it is read.
    assert!(wire::decode::<Attempt>(&attempt.expect("bytes")).is_err());
}
