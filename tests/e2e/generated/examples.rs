//! An example of each change that the API can make: what has to be there before, the request, and what it leaves in the
//! audit. A new route that changes something needs an entry here, under its `operationId`.

use serde_json::{Value, json};
use signalbox_proto::subjects;

use super::world::World;
use crate::harness::{client::Response, eventually};

const SOON: std::time::Duration = std::time::Duration::from_secs(30);
/// A part of secrets that no entry may hold.
pub(super) const SECRET: &str = "hidden-7f3a91";

/// One request that changes something.
pub(super) struct Call {
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// Whether the installation's own key asks, and not one of an org.
    pub(super) by_root: bool,
    /// What else than one entry of the declared action it leaves.
    pub(super) entries: Option<Vec<&'static str>>,
    /// What the same request is worth when it comes again.
    pub(super) again: Again,
}

/// What a request means a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is refused.
    Refused,
    /// It changes nothing, and that is well.
    Nothing,
    /// It changes something again.
    Same,
    /// That depends on how far the first has come.
    Open,
}

impl Call {
    fn new(path: impl Into<String>, body: Option<Value>, again: Again) -> Self {
        Self {
            path: path.into(),
            body,
            by_root: false,
            entries: None,
            again,
        }
    }

    fn by_root(self) -> Self {
        Self { by_root: true, ..self }
    }
}

async fn post(world: &World, path: &str, body: Value) -> Response {
    let answer = world.ask(&world.acme.key.text, "POST", path, Some(body)).await;
    assert!(answer.status < 300, "{path}: {}", answer.text());
    answer
}

fn integration(world: &World, name: &str) -> Value {
    json!({
        "name": name, "provider": "webhook", "events": [format!("{name}.*")],
        "config": { "url": world.target.url(&format!("/{SECRET}")) },
        "credentials": { "secret": format!("{SECRET}-key") },
    })
}

/// Makes an integration that is to be changed; the address of what is done to it.
async fn made(world: &World, name: &str, verb: &str) -> String {
    let mut wanted = integration(world, name);
    if verb != "/activate" {
        wanted["status"] = json!("active");
    }
    post(world, "/v1/integrations", wanted).await;
    format!("/v1/integrations/{name}{verb}")
}

/// Begins an act that takes long; its address.
async fn running(world: &World) -> String {
    let many: Vec<Value> = (0..30)
        .map(|number| json!({ "type": "many.made", "data": { "n": number } }))
        .collect();
    post(world, "/v1/events", json!(many)).await;
    let wanted = json!({ "since": "1h", "to": "oncall", "type": "many.made", "ignore_subscription": true, "rate": 1 });
    let act = post(world, "/v1/events/replay", wanted).await.json();
    format!("/v1/acts/{}", act["id"].as_str().expect("an act"))
}

async fn cancelled(world: &World) -> String {
    let act = running(world).await;
    post(world, &format!("{act}/cancel"), json!({})).await;
    act
}

/// The example of an operation; none where nobody has thought of one.
pub(super) async fn of(world: &World, operation: &str) -> Option<Call> {
    use Again::{Nothing, Open, Refused, Same};
    let acme = &world.acme;
    let empty = || Some(json!({}));
    let call = match operation {
        "replayEvents" => Call::new(
            "/v1/events/replay",
            Some(json!({ "since": "1h", "to": "oncall" })),
            Same,
        ),
        "createIntegration" => Call::new("/v1/integrations", Some(integration(world, "made")), Refused),
        "replaceIntegration" => {
            let path = made(world, "replaced", "").await;
            let mut other = integration(world, "replaced");
            other["events"] = json!(["other.*"]);
            Call::new(path, Some(other), Nothing)
        }
        "changeIntegration" => {
            let path = made(world, "changed", "").await;
            let other = json!({ "events": ["other.*"], "credentials": { "secret": format!("other-{SECRET}") } });
            Call::new(path, Some(other), Nothing)
        }
        "activateIntegration" => Call::new(made(world, "activated", "/activate").await, empty(), Nothing),
        "deactivateIntegration" => Call::new(made(world, "deactivated", "/deactivate").await, empty(), Nothing),
        "deleteIntegration" => Call::new(made(world, "deleted", "").await, None, Refused),
        "pauseIntegration" => Call::new(made(world, "paused", "/pause").await, empty(), Nothing),
        "resumeIntegration" => {
            let path = made(world, "resumed", "/pause").await;
            post(world, &path, json!({})).await;
            Call::new(path.replace("/pause", "/resume"), empty(), Nothing)
        }
        "testIntegration" => Call::new(made(world, "tested", "/test").await, empty(), Same),
        "apply" => {
            made(world, "applied", "").await;
            let mut changed = integration(world, "applied");
            changed["events"] = json!(["other.*"]);
            let all = json!({ "integrations": [changed, integration(world, "new")] });
            Call {
                entries: Some(vec!["integration.created", "integration.updated"]),
                ..Call::new("/v1/apply", Some(all), Nothing)
            }
        }
        "retryDelivery" => Call::new(format!("/v1/deliveries/{}/retry", acme.thing("delivery")), None, Open),
        "retryDeliveries" => {
            let wanted = json!({ "filter": { "integration": "fails" } });
            Call::new("/v1/deliveries/retry", Some(wanted), Open)
        }
        "discardDeliveries" => {
            let wanted = json!({ "filter": { "integration": "held" } });
            Call::new("/v1/deliveries/discard", Some(wanted), Open)
        }
        "replayDeadLetters" => {
            let wanted = json!({ "filter": { "integration": "rejects" } });
            Call::new("/v1/dead-letters/replay", Some(wanted), Open)
        }
        "discardDeadLetters" => {
            let wanted = json!({ "filter": { "integration": "rejects" } });
            Call::new("/v1/dead-letters/discard", Some(wanted), Open)
        }
        "cancelAct" => Call::new(format!("{}/cancel", running(world).await), None, Nothing),
        "resumeAct" => Call::new(format!("{}/resume", cancelled(world).await), None, Nothing),
        "createEventType" => Call::new(
            "/v1/event-types",
            Some(json!({ "type": "made.now", "title": "Made" })),
            Refused,
        ),
        "putEventType" => {
            post(
                world,
                "/v1/event-types",
                json!({ "type": "put.now", "title": "Before" }),
            )
            .await;
            Call::new("/v1/event-types/put.now", Some(json!({ "title": "After" })), Nothing)
        }
        "deleteEventType" => {
            post(world, "/v1/event-types", json!({ "type": "gone.now" })).await;
            Call::new("/v1/event-types/gone.now", None, Refused)
        }
        "createOrg" => Call::new(
            "/v1/orgs",
            Some(json!({ "name": "late", "title": "Late Ltd" })),
            Refused,
        )
        .by_root(),
        "createApiKey" => {
            let wanted = json!({ "name": "made", "scopes": ["events:write"], "expires_in": "1h" });
            Call::new("/v1/api-keys", Some(wanted), Same)
        }
        "rotateApiKey" => Call::new(format!("/v1/api-keys/{}/rotate", acme.thing("key")), empty(), Refused),
        "revokeApiKey" => {
            let key = world
                .make_key(acme.name, json!({ "name": "revoked", "scopes": ["events:write"] }))
                .await;
            Call::new(format!("/v1/api-keys/{}", key.id), None, Refused)
        }
        "eraseEvent" => {
            post(world, "/v1/events", json!({ "type": "order.none", "id": "erased" })).await;
            Call::new("/v1/events/erased", None, Open)
        }
        "eraseOrg" => {
            world.up.client().post("/v1/orgs", json!({ "name": "goner" })).await;
            Call::new("/v1/orgs/goner/erase", Some(json!({ "confirm": "goner" })), Refused).by_root()
        }
        "repair" => {
            drift(world).await;
            Call::new("/v1/doctor/repair", empty(), Nothing).by_root()
        }
        "rotateMasterKey" => Call::new("/v1/master-key/rotate", empty(), Open).by_root(),
        _ => return None,
    };
    Some(call)
}

/// Lets workers forget an event type that the database knows.
pub(super) async fn drift(world: &World) {
    let client = async_nats::connect(world.up.client().nats_url())
        .await
        .expect("NATS takes a connection");
    let bucket = async_nats::jetstream::new(client)
        .get_key_value(subjects::CONFIG)
        .await
        .expect("a bucket");
    let key = subjects::type_key(world.acme.name, world.acme.thing("event_type"));
    bucket.purge(&key).await.expect("the key can be taken away");
}

/// What callers left in the audit of the whole installation, the newest first; what it does by itself is left out.
pub(super) async fn audit(world: &World) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.up.client().get(&format!("/v1/audit?limit=200{cursor}")).await;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        all.extend(items.into_iter().filter(|entry| entry["actor"]["type"] != "system"));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The audit, once so many entries came to those that were there.
pub(super) async fn audit_with(world: &World, more: usize, before: usize) -> Vec<Value> {
    eventually(SOON, "the entries are there", async || {
        let all = audit(world).await;
        if all.len() >= before + more {
            Ok(all)
        } else {
            Err(format!("{} entries, {before} before", all.len()))
        }
    })
    .await
}
