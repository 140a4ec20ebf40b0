//! Who may publish, for which org, and until when: keys and orgs as KV has them.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use signalbox_access::NewKey;
use signalbox_ingest::UnknownOrgs;
use signalbox_proto::{
    DeadLetter, DeadReason, Event, Key, Scope, Timestamp,
    key::{Principal, PrincipalKind},
    org::OrgStatus,
    subjects, wire,
};

use crate::harness::{ROOT, Role, within};

/// A change takes effect within this time.
const EFFECT: Duration = Duration::from_secs(1);

fn key(scopes: &[Scope]) -> Key {
    Key {
        id: "0199c0de-0000-7000-8000-0000000000cc".to_owned(),
        org: Some("acme".parse().unwrap()),
        name: "producer".to_owned(),
        scopes: scopes.to_vec(),
        principal: Principal {
            kind: PrincipalKind::Service,
            id: "producer".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision: 1,
    }
}

fn event(id: &str) -> Value {
    json!({ "type": "user.joined", "id": id })
}

/// Publishes again and again until the answer has this status.
async fn answers(role: &Role, key: &str, query: &str, status: u16) -> Value {
    let what = format!("publishing{query} is answered with {status}");
    within(EFFECT, &what, async || {
        match role.post(Some(key), query, &event("tried")).await {
            (found, body) if found == status => Ok(body),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// A key with these changes put into KV; its text and its hash.
async fn add(role: &Role, key: Key) -> (String, String) {
    let new = NewKey::random().unwrap();
    role.put_key(&new.hash, &key).await;
    (new.text.expose_secret().to_owned(), new.hash)
}

#[tokio::test]
async fn a_key_publishes_for_its_own_org_until_it_is_revoked() {
    Role::play(UnknownOrgs::Accept, async |role| {
        let (reader, _) = add(role, key(&[Scope::DeliveriesRead])).await;
        let over = Key {
            expires_at: Some(Timestamp::now()),
            ..key(&[Scope::EventsWrite])
        };
        let (expired, _) = add(role, over).await;
        let (good, hash) = add(role, key(&[Scope::EventsWrite])).await;
        answers(role, &good, "", 202).await;
        // Publishing has the quota of its org, and not the rate of its key.
        for id in ["1", "2", "3", "4", "5"] {
            assert_eq!(role.post(Some(&good), "?org=acme", &event(id)).await.0, 202);
        }
        for stored in role.stored(subjects::EVENTS, subjects::EVENT_ALL, 6).await {
            let event: Event = wire::decode(&stored.body).unwrap();
            assert_eq!(event.org.as_str(), "acme", "{}", event.id);
        }

        role.put_org("there", OrgStatus::Active, 1).await;
        let unknown = role.post(Some("sbx_unknown"), "", &event("x")).await;
        let foreign = role.post(Some(&good), "?org=there", &event("x")).await;
        let inside = json!({ "type": "user.joined", "org": "there" });
        for (answer, status, code) in [
            (role.post(None, "", &event("x")).await, 401, "unauthenticated"),
            (unknown.clone(), 401, "bad_key"),
            (role.post(Some(&expired), "", &event("x")).await, 401, "bad_key"),
            (role.post(Some(&reader), "", &event("x")).await, 403, "missing_scope"),
            (foreign.clone(), 403, "wrong_org"),
            (role.post(Some(&good), "", &inside).await, 403, "foreign_org"),
        ] {
            assert_eq!((answer.0, &answer.1["code"]), (status, &json!(code)), "{}", answer.1);
        }
        assert_eq!(role.post(Some(&expired), "", &event("x")).await, unknown);
        let nowhere = role.post(Some(&good), "?org=nowhere", &event("x")).await;
        assert_eq!(nowhere, foreign, "it tells nothing of other orgs");

        let revoked = Key {
            revoked_at: Some(Timestamp::now()),
            revision: 2,
            ..key(&[Scope::EventsWrite])
        };
        role.put_key(&hash, &revoked).await;
        assert_eq!(answers(role, &good, "", 401).await, unknown.1);
        // Whoever puts late what was there before does not bring it back.
        role.put_key(&hash, &key(&[Scope::EventsWrite])).await;
        assert_eq!(role.post(Some(&good), "", &event("x")).await, unknown);
    })
    .await;
}

#[tokio::test]
async fn an_org_that_is_being_erased_takes_nothing_and_nothing_of_its_inputs_is_kept() {
    const SECRET: &str = "jane@example.com";
    Role::play(UnknownOrgs::Accept, async |role| {
        role.put_org("acme", OrgStatus::Erasing, 2).await;
        let refused = answers(role, ROOT, "?org=acme", 403).await;
        assert_eq!(refused["code"], "org_closed");
        let before = role.broker.stream_state(subjects::EVENTS).await.unwrap().messages;
        let one = json!({ "mail": SECRET }).to_string();
        let batch = json!([{
            "specversion": "1.0", "id": "b", "source": "/x", "type": "user.joined", "subject": SECRET,
        }]);
        role.publish("acme", &[("ce-id", "one"), ("ce-subject", SECRET)], &one)
            .await;
        let list = ("content-type", "application/cloudevents-batch+json");
        role.publish("acme", &[list], &batch.to_string()).await;
        role.publish("acme", &[], &format!("no JSON, {SECRET}")).await;
        for stored in role.stored(subjects::DEAD, subjects::DEAD_ALL, 3).await {
            let bytes = &stored.body;
            assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
            let letter: DeadLetter = wire::decode(bytes).unwrap();
            assert_eq!(letter.org, Some("acme".parse().unwrap()));
            assert_eq!((letter.reason, &letter.input), (DeadReason::Invalid, &None));
            assert!(letter.message.contains("erased"), "{}", letter.message);
        }

        // Nobody else is concerned, and it ends as it began.
        role.publish("umbra", &[], &one).await;
        let count = usize::try_from(before).unwrap() + 1;
        role.stored(subjects::EVENTS, subjects::EVENT_ALL, count).await;
        role.put_org("acme", OrgStatus::Active, 3).await;
        answers(role, ROOT, "?org=acme", 202).await;
    })
    .await;
}

#[tokio::test]
async fn where_unknown_orgs_are_rejected_their_inputs_are_kept_whole() {
    Role::play(UnknownOrgs::Reject, async |role| {
        let refused = answers(role, ROOT, "?org=late", 403).await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("no_org"), &json!("org")));
        role.publish("late", &[("ce-id", "early")], r#"{"n": 1}"#).await;
        let letters = role.stored(subjects::DEAD, subjects::DEAD_ALL, 1).await;
        let letter: DeadLetter = wire::decode(&letters[0].body).unwrap();
        let input = letter.input.expect("it can be sent in again");
        assert_eq!(
            (letter.reason, input.body.as_slice()),
            (DeadReason::Invalid, &br#"{"n": 1}"#[..])
        );

        role.put_org("late", OrgStatus::Active, 1).await;
        answers(role, ROOT, "?org=late", 202).await;
        role.publish("late", &[("ce-id", "later")], r#"{"n": 2}"#).await;
        role.stored(subjects::EVENTS, subjects::EVENT_ALL, 2).await;
    })
    .await;
}
