//! The figures are those of the rows, whatever happened to the records on their way.

use std::collections::BTreeMap;

use proptest::prelude::*;
use signalbox_proto::{
    Attempt, Record, Timestamp,
    ledger::Final,
    outcome::{EventRef, Next, OutcomeKind},
};

use super::{Count, Figures, tally::Tally};
use crate::history::{Batch, Recorded};

/// Rows and figures as the database would hold them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Book {
    rows: BTreeMap<String, Recorded>,
    figures: BTreeMap<(String, i64), Figures>,
}

impl Book {
    fn write(&mut self, attempts: &[Attempt]) {
        let mut batch = Batch::default();
        for attempt in attempts {
            batch.record(Record::Attempt(attempt.clone()), Timestamp::from_secs(9));
        }
        let mut tally = Tally::default();
        let mut after: Vec<(Option<Recorded>, Recorded)> = Vec::new();
        for (id, told) in batch.deliveries {
            let before = self.rows.get(&id).cloned();
            let mut row = before.clone().unwrap_or_else(|| told.clone());
            row.join(told);
            self.rows.insert(id, row.clone());
            after.push((before, row));
        }
        for (before, row) in &after {
            tally.note(before.as_ref(), row);
        }
        self.add(tally.slots());
    }

    /// As the statement does it: by way of what the row keeps.
    fn add(&mut self, slots: BTreeMap<(String, i64), Figures>) {
        for (slot, figures) in slots {
            let kept = self.figures.entry(slot).or_default();
            let mut sum = Figures::decode(&kept.encode()).expect("what was written can be read");
            sum.add(&figures);
            *kept = sum;
        }
    }

    /// What the rows say, counted anew. Slots that nothing is left in are none.
    fn counted(&self) -> BTreeMap<(String, i64), Figures> {
        let mut tally = Tally::default();
        for row in self.rows.values() {
            tally.note(None, row);
        }
        tally.slots()
    }

    fn filled(&self) -> BTreeMap<(String, i64), Figures> {
        let filled = self.figures.iter().filter(|(_, figures)| !figures.is_empty());
        filled.map(|(slot, figures)| (slot.clone(), figures.clone())).collect()
    }

    fn hour_of(&self, integration: &str) -> Figures {
        let mut sum = Figures::default();
        let begin = format!("acme:h:{integration}:");
        for (_, figures) in self.figures.iter().filter(|((slot, _), _)| slot.starts_with(&begin)) {
            sum.add(figures);
        }
        sum
    }
}

fn attempt(delivery: u64, number: u32, hour: i64) -> Attempt {
    Attempt {
        delivery: format!("d-{delivery}"),
        generation: 0,
        attempt: number,
        org: "acme".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        integration: format!("i-{}", delivery % 2),
        events: vec![EventRef {
            id: format!("e-{delivery}"),
            source: "/s".to_owned(),
            event_type: "a.b".parse().expect("a type"),
            seq: delivery,
            accepted_at: Timestamp::from_secs(hour * 3_600),
            matched: 1,
        }],
        at: Timestamp::from_secs(hour * 3_600 + 2),
        duration_ms: 30,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: String::new(),
        error_message: Some("HTTP 503".to_owned()),
        next: Next::Retrying,
        next_at: None,
    }
}

fn delivered(delivery: u64, number: u32, hour: i64) -> Attempt {
    Attempt {
        outcome: Some(OutcomeKind::Delivered),
        next: Next::Final(Final::Delivered),
        ..attempt(delivery, number, hour)
    }
}

#[test]
fn what_is_retried_and_arrives_is_counted_where_it_stands() {
    let mut book = Book::default();
    book.write(&[attempt(1, 1, 10)]);
    let figures = book.hour_of("i-1");
    assert_eq!(
        (figures.count(Count::Retrying), figures.count(Count::AttemptRetry)),
        (1, 1)
    );
    // Three hours later, told twice.
    let arrived = Attempt {
        at: Timestamp::from_secs(13 * 3_600),
        ..delivered(1, 2, 10)
    };
    book.write(&[arrived.clone(), arrived.clone()]);
    book.write(&[arrived]);
    let figures = book.hour_of("i-1");
    assert_eq!(
        (figures.count(Count::Retrying), figures.count(Count::Delivered)),
        (0, 1)
    );
    assert_eq!((figures.attempts(), figures.ended()), (2, 1));
    let waited = figures.latency.quantile(0.5).expect("one arrived");
    assert!((waited / 10_800_030.0 - 1.0).abs() < 0.02, "{waited}");
    assert_eq!(book.filled(), book.counted());
}

#[test]
fn what_arrives_by_a_replay_counts_and_says_nothing_about_speed() {
    let mut book = Book::default();
    let dead = Attempt {
        outcome: Some(OutcomeKind::Reject),
        next: Next::Final(Final::Dead),
        ..attempt(1, 1, 10)
    };
    book.write(&[dead]);
    assert_eq!(book.hour_of("i-1").count(Count::Dead), 1);
    let replayed = Attempt {
        generation: 7,
        at: Timestamp::from_secs(400 * 3_600),
        ..delivered(1, 1, 10)
    };
    book.write(&[replayed]);
    let figures = book.hour_of("i-1");
    assert_eq!((figures.count(Count::Dead), figures.count(Count::Delivered)), (0, 1));
    assert_eq!((figures.latency.total(), figures.duration.total()), (0, 2));
}

#[test]
fn attempts_that_a_row_left_out_stay_counted() {
    let mut book = Book::default();
    for number in 1..=250 {
        book.write(&[attempt(1, number, i64::from(number / 100))]);
    }
    let figures = book.hour_of("i-1");
    assert_eq!((figures.attempts(), figures.count(Count::Retrying)), (250, 1));
}

#[test]
fn a_row_of_a_newer_version_keeps_what_this_one_does_not_know() {
    let newer = r#"{"n":[1,0,0,0,0,0,0,0,0,0,0,7],"l":[3,1],"x":[5]}"#;
    let mut figures = Figures::decode(newer).expect("it can be read");
    figures.tell(Count::Delivered, 1);
    assert_eq!(figures.encode(), r#"{"n":[2,0,0,0,0,0,0,0,0,0,0,7],"l":[3,1]}"#);
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let next = prop_oneof![
        Just((Some(OutcomeKind::Delivered), Next::Final(Final::Delivered))),
        Just((Some(OutcomeKind::Reject), Next::Final(Final::Dead))),
        Just((None, Next::Final(Final::Expired))),
        Just((None, Next::Final(Final::Discarded))),
        Just((Some(OutcomeKind::Retry), Next::Retrying)),
        Just((Some(OutcomeKind::Suspend), Next::Parked)),
        Just((Some(OutcomeKind::Unknown), Next::Unknown)),
    ];
    let numbers = (0_u64..4, 0_u32..2, 1_u32..4, 0_i64..60, 0_i64..3, 0_u32..400);
    (numbers, next).prop_map(
        |((delivery, generation, number, hour, accepted, ms), (outcome, next))| {
            let mut attempt = Attempt {
                generation,
                at: Timestamp::from_secs(hour * 3_600),
                duration_ms: ms,
                outcome,
                next,
                ..attempt(delivery, number, hour)
            };
            // Accepted twice, as after a server that forgot.
            attempt.events[0].accepted_at = Timestamp::from_secs(accepted);
            attempt
        },
    )
}

proptest! {
    #[test]
    fn the_figures_are_those_of_the_rows(
        attempts in prop::collection::vec(any_attempt(), 1..40),
        cuts in prop::collection::vec(1_usize..6, 1..20),
    ) {
        let mut book = Book::default();
        let mut left = attempts.as_slice();
        for cut in cuts.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (part, rest) = left.split_at((*cut).min(left.len()));
            book.write(part);
            left = rest;
        }
        prop_assert_eq!(book.filled(), book.counted());
        // Each level and each view has the same sum.
        let sum = |begin: &str| {
            let mut sum = Figures::default();
            for (_, figures) in book.figures.iter().filter(|((slot, _), _)| slot.starts_with(begin)) {
                sum.add(figures);
            }
            sum
        };
        prop_assert_eq!(sum("acme:h:-"), sum("acme:d:-"));
        let mut by_integration = sum("acme:h:i-0");
        by_integration.add(&sum("acme:h:i-1"));
        prop_assert_eq!(sum("acme:h:-"), by_integration);
    }
}
