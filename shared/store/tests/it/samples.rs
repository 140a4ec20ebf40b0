//! Things to store.

use signalbox_proto::{
    EventType, Integration, Key, Name, RawJson, Scope, Timestamp,
    integration::{Flow, Sealed, Status, Subscription},
    key::{Principal, PrincipalKind},
    types::Registered,
};
use signalbox_store::{
    Change,
    audit::{Actor, Entry, Object},
    keys::ApiKey,
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn kind_of_event(text: &str) -> EventType {
    text.parse().unwrap()
}

pub(crate) fn at(secs: i64) -> Timestamp {
    // Not a whole second, so that a lost digit shows.
    Timestamp::from_nanos(1_700_000_000_123_456_789 + secs * 1_000_000_000)
}

pub(crate) fn integration(id: &str, org: &str, called: &str) -> Integration {
    Integration {
        id: id.to_owned(),
        org: name(org),
        name: name(called),
        provider: name("webhook"),
        revision: 1,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: Some(Sealed {
            key_id: "key".to_owned(),
            bytes: vec![0, 1, 255],
        }),
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: Flow::default(),
        created_at: at(0),
        updated_at: at(0),
    }
}

/// The same at its next revision.
pub(crate) fn next(integration: &Integration) -> Integration {
    Integration {
        revision: integration.revision + 1,
        updated_at: at(integration.revision.cast_signed()),
        ..integration.clone()
    }
}

pub(crate) fn tombstone(integration: &Integration) -> Integration {
    Integration {
        status: Status::Deleted,
        sealed: None,
        ..next(integration)
    }
}

pub(crate) fn registered(org: &str, called: &str) -> Registered {
    Registered {
        org: name(org),
        name: kind_of_event(called),
        title: Some(format!("Title of {called} ✅")),
        emoji: None,
        severity: None,
        tone: None,
        schema: None,
        created_at: at(0),
        updated_at: at(0),
        revision: 0,
    }
}

pub(crate) fn api_key(id: &str, org: Option<&str>) -> ApiKey {
    ApiKey {
        key: Key {
            id: id.to_owned(),
            org: org.map(name),
            name: format!("key {id}"),
            scopes: vec![Scope::EventsWrite, Scope::read("new:verb")],
            principal: Principal {
                kind: PrincipalKind::ExternalAgent,
                id: "agent".to_owned(),
            },
            expires_at: None,
            revoked_at: None,
            revision: 1,
        },
        hash: format!("{id:0>64}"),
        hint: "sbx_***abc".to_owned(),
        replaced_by: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn entry(id: &str, kind: &str, object: &str) -> Entry {
    Entry {
        id: id.to_owned(),
        at: at(0),
        org: Some(name("acme")),
        actor: Actor {
            kind: "user".to_owned(),
            id: "ann".to_owned(),
        },
        key_id: None,
        address: None,
        request_id: None,
        action: format!("{kind}.changed"),
        object: Object {
            kind: kind.to_owned(),
            id: object.to_owned(),
            name: None,
        },
        before: None,
        after: None,
    }
}

/// Writes one entry for a thing, and commits.
pub(crate) async fn commit(mut change: Change, kind: &str, object: &str) -> Result<(), signalbox_store::Error> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ENTRIES: AtomicUsize = AtomicUsize::new(0);
    let id = format!("entry-{}", ENTRIES.fetch_add(1, Ordering::Relaxed));
    change.audit(&entry(&id, kind, object)).await?;
    change.commit().await
}
