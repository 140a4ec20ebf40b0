//! What KV is still to be told.

use signalbox_store::{audit::kind::INTEGRATION, outbox::Kind};

use crate::{
    harness::{Database, on_each},
    samples::{at, commit, integration, next},
};

#[tokio::test]
async fn what_changed_again_is_not_done() {
    on_each(async |store| {
        let first = integration("1", "acme", "one");
        let mut change = store.change().await.unwrap();
        change.create_integration(&first).await.unwrap();
        commit(change, INTEGRATION, "1").await.unwrap();
        let mut change = store.change().await.unwrap();
        change.replace_integration(&next(&first), 1).await.unwrap();
        change.hold_integration("1", true, at(3)).await.unwrap();
        commit(change, INTEGRATION, "1").await.unwrap();

        let due = async |secs| {
            let due = store.outbox_due(at(secs), 9).await.unwrap();
            due.into_iter()
                .map(|one| (one.kind, one.revision, one.at))
                .collect::<Vec<_>>()
        };
        // It waits since its first change.
        assert_eq!(due(0).await, [(Kind::Integration, 2, at(0))]);
        assert_eq!(due(3).await, [(Kind::Integration, 2, at(0)), (Kind::Hold, 1, at(3))]);
        store.outbox_done(Kind::Integration, "1", 1).await.unwrap();
        assert_eq!(store.outbox_depth().await.unwrap().count, 2);
        store.outbox_done(Kind::Integration, "1", 2).await.unwrap();
        assert_eq!(due(3).await, [(Kind::Hold, 1, at(3))]);
        let depth = store.outbox_depth().await.unwrap();
        assert_eq!((depth.count, depth.oldest), (1, Some(at(3))));
        store.outbox_done(Kind::Hold, "1", 7).await.unwrap();
        let depth = store.outbox_depth().await.unwrap();
        assert_eq!((depth.count, depth.oldest), (0, None));
    })
    .await;
}

#[tokio::test]
async fn what_only_a_newer_version_puts_is_left_to_it() {
    for database in Database::each().await {
        let store = database.open().await;
        let mut connection = database.connect().await;
        sqlx::query("insert into outbox (kind, id, revision, at) values ('later', '1', 1, 0)")
            .execute(&mut connection)
            .await
            .unwrap();
        assert!(store.outbox_due(at(9), 9).await.unwrap().is_empty());
        assert_eq!(store.outbox_depth().await.unwrap().count, 1);
        store.close().await;
    }
}
