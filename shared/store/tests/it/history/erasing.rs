//! What is erased is gone, and what is beside it stays; what is sealed anew keeps all but its secrets.

use std::time::Duration;

use serde_json::json;
use signalbox_proto::{
    Attempt, DeadReason, Timestamp,
    integration::{Sealed, Status},
    org::OrgStatus,
    outcome::Next,
};
use signalbox_store::{
    audit,
    audit::kind::{API_KEY, EVENT_TYPE, INTEGRATION, ORG},
    erase::{Erasure, State},
    history::{Batch, DeliveryFilter, LetterFilter, stats::Window},
    outbox,
};

use super::records::{attempts, delivered, failed, letter, owed, record};
use crate::{
    harness::on_each,
    samples::{api_key, at, commit, entry, integration, name, registered},
};

/// The same for another org.
fn of_other(attempt: Attempt) -> Attempt {
    owed(Attempt {
        org: name("other"),
        integration: "integration-2".to_owned(),
        ..attempt
    })
}

#[tokio::test]
async fn an_org_is_erased_and_another_is_not() {
    on_each(async |store| {
        for (id, org) in [("integration-1", "acme"), ("integration-2", "other")] {
            let mut change = store.change().await.unwrap();
            change.create_integration(&integration(id, org, "hook")).await.unwrap();
            commit(change, INTEGRATION, id).await.unwrap();
            let mut change = store.change().await.unwrap();
            let key = format!("key-{org}");
            change.create_key(&api_key(&key, Some(org))).await.unwrap();
            commit(change, API_KEY, &key).await.unwrap();
            let mut told = entry(&format!("told-{org}"), INTEGRATION, id);
            told.org = Some(name(org));
            told.after = Some(json!({ "config": "what it was" }));
            assert!(store.audit_once(&told).await.unwrap());
        }
        let mut batch = attempts((0..700).map(delivered).chain((0..3).map(|n| of_other(delivered(n)))));
        batch.letter(1, at(2), super::MADE, &letter(1, DeadReason::Rejected));
        record(&store, &batch).await;
        let (acme, other) = (name("acme"), name("other"));
        assert_eq!(store.erasable(&acme, None).await.unwrap(), 701);

        let withdrawn = store.withdraw(&acme, at(50)).await.unwrap();
        assert_eq!(
            (withdrawn.keys.len(), &*withdrawn.integrations),
            (1, &["integration-1".to_owned()][..])
        );
        assert_eq!(store.withdraw(&acme, at(51)).await.unwrap(), Default::default());
        let gone = store
            .integration_by_id("integration-1")
            .await
            .unwrap()
            .unwrap()
            .integration;
        assert_eq!(
            (gone.status, gone.revision, gone.name.as_str()),
            (Status::Deleted, 2, "erased")
        );
        assert_eq!(gone.sealed, None);
        let due = store.outbox_due(at(99), 99).await.unwrap();
        let told = |kind, id: &str| {
            due.iter()
                .find(|row| row.kind == kind && row.id == id)
                .map(|row| row.revision)
        };
        assert_eq!(told(outbox::Kind::Integration, "integration-1"), Some(2));
        assert_eq!(told(outbox::Kind::Key, &withdrawn.keys[0]), Some(2));

        assert!(store.erase_org(&acme).await.unwrap() > 700);
        assert_eq!(store.erasable(&acme, None).await.unwrap(), 0);
        assert_eq!(store.erasable(&other, None).await.unwrap(), 3);
        assert_eq!(store.key_hashes(&acme).await.unwrap(), Vec::<String>::new());
        assert_eq!(store.key_hashes(&other).await.unwrap().len(), 1);
        for (org, after) in [(&acme, None), (&other, Some(json!({ "config": "what it was" })))] {
            let wanted = audit::Wanted {
                org: Some(org),
                limit: 99,
                ..Default::default()
            };
            let entries = store.audit(&wanted).await.unwrap();
            let told = entries.iter().find(|entry| entry.id == format!("told-{org}")).unwrap();
            assert_eq!(told.after, after);
        }
        // Again it is nothing.
        assert_eq!(store.erase_org(&acme).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_event_is_erased_and_its_neighbours_are_not() {
    on_each(async |store| {
        let mut digest = delivered(5);
        digest.events.push(delivered(6).events.remove(0));
        digest.delivery = "digest".to_owned();
        let mut batch = attempts([delivered(5), delivered(6), of_other(delivered(5)), digest]);
        batch.letter(1, at(2), super::MADE, &letter(5, DeadReason::Rejected));
        batch.letter(2, at(2), super::MADE, &letter(6, DeadReason::Rejected));
        record(&store, &batch).await;
        let acme = name("acme");
        assert!(store.erase_event(&acme, "/acme", "event-5").await.unwrap() > 0);
        assert!(store.delivery(None, &delivered(5).delivery).await.unwrap().is_none());
        assert!(store.delivery(None, &delivered(6).delivery).await.unwrap().is_some());
        assert!(
            store
                .delivery(None, &of_other(delivered(5)).delivery)
                .await
                .unwrap()
                .is_some()
        );
        let digest = store.delivery(None, "digest").await.unwrap().unwrap();
        assert!(
            !format!("{digest:?}").contains("true"),
            "what was answered is gone: {digest:?}"
        );
        let letters = store.dead_letters(&LetterFilter::default(), None, 9).await.unwrap();
        assert_eq!(letters.items.len(), 1, "{letters:?}");
        let left = store.deliveries(&DeliveryFilter::default(), None, 9).await.unwrap();
        assert_eq!(left.items.len(), 3, "{left:?}");
        assert_eq!(store.erase_event(&acme, "/acme", "event-5").await.unwrap(), 0);
    })
    .await;
}

/// A digest of some events that is tried once in vain and then taken.
fn digest(numbers: &[u64]) -> [Attempt; 2] {
    let members: Vec<_> = numbers
        .iter()
        .map(|number| delivered(*number).events.remove(0))
        .collect();
    [failed(numbers[0], 1), delivered(numbers[0])].map(|attempt| Attempt {
        delivery: "digest".to_owned(),
        events: members.clone(),
        attempt: attempt.attempt + u32::from(attempt.next != Next::Retrying),
        at: at(60) + Duration::from_secs(u64::from(attempt.attempt)),
        ..attempt
    })
}

/// What OUTCOMES has of it without an event.
fn without(number: u64, attempts: &[Attempt; 2]) -> [Attempt; 2] {
    attempts.clone().map(|mut attempt| {
        attempt.events.retain(|event| event.id != format!("event-{number}"));
        Attempt {
            response_body: String::new(),
            error_message: None,
            ..attempt
        }
    })
}

#[tokio::test]
async fn a_digest_loses_an_event_whenever_the_recorder_reads_what_is_left_of_it() {
    for (gone, left, is_read_before) in [(5, 6, true), (6, 5, true), (5, 6, false), (6, 5, false)] {
        on_each(async |store| {
            let told = digest(&[5, 6]);
            let rest = without(gone, &told);
            record(&store, &attempts(told)).await;
            let mut letters = Batch::default();
            let mut letter = letter(5, DeadReason::Rejected);
            if let Some(delivery) = &mut letter.delivery {
                delivery.id = "digest".to_owned();
            }
            letters.letter(1, at(2), super::MADE, &letter);
            record(&store, &letters).await;
            if is_read_before {
                record(&store, &attempts(rest.clone())).await;
            }
            let figures = async || {
                let window = Window::of(Timestamp::default(), at(1_000));
                store.stats_of_providers("acme", &window).await.unwrap()
            };
            let before = figures().await;
            let acme = name("acme");
            let erase = async |number: u64| {
                let id = format!("event-{number}");
                store.erase_event(&acme, "/acme", &id).await.unwrap()
            };
            assert!(erase(gone).await > 0);
            assert_eq!(erase(gone).await, 0, "again it is nothing");
            let letters = store.dead_letters(&LetterFilter::default(), None, 9).await.unwrap();
            assert_eq!(letters.items, [], "DEAD held it as a whole");
            for _ in 0..2 {
                let found = store.delivery(None, "digest").await.unwrap().unwrap();
                let told = format!("{found:?}");
                for text in ["busy", "true", &format!("event-{gone}")] {
                    assert!(!told.contains(text), "{gone} {text}: {told}");
                }
                let about = (found.about().event_id.as_str(), found.about().event_count);
                assert_eq!(about, (format!("event-{left}").as_str(), 1));
                assert_eq!((found.history().entries().len(), found.attempts()), (2, 2));
                assert_eq!(figures().await, before, "nothing is counted again");
                record(&store, &attempts(rest.clone())).await;
            }
            assert!(erase(left).await > 0);
            assert_eq!(store.delivery(None, "digest").await.unwrap(), None, "it has no member");
        })
        .await;
    }
}

#[tokio::test]
async fn an_org_waits_for_what_is_to_be_told_of_itself_alone() {
    on_each(async |store| {
        for (id, org) in [("integration-1", "acme"), ("integration-2", "other")] {
            let mut change = store.change().await.unwrap();
            change.create_integration(&integration(id, org, "hook")).await.unwrap();
            change.hold_integration(id, true, at(3)).await.unwrap();
            commit(change, INTEGRATION, id).await.unwrap();
            let mut change = store.change().await.unwrap();
            let key = format!("key-{org}");
            change.create_key(&api_key(&key, Some(org))).await.unwrap();
            commit(change, API_KEY, &key).await.unwrap();
        }
        let (acme, other) = (name("acme"), name("other"));
        let untold = async || {
            let untold = [store.untold_of(&acme).await, store.untold_of(&other).await];
            untold.map(Result::unwrap)
        };
        assert_eq!(untold().await, [3, 3]);
        for row in store.outbox_due(at(99), 99).await.unwrap() {
            let is_of_acme = row.id == "integration-1" || store.key_hashes(&acme).await.unwrap().contains(&row.id);
            if is_of_acme {
                store.outbox_done(row.kind, &row.id, row.revision).await.unwrap();
            }
        }
        assert_eq!(untold().await, [0, 3], "what others wait for holds it up no more");
        let mut change = store.change().await.unwrap();
        change.ensure_org(&acme, at(4)).await.unwrap();
        change.set_org_status(&acme, OrgStatus::Erasing, at(5)).await.unwrap();
        commit(change, ORG, "acme").await.unwrap();
        let mut change = store.change().await.unwrap();
        change.put_event_type(registered("acme", "a.b"), None).await.unwrap();
        commit(change, EVENT_TYPE, "acme/a.b").await.unwrap();
        assert_eq!(untold().await, [2, 3]);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_goes_from_step_to_step_once() {
    on_each(async |store| {
        let erasure = Erasure {
            id: "erasure".to_owned(),
            org: name("acme"),
            event: Some(("/acme".to_owned(), "event-5".to_owned())),
            state: State::Streams,
            progress: json!({ "n": 0 }),
            started_at: at(1),
            changed_at: at(1),
            ended_at: None,
        };
        let mut change = store.change().await.unwrap();
        change.begin_erasure(&erasure).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(store.erasures_open(9).await.unwrap(), std::slice::from_ref(&erasure));
        let counted = Erasure {
            progress: json!({ "n": 1 }),
            ..erasure.clone()
        };
        assert!(store.step_erasure(&counted, State::Streams, at(2)).await.unwrap());
        assert_eq!(
            store.erasure("erasure").await.unwrap(),
            Some(counted.clone()),
            "the step is as old as it was"
        );
        assert!(store.step_erasure(&counted, State::Recording, at(3)).await.unwrap());
        assert!(
            !store.step_erasure(&counted, State::History, at(4)).await.unwrap(),
            "another did it"
        );
        let recording = store.erasure("erasure").await.unwrap().unwrap();
        assert_eq!((recording.state, recording.changed_at), (State::Recording, at(3)));
        assert!(store.step_erasure(&recording, State::Done, at(5)).await.unwrap());
        assert_eq!(store.erasures_open(9).await.unwrap(), []);
        for (source, known) in [(None, true), (Some("/acme"), true), (Some("/other"), false)] {
            let found = store.erasure_of_event(&name("acme"), "event-5", source).await.unwrap();
            assert_eq!(found.is_some(), known, "{source:?}");
        }
        assert_eq!(store.erasure_of_org(&name("acme")).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_is_sealed_anew_is_at_its_next_revision_and_told() {
    on_each(async |store| {
        let first = integration("integration-1", "acme", "hook");
        let mut change = store.change().await.unwrap();
        change.create_integration(&first).await.unwrap();
        commit(change, INTEGRATION, &first.id).await.unwrap();
        let anew = signalbox_proto::Integration {
            revision: 2,
            sealed: Some(Sealed {
                key_id: "new".to_owned(),
                bytes: vec![9],
            }),
            ..first.clone()
        };
        let mut change = store.change().await.unwrap();
        assert!(change.reseal_integration(&anew, 1, at(5)).await.unwrap());
        assert!(
            !change.reseal_integration(&anew, 1, at(5)).await.unwrap(),
            "it has moved on"
        );
        assert!(change.replace_meta("key", None, "one").await.unwrap());
        // No owner changed anything: there is nothing for the audit.
        change.commit().await.unwrap();
        let stored = store.integration_by_id(&first.id).await.unwrap().unwrap();
        assert_eq!(stored.integration, anew);
        let due = store.outbox_due(at(9), 9).await.unwrap();
        assert!(
            due.iter()
                .any(|row| row.kind == outbox::Kind::Integration && row.revision == 2),
            "{due:?}"
        );

        assert!(!store.replace_meta("key", None, "two").await.unwrap());
        assert!(!store.replace_meta("key", Some("none"), "two").await.unwrap());
        assert!(store.replace_meta("key", Some("one"), "two").await.unwrap());
        assert_eq!(store.meta("key").await.unwrap().as_deref(), Some("two"));
    })
    .await;
}
