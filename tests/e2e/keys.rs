//! API keys and orgs, as ingest knows them from KV: who may publish, for which org, and until when.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use signalbox_proto::{
    Key, Org, Scope, Timestamp,
    key::{Principal, PrincipalKind},
    org::OrgStatus,
    subjects, wire,
};

use crate::harness::{Client, Publish, Up, client::Response, client::try_request, eventually, process::settings};

const SOON: Duration = Duration::from_secs(30);
/// A change takes effect within this time.
const EFFECT: Duration = Duration::from_secs(1);

/// The bucket that keys and orgs are followed from, written to as the API does.
struct Bucket(Store);

impl Bucket {
    async fn of(client: &Client) -> Self {
        let nats = async_nats::connect(client.nats_url())
            .await
            .expect("NATS takes a connection");
        let bucket = async_nats::jetstream::new(nats).get_key_value(subjects::CONFIG).await;
        Self(bucket.expect("the bucket is there"))
    }

    async fn put_key(&self, text: &str, key: &Key) {
        let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = wire::encode(key).expect("bytes");
        let put = self.0.put(subjects::key_key(&hash), bytes.into()).await;
        put.expect("the bucket takes a key");
    }

    async fn put_org(&self, name: &str, status: OrgStatus, revision: u64) {
        let org = Org {
            name: name.parse().expect("a name"),
            status,
            revision,
        };
        let bytes = wire::encode(&org).expect("bytes");
        let put = self.0.put(subjects::org_key(name), bytes.into()).await;
        put.expect("the bucket takes an org");
    }
}

fn key(org: &str, scopes: &[Scope]) -> Key {
    Key {
        id: format!("key-of-{org}"),
        org: Some(org.parse().expect("a name")),
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

fn text_of(number: u32) -> String {
    format!("sbx_{number:043}")
}

/// Publishes over HTTP with this key.
async fn post(client: &Client, key: &str, query: &str, event: &Value) -> Response {
    let (base, _) = client.publishing();
    let authorization = format!("Bearer {key}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/v1/events{query}");
    try_request(base, "POST", &path, &headers, event.to_string().into_bytes())
        .await
        .expect("an answer")
}

async fn eventually_answers(client: &Client, key: &str, query: &str, status: u16) -> Response {
    eventually(
        EFFECT,
        &format!("publishing{query} is answered with {status}"),
        async || {
            let answer = post(client, key, query, &json!({ "type": "key.tried" })).await;
            if answer.status == status {
                Ok(answer)
            } else {
                Err(answer.text())
            }
        },
    )
    .await
}

/// What an answer says, but for the id of its request.
fn told(answer: &Response) -> Value {
    let mut told = answer.json();
    told["request_id"] = Value::Null;
    told
}

async fn up_with(name: &str, value: &str) -> Up {
    let mut all = settings();
    all.insert(name.to_owned(), value.to_owned());
    Up::start_with(all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_publishes_for_its_own_org_until_it_is_revoked() {
    let mut up = Up::start().await;
    let client = up.client().clone();
    let bucket = Bucket::of(&client).await;
    let [good, reader, expired, admin] = [1, 2, 3, 4].map(text_of);
    bucket.put_key(&reader, &key("acme", &[Scope::DeliveriesRead])).await;
    let over = Key {
        expires_at: Some(Timestamp::now()),
        ..key("acme", &[Scope::EventsWrite])
    };
    bucket.put_key(&expired, &over).await;
    bucket.put_key(&admin, &key("acme", &[Scope::Admin])).await;
    bucket.put_key(&good, &key("acme", &[Scope::EventsWrite])).await;
    eventually_answers(&client, &good, "", 202).await;

    let event = |id: &str| json!({ "type": "key.used", "id": id });
    assert_eq!(post(&client, &good, "", &event("own")).await.status, 202);
    assert_eq!(post(&client, &good, "?org=acme", &event("named")).await.status, 202);
    assert_eq!(post(&client, &admin, "", &event("admin")).await.status, 202);
    for id in ["own", "named", "admin"] {
        let path = format!("/v1/events/{id}?org=acme");
        eventually(SOON, "the event is of the key's org", async || {
            let answer = client.request("GET", &path, None).await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
    }

    let before = client.messages("EVENTS").await;
    bucket.put_org("there", OrgStatus::Active, 1).await;
    let there = post(&client, &good, "?org=there", &event("x")).await;
    let nowhere = post(&client, &good, "?org=nowhere", &event("x")).await;
    assert_eq!(there.problem(403), "wrong_org");
    assert_eq!(told(&there), told(&nowhere), "it tells nothing of other orgs");
    let inside = json!({ "type": "key.used", "id": "x", "org": "umbra" });
    assert_eq!(post(&client, &good, "", &inside).await.problem(403), "foreign_org");
    let refused = post(&client, &reader, "", &event("x")).await;
    assert_eq!(refused.problem(403), "missing_scope");
    assert_eq!(refused.json()["scope"], "events:write", "{}", refused.text());
    let unknown = post(&client, &text_of(99), "", &event("x")).await;
    assert_eq!(unknown.problem(401), "bad_key");
    assert_eq!(told(&post(&client, &expired, "", &event("x")).await), told(&unknown));
    assert_eq!(post(&client, "", "", &event("x")).await.problem(401), "unauthenticated");
    assert_eq!(client.messages("EVENTS").await, before);

    let revoked = Key {
        revoked_at: Some(Timestamp::now()),
        revision: 2,
        ..key("acme", &[Scope::EventsWrite])
    };
    bucket.put_key(&good, &revoked).await;
    let refused = eventually_answers(&client, &good, "", 401).await;
    assert_eq!(told(&refused), told(&unknown));

    // No key is judged before all are known, and none that was revoked comes back.
    up.kill().await;
    up.restart().await;
    assert_eq!(post(&client, &admin, "", &event("again")).await.status, 202);
    assert_eq!(post(&client, &good, "", &event("x")).await.problem(401), "bad_key");
    up.stop().await;
}

/// All bytes that DEAD holds.
async fn dead_bytes(client: &Client) -> Vec<u8> {
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let stream = async_nats::jetstream::new(nats).get_stream("DEAD").await;
    let stream = stream.expect("DEAD is there");
    let state = &stream.cached_info().state;
    let mut bytes = Vec::new();
    for seq in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(seq).await.expect("nothing was removed");
        bytes.extend_from_slice(&message.payload);
        for (name, values) in message.headers.iter() {
            bytes.extend_from_slice(name.as_ref());
            values.iter().for_each(|value| bytes.extend_from_slice(value.as_ref()));
        }
    }
    bytes
}

async fn letters(client: &Client, org: &str, count: usize) -> Vec<Value> {
    eventually(SOON, &format!("{count} dead letters of {org}"), async || {
        let letters = client.dead_letters(&format!("?org={org}&stage=ingest")).await;
        if letters.len() == count {
            Ok(letters)
        } else {
            Err(format!("{letters:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_that_is_being_erased_takes_nothing_and_nothing_of_its_inputs_is_kept() {
    const SECRET: &str = "jane@example.com";
    let up = Up::start().await;
    let client = up.client();
    let bucket = Bucket::of(client).await;
    let (_, root) = client.publishing();
    let subject = "signalbox.in.acme.user.joined";
    bucket.put_org("acme", OrgStatus::Erasing, 2).await;
    let refused = eventually_answers(client, root, "?org=acme", 403).await;
    assert_eq!(refused.problem(403), "org_closed");
    let before = client.messages("EVENTS").await.expect("EVENTS is there");

    let body = json!({ "mail": SECRET }).to_string();
    client
        .publish(
            Publish::to(subject, body.clone())
                .id("one")
                .header("ce-subject", SECRET),
        )
        .await;
    let batch = json!([{ "specversion": "1.0", "id": "b", "source": "/x", "type": "user.joined", "subject": SECRET }]);
    let batch = Publish::to(subject, batch.to_string()).header("content-type", "application/cloudevents-batch+json");
    client.publish(batch).await;
    client.publish(Publish::to(subject, format!("no JSON, {SECRET}"))).await;
    for letter in letters(client, "acme", 3).await {
        assert_eq!(
            (&letter["stage"], &letter["reason"], &letter["input_base64"]),
            (&json!("ingest"), &json!("invalid"), &Value::Null),
            "{letter}"
        );
        let message = letter["message"].as_str().expect("a message");
        assert!(message.contains("erased"), "{message}");
    }
    let kept = dead_bytes(client).await;
    assert!(kept.windows(4).any(|part| part == b"acme"), "the letters are there");
    assert!(!kept.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));

    // Nobody else is concerned.
    client
        .publish(Publish::to("signalbox.in.umbra.user.joined", body.clone()))
        .await;
    eventually(SOON, "the other org's event is stored", async || {
        match client.messages("EVENTS").await? {
            is if is == before + 1 => Ok(()),
            is => Err(format!("{is} events, {before} before")),
        }
    })
    .await;
    bucket.put_org("acme", OrgStatus::Active, 3).await;
    eventually_answers(client, root, "?org=acme", 202).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_unknown_orgs_are_rejected_their_inputs_wait_as_dead_letters_until_somebody_makes_the_org() {
    let up = up_with("SIGNALBOX_INGEST__UNKNOWN_ORGS", "reject").await;
    let client = up.client();
    let bucket = Bucket::of(client).await;
    let (_, root) = client.publishing();
    bucket.put_org("acme", OrgStatus::Active, 1).await;
    eventually_answers(client, root, "?org=acme", 202).await;
    let refused = eventually_answers(client, root, "?org=late", 403).await;
    assert_eq!(refused.problem(403), "no_org");
    assert_eq!(refused.json()["field"], "org");
    let early = Publish::to("signalbox.in.late.user.joined", r#"{"n": 1}"#).id("early");
    client.publish(early).await;
    let letters = letters(client, "late", 1).await;
    assert_eq!(letters[0]["reason"], "invalid");
    assert_ne!(letters[0]["input_base64"], Value::Null);

    bucket.put_org("late", OrgStatus::Active, 1).await;
    eventually_answers(client, root, "?org=late", 202).await;
    let replay = json!({ "filter": { "reason": "invalid" } });
    let act = client.post("/v1/dead-letters/replay?org=late", replay).await;
    assert_eq!(act["total"], 1, "{act}");
    eventually(SOON, "the event that came too early", async || {
        let answer = client.request("GET", "/v1/events/early?org=late", None).await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_has_the_quota_of_its_org_and_not_the_rate_of_its_key() {
    let up = up_with("SIGNALBOX_AUTH__REQUESTS_PER_SECOND", "1").await;
    let client = up.client();
    let bucket = Bucket::of(client).await;
    let text = text_of(1);
    bucket.put_key(&text, &key("acme", &[Scope::EventsWrite])).await;
    eventually_answers(client, &text, "", 202).await;
    for number in 0..30 {
        let event = json!({ "type": "tick", "data": { "n": number } });
        assert_eq!(post(client, &text, "", &event).await.status, 202);
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_use_of_a_key_is_in_the_audit_and_a_key_that_nobody_knows_is_not() {
    let up = Up::start().await;
    let client = up.client();
    let body = json!({ "name": "ended", "scopes": ["events:write"] });
    let made = client.post("/v1/api-keys?org=acme", body).await;
    let (id, key) = (made["id"].clone(), made["key"].as_str().unwrap_or_default().to_owned());
    let authorization = format!("Bearer {key}");
    let ask = async |method: &str, path: &str, authorization: &str| {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        let body = json!({ "type": "alert.created" }).to_string().into_bytes();
        try_request(client.api(), method, path, &headers, body)
            .await
            .expect("an answer")
    };
    assert_eq!(
        ask("GET", "/v1/integrations", &authorization).await.problem(403),
        "missing_scope"
    );
    let path = format!("/v1/api-keys/{}?org=acme", id.as_str().unwrap_or_default());
    client.request("DELETE", &path, None).await.ok();
    for _ in 0..3 {
        assert_eq!(ask("POST", "/v1/events", &authorization).await.problem(401), "bad_key");
    }
    let unknown = format!("Bearer sbx_{}", "A".repeat(43));
    assert_eq!(ask("GET", "/v1/integrations", &unknown).await.problem(401), "bad_key");
    let entries = eventually(SOON, "the audit tells of both reasons", async || {
        let answer = client.get("/v1/audit?action=api_key.refused").await;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let reasons: Vec<&str> = items
            .iter()
            .filter_map(|item| item["after"]["reason"].as_str())
            .collect();
        if reasons.contains(&"revoked") && reasons.contains(&"missing_scope") {
            Ok(items)
        } else {
            Err(format!("{items:?}"))
        }
    })
    .await;
    for entry in &entries {
        assert_eq!(
            (&entry["org"], &entry["object"]["id"]),
            (&json!("acme"), &id),
            "{entry}"
        );
        assert!(!entry.to_string().contains(&key), "{entry}");
    }
    // A key of nobody is nobody's entry.
    assert!(entries.len() <= 4, "{entries:?}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_acts_for_the_org_of_its_key_without_naming_it() {
    let up = Up::start().await;
    let client = up.client();
    let made = client
        .post("/v1/api-keys?org=acme", json!({ "name": "acme", "scopes": ["admin"] }))
        .await;
    let key = made["key"].as_str().unwrap_or_default().to_owned();
    let hook = json!({
        "name": "oncall", "provider": "webhook", "events": ["alert.*"], "status": "active",
        "config": { "url": "http://127.0.0.1:9/hook" },
    });
    client
        .request("POST", "/v1/integrations?org=acme", Some(hook))
        .await
        .ok();
    for arguments in [
        &["integrations", "list"][..],
        &["integrations", "show", "oncall"],
        &["integrations", "try", "oncall"],
        &["pause", "--integration", "oncall"],
        &["resume", "--integration", "oncall"],
        &["publish", "alert.created"],
        &["deliveries", "list"],
        &["dead", "list"],
        &["stats"],
        &["event-types", "list"],
        &["audit"],
        &["keys", "list"],
        &["export"],
    ] {
        let (code, out, error) = client.command_in(&[("SIGNALBOX_KEY", &key)], arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_for_its_holder_whose_deeds_the_audit_finds() {
    let up = Up::start().await;
    let client = up.client();
    let holder = "user:ada@example.com";
    let arguments = [
        "keys",
        "create",
        "ada",
        "--org",
        "acme",
        "--scope",
        "admin",
        "--principal",
    ];
    let made = client.command_json(&[&arguments[..], &[holder]].concat()).await;
    let principal = json!({ "type": "user", "id": "ada@example.com" });
    assert_eq!(made["principal"], principal, "{made}");
    let key = made["key"].as_str().unwrap_or_default();
    let (code, out, error) = client
        .command_in(&[("SIGNALBOX_KEY", key)], &["event-types", "put", "order.placed"])
        .await;
    assert_eq!(code, 0, "{out}{error}");

    let ada = ["audit", "--actor", "ada@example.com"];
    let found = client.command_json(&ada).await;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let [entry] = items.as_slice() else {
        panic!("one entry: {found}")
    };
    assert_eq!(
        (&entry["action"], &entry["actor"]),
        (&json!("event_type.created"), &principal),
        "{entry}"
    );
    for (kind, count) in [("event_type", 1), ("api_key", 0)] {
        let found = client
            .command_json(&[&ada[..], &["--object-type", kind]].concat())
            .await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{kind}: {found}");
    }
    let (_, list) = client.command(&["keys", "list", "--org", "acme"]).await;
    assert!(list.contains("user ada@example.com"), "{list}");

    let (code, out, error) = client.command_in(&[], &[&arguments[..], &["ada"]].concat()).await;
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    assert!(error.contains("user:ada@example.com"), "{error}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_of_the_audit_can_be_said_on_the_command_line_whose_help_prints_no_key() {
    let up = Up::start().await;
    let client = up.client();
    let document = client.get("/openapi.json").await;
    let params = document["paths"]["/v1/audit"]["get"]["parameters"].as_array().cloned();
    let params = params.expect("it has parameters");
    assert!(params.len() > 8, "{params:?}");
    let (code, help, error) = client
        .command_in(&[("SIGNALBOX_KEY", "sbx_in-the-environment")], &["audit", "--help"])
        .await;
    assert_eq!(code, 0, "{error}");
    for param in params {
        let name = param["name"].as_str().unwrap_or_default();
        let option = match name {
            "object_id" => "--object <".to_owned(),
            "actor_id" => "--actor <".to_owned(),
            name => format!("--{} <", name.replace('_', "-")),
        };
        assert!(help.contains(&option), "{name} is none of {help}");
    }
    assert!(help.contains("SIGNALBOX_KEY"), "{help}");
    assert!(!help.contains("in-the-environment"), "{help}");
    up.stop().await;
}
