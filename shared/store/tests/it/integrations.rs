//! Integrations: found, replaced, deleted, held, paged.

use signalbox_proto::{Integration, integration::Status};
use signalbox_store::{
    Error, Store,
    audit::kind::INTEGRATION,
    integrations::{Stored, Wanted},
};

use crate::{
    harness::{Database, on_each},
    samples::{at, commit, integration, name, next, tombstone},
};

async fn create(store: &Store, integration: &Integration) -> Result<(), Error> {
    let mut change = store.change().await.unwrap();
    change.create_integration(integration).await?;
    commit(change, INTEGRATION, &integration.id).await
}

async fn replace(store: &Store, integration: &Integration, expected: u64) -> Result<(), Error> {
    let mut change = store.change().await?;
    change.replace_integration(integration, expected).await?;
    commit(change, INTEGRATION, &integration.id).await
}

async fn delete(store: &Store, tombstone: &Integration, expected: u64) -> Result<(), Error> {
    let mut change = store.change().await?;
    change.delete_integration(tombstone, expected).await?;
    commit(change, INTEGRATION, &tombstone.id).await
}

#[tokio::test]
async fn an_integration_is_found_by_id_before_name_and_in_its_org_alone() {
    on_each(async |store| {
        let first = integration("0192-a", "acme", "slack");
        // Its name is the first one's id.
        let second = integration("0192-b", "acme", "0192-a");
        create(&store, &first).await.unwrap();
        create(&store, &second).await.unwrap();
        for (org, wanted, found) in [
            ("acme", "0192-a", Some("0192-a")),
            ("acme", "0192-b", Some("0192-b")),
            ("acme", "slack", Some("0192-a")),
            ("acme", "none", None),
            ("other", "0192-a", None),
            ("other", "slack", None),
        ] {
            let stored = store.integration(&name(org), wanted).await.unwrap();
            assert_eq!(
                stored.map(|stored| stored.integration.id).as_deref(),
                found,
                "{org} {wanted}"
            );
        }
        let taken = integration("0192-c", "acme", "slack");
        assert!(matches!(create(&store, &taken).await, Err(Error::Duplicate { .. })));
        create(&store, &integration("0192-c", "other", "slack")).await.unwrap();
        let renamed = Integration {
            name: name("slack"),
            ..next(&second)
        };
        assert!(matches!(
            replace(&store, &renamed, 1).await,
            Err(Error::Duplicate { .. })
        ));
        let stored = store.integration_by_id("0192-b").await.unwrap().unwrap();
        assert_eq!(stored.integration, second);
        assert_eq!(store.integration_count(&name("acme")).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_replaced_revision_is_kept_without_its_secrets() {
    on_each(async |store| {
        let first = integration("1", "acme", "one");
        create(&store, &first).await.unwrap();
        let second = next(&first);
        replace(&store, &second, 1).await.unwrap();
        // As after a repair: KV was ahead.
        let third = Integration {
            revision: 9,
            status: Status::Inactive,
            ..second.clone()
        };
        replace(&store, &third, 2).await.unwrap();
        for (expected, found) in [(1, Some(&first)), (2, Some(&second)), (3, None), (9, Some(&third))] {
            let revision = store.integration_revision("1", expected).await.unwrap();
            let found = found.map(|found| Integration {
                sealed: None,
                ..found.clone()
            });
            assert_eq!(revision, found, "{expected}");
        }
        assert_eq!(store.integration_by_id("1").await.unwrap().unwrap().integration, third);
        for expected in [1, 2, 8] {
            let refused = replace(
                &store,
                &Integration {
                    revision: 10,
                    ..third.clone()
                },
                expected,
            )
            .await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{expected}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_deleted_integration_leaves_a_tombstone_and_its_name() {
    on_each(async |store| {
        let first = integration("1", "acme", "one");
        create(&store, &first).await.unwrap();
        assert!(matches!(
            delete(
                &store,
                &Integration {
                    revision: 8,
                    ..tombstone(&first)
                },
                7
            )
            .await,
            Err(Error::Conflict { .. })
        ));
        delete(&store, &tombstone(&first), 1).await.unwrap();
        assert_eq!(store.integration(&name("acme"), "one").await.unwrap(), None);
        assert_eq!(store.integration(&name("acme"), "1").await.unwrap(), None);
        assert_eq!(store.integration_count(&name("acme")).await.unwrap(), 0);
        let stored = store.integration_by_id("1").await.unwrap().unwrap();
        assert_eq!(stored.integration, tombstone(&first));
        assert!(store.integration_revision("1", 1).await.unwrap().is_some());
        // It is no more changed in any way.
        let mut change = store.change().await.unwrap();
        assert!(matches!(
            change.hold_integration("1", true, at(1)).await,
            Err(Error::Conflict { .. })
        ));
        assert!(matches!(
            change.set_error_message("1", None).await,
            Err(Error::Conflict { .. })
        ));
        drop(change);
        let back = Integration {
            revision: 3,
            ..first.clone()
        };
        assert!(matches!(replace(&store, &back, 2).await, Err(Error::Conflict { .. })));

        create(&store, &integration("2", "acme", "one")).await.unwrap();
        let found = store.integration(&name("acme"), "one").await.unwrap().unwrap();
        assert_eq!(found.integration.id, "2");
        let all = store.all_integrations(None, 9).await.unwrap();
        assert_eq!(
            all.iter().map(|one| &*one.integration.id).collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(store.all_integrations(Some("1"), 9).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_known_besides_is_no_revision() {
    on_each(async |store| {
        let one = integration("1", "acme", "one");
        create(&store, &one).await.unwrap();
        let mut change = store.change().await.unwrap();
        assert_eq!(change.hold_integration("1", true, at(1)).await.unwrap(), 1);
        change.set_error_message("1", Some("no\0 answer")).await.unwrap();
        commit(change, INTEGRATION, "1").await.unwrap();
        let expected = Stored {
            integration: one.clone(),
            held: true,
            hold_revision: 1,
            error_message: Some("no\u{fffd} answer".to_owned()),
        };
        assert_eq!(store.integration_by_id("1").await.unwrap(), Some(expected));
        replace(&store, &next(&one), 1).await.unwrap();
        let mut change = store.change().await.unwrap();
        assert_eq!(change.hold_integration("1", false, at(2)).await.unwrap(), 2);
        change.set_error_message("1", None).await.unwrap();
        commit(change, INTEGRATION, "1").await.unwrap();
        let expected = Stored {
            integration: next(&one),
            held: false,
            hold_revision: 2,
            error_message: None,
        };
        assert_eq!(store.integration_by_id("1").await.unwrap(), Some(expected));
    })
    .await;
}

#[tokio::test]
async fn pages_take_every_filter() {
    on_each(async |store| {
        for (id, org, called, provider, status) in [
            ("1", "b", "x", "slack", Status::Active),
            ("2", "a", "x-y", "slack", Status::Inactive),
            ("3", "a", "x_y", "webhook", Status::Active),
            ("4", "a", "x", "webhook", Status::PendingSetup),
            ("5", "a", "gone", "webhook", Status::Active),
        ] {
            let one = Integration {
                provider: name(provider),
                status,
                ..integration(id, org, called)
            };
            create(&store, &one).await.unwrap();
        }
        delete(&store, &tombstone(&integration("5", "a", "gone")), 1)
            .await
            .unwrap();
        let mut change = store.change().await.unwrap();
        change.hold_integration("3", true, at(1)).await.unwrap();
        commit(change, INTEGRATION, "3").await.unwrap();

        let (a, x, slack) = (name("a"), name("x"), Some("slack"));
        let ids = ["1".to_owned(), "3".to_owned(), "5".to_owned()];
        let any = Wanted {
            limit: 9,
            ..Wanted::default()
        };
        for (wanted, expected) in [
            (any.clone(), vec!["4", "2", "3", "1"]),
            (
                Wanted {
                    org: Some(&a),
                    ..any.clone()
                },
                vec!["4", "2", "3"],
            ),
            (
                Wanted {
                    provider: slack,
                    ..any.clone()
                },
                vec!["2", "1"],
            ),
            (
                Wanted {
                    statuses: &[Status::Active],
                    ..any.clone()
                },
                vec!["3", "1"],
            ),
            (
                Wanted {
                    statuses: &[Status::PendingSetup, Status::Inactive],
                    ..any.clone()
                },
                vec!["4", "2"],
            ),
            (
                Wanted {
                    ids: Some(&ids),
                    ..any.clone()
                },
                vec!["3", "1"],
            ),
            (
                Wanted {
                    ids: Some(&[]),
                    ..any.clone()
                },
                vec![],
            ),
            (
                Wanted {
                    held: Some(true),
                    ..any.clone()
                },
                vec!["3"],
            ),
            (
                Wanted {
                    held: Some(false),
                    org: Some(&a),
                    ..any.clone()
                },
                vec!["4", "2"],
            ),
            (
                Wanted {
                    after: Some((&a, &x)),
                    ..any.clone()
                },
                vec!["2", "3", "1"],
            ),
            (
                Wanted {
                    org: Some(&a),
                    after: Some((&a, &x)),
                    ..any.clone()
                },
                vec!["2", "3"],
            ),
            (
                Wanted {
                    after: Some((&a, &x)),
                    limit: 1,
                    ..any.clone()
                },
                vec!["2"],
            ),
        ] {
            let found = store.integrations(&wanted).await.unwrap();
            let found: Vec<&str> = found.iter().map(|one| &*one.integration.id).collect();
            assert_eq!(found, expected, "{wanted:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_replaces_at_one_revision_exactly_one_wins() {
    for database in Database::each().await {
        let stores = [database.open().await, database.open().await];
        let first = integration("1", "acme", "one");
        create(&stores[0], &first).await.unwrap();
        let mut tasks = Vec::new();
        for number in 0..12_usize {
            let store = stores[number % 2].clone();
            let mine = Integration {
                timeout_secs: Some(u32::try_from(number).unwrap()),
                ..next(&first)
            };
            tasks.push(tokio::spawn(
                async move { replace(&store, &mine, 1).await.map(|()| mine) },
            ));
        }
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(mine) => winners.push(mine),
                Err(Error::Conflict { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let stored = stores[0].integration_by_id("1").await.unwrap().unwrap();
        assert_eq!(stored.integration, winners[0]);
        for store in stores {
            store.close().await;
        }
    }
}
