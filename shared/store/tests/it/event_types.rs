//! The event types that orgs register.

use signalbox_proto::types::Registered;
use signalbox_store::{Error, audit::kind::EVENT_TYPE, event_types, outbox};

use crate::{
    harness::on_each,
    samples::{at, commit, kind_of_event, name, registered},
};

#[tokio::test]
async fn a_type_that_is_registered_again_goes_on_above_its_tombstone() {
    on_each(async |store| {
        let (org, called) = (name("acme"), kind_of_event("Build.done"));
        let id = "acme/Build.done";
        let put = async |expected| {
            let mut change = store.change().await.unwrap();
            let put = change
                .put_event_type(registered("acme", "Build.done"), expected)
                .await?;
            commit(change, EVENT_TYPE, id).await.unwrap();
            Ok::<u64, Error>(put.revision)
        };
        assert!(matches!(put(Some(1)).await, Err(Error::Conflict { .. })));
        assert_eq!(put(None).await.unwrap(), 1);
        assert!(matches!(put(None).await, Err(Error::Duplicate { .. })));
        assert_eq!(put(Some(1)).await.unwrap(), 2);
        assert!(matches!(put(Some(1)).await, Err(Error::Conflict { .. })));
        let expected = Registered {
            revision: 2,
            ..registered("acme", "Build.done")
        };
        assert_eq!(store.event_type(&org, &called).await.unwrap(), Some(expected));

        let mut change = store.change().await.unwrap();
        assert!(matches!(
            change.delete_event_type(&org, &called, 1, at(5)).await,
            Err(Error::Conflict { .. })
        ));
        drop(change);
        let mut change = store.change().await.unwrap();
        assert_eq!(change.delete_event_type(&org, &called, 2, at(5)).await.unwrap(), 3);
        commit(change, EVENT_TYPE, id).await.unwrap();
        assert_eq!(store.event_type(&org, &called).await.unwrap(), None);
        let left = store.event_type_or_tombstone(&org, &called).await.unwrap().unwrap();
        assert_eq!((left.registered.revision, left.deleted_at), (3, Some(at(5))));
        assert!(matches!(put(Some(3)).await, Err(Error::Conflict { .. })));
        assert_eq!(put(None).await.unwrap(), 4);

        let due = store.outbox_due(at(9), 9).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].kind, &*due[0].id, due[0].revision),
            (outbox::Kind::EventType, id, 4)
        );
        assert_eq!(event_types::read_id(&due[0].id), Some((org, called)));
    })
    .await;
}

#[tokio::test]
async fn types_come_in_pages_and_are_counted_by_org() {
    on_each(async |store| {
        for (org, called) in [("b", "x"), ("a", "z.z"), ("a", "Z"), ("a", "y"), ("a", "gone")] {
            let mut change = store.change().await.unwrap();
            change.put_event_type(registered(org, called), None).await.unwrap();
            commit(change, EVENT_TYPE, &format!("{org}/{called}")).await.unwrap();
        }
        let mut change = store.change().await.unwrap();
        change
            .delete_event_type(&name("a"), &kind_of_event("gone"), 1, at(1))
            .await
            .unwrap();
        commit(change, EVENT_TYPE, "a/gone").await.unwrap();
        let names = async |after: Option<&str>, limit| {
            let after = after.map(kind_of_event);
            let types = store.event_types(&name("a"), after.as_ref(), limit).await.unwrap();
            types.into_iter().map(|one| one.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None, 2).await, ["Z", "y"]);
        assert_eq!(names(Some("y"), 2).await, ["z.z"]);
        assert_eq!(store.event_type_count(&name("a")).await.unwrap(), 3);
        assert_eq!(store.event_type_count(&name("c")).await.unwrap(), 0);

        let (mut ids, mut last) = (Vec::new(), None::<Registered>);
        loop {
            let after = last.as_ref().map(|last| (&last.org, &last.name));
            let page = store.all_event_types(after, 2).await.unwrap();
            let Some(end) = page.last() else { break };
            last = Some(end.registered.clone());
            ids.extend(
                page.iter()
                    .map(|one| event_types::id(&one.registered.org, &one.registered.name)),
            );
        }
        assert_eq!(ids, ["a/Z", "a/gone", "a/y", "a/z.z", "b/x"]);
    })
    .await;
}
