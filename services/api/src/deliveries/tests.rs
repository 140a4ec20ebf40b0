use std::collections::BTreeMap;

use signalbox_proto::{
    Accepted, Attempt, DeadLetter, DeadReason, Delivery, Event, Name, RawJson, Severity, Stage, Timestamp,
    ledger::Final,
    outcome::{EventRef, Next, OutcomeKind},
};

use super::*;
use crate::story::{Place, Stories, Wanted};

pub(super) fn org() -> Name {
    "acme".parse().expect("a name")
}

/// When the event at this place of EVENTS was accepted.
pub(super) fn accepted(seq: u64) -> Timestamp {
    Timestamp::from_secs(seq as i64)
}

/// What the event at this place of EVENTS owes.
pub(super) fn of_event(seq: u64, generation: u32, attempt: u32) -> Delivery {
    let accepted = Accepted {
        event: Event {
            id: format!("e-{seq}"),
            org: org(),
            event_type: "a.b".parse().expect("a type"),
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
        },
        seq,
        at: accepted(seq),
    };
    Delivery {
        generation,
        attempt,
        ..Delivery::first(accepted, "i-1", &"webhook".parse().expect("a name"), 1, 1)
    }
}

/// The record of a request.
pub(super) fn tried(seq: u64, generation: u32, attempt: u32, next: Next) -> Attempt {
    let delivery = of_event(seq, generation, attempt);
    Attempt {
        delivery: delivery.id,
        generation,
        attempt,
        org: org(),
        provider: delivery.provider,
        integration: delivery.integration,
        events: vec![EventRef {
            id: format!("e-{seq}"),
            source: "/s".to_owned(),
            event_type: "a.b".parse().expect("a type"),
            seq,
            accepted_at: accepted(seq),
            matched: 1,
        }],
        at: Timestamp::from_secs(101 + i64::from(generation) * 100 + i64::from(attempt)),
        duration_ms: 3,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: String::new(),
        error_message: Some("503".to_owned()),
        next,
        next_at: None,
    }
}

pub(super) fn letter(seq: u64, generation: u32, reason: DeadReason) -> DeadLetter {
    let now = Timestamp::from_secs(200);
    DeadLetter::of_delivery(Stage::Delivery, reason, "503", of_event(seq, generation, 9), now)
}

fn attempts(tell: impl FnOnce(&mut Stories<'_>)) -> u64 {
    let org = org();
    let wanted = Wanted::Of {
        org: &org,
        integration: None,
        provider: None,
    };
    let mut stories = Stories::new(wanted);
    tell(&mut stories);
    stories.deliveries().map(known_attempts).sum()
}

#[test]
fn an_end_says_how_many_requests_went_before_it() {
    assert_eq!(
        attempts(|stories| stories.record(tried(7, 0, 4, Next::Final(Final::Delivered)))),
        4
    );
    // Some of the others were read too.
    let some = |stories: &mut Stories<'_>| {
        stories.record(tried(7, 0, 3, Next::Retrying));
        stories.record(tried(7, 0, 4, Next::Final(Final::Delivered)));
    };
    assert_eq!(attempts(some), 4);
}

#[test]
fn the_requests_of_all_generations_count() {
    let replayed = |stories: &mut Stories<'_>| {
        stories.bury(3, letter(7, 0, DeadReason::Exhausted));
        stories.record(tried(7, 0, 9, Next::Final(Final::Dead)));
        stories.wait(of_event(7, 5, 2), Place::Schedule);
    };
    assert_eq!(attempts(replayed), 11);
}

#[test]
fn what_was_never_sent_has_no_attempts() {
    assert_eq!(attempts(|stories| stories.wait(of_event(7, 0, 0), Place::Parked)), 0);
}
