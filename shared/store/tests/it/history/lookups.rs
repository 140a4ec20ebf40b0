//! Rows found by what names them.

use signalbox_proto::{Attempt, DeadLetter, DeadReason, Stage, act::Did, dead::Input, ledger::Final, outcome::Next};
use signalbox_store::history::{Batch, Gap};

use super::records::{MADE, attempts, delivered, failed, letter, mark, owed, record};
use crate::{
    harness::on_each,
    samples::{at, commit, integration},
};

#[tokio::test]
async fn many_deliveries_with_their_members_and_dead_letters_are_found_at_once() {
    on_each(async |store| {
        let digest = Attempt {
            delivery: "digest-1".to_owned(),
            events: vec![delivered(1).events[0].clone(), delivered(2).events[0].clone()],
            ..delivered(1)
        };
        let all: Vec<Attempt> = (3..=180).map(delivered).collect();
        let mut batch = attempts(all.iter().cloned().chain([digest]));
        for number in [3, 4, 5] {
            batch.letter(number * 10, at(200), MADE, &letter(number, DeadReason::Exhausted));
        }
        batch.letter(60, at(210), MADE, &letter(3, DeadReason::Expired));
        batch.mark(MADE, &mark(Did::Replayed, &[30]));
        record(&store, &batch).await;

        let ids: Vec<&str> = all.iter().map(|attempt| attempt.delivery.as_str()).collect();
        let mut found: Vec<String> = store
            .deliveries_by_id(&ids)
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.id)
            .collect();
        found.sort_unstable();
        let mut expected = ids.clone();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(store.deliveries_by_id(&["nobody"]).await.unwrap(), []);

        let members = store.members(&["digest-1", ids[0], "nobody"]).await.unwrap();
        let told: Vec<_> = members
            .iter()
            .map(|(id, member)| (id.as_str(), member.event_id.as_str()))
            .collect();
        assert_eq!(told, [("digest-1", "event-1"), ("digest-1", "event-2")]);

        let mut letters = store.dead_letters_of(&[ids[0], ids[1], ids[9]]).await.unwrap();
        letters.sort_by_key(|letter| letter.seq);
        let told: Vec<_> = letters
            .iter()
            .map(|letter| (letter.seq, letter.marked.replayed_at))
            .collect();
        assert_eq!(told, [(30, Some(at(500))), (40, None), (60, None)]);
        assert_eq!(store.dead_letter(40).await.unwrap().map(|letter| letter.seq), Some(40));
        assert_eq!(store.dead_letter(41).await.unwrap(), None);
        let mut seqs: Vec<u64> = store
            .dead_letters_by_seq(&[60, 41, 30])
            .await
            .unwrap()
            .iter()
            .map(|letter| letter.seq)
            .collect();
        seqs.sort_unstable();
        assert_eq!(seqs, [30, 60]);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_could_not_be_routed_is_found_by_its_place() {
    on_each(async |store| {
        let input = Input {
            subject: "signalbox.in.acme.a.b".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let acme = Some("acme".parse().unwrap());
        let unmade = DeadLetter {
            event_seq: Some(7),
            ..DeadLetter::of_input(Stage::Route, DeadReason::Invalid, "too large", acme, input, at(3))
        };
        let mut batch = Batch::default();
        batch.letter(2, at(3), MADE, &unmade);
        // Of a delivery of that event: another thing.
        batch.letter(3, at(3), MADE, &letter(8, DeadReason::Exhausted));
        record(&store, &batch).await;
        for (org, seq, expected) in [("acme", 7, Some(2)), ("other", 7, None), ("acme", 8, None)] {
            let found = store.dead_letter_of_unrouted(org, seq).await.unwrap();
            assert_eq!(found.map(|letter| letter.seq), expected, "{org} {seq}");
        }
    })
    .await;
}

#[tokio::test]
async fn gaps_are_those_that_a_range_of_time_touches() {
    on_each(async |store| {
        let gap = |first_seq: u64, from: i64, to: i64| Gap {
            stream: "OUTCOMES".to_owned(),
            incarnation: MADE,
            first_seq,
            last_seq: first_seq + 3,
            since: at(from),
            until: at(to),
        };
        let mut batch = Batch::default();
        batch.gap(gap(10, 10, 20));
        batch.gap(gap(30, 30, 40));
        record(&store, &batch).await;
        for (from, to, expected) in [
            (0, 9, vec![]),
            (0, 10, vec![10]),
            (20, 29, vec![10]),
            (15, 16, vec![10]),
            (21, 29, vec![]),
            (0, 99, vec![30, 10]),
        ] {
            let found = store.gaps_between(at(from), at(to)).await.unwrap();
            let told: Vec<u64> = found.iter().map(|gap| gap.first_seq).collect();
            assert_eq!(told, expected, "{from} to {to}");
        }
    })
    .await;
}

#[tokio::test]
async fn integrations_know_when_they_were_last_tried() {
    on_each(async |store| {
        for id in ["one", "other", "never", "late"] {
            let mut change = store.change().await.unwrap();
            change.create_integration(&integration(id, "acme", id)).await.unwrap();
            commit(change, "integration", id).await.unwrap();
        }
        let of = |integration: &str, attempt: Attempt| {
            owed(Attempt {
                integration: integration.to_owned(),
                ..attempt
            })
        };
        let expired = Attempt {
            outcome: None,
            attempt: 0,
            next: Next::Final(Final::Expired),
            ..delivered(90)
        };
        let told = [
            of("one", delivered(5)),
            of("one", delivered(7)),
            of("other", failed(6, 2)),
            // It ended, and was not tried.
            of("late", expired),
        ];
        record(&store, &attempts(told)).await;
        let found = store
            .last_attempts(&["one", "other", "never", "late", "gone"])
            .await
            .unwrap();
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [("one".to_owned(), at(8)), ("other".to_owned(), at(7))]);
        assert!(store.last_attempts(&[]).await.unwrap().is_empty());
    })
    .await;
}
