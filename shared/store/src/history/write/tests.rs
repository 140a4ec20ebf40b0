//! Whatever happens to the records on their way, the rows say the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use signalbox_proto::{
    Accepted, Attempt, DeadLetter, DeadReason, Delivery, Name, Record, Stage, Timestamp,
    act::{Did, Mark},
    ledger::Final,
    outcome::{EventRef, Next, OutcomeKind},
};

use super::{settle, settle_letters};
use crate::history::{ATTEMPTS_MAX, BODIES_MAX, Batch, Letter, Recorded, Status, standing::Standing};

const INCARNATION: Timestamp = Timestamp::from_nanos(1);

/// What the database would hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Book {
    deliveries: BTreeMap<String, Recorded>,
    letters: BTreeMap<u64, Letter>,
}

impl Book {
    fn write(&mut self, batch: &Batch) {
        let known = self.letters.values().cloned().collect();
        let mut given_up: BTreeMap<String, Standing> = BTreeMap::new();
        for letter in settle_letters(known, batch) {
            given_up.extend(letter.given_up());
            self.letters.insert(letter.seq, letter);
        }
        let ids: BTreeSet<&String> = batch.deliveries.keys().chain(given_up.keys()).collect();
        for id in ids {
            let after = settle(self.deliveries.get(id), batch.deliveries.get(id), given_up.get(id));
            if let Some(after) = after {
                self.deliveries.insert(id.clone(), after);
            }
        }
    }
}

/// What comes out of a stream.
#[derive(Clone, Debug)]
enum Told {
    Attempt(Attempt),
    Letter(u64, DeadLetter),
}

fn write(book: &mut Book, told: &[Told]) {
    let mut batch = Batch::default();
    for one in told {
        match one {
            Told::Attempt(attempt) => batch.record(Record::Attempt(attempt.clone()), Timestamp::from_secs(9)),
            Told::Letter(seq, letter) => batch.letter(*seq, Timestamp::from_secs(50), INCARNATION, letter),
        }
    }
    book.write(&batch);
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn event(number: u64) -> EventRef {
    EventRef {
        id: format!("e-{number}"),
        source: "/s".to_owned(),
        event_type: "a.b".parse().expect("a type"),
        seq: number,
        accepted_at: Timestamp::from_secs(number as i64),
        matched: 1,
    }
}

fn attempt(delivery: u64, generation: u32, number: u32) -> Attempt {
    Attempt {
        delivery: format!("d-{delivery}"),
        generation,
        attempt: number,
        org: name("acme"),
        provider: name("webhook"),
        integration: "i".to_owned(),
        events: vec![event(delivery)],
        at: Timestamp::from_secs(100 + i64::from(number)),
        duration_ms: 3,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: format!("busy {number}"),
        error_message: Some("HTTP 503".to_owned()),
        next: Next::Retrying,
        next_at: Some(Timestamp::from_secs(200)),
    }
}

fn letter(delivery: u64, generation: u32, reason: DeadReason) -> DeadLetter {
    let accepted = Accepted {
        event: serde_json::from_value(serde_json::json!({
            "id": format!("e-{delivery}"), "org": "acme", "type": "a.b", "source": "/s",
        }))
        .expect("an event"),
        seq: delivery,
        at: Timestamp::from_secs(delivery as i64),
    };
    let delivery = Delivery {
        id: format!("d-{delivery}"),
        generation,
        attempt: 2,
        ..Delivery::first(accepted, "i", &name("webhook"), 1, 1)
    };
    DeadLetter::of_delivery(Stage::Delivery, reason, "given up", delivery, Timestamp::from_secs(40))
}

fn nexts() -> impl Strategy<Value = Next> {
    prop_oneof![
        Just(Next::Retrying),
        Just(Next::Parked),
        Just(Next::Final(Final::Delivered)),
        Just(Next::Final(Final::Dead)),
        Just(Next::Final(Final::Expired)),
        Just(Next::Final(Final::Discarded)),
    ]
}

fn tellings() -> impl Strategy<Value = Told> {
    let attempts = (
        0..3_u64,
        0..3_u32,
        0..5_u32,
        nexts(),
        0..3_i64,
        any::<bool>(),
        any::<bool>(),
    );
    let attempts = attempts.prop_map(|(delivery, generation, number, next, at, asked, old)| {
        let mut told = Attempt {
            next,
            at: Timestamp::from_secs(100 + at),
            outcome: asked.then_some(OutcomeKind::Retry),
            ..attempt(delivery, generation, number)
        };
        if old {
            told.events[0].accepted_at = Timestamp::default();
        }
        Told::Attempt(told)
    });
    let reasons = prop_oneof![
        Just(DeadReason::Expired),
        Just(DeadReason::Rejected),
        Just(DeadReason::Discarded)
    ];
    let letters = (0..3_u64, 0..3_u32, reasons);
    let letters = letters.prop_map(|(delivery, generation, reason)| {
        // One sequence is one letter.
        let seq = delivery * 100 + u64::from(generation) * 10 + reason as u64;
        Told::Letter(seq, letter(delivery, generation, reason))
    });
    prop_oneof![4 => attempts, 1 => letters]
}

proptest! {
    #[test]
    fn rows_say_the_same_in_whatever_order_and_batches_and_however_often_they_are_told(
        (told, again) in prop::collection::vec(tellings(), 1..24)
            .prop_flat_map(|told| (Just(told.clone()), Just([told.clone(), told].concat()).prop_shuffle())),
        cuts in prop::collection::vec(1..9_usize, 1..24),
    ) {
        let mut at_once = Book::default();
        write(&mut at_once, &told);
        let mut in_parts = Book::default();
        let mut left = &again[..];
        for cut in cuts.into_iter().cycle() {
            let (part, rest) = left.split_at(cut.min(left.len()));
            write(&mut in_parts, part);
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        prop_assert_eq!(at_once, in_parts);
    }

    #[test]
    fn a_long_history_is_the_same_in_whatever_order_it_is_told(
        numbers in Just((1..=130_u32).collect::<Vec<_>>()).prop_shuffle(),
        cut in 1..130_usize,
    ) {
        let told: Vec<Told> = numbers.iter().map(|number| Told::Attempt(attempt(1, 0, *number))).collect();
        let mut book = Book::default();
        write(&mut book, &told[..cut]);
        write(&mut book, &told[cut..]);
        write(&mut book, &told[..cut]);
        let history = book.deliveries["d-1"].history();
        let kept: Vec<u32> = history.entries().iter().map(|entry| entry.attempt).collect();
        prop_assert_eq!(kept, (31..=130).collect::<Vec<_>>());
        prop_assert_eq!(history.entries().len(), ATTEMPTS_MAX);
        prop_assert_eq!((history.left_out(), history.sent()), (30, 130));
        let with_body = history.entries().iter().filter(|entry| !entry.response_body.is_empty()).count();
        prop_assert_eq!(with_body, BODIES_MAX);
    }
}

fn row(told: &[Told]) -> Recorded {
    let mut book = Book::default();
    write(&mut book, told);
    book.deliveries["d-1"].clone()
}

#[test]
fn an_arrival_counts_above_a_letter_of_its_generation_and_a_replay_above_both() {
    let arrived = Attempt {
        next: Next::Final(Final::Delivered),
        outcome: Some(OutcomeKind::Delivered),
        next_at: None,
        error_message: None,
        ..attempt(1, 0, 2)
    };
    let told = [
        Told::Attempt(attempt(1, 0, 1)),
        Told::Letter(5, letter(1, 0, DeadReason::Exhausted)),
        Told::Attempt(arrived),
    ];
    let delivered = row(&told);
    assert_eq!((delivered.status(), delivered.attempts()), (Status::Delivered, 2));
    assert_eq!(delivered.error_message(), None);
    let replayed = row(&[&told[..], &[Told::Attempt(attempt(1, 7, 1))]].concat());
    assert_eq!(
        (replayed.status(), replayed.generation(), replayed.attempts()),
        (Status::Retrying, 7, 3)
    );
}

#[test]
fn a_request_and_what_happened_to_its_delivery_later_without_one_are_two_entries() {
    let expired = Attempt {
        next: Next::Final(Final::Expired),
        outcome: None,
        at: Timestamp::from_secs(900),
        ..attempt(1, 0, 1)
    };
    let row = row(&[Told::Attempt(expired), Told::Attempt(attempt(1, 0, 1))]);
    assert_eq!((row.history().entries().len(), row.attempts()), (2, 1));
    assert_eq!(
        row.history().last_sent().and_then(|entry| entry.response_code),
        Some(503)
    );
    assert_eq!(
        (row.status(), row.changed_at()),
        (Status::Expired, Timestamp::from_secs(900))
    );
}

#[test]
fn a_letter_alone_tells_how_its_delivery_ended() {
    let row = row(&[Told::Letter(5, letter(1, 0, DeadReason::Invalid))]);
    assert_eq!((row.status(), row.attempts()), (Status::Dead, 2));
    assert_eq!(row.error_message(), Some("given up"));
    assert_eq!(row.about().created_at, Timestamp::from_secs(1));
}

#[test]
fn what_a_person_gave_up_is_discarded_also_where_the_letter_was_written_long_before() {
    let mut book = Book::default();
    write(&mut book, &[Told::Letter(5, letter(1, 3, DeadReason::Rejected))]);
    let mark = Mark {
        act: "a".to_owned(),
        did: Did::Discarded,
        seqs: vec![5, 6],
        to: None,
        generation: 0,
        at: Timestamp::from_secs(80),
    };
    for incarnation in [Timestamp::from_nanos(2), INCARNATION] {
        assert_eq!(book.deliveries["d-1"].status(), Status::Dead);
        let mut batch = Batch::default();
        batch.mark(incarnation, &mark);
        book.write(&batch);
    }
    assert_eq!(book.deliveries["d-1"].status(), Status::Discarded);
    assert_eq!(book.letters[&5].marked.discarded_at, Some(Timestamp::from_secs(80)));
    let again = book.clone();
    write(&mut book, &[Told::Letter(5, letter(1, 3, DeadReason::Rejected))]);
    assert_eq!(book, again);
}

#[test]
fn a_digest_is_one_delivery_with_its_members() {
    let digest = Attempt {
        events: vec![event(4), event(9)],
        ..attempt(1, 0, 1)
    };
    let mut batch = Batch::default();
    batch.record(Record::Attempt(digest), Timestamp::from_secs(9));
    let members: Vec<u64> = batch.members.iter().map(|(_, member)| member.event_seq).collect();
    let about = batch.deliveries["d-1"].about();
    assert_eq!(members, [4, 9]);
    assert_eq!((about.event_type.as_str(), about.event_count), ("signalbox.digest", 2));
}
