//! The control API asked wrongly: every refusal is a problem document that says what to do, no org sees another's, and
//! no answer repeats a secret.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Publish, Target, Up, eventually, process::Settings};

const SOON: Duration = Duration::from_secs(20);

/// A refusal, which is a problem document whatever was wrong.
async fn refused(client: &Client, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
    let answer = client.request(method, path, body).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{method} {path}: {}",
        answer.text()
    );
    let problem = answer.json();
    for field in ["type", "title", "detail", "code"] {
        let text = problem[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{method} {path}: no {field} in {problem}");
    }
    assert_eq!(problem["status"], status, "{problem}");
    problem
}

/// What a GET of each kind of list and thing is asked at.
const LISTS: [&str; 8] = [
    "/v1/integrations",
    "/v1/deliveries",
    "/v1/dead-letters",
    "/v1/acts",
    "/v1/event-types",
    "/v1/providers",
    "/v1/doctor",
    "/v1/export",
];
const THINGS: [&str; 7] = [
    "/v1/integrations/",
    "/v1/deliveries/",
    "/v1/dead-letters/",
    "/v1/acts/",
    "/v1/event-types/",
    "/v1/providers/",
    "/v1/events/",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_a_problem_that_names_what_is_wrong() {
    let up = Up::start().await;
    let client = up.client();
    for path in LISTS.iter().copied().chain(THINGS.iter().copied()) {
        let thing = path.ends_with('/');
        let path = if thing { format!("{path}x") } else { path.to_owned() };
        let problem = refused(client, "GET", &format!("{path}?bogus=1"), None, 400).await;
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!("unknown_parameter"), &json!("bogus")),
            "{path}"
        );
        refused(client, "GET", &format!("{path}?bogus="), None, 400).await;
        refused(client, "TRACE", &path, None, 405).await;
    }
    for thing in THINGS {
        refused(client, "GET", &format!("{thing}%ff"), None, 400).await;
        refused(client, "GET", &format!("{thing}nothing"), None, 404).await;
    }
    for path in ["/nowhere", "/v1/nowhere", "/v1/tail/nothing", "/v1/deliveries/a/b/c"] {
        refused(client, "GET", path, None, 404).await;
    }
    refused(client, "GET", "/v1/tail/%ff", None, 400).await;

    // A page that cannot be had, and how it can.
    let delivery = "5.abcdefghijklmnopqrstuv";
    for (list, cursors) in [
        ("/v1/integrations", &["no name", "*"][..]),
        ("/v1/event-types", &["_.._", "a b"]),
        ("/v1/acts", &["x", "1"]),
        ("/v1/dead-letters", &["x", "dl_", "dl_-1", "17"]),
        (
            "/v1/deliveries",
            &[
                "x",
                "5",
                "%2B5.abcdefghijklmnopqrstuv",
                "05.abcdefghijklmnopqrstuv",
                "5.*",
            ],
        ),
    ] {
        for cursor in cursors {
            let cursor = cursor.replace(' ', "%20");
            let problem = refused(client, "GET", &format!("{list}?cursor={cursor}"), None, 400).await;
            assert_eq!(problem["field"], "cursor", "{list} {cursor}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(
                detail.contains("next_cursor") && detail.contains("leave it out"),
                "{problem}"
            );
        }
        for limit in ["0", "201", "x", "-1", "99999999999999999999"] {
            let problem = refused(client, "GET", &format!("{list}?limit={limit}"), None, 400).await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(problem["field"] == "limit" && detail.contains("1 to 200"), "{problem}");
        }
    }
    client.get(&format!("/v1/deliveries?cursor={delivery}")).await;
    for list in ["/v1/deliveries", "/v1/dead-letters"] {
        let problem = refused(client, "GET", &format!("{list}?since=1h&until=2h"), None, 400).await;
        assert_eq!(problem["field"], "until");
        refused(client, "GET", &format!("{list}?provider=nobody"), None, 400).await;
        refused(client, "GET", &format!("{list}?org=No"), None, 400).await;
    }
    let by_place = refused(client, "POST", "/v1/dead-letters/replay", Some(json!([[], null])), 400).await;
    assert_eq!(by_place["code"], "invalid");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_sees_nothing_of_another() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/hook", [Answer::status(503)]);
    client
        .apply(json!([{
            "name": "hook", "org": "acme", "provider": "webhook", "events": [">"],
            "config": { "url": target.url("/hook") }, "retry": { "schedule": ["1h"] },
        }]))
        .await;
    client
        .publish(Publish::to("signalbox.in.acme.tick", "{}").id("e-1"))
        .await;
    let trace = eventually(SOON, "the delivery waits for its next attempt", async || {
        let answer = client.request("GET", "/v1/events/e-1?org=acme", None).await;
        match answer.status {
            200 if answer.json()["deliveries"][0]["status"] == "retrying" => Ok(answer.json()),
            _ => Err(answer.text()),
        }
    })
    .await;
    let delivery = trace["deliveries"][0]["id"].as_str().expect("an id").to_owned();
    let integration = trace["deliveries"][0]["integration_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    for (method, path) in [
        ("GET", "/v1/events/e-1".to_owned()),
        ("GET", format!("/v1/deliveries/{delivery}")),
        ("POST", format!("/v1/deliveries/{delivery}/retry")),
        ("GET", format!("/v1/deliveries?integration={integration}")),
        ("GET", format!("/v1/deliveries?org=other&integration={integration}")),
        ("GET", format!("/v1/integrations/{integration}/deliveries")),
        ("GET", format!("/v1/integrations/{integration}")),
        ("DELETE", format!("/v1/integrations/{integration}?discard=true")),
        ("GET", format!("/v1/tail/deliveries?integration={integration}")),
    ] {
        let problem = refused(client, method, &path, None, 404).await;
        assert!(problem.get("dead_letter_id").is_none(), "{problem}");
    }
    for action in ["pause", "resume", "test", "preview"] {
        let path = format!("/v1/integrations/{integration}/{action}");
        let body = if action == "preview" {
            json!({ "event_id": "e-1" })
        } else {
            json!({})
        };
        refused(client, "POST", &path, Some(body), 404).await;
    }
    // An event of another org is not shown through an integration of one's own.
    client
        .apply(json!([{
            "name": "mine", "provider": "webhook", "events": [">"], "config": { "url": target.url("/mine") },
        }]))
        .await;
    refused(
        client,
        "POST",
        "/v1/integrations/mine/preview",
        Some(json!({ "event_id": "e-1" })),
        404,
    )
    .await;
    let given = json!({ "event": { "type": "tick", "org": "acme" } });
    refused(client, "POST", "/v1/integrations/mine/preview", Some(given), 400).await;
    let all = client.get("/v1/deliveries?status=waiting").await;
    assert_eq!(all["items"], json!([]), "{all}");
    let own = client.get("/v1/deliveries?status=waiting&org=acme").await;
    assert_eq!(own["items"].as_array().map(Vec::len), Some(1), "{own}");

    // What is said to its own org works in its own org.
    let paused = client
        .request("POST", "/v1/integrations/hook/pause?org=acme", None)
        .await;
    assert_eq!(paused.status, 200, "{}", paused.text());
    let held = refused(
        client,
        "POST",
        &format!("/v1/deliveries/{delivery}/retry?org=acme"),
        None,
        409,
    )
    .await;
    let detail = held["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("--org acme"), "{held}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_repeats_no_secret_that_its_target_repeats() {
    let (mut up, target) = (Up::start().await, Target::start().await);
    let client = up.client().clone();
    let secret = "/T0123/B0456/xyzzysecret";
    // The usual reason of a redirect: the address was right but for its last slash.
    let to = format!("{}/", target.url(secret));
    target.script(
        secret,
        [
            Answer::status(301).header("location", &to),
            Answer::status(301).header("location", &format!("{secret}/")),
        ],
    );
    client
        .apply(json!([{
            "name": "hook", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(secret) },
        }]))
        .await;
    for _ in 0..2 {
        let answer = client
            .request("POST", "/v1/integrations/hook/test", Some(json!({})))
            .await;
        let tested = answer.ok();
        assert_eq!(
            (&tested["status"], &tested["response_code"]),
            (&json!("failed"), &json!(301))
        );
        let message = tested["message"].as_str().unwrap_or_default();
        assert!(message.contains("pointed to") && message.contains("***"), "{tested}");
        let shown = client.integration("hook").await;
        assert_eq!(shown["status"], "error", "{shown}");
        for text in [tested.to_string(), shown.to_string(), up.log()] {
            assert!(!text.contains("xyzzysecret"), "{text}");
        }
    }
    // What an operator has closed since is not called by a test either.
    let calls = target.connections();
    up.interrupt().await;
    up.restart_with(Settings::new()).await;
    let closed = up.client().post("/v1/integrations/hook/test", json!({})).await;
    assert_eq!(closed["status"], "failed", "{closed}");
    let message = closed["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("egress.allow") && !message.contains("xyzzysecret"),
        "{closed}"
    );
    assert_eq!(target.connections(), calls, "nothing was sent");
    up.stop().await;
}
