//! Orgs.

use signalbox_proto::org::OrgStatus;
use signalbox_store::{Error, audit::kind::ORG, orgs::Org, outbox};

use crate::{
    harness::on_each,
    samples::{at, commit, name},
};

#[tokio::test]
async fn an_org_is_made_once_and_changed_at_its_revision() {
    on_each(async |store| {
        let org = Org::new(name("acme"), Some("Acme\0".to_owned()), at(0));
        let mut change = store.change().await.unwrap();
        change.create_org(&org).await.unwrap();
        commit(change, ORG, "acme").await.unwrap();
        let stored = store.org(&name("acme")).await.unwrap().unwrap();
        assert_eq!(stored.title.as_deref(), Some("Acme\u{fffd}"));
        assert_eq!(
            Org {
                title: org.title.clone(),
                ..stored
            },
            org
        );

        let mut change = store.change().await.unwrap();
        assert!(matches!(change.create_org(&org).await, Err(Error::Duplicate { .. })));
        drop(change);
        let mut change = store.change().await.unwrap();
        assert_eq!(change.ensure_org(&name("acme"), at(1)).await.unwrap(), None);
        change.commit().await.unwrap();

        let renamed = Org {
            title: None,
            revision: 2,
            updated_at: at(2),
            ..org.clone()
        };
        let mut change = store.change().await.unwrap();
        change.replace_org(&renamed, 1).await.unwrap();
        commit(change, ORG, "acme").await.unwrap();
        assert_eq!(store.org(&name("acme")).await.unwrap(), Some(renamed.clone()));
        let mut change = store.change().await.unwrap();
        assert!(matches!(
            change.replace_org(&renamed, 1).await,
            Err(Error::Conflict { .. })
        ));
        drop(change);

        let mut change = store.change().await.unwrap();
        let erasing = change
            .set_org_status(&name("acme"), OrgStatus::Erasing, at(3))
            .await
            .unwrap();
        commit(change, ORG, "acme").await.unwrap();
        let erasing = erasing.unwrap();
        assert_eq!(
            (erasing.status, erasing.revision, erasing.updated_at),
            (OrgStatus::Erasing, 3, at(3))
        );
        assert_eq!(store.org(&name("acme")).await.unwrap(), Some(erasing));
        let mut change = store.change().await.unwrap();
        assert_eq!(
            change
                .set_org_status(&name("none"), OrgStatus::Erasing, at(3))
                .await
                .unwrap(),
            None
        );
        drop(change);

        let due = store.outbox_due(at(9), 9).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].kind, &*due[0].id, due[0].revision),
            (outbox::Kind::Org, "acme", 3)
        );
    })
    .await;
}

#[tokio::test]
async fn orgs_come_in_pages_by_name() {
    on_each(async |store| {
        let names = ["0", "a", "a-b", "a_b", "aa", "b"];
        for org in ["b", "aa", "a_b", "0", "a", "a-b"] {
            let mut change = store.change().await.unwrap();
            assert!(change.ensure_org(&name(org), at(0)).await.unwrap().is_some());
            commit(change, ORG, org).await.unwrap();
        }
        let mut seen = Vec::new();
        loop {
            let page = store.orgs(seen.last(), 4).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|org| org.name));
        }
        assert_eq!(seen.iter().map(|name| name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(store.org(&name("c")).await.unwrap(), None);
    })
    .await;
}
