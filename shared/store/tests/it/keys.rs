//! API keys: found, revoked, replaced.

use signalbox_store::{
    Error,
    audit::kind::API_KEY,
    keys::{ApiKey, Owner},
    outbox,
};

use crate::{
    harness::on_each,
    samples::{api_key, at, commit, name},
};

#[tokio::test]
async fn a_key_is_found_by_id_and_hash_and_listed_by_its_owner() {
    on_each(async |store| {
        let keys = [
            api_key("1", Some("acme")),
            api_key("2", None),
            api_key("3", Some("acme")),
            api_key("4", Some("other")),
        ];
        for key in &keys {
            let mut change = store.change().await.unwrap();
            change.create_key(key).await.unwrap();
            commit(change, API_KEY, &key.key.id).await.unwrap();
        }
        assert_eq!(store.key("3").await.unwrap().as_ref(), Some(&keys[2]));
        assert_eq!(store.key_by_hash(&keys[1].hash).await.unwrap().as_ref(), Some(&keys[1]));
        assert_eq!(store.key("5").await.unwrap(), None);
        let ids = async |owner, after, limit| {
            let keys = store.keys(owner, after, limit).await.unwrap();
            keys.into_iter().map(|key| key.key.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Owner::Anyone, None, 9).await, ["1", "2", "3", "4"]);
        assert_eq!(ids(Owner::Anyone, Some("2"), 1).await, ["3"]);
        assert_eq!(ids(Owner::Installation, None, 9).await, ["2"]);
        assert_eq!(ids(Owner::Org(&name("acme")), Some("1"), 9).await, ["3"]);

        let mut change = store.change().await.unwrap();
        let other = ApiKey {
            hash: keys[0].hash.clone(),
            ..api_key("9", None)
        };
        assert!(matches!(change.create_key(&other).await, Err(Error::Duplicate { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    on_each(async |store| {
        let key = api_key("1", Some("acme"));
        let mut change = store.change().await.unwrap();
        change.create_key(&key).await.unwrap();
        commit(change, API_KEY, "1").await.unwrap();
        let mut change = store.change().await.unwrap();
        let revoked = change.revoke_key("1", at(5)).await.unwrap();
        commit(change, API_KEY, "1").await.unwrap();
        assert_eq!(
            (revoked.key.revoked_at, revoked.key.revision, revoked.updated_at),
            (Some(at(5)), 2, at(5))
        );
        assert_eq!(store.key("1").await.unwrap(), Some(revoked));
        for id in ["1", "2"] {
            let mut change = store.change().await.unwrap();
            assert!(matches!(
                change.revoke_key(id, at(6)).await,
                Err(Error::Conflict { .. })
            ));
            drop(change);
            let mut change = store.change().await.unwrap();
            let replaced = change.replace_key(id, &api_key("3", Some("acme")), at(6)).await;
            assert!(matches!(replaced, Err(Error::Conflict { .. })));
        }
        let due = store.outbox_due(at(9), 9).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].kind, &due[0].id, due[0].revision),
            (outbox::Kind::Key, &key.hash, 2)
        );
    })
    .await;
}

#[tokio::test]
async fn a_replaced_key_ends_after_the_overlap_or_at_its_own_time() {
    on_each(async |store| {
        for (id, own, ends) in [("1", None, 20), ("2", Some(30), 20), ("3", Some(10), 10)] {
            let mut key = api_key(id, None);
            key.key.expires_at = own.map(at);
            let mut change = store.change().await.unwrap();
            change.create_key(&key).await.unwrap();
            commit(change, API_KEY, id).await.unwrap();
            let new = ApiKey {
                created_at: at(1),
                ..api_key(&format!("{id}-new"), None)
            };
            let mut change = store.change().await.unwrap();
            let old = change.replace_key(id, &new, at(20)).await.unwrap();
            commit(change, API_KEY, id).await.unwrap();
            assert_eq!(old.key.expires_at, Some(at(ends)));
            assert_eq!((old.replaced_by.as_ref(), old.key.revision), (Some(&new.key.id), 2));
            assert_eq!(store.key(id).await.unwrap(), Some(old));
            assert_eq!(store.key(&new.key.id).await.unwrap().as_ref(), Some(&new));
            // Once is enough.
            let mut change = store.change().await.unwrap();
            let again = change.replace_key(id, &api_key("9", None), at(20)).await;
            assert!(matches!(again, Err(Error::Conflict { .. })));
        }
        assert_eq!(store.outbox_depth().await.unwrap().count, 6);
    })
    .await;
}
