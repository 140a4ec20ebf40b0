//! What KV has copies of: listed in short, lifted above a revision, taken over.

use signalbox_proto::{Key, org::OrgStatus, told::Told as _};
use signalbox_store::{
    Change, Store,
    audit::{
        Wanted,
        kind::{API_KEY, EVENT_TYPE, INTEGRATION, ORG},
    },
    copies::Original,
    event_types,
    orgs::Org,
    outbox::Kind,
};

use crate::{
    harness::{Database, on_each},
    samples::{api_key, at, commit, integration, kind_of_event, name, registered, tombstone},
};

async fn made(store: &Store) {
    let mut change = store.change().await.unwrap();
    change.create_org(&Org::new(name("acme"), None, at(0))).await.unwrap();
    commit(change, ORG, "acme").await.unwrap();
    let one = integration("one", "acme", "one");
    let mut change = store.change().await.unwrap();
    change.create_integration(&one).await.unwrap();
    commit(change, INTEGRATION, "one").await.unwrap();
    let mut change = store.change().await.unwrap();
    change.hold_integration("one", true, at(1)).await.unwrap();
    commit(change, INTEGRATION, "one").await.unwrap();
    let gone = integration("gone", "acme", "gone");
    let mut change = store.change().await.unwrap();
    change.create_integration(&gone).await.unwrap();
    commit(change, INTEGRATION, "gone").await.unwrap();
    let mut change = store.change().await.unwrap();
    change.delete_integration(&tombstone(&gone), 1).await.unwrap();
    commit(change, INTEGRATION, "gone").await.unwrap();
    let mut change = store.change().await.unwrap();
    change.put_event_type(registered("acme", "a.b"), None).await.unwrap();
    let id = event_types::id(&name("acme"), &kind_of_event("a.b"));
    commit(change, EVENT_TYPE, &id).await.unwrap();
    let mut change = store.change().await.unwrap();
    change.create_key(&api_key("key", Some("acme"))).await.unwrap();
    commit(change, API_KEY, "key").await.unwrap();
}

async fn original(store: &Store, kind: Kind, id: &str) -> Option<Original> {
    store.originals(kind).await.unwrap().get(id).copied()
}

/// What KV is told of a thing.
async fn content(store: &Store, kind: Kind, id: &str) -> Option<[u8; 16]> {
    let told = match kind {
        Kind::Integration => store.integration_by_id(id).await.unwrap()?.integration.content(),
        Kind::EventType => {
            let (org, name) = event_types::read_id(id)?;
            store
                .event_type_or_tombstone(&org, &name)
                .await
                .unwrap()?
                .registered
                .content()
        }
        Kind::Key => store.key_by_hash(id).await.unwrap()?.key.content(),
        Kind::Org => store.org(&name(id)).await.unwrap()?.told().content(),
        Kind::Hold => return None,
    };
    Some(told.unwrap())
}

#[tokio::test]
async fn all_things_are_listed_by_the_names_that_kv_has_for_them() {
    on_each(async |store| {
        made(&store).await;
        let check = async |kind, id: &str, (revision, is_gone, is_held)| {
            let expected = Original {
                revision,
                is_gone,
                is_held,
                content: content(&store, kind, id).await,
            };
            assert!(expected.content.is_some(), "{kind:?} {id}");
            assert_eq!(original(&store, kind, id).await, Some(expected), "{kind:?} {id}");
        };
        check(Kind::Integration, "one", (1, false, true)).await;
        check(Kind::Integration, "gone", (2, true, false)).await;
        check(Kind::EventType, "acme/a.b", (1, false, false)).await;
        check(Kind::Org, "acme", (1, false, false)).await;
        let hash = api_key("key", Some("acme")).hash;
        let revision = api_key("key", Some("acme")).key.revision;
        check(Kind::Key, &hash, (revision, false, false)).await;
        assert!(store.originals(Kind::Hold).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_this_version_cannot_read_is_listed_without_what_it_says() {
    for database in Database::each().await {
        let store = database.open().await;
        made(&store).await;
        let mut connection = database.connect().await;
        sqlx::query("update integrations set body = $1 where id = 'one'")
            .bind(b"of a newer version".as_slice())
            .execute(&mut connection)
            .await
            .unwrap();
        let all = store.originals(Kind::Integration).await.unwrap();
        assert_eq!((all["one"].revision, all["one"].content), (1, None));
        assert!(all["gone"].content.is_some());
        store.close().await;
    }
}

#[tokio::test]
async fn a_revision_is_lifted_above_what_kv_has_and_kv_is_told() {
    on_each(async |store| {
        made(&store).await;
        let hash = api_key("key", Some("acme")).hash;
        for (kind, id) in [
            (Kind::Integration, "one"),
            (Kind::Integration, "gone"),
            (Kind::EventType, "acme/a.b"),
            (Kind::Key, &hash),
            (Kind::Org, "acme"),
        ] {
            let lift = async |above| {
                let mut change: Change = store.change().await.unwrap();
                let lifted = change.lift(kind, id, above, at(5)).await.unwrap()?;
                let (of, object) = lifted.object.clone();
                commit(change, of, &object).await.unwrap();
                Some((lifted.org, lifted.to))
            };
            let before = original(&store, kind, id).await.unwrap();
            assert_eq!(lift(40).await, Some((Some(name("acme")), 41)), "{kind:?} {id}");
            let after = original(&store, kind, id).await.unwrap();
            let expected = Original {
                revision: 41,
                content: content(&store, kind, id).await,
                ..before
            };
            assert_eq!(after, expected, "{kind:?} {id}");
            assert_ne!(
                after.content, before.content,
                "{kind:?} {id}: the revision is part of it"
            );
            let untold = store.outbox_due(at(9), 100).await.unwrap();
            assert!(
                untold
                    .iter()
                    .any(|one| (one.kind, &*one.id, one.revision) == (kind, id, 41)),
                "{kind:?} {id}"
            );
            // What is above already stays, and so does what is not there.
            assert_eq!(lift(40).await, None, "{kind:?} {id}");
        }
        // The body says the same as the row.
        let stored = store.integration_by_id("one").await.unwrap().unwrap();
        assert_eq!((stored.integration.revision, stored.held), (41, true));
        let mut change = store.change().await.unwrap();
        assert_eq!(change.lift(Kind::Org, "nobody", 1, at(5)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_key_and_an_org_that_kv_alone_knows_are_taken_over_once() {
    on_each(async |store| {
        let key = Key {
            revision: 7,
            ..api_key("lost", Some("acme")).key
        };
        assert!(store.take_over_key("cafe", &key, at(3)).await.unwrap());
        assert!(!store.take_over_key("cafe", &key, at(4)).await.unwrap());
        let known = store.key_by_hash("cafe").await.unwrap().unwrap();
        assert_eq!((known.key, known.hint.as_str()), (key, ""));
        let org = signalbox_proto::Org {
            name: name("acme"),
            status: OrgStatus::Active,
            revision: 3,
        };
        assert!(store.take_over_org(&org, at(3)).await.unwrap());
        assert!(!store.take_over_org(&org, at(3)).await.unwrap());
        assert_eq!(store.org(&name("acme")).await.unwrap().unwrap().revision, 3);
        let wanted = Wanted {
            limit: 10,
            ..Wanted::default()
        };
        let actions: Vec<String> = store
            .audit(&wanted)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.action)
            .collect();
        assert_eq!(actions, ["org.taken_over", "api_key.taken_over"]);
    })
    .await;
}
