use std::collections::BTreeSet;

use signalbox_proto::{delivery::Progress, outcome::OutcomeKind};

use super::*;
use crate::decide::tests::{at, delivery, integration};

pub(crate) fn job(delivery: Delivery) -> Job {
    let known = Known {
        integration: integration(),
        target: Err("it is not opened here".to_owned()),
        limit: None,
    };
    Job {
        delivery: Arc::new(delivery),
        known: Arc::new(known),
    }
}

pub(crate) fn attempted(outcome: Outcome, asked: bool, started: Timestamp) -> Attempted {
    Attempted {
        outcome,
        response_code: None,
        response_body: String::new(),
        started,
        took: Duration::ZERO,
        asked,
        waits: None,
        progress: None,
    }
}

pub(crate) fn retry() -> Outcome {
    Outcome::Retry {
        reason: "away".to_owned(),
        after: None,
    }
}

#[test]
fn each_hop_of_what_could_not_be_sent_is_another_and_none_is_an_attempt() {
    let mut delivery = delivery();
    let mut hops = BTreeSet::from([delivery.hop_id()]);
    for _ in 0..3 {
        delivery = job(delivery).answered(&attempted(retry(), false, at(0)));
        assert_eq!((delivery.attempt, delivery.notes.len()), (0, 0));
        assert!(hops.insert(delivery.hop_id()), "JetStream would take it for a repeat");
    }
    delivery = job(delivery).answered(&attempted(retry(), true, at(0)));
    assert_eq!((delivery.attempt, delivery.notes.len()), (1, 1));
    assert!(hops.insert(delivery.hop_id()));
    delivery = job(delivery).answered(&attempted(retry(), false, at(0)));
    assert_eq!(
        (delivery.attempt, delivery.notes.len()),
        (1, 1),
        "what was told stays told"
    );
    assert!(hops.insert(delivery.hop_id()));
}

#[test]
fn what_was_counted_before_nothing_was_sent_is_carried_on() {
    let counted = Attempted {
        progress: Some(Progress {
            counted: true,
            ..Progress::default()
        }),
        ..attempted(retry(), false, at(0))
    };
    let next = job(delivery()).answered(&counted);
    assert!(crate::pushers::is_counted(&next));
}

#[test]
fn what_ends_without_a_request_has_a_number_of_its_own() {
    let tried = Delivery {
        attempt: 2,
        ..delivery()
    };
    let rejected = attempted(
        Outcome::Reject {
            reason: "no text".to_owned(),
        },
        false,
        at(0),
    );
    let job = job(tried);
    let record = record(&job.delivery, Some(&rejected), Next::Final(Final::Dead), None, at(1));
    assert_eq!((record.attempt, record.outcome), (3, Some(OutcomeKind::Reject)));
    assert_eq!(job.answered(&rejected).attempt, 3);
}
