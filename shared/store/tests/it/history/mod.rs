//! History, written as a recorder does and read as lists do.

mod apart;
mod erasing;
mod lists;
mod lookups;
mod plans;
mod pruning;
pub(crate) mod records;
mod speed;
mod stats;

use signalbox_proto::{
    DeadReason, Record,
    act::Did,
    ledger::Final,
    outcome::{EventRef, Next},
};
use signalbox_store::{
    Error,
    history::{Batch, DeliveryFilter, Gap, LetterFilter, Status, Written},
};

use self::records::{MADE, attempts, delivered, failed, letter, mark, position, record, steps};
use crate::{harness::on_each, samples::at};

#[tokio::test]
async fn what_was_written_is_not_written_again_by_a_recorder_that_does_not_know() {
    on_each(async |store| {
        let batch = attempts([delivered(1), failed(2, 1)]);
        let written = store.record(&batch, &steps(None, 7)).await.unwrap();
        assert_eq!(written, Written { new: 2, changed: 0 });
        assert_eq!(store.position("OUTCOMES").await.unwrap(), Some(position(7)));
        // Its commit was answered with a broken connection; or another one went on meanwhile.
        let more = attempts([delivered(3)]);
        for from in [None, Some(6)] {
            let refused = store.record(&more, &steps(from, 8)).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
        }
        assert_eq!(store.delivery(None, &delivered(3).delivery).await.unwrap(), None);
        assert_eq!(store.position("DEAD").await.unwrap(), Some(position(7)));
        let both = ["OUTCOMES", "DEAD"].map(|stream| (stream.to_owned(), position(7)));
        assert_eq!(store.positions().await.unwrap(), both.into());
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_told_again_changes_nothing() {
    on_each(async |store| {
        let mut batch = attempts([failed(1, 1), failed(1, 2), delivered(2)]);
        batch.letter(5, at(90), MADE, &letter(3, DeadReason::Exhausted));
        batch.record(Record::NoRoute(vec![(10, 20)]), at(1));
        record(&store, &batch).await;
        let filter = DeliveryFilter::default();
        let before = store.deliveries(&filter, None, 10).await.unwrap();
        assert_eq!(record(&store, &batch).await, Written::default());
        assert_eq!(store.deliveries(&filter, None, 10).await.unwrap(), before);
        assert_eq!(before.items.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn of_two_recorders_at_once_one_writes_and_the_other_finds_itself_overtaken() {
    on_each(async |store| {
        let mut from = None;
        for round in 1..=20_u64 {
            let (one, other) = (attempts([delivered(round)]), attempts([failed(round, 1)]));
            let steps = steps(from, round);
            let (first, second) = tokio::join!(store.record(&one, &steps), store.record(&other, &steps));
            let won = usize::from(first.is_ok()) + usize::from(second.is_ok());
            assert_eq!(won, 1, "{first:?} {second:?}");
            let lost = first.err().or(second.err());
            assert!(matches!(lost, Some(Error::Conflict { .. })), "{lost:?}");
            from = Some(round);
        }
        let page = store.deliveries(&DeliveryFilter::default(), None, 200).await.unwrap();
        assert!(
            page.items
                .iter()
                .all(|delivery| delivery.history().entries().len() == 1)
        );
        assert_eq!(page.items.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_one_row_from_its_first_attempt_to_its_end() {
    on_each(async |store| {
        let id = delivered(1).delivery;
        record(&store, &attempts([failed(1, 1)])).await;
        record(&store, &attempts([failed(1, 2)])).await;
        let row = store.delivery(Some("acme"), &id).await.unwrap().unwrap();
        assert_eq!((row.status(), row.attempts()), (Status::Retrying, 2));
        assert_eq!(row.error_message(), Some("HTTP 503 \u{fffd} busy"));
        assert_eq!(row.next_attempt_at(), Some(at(61)));
        let last = row.history().last_sent().unwrap();
        assert_eq!((last.response_code, last.response_body.as_str()), (Some(503), "busy\0"));
        let arrived = signalbox_proto::Attempt {
            attempt: 3,
            ..delivered(1)
        };
        let written = record(&store, &attempts([arrived])).await;
        assert_eq!(written, Written { new: 0, changed: 1 });
        let row = store.delivery(None, &id).await.unwrap().unwrap();
        assert_eq!(
            (row.status(), row.attempts(), row.next_attempt_at()),
            (Status::Delivered, 3, None)
        );
        assert_eq!(row.about().created_at, at(1));
        // Late, of a worker that stood still.
        record(&store, &attempts([failed(1, 3)])).await;
        let row = store.delivery(None, &id).await.unwrap().unwrap();
        assert_eq!((row.status(), row.attempts()), (Status::Delivered, 3));
        assert_eq!(store.delivery(Some("other"), &id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_earlier_acceptance_of_the_same_event_counts_wherever_it_is_found() {
    on_each(async |store| {
        let again = signalbox_proto::Attempt {
            attempt: 2,
            events: vec![EventRef {
                seq: 9,
                accepted_at: at(9),
                ..delivered(1).events[0].clone()
            }],
            ..delivered(1)
        };
        record(&store, &attempts([again])).await;
        record(&store, &attempts([delivered(1)])).await;
        let page = store.deliveries(&DeliveryFilter::default(), None, 10).await.unwrap();
        let found: Vec<_> = page
            .items
            .iter()
            .map(|row| (row.about().created_at, row.about().event_seq))
            .collect();
        assert_eq!(found, [(at(1), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_digest_is_found_by_each_of_its_events() {
    on_each(async |store| {
        let digest = signalbox_proto::Attempt {
            delivery: "digest-1".to_owned(),
            events: vec![delivered(1).events[0].clone(), delivered(2).events[0].clone()],
            ..delivered(1)
        };
        record(&store, &attempts([digest, delivered(2), delivered(3)])).await;
        let of = async |event: &str, source: Option<&str>, after: Option<&str>| {
            let found = store
                .deliveries_of_event("acme", event, source, after, 10)
                .await
                .unwrap();
            found.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let own = delivered(2).delivery;
        assert_eq!(of("event-1", None, None).await, ["digest-1"]);
        let mut both = [own.as_str(), "digest-1"];
        both.sort_unstable();
        assert_eq!(of("event-2", Some("/acme"), None).await, both);
        assert_eq!(of("event-2", None, Some(both[0])).await, both[1..]);
        assert!(of("event-2", Some("/else"), None).await.is_empty());
        let other = store
            .deliveries_of_event("other", "event-2", None, None, 10)
            .await
            .unwrap();
        assert!(other.is_empty());
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_listed_grouped_and_know_what_was_done_to_them() {
    on_each(async |store| {
        let mut batch = Batch::default();
        for number in 1..=6 {
            let reason = if number == 6 {
                DeadReason::Expired
            } else {
                DeadReason::Exhausted
            };
            batch.letter(number * 10, at(number as i64), MADE, &letter(number, reason));
        }
        batch.mark(MADE, &mark(Did::Replayed, &[10]));
        record(&store, &batch).await;
        let mut marks = Batch::default();
        marks.mark(MADE, &mark(Did::Discarded, &[20, 999]));
        record(&store, &marks).await;

        let filter = LetterFilter {
            org: Some("acme".to_owned()),
            ..LetterFilter::default()
        };
        let first = store.dead_letters(&filter, None, 4).await.unwrap();
        let rest = store.dead_letters(&filter, first.next, 4).await.unwrap();
        let seqs: Vec<u64> = first.items.iter().chain(&rest.items).map(|letter| letter.seq).collect();
        assert_eq!((seqs, rest.next), (vec![60, 50, 40, 30, 20, 10], None));
        assert_eq!(rest.items[0].marked.discarded_at, Some(at(500)));
        assert_eq!(rest.items[1].marked.replayed_at, Some(at(500)));
        let given_up = store.delivery(None, &delivered(2).delivery).await.unwrap().unwrap();
        assert_eq!(given_up.status(), Status::Discarded);

        let groups = store.dead_letter_groups(&filter, None, 1).await.unwrap();
        assert!(groups.truncated);
        let groups = store.dead_letter_groups(&filter, None, 10).await.unwrap();
        let told: Vec<_> = groups
            .items
            .iter()
            .map(|group| (group.count, group.settled, group.examples.len()))
            .collect();
        assert_eq!((told, groups.truncated), (vec![(5, 2, 3), (1, 0, 1)], false));
        // Up to a place, so that what is read of the stream itself behind it is not counted twice.
        let before = store.dead_letter_groups(&filter, Some(31), 10).await.unwrap();
        assert_eq!(before.items.iter().map(|group| group.count).sum::<u64>(), 3);
        let expired = LetterFilter {
            reason: Some("expired".to_owned()),
            integration: Some("integration-1".to_owned()),
            ..filter.clone()
        };
        assert_eq!(store.dead_letters(&expired, None, 4).await.unwrap().items.len(), 1);
        let of_event = store.dead_letters_of_event("acme", "event-3").await.unwrap();
        assert_eq!(of_event.iter().map(|letter| letter.seq).collect::<Vec<_>>(), [30]);
        let foreign = LetterFilter {
            org: Some("other".to_owned()),
            ..LetterFilter::default()
        };
        assert_eq!(store.dead_letters(&foreign, None, 4).await.unwrap().items, []);
    })
    .await;
}

#[tokio::test]
async fn dead_letters_of_a_stream_that_was_made_anew_take_the_place_of_those_before() {
    on_each(async |store| {
        let mut batch = Batch::default();
        batch.letter(1, at(1), MADE, &letter(1, DeadReason::Exhausted));
        batch.letter(2, at(2), MADE, &letter(2, DeadReason::Exhausted));
        record(&store, &batch).await;
        let anew = at(100);
        let mut batch = Batch::default();
        batch.letter(1, at(101), anew, &letter(7, DeadReason::Rejected));
        let mut to = steps(Some(1), 1);
        for step in &mut to {
            step.to.incarnation = anew;
        }
        store.record(&batch, &to).await.unwrap();
        let page = store.dead_letters(&LetterFilter::default(), None, 10).await.unwrap();
        let found: Vec<_> = page
            .items
            .iter()
            .map(|letter| (letter.seq, letter.reason.as_str()))
            .collect();
        assert_eq!(found, [(1, "rejected")]);
    })
    .await;
}

#[tokio::test]
async fn what_matched_nothing_and_what_is_missing_is_found_by_sequence_and_time() {
    on_each(async |store| {
        let mut batch = Batch::default();
        batch.record(Record::NoRoute(vec![(1, 1), (5, 900)]), at(3));
        let gap = Gap {
            stream: "OUTCOMES".to_owned(),
            incarnation: MADE,
            first_seq: 8,
            last_seq: 11,
            since: at(10),
            until: at(20),
        };
        batch.gap(gap.clone());
        record(&store, &batch).await;
        for (seq, told) in [(1, true), (2, false), (5, true), (900, true), (901, false)] {
            assert_eq!(store.unrouted(seq).await.unwrap(), told.then_some(at(3)), "{seq}");
        }
        assert_eq!(store.gaps(at(20)).await.unwrap(), [gap]);
        assert_eq!(store.gaps(at(21)).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_replay_stands_above_what_was_before_it() {
    on_each(async |store| {
        let mut batch = Batch::default();
        batch.letter(1, at(1), MADE, &letter(1, DeadReason::Exhausted));
        batch.mark(MADE, &mark(Did::Replayed, &[1]));
        record(&store, &batch).await;
        let replayed = signalbox_proto::Attempt {
            generation: 50,
            next: Next::Final(Final::Expired),
            ..failed(1, 1)
        };
        record(&store, &attempts([replayed])).await;
        let row = store.delivery(None, &delivered(1).delivery).await.unwrap().unwrap();
        assert_eq!((row.status(), row.generation()), (Status::Expired, 50));
    })
    .await;
}
