//! Texts of owners, previews of requests, and tests of integrations: what is shown is what is sent.

mod slack;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Publish, Target, Up, eventually, target::Received};

const SOON: Duration = Duration::from_secs(20);
/// A change takes effect within a second; the rest is for a busy machine.
const EFFECT_MAX: Duration = Duration::from_secs(2);
/// Secrets that may stand nowhere but in requests.
const TOKEN: &str = "planted-bearer-token-4711";
const SIGNING: &str = "planted-signing-secret-4712";
const HEADER: &str = "planted-header-value-4713";
const PATH: &str = "/planted-path-4714";

/// Headers of the connection, which a preview leaves out.
const OF_CONNECTION: [&str; 4] = ["accept", "connection", "content-length", "host"];

async fn preview(client: &Client, name: &str, body: Value) -> Value {
    client.post(&format!("/v1/integrations/{name}/preview"), body).await
}

async fn test(client: &Client, name: &str) -> Value {
    client.post(&format!("/v1/integrations/{name}/test"), json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_writes_the_body_and_a_change_of_it_is_used_within_a_second() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let with = |body: &str| {
        json!([{
            "name": "own", "provider": "webhook", "events": ["execution.*"], "config": { "url": target.url("/own") },
            "credentials": { "secret": SIGNING }, "template": { "body": body },
        }])
    };
    client
        .apply(with(
            r#"{"text": "{{ event.emoji }} {{ event.data.error }}", "rate": {{ event.data.rate * 100 }}}"#,
        ))
        .await;
    let data = json!({ "error": "he said \"no\"\n<b>", "rate": 0.925 });
    client.publish(Publish::of("execution.failed", &data).id("first")).await;
    let received = target.wait_for("/own", 1, SOON).await;
    assert_eq!(
        received[0].json(),
        json!({ "text": "❌ he said \"no\"\n<b>", "rate": 92.5 }),
        "{}",
        String::from_utf8_lossy(&received[0].body)
    );
    assert_eq!(received[0].header("content-type"), "application/json");
    assert!(received[0].header("x-signature-256").starts_with("sha256="));

    let second = r#"{"v": 2, "id": "{{ event.id }}"}"#;
    let answer = client.apply(with(second)).await;
    let applied = Instant::now();
    assert_eq!(answer["changes"][0]["fields"], json!(["template"]));
    assert_eq!(client.integration("own").await["template"], json!({ "body": second }));
    let mut sent = 0;
    eventually(SOON, "the new template is used", async || {
        sent += 1;
        let id = format!("next-{sent}");
        client.publish(Publish::of("execution.failed", &data).id(&id)).await;
        let delivery = client.delivery(&id, "delivered", SOON).await;
        let received = target.received("/own");
        let last = received.last().expect("it came");
        match last.json()["v"].as_u64() {
            Some(2) => Ok(()),
            _ => Err(delivery.to_string()),
        }
    })
    .await;
    let first_new = target
        .received("/own")
        .into_iter()
        .find(|one| one.json()["v"] == 2)
        .expect("one");
    assert!(
        first_new.at < applied + EFFECT_MAX,
        "{:?} after the change",
        first_new.at - applied
    );

    // What is exported says what is there.
    let (code, exported) = client.command(&["export"]).await;
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("exported.yaml");
    std::fs::write(&path, &exported).expect("a file can be written");
    let again = client
        .command_json(&["plan", "-f", path.to_str().expect("a path in UTF-8")])
        .await;
    assert_eq!(again["changes"][0]["action"], "none", "{exported}\n{again}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_cannot_be_made_is_a_dead_letter_that_is_replayed_once_the_template_is_mended() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let with = |body: &str| {
        json!([{
            "name": "own", "provider": "webhook", "events": ["tick"], "config": { "url": target.url("/own") },
            "template": { "body": body },
        }])
    };
    let refused = client.try_apply(with("{{ event.data.n|rond }}")).await;
    assert_eq!(refused.problem(422), "invalid_integrations");
    assert_eq!(refused.json()["field"], "integrations/0/template/body");
    assert!(
        refused
            .text()
            .contains("line 1: there is no filter `rond`: did you mean round?"),
        "{}",
        refused.text()
    );

    client.apply(with(r#"{"n": {{ event.data.n }}}"#)).await;
    let event = json!({ "type": "tick", "data": { "m": 1 } });
    let shown = preview(client, "own", json!({ "event": event })).await;
    assert_eq!(shown["requests"], json!([]), "{shown}");
    let error = shown["error"].as_str().unwrap_or_default();
    assert!(
        error.starts_with("template: body: what it made is not JSON: "),
        "{shown}"
    );
    client.publish(Publish::of("tick", &json!({ "n": 1 })).id("good")).await;
    client.publish(Publish::of("tick", &json!({ "m": 1 })).id("bad")).await;
    client
        .publish(Publish::of("tick", &json!({ "n": vec![0; 40] })).id("wide"))
        .await;
    let dead = client.delivery("bad", "dead", SOON).await;
    let message = dead["error_message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("template: body: what it made is not JSON: "),
        "{dead}"
    );
    client.delivery("good", "delivered", SOON).await;
    client.delivery("wide", "delivered", SOON).await;
    assert_eq!(target.count("/own"), 2, "what could not be made was not sent");

    // A template that runs away is stopped, and stops nobody else.
    client
        .apply(with(
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ event.data }}{% endfor %}{% endfor %}",
        ))
        .await;
    let mut tries = 0;
    eventually(SOON, "the template is used", async || {
        tries += 1;
        let id = format!("endless-{tries}");
        client.publish(Publish::of("tick", &json!({ "n": 2 })).id(&id)).await;
        let story = eventually(SOON, "it ended", async || {
            let story = client.trace(&id).await?;
            match story["deliveries"][0]["status"].as_str() {
                Some("dead" | "delivered") => Ok(story),
                _ => Err(story.to_string()),
            }
        })
        .await;
        let reason = story["deliveries"][0]["error_message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if reason.starts_with("template: body: line 1: ") {
            Ok(())
        } else {
            Err(story.to_string())
        }
    })
    .await;

    client
        .apply(with(r#"{"n": {{ event.data.n|default(0)|tojson }}}"#))
        .await;
    let letters = client.dead_letters("?reason=rejected").await;
    assert!(
        letters.iter().any(|letter| letter["event"]["id"] == "bad"),
        "{letters:?}"
    );
    let bad: Vec<&Value> = letters
        .iter()
        .filter(|letter| letter["event"]["id"] == "bad")
        .map(|letter| &letter["id"])
        .collect();
    let mut tries = 0;
    eventually(SOON, "the mended template is used", async || {
        tries += 1;
        let id = format!("mended-{tries}");
        client.publish(Publish::of("tick", &json!({ "m": 1 })).id(&id)).await;
        eventually(SOON, "it ended", async || {
            let story = client.trace(&id).await?;
            match story["deliveries"][0]["status"].as_str() {
                Some("delivered") => Ok(Ok(())),
                Some("dead") => Ok(Err(story.to_string())),
                _ => Err(story.to_string()),
            }
        })
        .await
    })
    .await;
    client.act("/v1/dead-letters/replay", json!({ "ids": bad })).await;
    client.delivery("bad", "delivered", SOON).await;
    let last = target.received("/own").pop().expect("it came");
    assert_eq!(
        (last.json(), last.delivery()),
        (json!({ "n": 0 }), dead["id"].as_str().expect("an id"))
    );
    up.stop().await;
}

/// What a preview says of headers, without what differs from one request to the next.
fn shown_headers(request: &Value) -> BTreeMap<String, String> {
    let headers = request["headers"].as_object().expect("headers");
    headers
        .iter()
        .filter(|(name, _)| *name != "webhook-timestamp")
        .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
        .collect()
}

fn assert_shown_is_sent(shown: &Value, sent: &Received) {
    let request = &shown["requests"][0];
    assert_eq!(request["method"], sent.method.as_str());
    assert_eq!(
        request["body_text"].as_str().map(str::as_bytes),
        Some(sent.body.as_slice()),
        "{shown}"
    );
    let shown_headers = shown_headers(request);
    for (name, value) in &shown_headers {
        let really = sent.header(name);
        match value.strip_suffix("***") {
            Some(open) => assert!(
                really.starts_with(open) && really.len() > open.len(),
                "{name}: {value}, {really}"
            ),
            None => assert_eq!(value, really, "{name}"),
        }
    }
    for name in sent.headers.keys() {
        let known =
            shown_headers.contains_key(name) || OF_CONNECTION.contains(&name.as_str()) || name == "webhook-timestamp";
        assert!(known, "{name} is sent and not shown: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_what_is_sent_but_for_the_secrets_and_sends_nothing() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let forms = [
        "standard",
        "envelope",
        "flat",
        "cloudevents",
        "cloudevents_binary",
        "own",
    ];
    let path = |form: &str| format!("{PATH}/{form}");
    let integrations: Vec<Value> = forms
        .iter()
        .map(|form| {
            let mut one = json!({
                "name": form, "provider": "webhook", "events": ["execution.failed"],
                "config": { "url": target.url(&path(form)), "headers": { "X-Planted": HEADER } },
                "credentials": { "secret": SIGNING, "bearer": TOKEN },
                "filter": { "min_severity": "high" },
            });
            match *form {
                "own" => one["template"] = json!({ "body": r#"{"at": "{{ event.time }}", "data": {{ event.data }}}"# }),
                form => one["config"]["payload"] = form.into(),
            }
            one
        })
        .collect();
    client.apply(integrations.into()).await;
    // A producer that echoes a secret: it is masked there too.
    let data = json!({ "error": format!("401 for {TOKEN}"), "z": 1, "a": [1.5, null, "é\n"] });
    let made_up = json!({
        "type": "execution.failed", "id": "e-1", "time": "2026-01-31T09:30:00.5Z", "agent_id": "agent-7",
        "subject": "s", "metadata": { "team": "core" }, "data": { "z": 1, "a": [1.5, null, "é\n"] },
    });
    for form in forms {
        let shown = preview(client, form, json!({ "event": made_up })).await;
        assert_eq!(
            (&shown["matches"], &shown["why_not"], &shown["more"]),
            (&json!(true), &Value::Null, &json!(false)),
            "{shown}"
        );
        assert_eq!(
            shown["requests"][0]["url"],
            format!("http://127.0.0.1:{}/***", target.port())
        );
        assert_eq!(shown["requests"][0]["headers"]["authorization"], "Bearer ***");
        assert_eq!(shown["requests"][0]["headers"]["x-signature-256"], "***");
        assert_eq!(shown["requests"][0]["headers"]["x-planted"], "***");
        assert_eq!(target.count(&path(form)), 0, "nothing is sent");
    }
    let published = client
        .post_event(
            "",
            &[("content-type", "application/json")],
            made_up.to_string().into_bytes(),
        )
        .await;
    published.ok();
    for form in forms {
        let sent = target.wait_for(&path(form), 1, SOON).await;
        for asked in [json!({ "event": made_up }), json!({ "event_id": "e-1" })] {
            assert_shown_is_sent(&preview(client, form, asked).await, &sent[0]);
        }
        assert_eq!(target.count(&path(form)), 1);
    }
    client.publish(Publish::of("execution.failed", &data).id("echo")).await;
    eventually(SOON, "the event is delivered everywhere", async || {
        let story = client.trace("echo").await?;
        let deliveries = story["deliveries"].as_array().cloned().unwrap_or_default();
        let delivered = deliveries
            .iter()
            .filter(|delivery| delivery["status"] == "delivered")
            .count();
        if delivered == forms.len() {
            Ok(())
        } else {
            Err(story.to_string())
        }
    })
    .await;
    let mut answers = String::new();
    for form in forms {
        answers.push_str(&preview(client, form, json!({ "event_id": "echo" })).await.to_string());
        answers.push_str(
            &client
                .command(&["integrations", "preview", form, "--event", "echo"])
                .await
                .1,
        );
        answers.push_str(&client.integration(form).await.to_string());
    }
    assert!(answers.contains("401 for ***"), "{answers}");

    // Why an event would not come here.
    let low = preview(
        client,
        "standard",
        json!({ "event": { "type": "execution.failed", "severity": "low" } }),
    )
    .await;
    assert_eq!(low["matches"], false);
    assert!(
        low["why_not"].as_str().is_some_and(|why| why.contains("severity")),
        "{low}"
    );
    assert_eq!(
        low["requests"].as_array().map(Vec::len),
        Some(1),
        "the request is shown all the same"
    );
    let (code, text) = client
        .command(&[
            "integrations",
            "preview",
            "standard",
            "--type",
            "other.type",
            "--data",
            "{\"a\":1}",
        ])
        .await;
    assert_eq!(code, 0);
    assert!(
        text.starts_with("POST http://127.0.0.1:") && text.contains("the event would not be delivered: "),
        "{text}"
    );

    // What is asked wrongly is said.
    for (body, field) in [
        (json!({}), "event"),
        (json!({ "event": { "type": "a" }, "event_id": "x" }), "event"),
        (json!({ "event": { "type": "a", "id": "" } }), "event/id"),
        (json!({ "event": { "type": "a", "org": "other" } }), "event/org"),
    ] {
        let refused = client
            .request("POST", "/v1/integrations/standard/preview", Some(body.clone()))
            .await;
        assert_eq!(refused.problem(400), "invalid", "{body}");
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    let unknown = client
        .request(
            "POST",
            "/v1/integrations/standard/preview",
            Some(json!({ "event_id": "nowhere" })),
        )
        .await;
    assert_eq!(unknown.problem(404), "not_found");
    let (code, _) = client.command(&["integrations", "preview", "standard"]).await;
    assert_eq!(code, 2, "a type or an event is needed");

    client.settled(SOON).await;
    assert_no_secret(&answers);
    assert_no_secret(&up.log());
    up.stop().await;
}

fn assert_no_secret(text: &str) {
    for secret in [TOKEN, SIGNING, HEADER, PATH] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_proves_an_integration_and_its_result_is_its_status() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let path = format!("{PATH}/tested");
    let integration = |enabled: bool| {
        json!([{
            "name": "tested", "provider": "webhook", "events": ["tick"], "enabled": enabled,
            "config": { "url": target.url(&path) }, "credentials": { "secret": SIGNING, "bearer": TOKEN },
        }])
    };
    client.apply(integration(false)).await;

    // One that is not active stays so, and says why.
    target.script(&path, [Answer::status(503)]);
    let failed = test(client, "tested").await;
    assert_eq!(
        (&failed["status"], &failed["response_code"]),
        (&json!("failed"), &json!(503)),
        "{failed}"
    );
    assert_eq!(failed["message"], "the target answered 503 Service Unavailable");
    assert!(
        failed["duration_ms"].is_u64() && failed["warnings"].is_array(),
        "{failed}"
    );
    let shown = client.integration("tested").await;
    assert_eq!(
        (&shown["status"], &shown["error_message"]),
        (&json!("inactive"), &failed["message"]),
        "{shown}"
    );

    // A success activates it. The event says what it is, and is signed like any other.
    target.script(&path, [Answer::status(204)]);
    let success = test(client, "tested").await;
    assert_eq!(
        (&success["status"], &success["response_code"]),
        (&json!("success"), &json!(204)),
        "{success}"
    );
    let shown = client.integration("tested").await;
    assert_eq!(
        (&shown["status"], &shown["error_message"]),
        (&json!("active"), &Value::Null),
        "{shown}"
    );
    let sent = target.received(&path).pop().expect("it came");
    assert_eq!(sent.json()["type"], "integration.test");
    assert_eq!(sent.json()["data"]["test"], true);
    assert!(sent.header("x-signature-256").starts_with("sha256="));
    assert_eq!(sent.header("authorization"), format!("Bearer {TOKEN}"));
    client.publish(Publish::of("tick", &json!({})).id("live")).await;
    client.delivery("live", "delivered", SOON).await;

    // A failure of an active one is its status `error`: what comes waits.
    for refusal in [Answer::status(401), Answer::reset()] {
        target.script(&path, [refusal]);
        let (code, text) = client.command(&["integrations", "test", "tested"]).await;
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("tested: failed: ") && text.contains("the integration is error"),
            "{text}"
        );
        let shown = client.integration("tested").await;
        assert_eq!(shown["status"], "error", "{shown}");
        let waits = format!("waits-{}", target.count(&path));
        client.publish(Publish::of("tick", &json!({})).id(&waits)).await;
        client.delivery(&waits, "parked", SOON).await;

        // And a success ends it: what waited goes.
        target.script(&path, [Answer::status(200)]);
        let success = client.command_json(&["integrations", "test", "tested"]).await;
        assert_eq!(
            (&success["status"], &success["integration_status"]),
            (&json!("success"), &json!("active")),
            "{success}"
        );
        client.delivery(&waits, "delivered", SOON).await;
        assert_eq!(client.integration("tested").await["error_message"], Value::Null);
    }

    // A person's pause is not ended by a test.
    client.hold("tested").await;
    assert_eq!(test(client, "tested").await["integration_status"], "paused");
    client.resume("tested").await;

    // Neither streams nor the ledger know of tests; none of it is in a log.
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 3, "{ledger}");
    assert_no_secret(&up.log());
    let log = up.log();
    assert!(
        log.contains("integration tested") && !log.contains("This is a test of the integration"),
        "{log}"
    );

    let unknown = client.request("POST", "/v1/integrations/nobody/test", None).await;
    assert_eq!(unknown.problem(404), "not_found");
    up.stop().await;
}
