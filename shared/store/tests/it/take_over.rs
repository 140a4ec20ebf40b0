//! Taking over what KV holds.

use signalbox_proto::{Integration, types::Registered};
use signalbox_store::{
    audit::{Wanted, kind::INTEGRATION},
    outbox,
    take_over::{Found, TakenOver},
};

use crate::{
    harness::on_each,
    samples::{at, commit, integration, name, next, registered, tombstone},
};

#[tokio::test]
async fn what_kv_holds_comes_in_once_as_it_is() {
    on_each(async |store| {
        // It is here already, and newer.
        let known = integration("0", "acme", "known");
        let mut change = store.change().await.unwrap();
        change.create_integration(&next(&known)).await.unwrap();
        commit(change, INTEGRATION, "0").await.unwrap();
        store.outbox_done(outbox::Kind::Integration, "0", 2).await.unwrap();

        let mut found: Vec<Found> = (0..1_100)
            .map(|number| Found {
                integration: Integration {
                    revision: 7,
                    ..integration(&format!("id-{number:04}"), "acme", &format!("one-{number}"))
                },
                held: number == 3,
            })
            .collect();
        let of = |integration| Found {
            integration,
            held: false,
        };
        found.push(of(known.clone()));
        found.push(of(integration("taken", "acme", "known")));
        found.push(of(tombstone(&integration("gone", "other", "one-1"))));
        let types = [
            Registered {
                revision: 4,
                ..registered("third", "a.b")
            },
            registered("acme", "a.b"),
        ];
        let expected = TakenOver {
            integrations: 1_101,
            event_types: 2,
            orgs: 3,
            refused: vec!["taken".to_owned()],
        };
        assert_eq!(store.take_over(&found, &types, at(9)).await.unwrap(), expected);
        let again = TakenOver {
            refused: expected.refused,
            ..TakenOver::default()
        };
        assert_eq!(store.take_over(&found, &types, at(10)).await.unwrap(), again);

        let stored = store.integration_by_id("id-0003").await.unwrap().unwrap();
        assert_eq!((stored.integration, stored.held), (found[3].integration.clone(), true));
        assert_eq!(
            store.integration_by_id("0").await.unwrap().unwrap().integration,
            next(&known)
        );
        assert_eq!(store.integration(&name("other"), "one-1").await.unwrap(), None);
        assert!(store.integration_by_id("gone").await.unwrap().is_some());
        for one in &types {
            assert_eq!(store.event_type(&one.org, &one.name).await.unwrap().as_ref(), Some(one));
        }
        // KV has it all but the orgs.
        let due = store.outbox_due(at(99), 99).await.unwrap();
        assert_eq!(
            due.iter().map(|one| (one.kind, &*one.id)).collect::<Vec<_>>(),
            [
                (outbox::Kind::Org, "acme"),
                (outbox::Kind::Org, "other"),
                (outbox::Kind::Org, "third")
            ]
        );
        let wanted = Wanted {
            since: Some(at(9)),
            limit: 5_000,
            ..Wanted::default()
        };
        let entries = store.audit(&wanted).await.unwrap();
        assert_eq!(entries.len(), 1_101 + 2 + 3);
        let told = Wanted {
            action: Some("integration.taken_over"),
            object_id: Some("id-0003"),
            ..wanted
        };
        assert_eq!(store.audit(&told).await.unwrap().len(), 1);
    })
    .await;
}
