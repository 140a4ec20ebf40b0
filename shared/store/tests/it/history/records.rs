//! Things that become history.

use signalbox_proto::{
    Attempt, DeadLetter, DeadReason, Delivery, Record, Stage, Timestamp,
    act::{Did, Mark},
    delivery, event,
    ledger::Final,
    outcome::{EventRef, Next, OutcomeKind},
};
use signalbox_store::{
    Store,
    history::{Batch, Move, Position, Written},
};

use crate::samples::{at, name};

/// When the streams of these tests were made.
pub(crate) const MADE: Timestamp = Timestamp::from_nanos(5);

/// The attempt that delivers event `number` at once, a second after the one before.
pub(crate) fn delivered(number: u64) -> Attempt {
    owed(Attempt {
        delivery: String::new(),
        generation: 0,
        attempt: 1,
        org: name("acme"),
        provider: name("webhook"),
        integration: "integration-1".to_owned(),
        events: vec![EventRef {
            id: format!("event-{number}"),
            source: "/acme".to_owned(),
            event_type: "a.b".parse().unwrap(),
            seq: number,
            accepted_at: at(number as i64),
            matched: 1,
        }],
        at: at(number as i64 + 1),
        duration_ms: 12,
        outcome: Some(OutcomeKind::Delivered),
        response_code: Some(200),
        response_body: "{\"ok\": true}".to_owned(),
        error_message: None,
        next: Next::Final(Final::Delivered),
        next_at: None,
    })
}

/// The same under the id of what its first event owes to its integration: another is that of a digest.
pub(crate) fn owed(attempt: Attempt) -> Attempt {
    let first = &attempt.events[0];
    let key = event::key(&attempt.org, &first.source, &first.id);
    Attempt {
        delivery: delivery::id(&key, &attempt.integration),
        ..attempt
    }
}

/// An attempt at the same delivery that fails and is repeated.
pub(crate) fn failed(number: u64, attempt: u32) -> Attempt {
    Attempt {
        attempt,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: "busy\0".to_owned(),
        error_message: Some("HTTP 503 \0 busy".to_owned()),
        next: Next::Retrying,
        next_at: Some(at(number as i64 + 60)),
        ..delivered(number)
    }
}

pub(crate) fn letter(number: u64, reason: DeadReason) -> DeadLetter {
    let accepted = signalbox_proto::Accepted {
        event: serde_json::from_value(serde_json::json!({
            "id": format!("event-{number}"), "org": "acme", "type": "a.b", "source": "/acme",
        }))
        .unwrap(),
        seq: number,
        at: at(number as i64),
    };
    let delivery = Delivery {
        attempt: 3,
        ..Delivery::first(accepted, "integration-1", &name("webhook"), 1, 1)
    };
    DeadLetter::of_delivery(Stage::Delivery, reason, "HTTP 503", delivery, at(number as i64 + 90))
}

pub(crate) fn mark(did: Did, seqs: &[u64]) -> Mark {
    Mark {
        act: "act".to_owned(),
        did,
        seqs: seqs.to_vec(),
        to: None,
        generation: 0,
        at: at(500),
    }
}

pub(crate) fn attempts(attempts: impl IntoIterator<Item = Attempt>) -> Batch {
    let mut batch = Batch::default();
    for attempt in attempts {
        batch.record(Record::Attempt(attempt), at(1_000));
    }
    batch
}

pub(crate) fn position(seq: u64) -> Position {
    Position {
        incarnation: MADE,
        seq,
        at: at(seq as i64),
    }
}

fn step(stream: &str, from: Option<u64>, to: u64) -> Move {
    Move {
        stream: stream.to_owned(),
        from: from.map(position),
        to: position(to),
    }
}

/// The steps of a recorder that has read both streams up to here, and goes there.
pub(crate) fn steps(from: Option<u64>, to: u64) -> [Move; 2] {
    [step("OUTCOMES", from, to), step("DEAD", from, to)]
}

/// Records, wherever the positions are.
pub(crate) async fn record(store: &Store, batch: &Batch) -> Written {
    let from = store.position("OUTCOMES").await.unwrap().map(|position| position.seq);
    let to = from.unwrap_or_default() + 1;
    store.record(batch, &steps(from, to)).await.unwrap()
}
