//! Connection tests of every provider: what a double of the vendor is asked, and what an owner is told where it refuses.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};
use signalbox_proto::{Timestamp, health};

use crate::harness::{
    Answer, Client, Target, Up, eventually, pause,
    process::Folder,
    server::Server,
    target::Received,
    vendors::{self, Door},
};

const SOON: Duration = Duration::from_secs(20);
/// What a test says where it is an event that people read.
const SAID: &str = "This is a test of the integration ";
/// The name of the integration that posts as a bot of Slack.
const BOT: &str = "slack-bot";
/// Signs of a secret that no answer may hold: the beginnings of those that the doubles are set up with.
const SECRETS: [&str; 20] = [
    "services/T0/B0/x",
    "sig=x",
    "token-of-the-webhook",
    "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "aaaaaaaa",
    "00000000-0000-4000",
    "bbbbbbbb",
    "cccccccc",
    "dddddddd",
    "eeeeeeee",
    "ffffffff",
    "gggggggg",
    "hhhhhhhh",
    "iiiiiiii",
    "jjjjjjjj",
    "kkkkkkkk",
    "llllllll",
    "topic-of-the-team",
    "MIIEvgIBADANBg",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
];

/// How a door's test looks to the vendor.
fn asked(name: &str, received: &Received) {
    let Received { method, path, .. } = received;
    let body = String::from_utf8_lossy(&received.body).into_owned();
    let (wanted, ending, says): (&str, &str, &str) = match name {
        // Nothing can be asked that nobody sees: an event that says what it is.
        "slack" => ("POST", "/services/T0/B0/x", SAID),
        "teams" => ("POST", "/invoke?api-version=1&sig=x", SAID),
        "webhook" => ("POST", "/in", r#""type":"integration.test""#),
        // Nobody sees these, and nothing is left of them.
        BOT => ("POST", "/api/auth.test", "{}"),
        "azure_devops" => (
            "POST",
            "/acme/shop/_apis/wit/workitems/$User%20Story?validateOnly=true&api-version=7.1",
            "/fields/System.Title",
        ),
        "jira-issues" => (
            "GET",
            "/rest/api/3/mypermissions?projectKey=PROJ&permissions=BROWSE_PROJECTS%2CCREATE_ISSUES",
            "",
        ),
        "github_projects" => ("POST", "/graphql", "query SignalboxProject("),
        "linear" => ("POST", "/graphql", "query SignalboxTeam("),
        "discord" => ("GET", "/token-of-the-webhook", ""),
        "telegram" => ("POST", "/getChat", "chat_id"),
        "pagerduty" => ("POST", "/v2/enqueue", r#""event_action":"resolve""#),
        "opsgenie" => ("POST", "/close?identifierType=alias", ""),
        "datadog-events" | "datadog-metrics" => ("GET", "/api/v1/validate", ""),
        "new_relic" => ("POST", "/v1/accounts/1234567/events", "[]"),
        "ntfy" => ("GET", "/v1/account", ""),
        "sentry" => ("POST", "/api/42/envelope/", "client_report"),
        "prometheus" => ("GET", "/api/v1/status", ""),
        "github-issues" | "github-workflow" => ("GET", "/repos/acme/shop", ""),
        "gitlab" => ("GET", "/api/v4/projects/acme%2Fshop", ""),
        "jenkins" => ("GET", "/job/shop/job/deploy/api/json?tree=name%2Cbuildable", ""),
        "s3" => ("GET", "/events/signalbox-connection-test", ""),
        "gcs" => ("GET", "/events/signalbox%2Dconnection%2Dtest", ""),
        other => panic!("say here what the test of {other} asks"),
    };
    assert_eq!(method, wanted, "{name}: {path}");
    assert!(path.ends_with(ending), "{name}: {path}");
    assert!(body.contains(says), "{name}: {body}");
    if wanted == "GET" {
        assert_eq!(body, "", "{name}");
    }
    if name == "sentry" {
        assert!(!body.contains("event_id"), "{body}");
    }
}

/// How a vendor refuses credentials, and a word of what the owner is told of it.
fn refusal(name: &str) -> (u16, &'static str, &'static str) {
    match name {
        "slack" => (403, "invalid_token", "invalid_token"),
        "teams" => (
            401,
            r#"{"error":{"code":"DirectApiAuthorizationRequired","message":"The request has SAS authentication."}}"#,
            "401",
        ),
        BOT => (200, r#"{"ok":false,"error":"invalid_auth"}"#, "invalid_auth"),
        "azure_devops" => (
            401,
            r#"{"$id":"1","message":"TF400813: ffffffffffffffff is not authorized","typeKey":"UnauthorizedRequestException"}"#,
            "token",
        ),
        "jira-issues" => (
            401,
            r#"{"errorMessages":["eeeeeeeeeeeeeeee does not authenticate bot@example.com"],"errors":{}}"#,
            "api_token",
        ),
        "github_projects" => (
            401,
            r#"{"message":"Bad credentials: jjjjjjjjjjjjjjjj","status":"401"}"#,
            "credentials.token",
        ),
        "linear" => (
            400,
            r#"{"errors":[{"message":"kkkkkkkkkkkkkkkk is no key","extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#,
            "credentials.api_key",
        ),
        "discord" => (
            401,
            r#"{"message":"Invalid Webhook Token","code":50027}"#,
            "set webhook_url",
        ),
        "telegram" => (
            401,
            r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#,
            "bot_token",
        ),
        "pagerduty" => (
            400,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is invalid: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}"#,
            "Integration Key",
        ),
        "opsgenie" => (
            401,
            r#"{"message":"Could not authenticate 00000000-0000-4000-8000-000000000000","took":0.001,"requestId":"1"}"#,
            "API key",
        ),
        "datadog-events" | "datadog-metrics" => (
            403,
            r#"{"status":"error","code":403,"errors":["Forbidden: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}"#,
            "API key",
        ),
        "new_relic" => (
            403,
            r#"{"error":"Invalid license key cccccccccccccccccccccccccccccccccccccccc"}"#,
            "key",
        ),
        "ntfy" => (
            401,
            r#"{"code":40101,"http":401,"error":"unauthorized: tk_lllllllllllllllllllllllllllll","link":"https://ntfy.sh/docs/publish/#authentication"}"#,
            "credentials.token",
        ),
        "sentry" => (
            403,
            r#"{"detail":"event submission rejected with_reason: ProjectId, dddddddddddddddddddddddddddddddd"}"#,
            "credentials.dsn",
        ),
        "prometheus" => (401, "Unauthorized", "401"),
        "github-issues" | "github-workflow" => (
            401,
            r#"{"message":"Bad credentials: ffffffffffffffffffffffffffffffffffffffff"}"#,
            "token",
        ),
        "gitlab" => (
            401,
            r#"{"message":"401 Unauthorized: gggggggggggggggggggg, hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"}"#,
            "token",
        ),
        "jenkins" => (
            401,
            "Invalid password/token for user: iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
            "API token",
        ),
        "s3" => (
            403,
            "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>eeeeeeee</Message></Error>",
            "check the secret and the region",
        ),
        "gcs" => (
            401,
            "<?xml version='1.0'?><Error><Code>AuthenticationRequired</Code><Message>MIIEvgIBADANBg</Message></Error>",
            "the credentials are not valid",
        ),
        "webhook" => (401, "no such signature: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "401"),
        other => panic!("say here how {other} refuses"),
    }
}

/// Every integration that is called over HTTP, by name, as it is set up, and how its requests begin.
fn all(target: &Target, doors: &[Door]) -> Vec<(String, Value, String)> {
    let door = |door: &Door| (door.name.to_owned(), door.integration(&["tick"]), door.path());
    let mut all: Vec<_> = doors.iter().map(door).collect();
    let path = format!("/{BOT}/");
    target.script_below(
        &path,
        [Answer::status(200).body(r#"{"ok":true,"team_id":"T1","user_id":"U1"}"#)],
    );
    let bot = json!({
        "name": BOT, "provider": "slack", "events": ["tick"],
        "config": { "channel": "#ops", "base_url": target.url(&format!("/{BOT}")) },
        "credentials": { "bot_token": "xoxb-1" },
    });
    all.push((BOT.to_owned(), bot, path));
    all
}

async fn test(client: &Client, name: &str) -> Value {
    client.post(&format!("/v1/integrations/{name}/test"), json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_asks_every_vendor_for_its_lightest_proof_and_makes_the_integration_active() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    let doors = vendors::doors(&target);
    let all = all(&target, &doors);
    // An envelope without an event has no id that Sentry could name.
    target.script_below("/sentry/", [Answer::status(200).body("{}")]);
    for door in ["datadog-events", "datadog-metrics"] {
        let valid = Answer::status(200).body(r#"{"valid":true}"#);
        target.script(&format!("/{door}/api/v1/validate"), [valid]);
    }
    for (path, body) in [
        ("/github-issues/repos/acme/shop", r#"{"full_name":"acme/shop"}"#),
        ("/github-workflow/repos/acme/shop", r#"{"full_name":"acme/shop"}"#),
        ("/ntfy/v1/account", r#"{"username":"signalbox","role":"user"}"#),
        (
            "/gitlab/api/v4/projects/acme%2Fshop",
            r#"{"path_with_namespace":"acme/shop"}"#,
        ),
        (
            "/jenkins/job/shop/job/deploy/api/json?tree=name%2Cbuildable",
            r#"{"name":"deploy","buildable":true}"#,
        ),
    ] {
        target.script(path, [Answer::status(200).body(body)]);
    }
    for (name, integration, path) in &all {
        let made = client.post("/v1/integrations", integration.clone()).await;
        assert_eq!(made["status"], "pending_setup", "{made}");
        let answer = test(client, name).await;
        assert_eq!(
            (&answer["status"], &answer["integration_status"]),
            (&json!("success"), &json!("active")),
            "{name}: {answer}"
        );
        let received = target.received_below(path);
        let [only] = received.as_slice() else {
            panic!("{name} was asked {} times: {received:?}", received.len());
        };
        asked(name, only);
    }
    let tested: Vec<&str> = all
        .iter()
        .filter_map(|(_, made, _)| made["provider"].as_str())
        .collect();
    let providers = client.get("/v1/providers").await;
    for provider in providers["items"].as_array().expect("a list") {
        let name = provider["name"].as_str().expect("a name");
        // They are not called over HTTP: see below, and `mail.rs`.
        assert!(
            ["email", "nats"].contains(&name) || tested.contains(&name),
            "{name} has no double here"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_a_nats_server_logs_in_and_publishes_nothing() {
    let up = Up::start().await;
    let client = up.client();
    let folder = Folder::new();
    let users = r#"authorization { users: [{ user: signalbox, password: "hush-right" }] }"#;
    let mut server = Server::prepare_with(folder.path(), users);
    server.restart().await;
    let options = async_nats::ConnectOptions::with_user_and_password("signalbox".into(), "hush-right".into());
    let direct = options
        .connect(server.url())
        .await
        .expect("the target takes a connection");
    let stream = jetstream::stream::Config {
        name: "ALL".to_owned(),
        subjects: vec!["oncall.>".to_owned()],
        ..Default::default()
    };
    let mut stream = jetstream::new(direct).create_stream(stream).await.expect("a stream");
    for (name, password, status) in [("right", "hush-right", "success"), ("wrong", "hush-wrong", "failed")] {
        let integration = json!({
            "name": name, "provider": "nats", "events": ["tick"],
            "config": { "url": server.url(), "subject": "oncall.{type}" },
            "credentials": { "user": "signalbox", "password": password },
        });
        client.post("/v1/integrations", integration).await;
        let answer = test(client, name).await;
        assert_eq!(answer["status"], status, "{answer}");
        assert!(!answer.to_string().contains("hush"), "{answer}");
        if status == "failed" {
            let why = answer["message"].as_str().unwrap_or_default();
            assert!(why.contains("the server refuses the credentials"), "{answer}");
        }
    }
    assert_eq!(stream.info().await.expect("the stream is known").state.messages, 0);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_are_told_in_the_vendors_words_and_without_a_secret() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    let doors = vendors::doors(&target);
    let mut wrong = Vec::new();
    for (name, integration, path) in all(&target, &doors) {
        client.post("/v1/integrations", integration).await;
        let (status, body, word) = refusal(&name);
        target.script_below(&path, [Answer::status(status).body(body)]);
        let answer = test(client, &name).await;
        let kept = client.integration(&name).await;
        let message = answer["message"].as_str().unwrap_or_default();
        let told = answer["status"] == "failed" && answer["response_code"] == status && message.contains(word);
        // What was never active waits for its owner, with the reason.
        let waits =
            kept["status"] == "pending_setup" && kept["error_message"].as_str().is_some_and(|why| why.contains(word));
        let secret = SECRETS
            .iter()
            .find(|secret| format!("{answer}{kept}").contains(**secret));
        if !told || !waits || secret.is_some() {
            wrong.push(format!(
                "{name} ({secret:?}): {answer} {}: {}",
                kept["status"], kept["error_message"]
            ));
        }
        assert_eq!(target.received_below(&path).len(), 1, "{name} is not asked again");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    up.stop().await;
}

/// The least interval of health checks that there is.
const EVERY_SECS: u32 = 300;
/// Checks of so many are three seconds apart.
const INTEGRATIONS: usize = 100;
/// How far ahead a check has to lie for the test to be prepared, and how far at most.
const AHEAD: std::ops::Range<u64> = 5..60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_that_finds_refused_credentials_suspends_and_a_test_with_good_ones_reopens() {
    let up = Up::start().await;
    let client = up.client();
    let target = Target::start().await;
    let path = |number: usize| format!("/d{number}/api/v1/validate");
    let mut integrations: Vec<Value> = (0..INTEGRATIONS)
        .map(|number| {
            target.script(&path(number), [Answer::status(200).body(r#"{"valid":true}"#)]);
            json!({
                "name": format!("d{number}"), "provider": "datadog", "events": ["tick"], "health_check": "5m",
                "config": { "base_url": target.url(&format!("/d{number}")) },
                "credentials": { "api_key": "b".repeat(32) },
            })
        })
        .collect();
    integrations.push(json!({
        "name": "owner", "provider": "webhook", "events": ["integration.*"], "config": { "url": target.url("/owner") },
    }));
    client.apply(json!(integrations)).await;
    let now = Timestamp::now();
    let mut next = Vec::new();
    for number in 0..INTEGRATIONS {
        let id = client.integration(&format!("d{number}")).await["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let at = health::next(&id, EVERY_SECS, now);
        if AHEAD.contains(&at.since(Timestamp::now()).as_secs()) {
            next.push((at, number));
        }
    }
    next.sort();
    let &[(refused_at, refused), (good_at, good), ..] = next.as_slice() else {
        panic!("too few checks are due soon: {next:?}");
    };
    let forbidden = r#"{"status":"error","code":403,"errors":["Forbidden: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}"#;
    target.script(&path(refused), [Answer::status(403).body(forbidden)]);

    pause(refused_at.since(Timestamp::now())).await;
    let name = format!("d{refused}");
    let found = eventually(SOON, "the check suspends it", async || {
        let found = client.integration(&name).await;
        if found["status"] == "error" {
            Ok(found)
        } else {
            Err(found["status"].to_string())
        }
    })
    .await;
    let why = found["error_message"].as_str().expect("it says why");
    assert!(why.contains("403") && why.contains("key"), "{why}");
    assert!(!found.to_string().contains("bbbbbbbb"), "{found}");
    eventually(SOON, "its owner is told", async || {
        let told: Vec<Value> = target.received("/owner").iter().map(Received::json).collect();
        let is_it =
            |event: &&Value| event["type"] == "integration.suspended" && event["data"]["integration"] == json!(name);
        match told.iter().filter(is_it).count() {
            1 => Ok(()),
            _ => Err(format!("{told:?}")),
        }
    })
    .await;
    let told = target
        .received("/owner")
        .iter()
        .map(|one| String::from_utf8_lossy(&one.body).into_owned())
        .collect::<String>();
    assert!(!told.contains("bbbbbbbb"), "{told}");

    // Its neighbour is checked and stays as it is.
    pause(good_at.since(Timestamp::now())).await;
    target.wait_for(&path(good), 1, SOON).await;
    assert_eq!(client.integration(&format!("d{good}")).await["status"], "active");

    target.script(&path(refused), [Answer::status(200).body(r#"{"valid":true}"#)]);
    let answer = test(client, &name).await;
    assert_eq!(
        (&answer["status"], &answer["integration_status"]),
        (&json!("success"), &json!("active")),
        "{answer}"
    );
    assert_eq!(client.integration(&name).await["error_message"], Value::Null);
    // Nothing but the proof was ever asked.
    for (_, number) in &next {
        for received in target.received_below(&format!("/d{number}/")) {
            assert_eq!((received.method.as_str(), received.path), ("GET", path(*number)));
        }
    }
    up.stop().await;
}
