//! The audit, and notes of the database itself.

use serde_json::json;
use signalbox_store::{
    Error,
    audit::{Entry, Wanted},
};

use crate::{
    harness::on_each,
    samples::{at, entry, name},
};

#[tokio::test]
async fn an_entry_is_read_as_it_was_written_and_told_once() {
    on_each(async |store| {
        let full = Entry {
            key_id: Some("key".to_owned()),
            address: Some("127.0.0.1".to_owned()),
            request_id: Some("request\0".to_owned()),
            before: Some(json!({ "url": "***", "text": "a\0b" })),
            after: Some(json!(null)),
            ..entry("1", "integration", "i")
        };
        assert!(store.audit_once(&full).await.unwrap());
        assert!(!store.audit_once(&entry("1", "integration", "other")).await.unwrap());
        let wanted = Wanted {
            limit: 9,
            ..Wanted::default()
        };
        let read = store.audit(&wanted).await.unwrap();
        let expected = Entry {
            request_id: Some("request\u{fffd}".to_owned()),
            ..full
        };
        assert_eq!(read, [expected]);
        let mut change = store.change().await.unwrap();
        let again = change.audit(&entry("1", "integration", "i")).await;
        assert!(matches!(again, Err(Error::Duplicate { .. })));
    })
    .await;
}

#[tokio::test]
async fn entries_come_newest_first_and_by_what_they_say() {
    on_each(async |store| {
        for (number, (secs, org, kind, object, actor)) in [
            (1, Some("acme"), "integration", "i", "ann"),
            (2, None, "api_key", "k", "ann"),
            (2, Some("acme"), "integration", "j", "bob"),
            (3, Some("other"), "org", "other", "ann"),
            (4, Some("acme"), "integration", "i", "bob"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut entry = entry(&number.to_string(), kind, object);
            entry.at = at(secs);
            entry.org = org.map(name);
            entry.actor.id = actor.to_owned();
            assert!(store.audit_once(&entry).await.unwrap());
        }
        let ids = async |wanted: Wanted<'_>| {
            let wanted = Wanted { limit: 9, ..wanted };
            let entries = store.audit(&wanted).await.unwrap();
            entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        let any = Wanted::default();
        assert_eq!(ids(any.clone()).await, ["4", "3", "2", "1", "0"]);
        let acme = name("acme");
        let checks = [
            (
                Wanted {
                    org: Some(&acme),
                    ..any.clone()
                },
                vec!["4", "2", "0"],
            ),
            (
                Wanted {
                    action: Some("org.changed"),
                    ..any.clone()
                },
                vec!["3"],
            ),
            (
                Wanted {
                    object_kind: Some("api_key"),
                    ..any.clone()
                },
                vec!["1"],
            ),
            (
                Wanted {
                    object_id: Some("i"),
                    ..any.clone()
                },
                vec!["4", "0"],
            ),
            (
                Wanted {
                    actor_id: Some("ann"),
                    ..any.clone()
                },
                vec!["3", "1", "0"],
            ),
            (
                Wanted {
                    since: Some(at(2)),
                    until: Some(at(4)),
                    ..any.clone()
                },
                vec!["3", "2", "1"],
            ),
            (
                Wanted {
                    after: Some((at(2), "2")),
                    ..any.clone()
                },
                vec!["1", "0"],
            ),
            (
                Wanted {
                    org: Some(&acme),
                    actor_id: Some("bob"),
                    until: Some(at(4)),
                    ..any.clone()
                },
                vec!["2"],
            ),
        ];
        for (wanted, expected) in checks {
            assert_eq!(ids(wanted.clone()).await, expected, "{wanted:?}");
        }
        let page = store.audit(&Wanted { limit: 2, ..any }).await.unwrap();
        assert_eq!(page.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_note_of_the_database_is_replaced() {
    on_each(async |store| {
        assert_eq!(store.meta("taken_over").await.unwrap(), None);
        store.set_meta("taken_over", "no").await.unwrap();
        let mut change = store.change().await.unwrap();
        change.set_meta("taken_over", "yes").await.unwrap();
        assert_eq!(store.meta("taken_over").await.unwrap().as_deref(), Some("no"));
        change.commit().await.unwrap();
        assert_eq!(store.meta("taken_over").await.unwrap().as_deref(), Some("yes"));
    })
    .await;
}
