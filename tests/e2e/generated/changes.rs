//! Every route that changes something leaves exactly one entry in the audit, with who, what, from where, before and
//! after; what is refused, only looked at, or already so, leaves none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    document::{Operation, Told},
    examples::{self, Again, Call, SECRET},
    world::World,
};
use crate::harness::{Answer, client::Response};

async fn ask(
    world: &World,
    operation: &Operation,
    call: &Call,
    request: &str,
    more: &[(&str, &str)],
    path: &str,
    body: Option<Value>,
) -> Response {
    let key = if call.by_root {
        world.root()
    } else {
        &world.acme.key.text
    };
    let mut headers = vec![("x-request-id", request)];
    headers.extend_from_slice(more);
    world.ask_with(key, &operation.method, path, &headers, body).await
}

/// Requests about the same thing that are refused, or only looked at.
async fn leaves_nothing(world: &World, operation: &Operation, call: &Call, told: &mut Told) {
    let plain = |path: &str| path.to_owned();
    let mut refused = vec![(
        "an unknown parameter",
        format!("{}?bogus=1", call.path),
        call.body.clone(),
        None,
        400,
    )];
    if call.body.is_some() {
        let body = json!({ "bogus": 1 });
        refused.push(("an unknown field", plain(&call.path), Some(body), None, 400));
    }
    if operation.param("header", "If-Match").is_some() {
        let stale = Some(("if-match", "\"999999\""));
        refused.push(("a stale revision", plain(&call.path), call.body.clone(), stale, 412));
    }
    for (what, path, body, header, status) in refused {
        let header: Vec<(&str, &str)> = header.into_iter().collect();
        let answer = ask(world, operation, call, "refused", &header, &path, body).await;
        told.add(operation, what, &answer);
        let is_refused = answer.status == status || status == 400 && answer.status == 422;
        assert!(is_refused, "{operation} with {what}: {}", answer.text());
    }
    let knows_dry_run = operation
        .body
        .as_ref()
        .is_some_and(|body| body.get("dry_run").is_some());
    if knows_dry_run {
        let mut body = call.body.clone().expect("a body");
        body["dry_run"] = json!(true);
        let answer = ask(world, operation, call, "dry", &[], &call.path, Some(body)).await;
        told.add(operation, "a dry run", &answer);
        answer.ok();
    }
}

/// Checks what one entry says.
fn check(world: &World, operation: &Operation, call: &Call, request: &str, entry: &Value, faults: &mut Vec<String>) {
    let said = |field: &str| entry[field].clone();
    assert_eq!(said("request_id"), request, "{operation}: {entry}");
    assert_eq!(said("address"), "127.0.0.1", "{operation}: {entry}");
    assert_eq!(said("actor")["type"], "service", "{operation}: {entry}");
    if call.by_root {
        assert_eq!(
            (&entry["actor"]["id"], &entry["key_id"]),
            (&json!("admin"), &Value::Null),
            "{operation}: {entry}"
        );
    } else {
        let (key, org) = (world.acme.key.id.as_str(), world.acme.name);
        assert_eq!(
            (&entry["actor"]["id"], &entry["key_id"]),
            (&json!("all"), &json!(key)),
            "{operation}: {entry}"
        );
        assert_eq!(said("org"), org, "{operation}: {entry}");
    }
    let object = &entry["object"];
    assert!(
        object["type"].is_string() && object["id"].as_str().is_some_and(|id| !id.is_empty()),
        "{operation}: {entry}"
    );
    // What begins to be was nothing, what ends is nothing, and all else was one thing and is another.
    let (before, after) = (&entry["before"], &entry["after"]);
    let verb = entry["action"]
        .as_str()
        .unwrap_or_default()
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let fits = match verb {
        "created" => before.is_null() && after.is_object(),
        "deleted" => before.is_object() && after.is_null(),
        "updated" => before.is_object() && after.is_object(),
        _ => before.is_object() || after.is_object(),
    };
    if !fits || before == after {
        faults.push(format!(
            "{operation}: its entry says nothing of what it was and is: {entry}"
        ));
    }
    let text = entry.to_string();
    assert!(!text.contains(SECRET), "{operation} tells a secret: {text}");
}

/// Whether the document says that the operation may leave this in the audit.
fn is_said(operation: &Operation, action: &str) -> bool {
    operation.audit.iter().any(|said| said == action)
}

fn actions(entries: &[Value]) -> Vec<&str> {
    let mut actions: Vec<&str> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap_or_default())
        .collect();
    actions.sort_unstable();
    actions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_that_changes_something_leaves_one_entry_for_each_thing_and_nothing_else_does() {
    let world = World::start().await;
    let mut told = Told::default();
    let mut faults = Vec::new();
    for operation in world.document.changing() {
        let action = operation.audit.first().expect("it changes something");
        let Some(call) = examples::of(&world, &operation.id).await else {
            faults.push(format!(
                "add an example for {operation} ({}) in tests/e2e/generated/examples.rs",
                operation.id
            ));
            continue;
        };
        let before = examples::audit(&world).await;
        leaves_nothing(&world, operation, &call, &mut told).await;
        let none = examples::audit(&world).await;
        let extra = actions(&none[..none.len() - before.len()]);
        if !extra.is_empty() {
            faults.push(format!("{operation}: a refusal or a dry run left {extra:?}"));
        }

        let request = format!("change-{}", operation.id);
        let answer = ask(&world, operation, &call, &request, &[], &call.path, call.body.clone()).await;
        told.add(operation, "its example", &answer);
        answer.ok();
        let expected = call.entries.clone().unwrap_or_else(|| vec![action.as_str()]);
        let after = examples::audit_with(&world, expected.len(), none.len()).await;
        let new = &after[..after.len() - none.len()];
        if actions(new) != expected {
            faults.push(format!("{operation}: it left {:?}, not {expected:?}", actions(new)));
        }
        let unsaid = expected.iter().filter(|action| !is_said(operation, action));
        faults.extend(unsaid.map(|action| format!("{operation}: the document does not say that it leaves {action}")));
        for entry in new {
            check(&world, operation, &call, &request, entry, &mut faults);
            let key = answer.json()["key"]
                .as_str()
                .filter(|key| key.len() > 20)
                .map(str::to_owned);
            assert!(
                key.is_none_or(|key| !entry.to_string().contains(&key)),
                "{operation}: {entry}"
            );
        }

        let request = format!("again-{}", operation.id);
        let again = ask(&world, operation, &call, &request, &[], &call.path, call.body.clone()).await;
        told.add(operation, "its example again", &again);
        let left = examples::audit(&world).await;
        let left = actions(&left[..left.len() - after.len()]).len();
        let fits = match call.again {
            Again::Refused => again.status >= 400 && left == 0,
            Again::Nothing => again.status < 300 && left == 0,
            Again::Same => again.status < 300 && left == expected.len(),
            Again::Open => left == usize::from(again.status < 300),
        };
        if !fits {
            faults.push(format!(
                "{operation} again ({:?}) left {left} entries: {}",
                call.again,
                again.text()
            ));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    world.document.holds(&told).await;
    world.up.stop().await;
}

/// Requests that leave more than their example, or something else: who asks, and what they leave. One after the other.
fn further(world: &World) -> Vec<(&'static str, String, Value, Vec<&'static str>)> {
    let hook = |name: &str| {
        json!({
            "name": name, "provider": "webhook", "events": ["further.*"],
            "config": { "url": world.target.url("/refuses") },
        })
    };
    let with = |name: &str, status: &str| {
        let mut hook = hook(name);
        hook["status"] = json!(status);
        hook
    };
    let of = |id: &str| format!("/v1/integrations/{id}?org=first");
    let changed = |status: &str| {
        let mut hook = with("held", status);
        hook["events"] = json!(["other.*"]);
        hook
    };
    vec![
        (
            "createIntegration",
            "/v1/integrations?org=first".to_owned(),
            with("held", "paused"),
            vec!["integration.created", "integration.paused", "org.created"],
        ),
        (
            "changeIntegration",
            of("held"),
            json!({ "status": "active" }),
            vec!["integration.resumed"],
        ),
        (
            "replaceIntegration",
            of("held"),
            changed("paused"),
            vec!["integration.paused", "integration.updated"],
        ),
        (
            "changeIntegration",
            of("held"),
            json!({ "status": "inactive" }),
            vec!["integration.updated"],
        ),
        (
            "activateIntegration",
            "/v1/integrations/held/activate?org=first".to_owned(),
            json!({}),
            vec!["integration.activated", "integration.resumed"],
        ),
        // Its target refuses it, so that it is held.
        (
            "testIntegration",
            "/v1/integrations/held/test?org=first".to_owned(),
            json!({}),
            vec!["integration.tested"],
        ),
        (
            "changeIntegration",
            of("held"),
            json!({ "status": "active" }),
            vec!["integration.activated"],
        ),
        (
            "changeIntegration",
            of("held"),
            json!({ "status": "paused" }),
            vec!["integration.paused"],
        ),
        (
            "replaceIntegration",
            of("held"),
            changed("active"),
            vec!["integration.resumed"],
        ),
        (
            "apply",
            "/v1/apply?org=second".to_owned(),
            json!({ "integrations": [hook("one")] }),
            vec!["integration.created", "org.created"],
        ),
        (
            "apply",
            "/v1/apply?org=second".to_owned(),
            json!({ "integrations": [hook("two")], "prune": true }),
            vec!["integration.created", "integration.deleted"],
        ),
        (
            "createEventType",
            "/v1/event-types?org=third".to_owned(),
            json!({ "type": "further.made" }),
            vec!["event_type.created", "org.created"],
        ),
        (
            "putEventType",
            "/v1/event-types/further.put?org=fourth".to_owned(),
            json!({ "title": "Put" }),
            vec!["event_type.created", "org.created"],
        ),
        (
            "createApiKey",
            "/v1/api-keys?org=fifth".to_owned(),
            json!({ "name": "further", "scopes": ["events:write"] }),
            vec!["api_key.created", "org.created"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_a_change_may_leave_is_what_the_document_says_and_nothing_more() {
    let world = World::start().await;
    world.target.script("/refuses", [Answer::status(401)]);
    let mut told = Told::default();
    let mut left: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (id, path, body, expected) in further(&world) {
        let operation = world.document.operations.iter().find(|known| known.id == id);
        let operation = operation.unwrap_or_else(|| panic!("{id} is in the document"));
        let before = examples::audit(&world).await.len();
        let answer = world.ask(world.root(), &operation.method, &path, Some(body)).await;
        told.add(operation, &path, &answer);
        answer.ok();
        let after = examples::audit_with(&world, expected.len(), before).await;
        let new = &after[..after.len() - before];
        assert_eq!(actions(new), expected, "{operation} at {path}");
        left.entry(id)
            .or_default()
            .extend(expected.into_iter().map(str::to_owned));
    }
    for (id, mut left) in left {
        let mut operations = world.document.operations.iter();
        let operation = operations.find(|known| known.id == id).expect("it was called");
        // Its example, in the test above, leaves the first; that of `apply` the second too.
        left.extend(operation.audit.first().cloned());
        if id == "apply" {
            left.insert("integration.updated".to_owned());
        }
        let mut said: BTreeSet<String> = operation.audit.iter().cloned().collect();
        if id == "replaceIntegration" {
            // As with PATCH, which is shown above: both end in the same place.
            said.remove("integration.activated");
        }
        assert_eq!(left, said, "{operation}");
    }
    world.document.holds(&told).await;
    world.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_leaves_no_entry() {
    let world = World::start().await;
    let before = examples::audit(&world).await.len();
    let mut told = Told::default();
    for operation in world
        .document
        .operations
        .iter()
        .filter(|it| !it.changes() && !it.is_stream())
    {
        let path = World::address(operation, &world.acme);
        for key in [&world.acme.key.text, world.root()] {
            let answer = world.ask(key, &operation.method, &path, operation.body.clone()).await;
            told.add(operation, "read", &answer);
        }
    }
    assert_eq!(examples::audit(&world).await.len(), before);
    world.document.holds(&told).await;
    world.up.stop().await;
}
