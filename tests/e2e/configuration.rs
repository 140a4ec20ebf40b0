//! Configuration through the API: SQL is the truth, KV a copy that follows, and each change leaves one entry in the audit.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Cluster, Publish, Target, Up, client::Response, client::try_request, eventually, on_postgres,
};

const SOON: Duration = Duration::from_secs(30);

/// One request with any key and headers.
async fn ask(client: &Client, key: &str, method: &str, path: &str, more: &[(&str, &str)], body: Value) -> Response {
    let (base, _) = client.publishing();
    let authorization = format!("Bearer {key}");
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend_from_slice(more);
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    try_request(base, method, path, &headers, body)
        .await
        .expect("an answer")
}

fn hook(target: &Target, name: &str) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url("/hook") },
        "events": ["alert.*"],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integration_is_made_changed_held_and_deleted_and_each_leaves_one_entry() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;

    let made = client
        .request("POST", "/v1/integrations", Some(hook(&target, "hook")))
        .await;
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""), "{}", made.text());
    let id = made.json()["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(made.json()["status"], "pending_setup");
    let again = client
        .request("POST", "/v1/integrations", Some(hook(&target, "hook")))
        .await;
    assert_eq!(again.problem(409), "already_exists");
    // It matches nothing before it is activated.
    client
        .publish(Publish::of("alert.created", &json!({})).id("before"))
        .await;
    client.settled(SOON).await;
    let active = client.post("/v1/integrations/hook/activate", json!({})).await;
    assert_eq!((&active["status"], &active["revision"]), (&json!("active"), &json!(2)));
    client
        .publish(Publish::of("alert.created", &json!({})).id("after"))
        .await;
    client.delivery("after", "delivered", SOON).await;
    assert_eq!(target.received("/hook").len(), 1);

    let path = format!("/v1/integrations/{id}");
    let key = client.key();
    let patch = json!({ "events": ["build.*"], "filter": { "min_severity": "low" } });
    let stale = ask(client, key, "PATCH", &path, &[("if-match", "\"1\"")], patch.clone()).await;
    assert_eq!(stale.problem(412), "revision_mismatch");
    let patched = ask(client, key, "PATCH", &path, &[("if-match", "\"2\"")], patch).await;
    assert_eq!(patched.header("etag"), "\"3\"", "{}", patched.text());
    // What was read can be sent back: masked secrets stay, and nothing changes.
    let shown = client.get(&path).await;
    assert_eq!(shown["config"]["url"], "***");
    let put = ask(client, key, "PUT", &path, &[], shown.clone()).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let mut renamed = shown;
    renamed["name"] = json!("renamed");
    let put = ask(client, key, "PUT", &path, &[], renamed).await;
    assert_eq!(put.json()["name"], "renamed", "{}", put.text());
    for (field, value) in [("provider", json!("slack")), ("org", json!("acme")), ("id", json!("x"))] {
        let refused = ask(client, key, "PATCH", &path, &[], json!({ field: value })).await;
        assert_eq!(refused.problem(422), "invalid_integration", "{field}");
        assert_eq!(refused.json()["field"], field, "{}", refused.text());
    }

    client.hold("renamed").await;
    assert_eq!(client.get(&path).await["status"], "paused");
    client.publish(Publish::of("build.failed", &json!({})).id("held")).await;
    client.delivery("held", "parked", SOON).await;
    let refused = ask(client, key, "DELETE", &path, &[], Value::Null).await;
    assert_eq!(refused.problem(409), "deliveries_waiting");
    client.resume("renamed").await;
    client.delivery("held", "delivered", SOON).await;
    client.post(&format!("{path}/test"), json!({})).await;
    client.post(&format!("{path}/deactivate"), json!({})).await;
    ask(client, key, "DELETE", &path, &[], Value::Null).await.ok();
    assert_eq!(client.request("GET", &path, None).await.problem(404), "not_found");

    let expected = [
        "integration.created",
        "integration.activated",
        "integration.updated",
        "integration.updated",
        "integration.paused",
        "integration.resumed",
        "integration.tested",
        "integration.deactivated",
        "integration.deleted",
    ];
    assert_eq!(client.actions(&format!("&object_id={id}")).await, expected);
    let audit = client.get("/v1/audit?limit=200").await.to_string();
    assert!(!audit.contains(&target.url("/hook")), "an address is a secret: {audit}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_rotated_and_revoked_and_sees_its_own_org_alone() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    let root = client.key();
    let make = async |org: &str, scopes: Value| {
        let body = json!({ "name": "it", "scopes": scopes });
        let made = ask(client, root, "POST", &format!("/v1/api-keys?org={org}"), &[], body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
        (text("id"), text("key"))
    };
    let (acme_id, acme) = make("acme", json!(["admin"])).await;
    let (_, umbra) = make("umbra", json!(["admin"])).await;
    let (writer_id, writer) = make("acme", json!(["events:write"])).await;

    // What one org makes, the other cannot see or change, and is not told of.
    let made = ask(client, &acme, "POST", "/v1/integrations", &[], hook(&target, "hook")).await;
    assert_eq!(made.json()["org"], "acme", "{}", made.text());
    let id = made.json()["id"].as_str().unwrap_or_default().to_owned();
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", json!({ "events": [">"] })),
        ("DELETE", Value::Null),
    ] {
        let foreign = ask(
            client,
            &umbra,
            method,
            &format!("/v1/integrations/{id}"),
            &[],
            body.clone(),
        )
        .await;
        let missing = ask(
            client,
            &umbra,
            method,
            &format!("/v1/integrations/{}", id.replace('0', "1")),
            &[],
            body,
        )
        .await;
        let told = |answer: &Response, id: &str| {
            let mut body = answer.json();
            body["request_id"] = Value::Null;
            (answer.status, body.to_string().replace(id, "ID"))
        };
        assert_eq!(told(&foreign, &id), told(&missing, &id.replace('0', "1")), "{method}");
        assert_eq!(foreign.status, 404);
    }
    let asked = ask(client, &umbra, "GET", "/v1/integrations?org=acme", &[], Value::Null).await;
    assert_eq!(asked.problem(403), "wrong_org");
    assert_eq!(
        ask(client, &umbra, "GET", "/v1/integrations", &[], Value::Null)
            .await
            .ok()["items"],
        json!([])
    );
    let foreign_key = ask(
        client,
        &umbra,
        "DELETE",
        &format!("/v1/api-keys/{acme_id}"),
        &[],
        Value::Null,
    )
    .await;
    assert_eq!(foreign_key.problem(404), "not_found");
    let keys = ask(client, &acme, "GET", "/v1/api-keys", &[], Value::Null).await.ok();
    assert_eq!(keys["items"].as_array().map(Vec::len), Some(2));
    assert!(!keys.to_string().contains(&acme), "a key is shown once");

    // A key does what its scopes say, from the first moment to the last.
    let event = json!({ "type": "alert.created" });
    assert_eq!(
        ask(client, &writer, "POST", "/v1/events", &[], event.clone())
            .await
            .status,
        202
    );
    let refused = ask(client, &writer, "GET", "/v1/integrations", &[], Value::Null).await;
    assert_eq!(refused.problem(403), "missing_scope");
    let rotated = ask(
        client,
        &acme,
        "POST",
        &format!("/v1/api-keys/{writer_id}/rotate"),
        &[],
        json!({}),
    )
    .await;
    let new = rotated.json()["key"].as_str().unwrap_or_default().to_owned();
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    for key in [&writer, &new] {
        assert_eq!(
            ask(client, key, "POST", "/v1/events", &[], event.clone()).await.status,
            202
        );
    }
    let revoked = ask(
        client,
        &acme,
        "DELETE",
        &format!("/v1/api-keys/{writer_id}"),
        &[],
        Value::Null,
    )
    .await;
    assert_eq!(revoked.ok()["status"], "revoked");
    let refused = ask(client, &writer, "POST", "/v1/events", &[], event.clone()).await;
    assert_eq!(refused.problem(401), "bad_key");
    assert_eq!(ask(client, &new, "POST", "/v1/events", &[], event).await.status, 202);
    let expected = [
        "org.created",
        "api_key.created",
        "api_key.created",
        "integration.created",
        "api_key.rotated",
        "api_key.revoked",
    ];
    assert_eq!(client.actions("&org=acme").await, expected);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_of_before_is_taken_over_with_its_ids_and_revisions() {
    if on_postgres() {
        eprintln!("skipped: it is about the file of SQLite");
        return;
    }
    let mut up = Up::start().await;
    let client = up.client().clone();
    let target = Target::start().await;
    client
        .apply(json!([hook(&target, "kept"), hook(&target, "gone")]))
        .await;
    client.apply(json!([{ "name": "kept", "provider": "webhook", "config": { "url": target.url("/hook") }, "events": [">"] }])).await;
    client.request("DELETE", "/v1/integrations/gone", None).await.ok();
    client.hold("kept").await;
    client
        .post("/v1/event-types", json!({ "type": "deploy.done", "title": "Deployed" }))
        .await;
    let before = client.integration("kept").await;
    assert_eq!(before["revision"], 2);

    // As a version that knew of no database left it.
    up.kill().await;
    for end in ["", "-wal", "-shm"] {
        let file = up.data_dir().join(format!("signalbox.db{end}"));
        if file.exists() {
            std::fs::remove_file(file).expect("the database can be removed");
        }
    }
    up.restart().await;
    let mut after = client.integration("kept").await;
    after["updated_at"] = before["updated_at"].clone();
    assert_eq!(after, before);
    assert_eq!(client.request("GET", "/v1/integrations/gone", None).await.status, 404);
    assert_eq!(client.get("/v1/event-types/deploy.done").await["title"], "Deployed");
    let taken = client.actions("").await;
    assert!(taken.contains(&"integration.taken_over".to_owned()), "{taken:?}");
    // And goes on from there.
    let changed = client
        .request("PATCH", "/v1/integrations/kept", Some(json!({ "events": ["alert.*"] })))
        .await;
    assert_eq!(changed.header("etag"), "\"3\"", "{}", changed.text());
    client.resume("kept").await;
    client
        .publish(Publish::of("alert.created", &json!({})).id("again"))
        .await;
    client.delivery("again", "delivered", SOON).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_committed_reaches_the_workers_though_nats_and_the_api_died_before_it_was_told() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().clone();
    let target = Target::start().await;
    client.apply(json!([hook(&target, "hook")])).await;
    client
        .publish(Publish::of("alert.created", &json!({})).id("first"))
        .await;
    client.delivery("first", "delivered", SOON).await;

    cluster.server.kill().await;
    let patch = Some(json!({ "events": ["build.*"] }));
    let changing = {
        let client = client.clone();
        tokio::spawn(async move { client.try_request("PATCH", "/v1/integrations/hook", patch).await })
    };
    // It is committed before it is told, and telling waits for NATS: here the process dies.
    eventually(SOON, "the change is committed", async || {
        let shown = client.try_request("GET", "/v1/integrations/hook", None).await;
        match shown {
            Ok(shown) if shown.status == 200 && shown.json()["revision"] == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.role("api").kill().await;
    drop(changing.await);
    cluster.server.restart().await;
    cluster.role("api").restart().await;
    cluster.ready().await;
    let tries = std::sync::atomic::AtomicUsize::new(0);
    eventually(SOON, "workers route by the change", async || {
        let number = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("second-{number}");
        client.publish(Publish::of("build.failed", &json!({})).id(&id)).await;
        crate::harness::pause(Duration::from_millis(500)).await;
        if target.received("/hook").len() > 1 {
            Ok(())
        } else {
            Err("nothing arrived".to_owned())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_fails_and_one_that_brings_it_back_leave_one_entry_each() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    target.script("/hook", [Answer::status(401), Answer::status(200)]);
    client.apply(json!([hook(&target, "hook")])).await;
    let id = client.integration("hook").await["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for status in ["failed", "success"] {
        let tested = client.post("/v1/integrations/hook/test", json!({})).await;
        assert_eq!(tested["status"], status, "{tested}");
    }
    client
        .publish(Publish::of("alert.created", &json!({})).id("after"))
        .await;
    client.delivery("after", "delivered", SOON).await;
    // What the recorder tells by itself would be there by now.
    crate::harness::pause(Duration::from_secs(2)).await;
    let expected = ["integration.created", "integration.tested", "integration.tested"];
    assert_eq!(client.actions(&format!("&object_id={id}")).await, expected);
    up.stop().await;
}
