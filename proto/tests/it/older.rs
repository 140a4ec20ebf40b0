//! What version 0.1 has written lies in streams and buckets: it is read as what it meant.
//!
//! The files of `golden/v0.1` are that version's own and never written anew.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use signalbox_proto::{
    Attempt, Delivery, Record, Timestamp,
    act::{Act, Mark},
    outcome::Batch,
    state::Gate,
    wire,
};

use crate::{golden, samples};

fn read<T: DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let bytes = golden::bytes(&format!("v0.1/{name}"));
    let read = wire::decode::<T>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(read, *value, "{name}");
}

/// As that version recorded it: without the time of acceptance.
fn attempt() -> Attempt {
    let mut attempt = samples::attempt();
    for event in &mut attempt.events {
        event.accepted_at = Timestamp::default();
    }
    attempt
}

fn encoded(attempt: Attempt) -> ByteBuf {
    ByteBuf::from(wire::encode(&Record::Attempt(attempt)).expect("bytes"))
}

fn delivery() -> Delivery {
    let mut delivery = samples::delivery();
    delivery.filed.as_mut().expect("a verdict").record = encoded(attempt());
    // That version's field for finished steps was never filled in: none of its providers sent several requests.
    delivery.progress = None;
    delivery
}

fn batch() -> Batch {
    let ended = Attempt {
        events: attempt().events,
        ..samples::ended()
    };
    let mut batch = samples::batch();
    batch.records[0] = encoded(attempt());
    batch.records[1] = encoded(ended);
    batch
}

#[test]
fn what_waits_in_the_streams_of_version_0_1_is_read() {
    read("event", &samples::event());
    read("event-minimal", &samples::event_minimal());
    read("delivery", &delivery());
    read("delivery-minimal", &samples::delivery_minimal());
    read("attempt", &attempt());
    read("batch", &batch());
    read("dead-letter", &samples::dead_letter());
    read("dead-input", &samples::dead_input());
    read("gate-open", &Gate::Open);
    read("gate-closed", &Gate::Closed);
}

#[test]
fn the_records_inside_a_batch_and_a_filed_delivery_of_version_0_1_are_read() {
    let (records, unknown) = wire::decode_records(&golden::bytes("v0.1/batch")).expect("a batch");
    assert_eq!((records.len(), unknown), (samples::batch().records.len(), 0));
    let delivery = wire::decode_delivery(&golden::bytes("v0.1/delivery")).expect("a delivery");
    let filed = delivery.filed.expect("a verdict that was not filed");
    assert_eq!(
        wire::decode::<Record>(&filed.record).expect("a record"),
        Record::Attempt(attempt())
    );
}

#[test]
fn entries_of_the_buckets_of_version_0_1_are_read() {
    // What that version did not know yet is as if it was not there.
    let older = |act: Act| Act {
        ahead: None,
        generation: 0,
        total: None,
        asked_by: String::new(),
        ..act
    };
    read("integration", &samples::integration());
    read("state", &samples::state());
    read("act-replay", &older(samples::act()));
    read("act-discard", &older(samples::discard()));
    let mark = Mark {
        to: None,
        generation: 0,
        ..samples::mark()
    };
    read("mark", &mark);
}
