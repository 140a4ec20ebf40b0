//! What is secret is seen by nobody: not in attempts, dead letters, notices, the log, traces, answers or any file,
//! however it was given and whatever a target repeats of it.

mod collector;
mod marks;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Publish, Target, Up,
    client::try_request,
    eventually,
    messages::everything,
    process::{Folder, Program, settings, signalbox},
};
use collector::Collector;
use marks::Marks;

const SOON: Duration = Duration::from_secs(20);
/// Parts of the secrets below, as they are and as HTTP Basic writes them (`ada:xyzzy-password`).
const SECRETS: [&str; 3] = ["xyzzy", "YWRhOnh5enp5LXBhc3N3b3Jk", "T0123/B0456"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_targets_repeat_of_secrets_is_kept_and_told_without_them() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    let path = "/T0123/B0456/xyzzy-in-the-path";
    target.script(
        path,
        [
            Answer::status(503)
                .header("location", path)
                .body(&format!("{{\"error\":\"no hook at {path}\"}}")),
            Answer::status(400).body(&format!("cannot take {}", target.url(path))),
        ],
    );
    target.script(
        "/bearer",
        [Answer::status(422).body("you sent Authorization: Bearer xyzzy-token")],
    );
    target.script(
        "/basic",
        [Answer::status(200).body("you sent Authorization: Basic YWRhOnh5enp5LXBhc3N3b3Jk")],
    );
    target.script(
        "/moved/xyzzy",
        [Answer::status(301).header("location", "/moved/xyzzy/")],
    );
    client
        .apply(json!([
            {
                "name": "by-path", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(path) },
                "retry": { "schedule": ["1s"] },
            },
            {
                "name": "by-bearer", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/bearer") }, "credentials": { "bearer": "xyzzy-token" },
            },
            {
                "name": "by-basic", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/basic") },
                "credentials": { "basic": { "username": "ada", "password": "xyzzy-password" } },
            },
            {
                "name": "moved", "provider": "webhook", "events": ["tick"],
                "config": { "url": target.url("/moved/xyzzy") },
            },
            { "name": "told", "provider": "webhook", "events": ["delivery.>"], "config": { "url": target.url("/told") } },
        ]))
        .await;
    client.publish(Publish::of("tick", &json!({})).id("one")).await;
    let trace = eventually(SOON, "each has been tried, and that is kept", async || {
        let story = client.trace("one").await?;
        let text = story.to_string();
        let said = ["cannot take", "Bearer", "Basic", "pointed to"];
        if said.iter().all(|said| text.contains(said)) {
            Ok(story)
        } else {
            Err(text)
        }
    })
    .await;
    let told = target.wait_for("/told", 2, SOON).await;
    let shown = [
        trace.to_string(),
        client.get("/v1/deliveries").await.to_string(),
        format!("{:?}", client.dead_letters("").await),
        told.iter().map(|told| told.json().to_string()).collect(),
        up.log(),
    ];
    for text in &shown {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    // They are taken out of what was said, and not all that was said with them.
    let [trace, ..] = &shown;
    for said in ["cannot take ***", "Bearer ***", "Basic ***", "pointed to ***"] {
        assert!(trace.contains(said), "{said} is not in {trace}");
    }
    up.stop().await;
}

/// What was seen of an installation: everything that it answered or printed.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    async fn ask(&mut self, client: &Client, method: &str, path: &str, body: Option<Value>) -> u16 {
        let answer = client.request(method, path, body).await;
        let text = format!("{} {:?}", answer.text(), answer.headers);
        self.0.push((format!("{method} {path}"), text));
        answer.status
    }

    async fn run(&mut self, client: &Client, variables: &[(&str, &str)], arguments: &[&str]) {
        let (code, out, error) = client.command_in(variables, arguments).await;
        self.0.push((arguments.join(" "), format!("{code} {out} {error}")));
    }

    fn check(&self, marks: &Marks) -> Vec<String> {
        let found = self.0.iter().flat_map(|(what, text)| {
            let marks = marks.found_in(text.as_bytes());
            marks
                .into_iter()
                .map(move |mark| format!("{mark} in the answer of {what}"))
        });
        found.collect()
    }
}

/// Integrations with a secret at each place where one can be given.
fn given(marks: &mut Marks, target: &Target) -> Vec<Value> {
    let hook = |name: &str, config: Value, credentials: Value| {
        json!({
            "name": name, "provider": "webhook", "events": ["tick"], "config": config, "credentials": credentials,
            "retry": { "schedule": ["1s"] },
        })
    };
    let url = |path: &str| target.url(path);
    let (path, query, header) = (
        marks.new_for("url path"),
        marks.new_for("url query"),
        marks.new_for("header"),
    );
    let (secret, other) = (marks.new_for("signing secret"), marks.new_for("second secret"));
    let (bearer, password, whole) = (
        marks.new_for("bearer"),
        marks.new_for("basic"),
        marks.new_for("auth header"),
    );
    let (slack, bot) = (marks.new_for("slack url"), marks.new_for("slack token"));
    let (client, token) = (marks.new_for("client secret"), marks.new_for("access token"));
    let granted = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 });
    target.script("/token", [Answer::status(200).body(&granted.to_string())]);
    vec![
        hook("by-path", json!({ "url": url(&format!("/hook/{path}")) }), json!({})),
        hook(
            "by-query",
            json!({ "url": url(&format!("/query?token={query}")) }),
            json!({}),
        ),
        hook(
            "by-header",
            json!({ "url": url("/header"), "headers": { "X-Token": header } }),
            json!({}),
        ),
        hook(
            "by-secret",
            json!({ "url": url("/signed") }),
            json!({ "secret": secret }),
        ),
        hook(
            "by-other",
            json!({ "url": url("/other") }),
            json!({ "secrets": [other] }),
        ),
        hook(
            "by-bearer",
            json!({ "url": url("/bearer") }),
            json!({ "bearer": bearer }),
        ),
        hook(
            "by-basic",
            json!({ "url": url("/basic") }),
            json!({ "basic": { "username": "ada", "password": password } }),
        ),
        hook(
            "by-whole",
            json!({ "url": url("/whole") }),
            json!({ "auth_header": format!("Token {whole}") }),
        ),
        hook(
            "by-oauth2",
            json!({ "url": url("/oauth2") }),
            json!({ "oauth2": { "token_url": url("/token"), "client_id": "ada", "client_secret": client, "auth_method": "post" } }),
        ),
        json!({ "name": "slack", "provider": "slack", "events": ["tick"], "config": { "webhook_url": url(&format!("/slack/{slack}")) } }),
        json!({ "name": "bot", "provider": "slack", "events": ["tick"], "enabled": false, "config": { "channel": "#a" },
                "credentials": { "bot_token": format!("xoxb-{bot}") } }),
    ]
}

/// Bodies that are wrong in ways that tempt to repeat what was given.
fn wrong(marks: &mut Marks, target: &Target) -> Vec<Value> {
    let mut mark = |place: &str| marks.new_for(place);
    let url = target.url("/wrong");
    let of = |config: Value, credentials: Value| json!({ "name": "wrong", "provider": "webhook", "events": ["tick"], "config": config, "credentials": credentials });
    vec![
        of(json!({ "url": { "is": mark("url that is an object") } }), json!({})),
        of(json!({ "url": [mark("url that is a list")] }), json!({})),
        of(
            json!({ "url": format!("ht!tp://{}", mark("url that is none")) }),
            json!({}),
        ),
        of(
            json!({ "url": format!("https://user:{}@example.com/", mark("url with a password")) }),
            json!({}),
        ),
        of(
            json!({ "url": url, "headers": { "X-Token": [mark("header that is a list")] } }),
            json!({}),
        ),
        of(
            json!({ "url": url, "headers": format!("X-Token: {}", mark("headers that are text")) }),
            json!({}),
        ),
        of(
            json!({ "url": url, "headers": { "X-Token": format!("{}\n", mark("header with a line")) } }),
            json!({}),
        ),
        of(json!({ "url": url }), json!(mark("credentials that are text"))),
        of(json!({ "url": url }), json!([mark("credentials that are a list")])),
        of(
            json!({ "url": url }),
            json!({ "bearrer": mark("credential that is not known") }),
        ),
        of(
            json!({ "url": url }),
            json!({ "bearer": { "is": mark("bearer that is an object") } }),
        ),
        of(
            json!({ "url": url }),
            json!({ "bearer": format!("{}\u{0}", mark("bearer with a nul")) }),
        ),
        of(json!({ "url": url }), json!({ "basic": mark("basic that is text") })),
        of(
            json!({ "url": url }),
            json!({ "basic": { "username": format!("a:{}", mark("user with a colon")), "password": "x" } }),
        ),
        of(
            json!({ "url": url }),
            json!({ "secret": format!("whsec_{}!", mark("secret that is no base64")) }),
        ),
        of(
            json!({ "url": url }),
            json!({ "bearer": mark("one of two"), "auth_header": mark("two of two") }),
        ),
        of(
            json!({ "url": url }),
            json!({ "oauth2": { "token_url": mark("token url that is none"), "client_id": "", "client_secret": [mark("client secret that is a list")] } }),
        ),
        of(
            json!({ "url": url }),
            json!({ "oauth2": { "token_url": url, "client_id": "\n", "client_secret": mark("client secret beside what is wrong") } }),
        ),
        of(
            json!({ "url": "https://example.com/" }),
            json!({ "client_certificate": { "certificate": mark("certificate that is none"), "key": mark("key that is none") } }),
        ),
        json!({ "name": "wrong", "provider": "slack", "events": ["tick"], "config": { "webhook_url": mark("slack url that is none") } }),
        json!({ "name": "wrong", "provider": "slack", "events": ["tick"], "config": { "channel": "#a" }, "credentials": { "bot_token": [mark("slack token that is a list")] } }),
    ]
}

/// Everything that can be read of an installation.
async fn read_all(seen: &mut Seen, client: &Client) {
    for path in [
        "/v1/integrations",
        "/v1/export",
        "/v1/deliveries?limit=200",
        "/v1/dead-letters?limit=200",
        "/v1/audit?limit=200",
        "/v1/doctor",
        "/v1/api-keys",
        "/v1/orgs",
        "/v1/acts",
        "/v1/event-types",
        "/v1/providers",
        "/v1/stats",
        "/v1/master-key",
        "/v1/events/one",
        "/openapi.json",
        "/docs",
    ] {
        seen.ask(client, "GET", path, None).await;
    }
    for list in ["integrations", "deliveries", "dead-letters"] {
        let found = client.get(&format!("/v1/{list}?limit=200")).await;
        for one in found["items"].as_array().expect("items") {
            let id = one["id"].as_str().expect("an id");
            seen.ask(client, "GET", &format!("/v1/{list}/{id}"), None).await;
        }
    }
    for arguments in [
        &["integrations", "list"][..],
        &["integrations", "show", "by-bearer"],
        &["export"],
        &["deliveries", "list"],
        &["dead", "list"],
        &["dead", "list", "--output", "json"],
        &["trace", "one"],
        &["doctor"],
        &["audit"],
        &["keys", "list"],
        &["providers", "webhook"],
    ] {
        seen.run(client, &[], arguments).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_that_anybody_gives_is_found_anywhere() {
    let (target, collector) = (Target::start().await, Collector::start().await);
    let mut with = settings();
    with.insert("SIGNALBOX_LOG__LEVEL".to_owned(), "trace".to_owned());
    with.insert(
        "SIGNALBOX_TELEMETRY__OTLP_ENDPOINT".to_owned(),
        collector.url().to_owned(),
    );
    with.insert("SIGNALBOX_TELEMETRY__FLUSH_INTERVAL".to_owned(), "100ms".to_owned());
    let mut up = Up::start_with(with).await;
    let client = up.client().clone();
    let (mut marks, mut seen) = (Marks::default(), Seen::default());
    for file in ["master.key", "admin.key"] {
        let text = std::fs::read_to_string(up.data_dir().join(file)).expect("a key file");
        marks.add(file, text.trim());
    }

    // By a file, one by one, replaced and changed.
    let all = given(&mut marks, &target);
    seen.ask(&client, "POST", "/v1/plan", Some(json!({ "integrations": all })))
        .await;
    let applied = client.try_apply(json!(all)).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    seen.0.push(("apply".to_owned(), applied.text()));
    for (method, path, place) in [
        ("POST", "/v1/integrations", "posted"),
        ("PATCH", "/v1/integrations/posted", "patched"),
        ("PUT", "/v1/integrations/posted", "put"),
    ] {
        let mut body = json!({ "credentials": { "bearer": marks.new_for(place) } });
        if method != "PATCH" {
            body["name"] = json!("posted");
            body["provider"] = json!("webhook");
            body["events"] = json!(["tick"]);
            body["config"] =
                json!({ "url": target.url(&format!("/posted/{}", marks.new_for(&format!("{place} url")))) });
        }
        let status = seen.ask(&client, method, path, Some(body)).await;
        assert!(status < 300, "{method}: {:?}", seen.0.last());
    }
    for body in wrong(&mut marks, &target) {
        for (method, path) in [
            ("POST", "/v1/integrations"),
            ("PATCH", "/v1/integrations/posted"),
            ("PUT", "/v1/integrations/posted"),
        ] {
            let mut body = body.clone();
            if method != "POST" {
                body["name"] = json!("posted");
            }
            seen.ask(&client, method, path, Some(body)).await;
        }
        seen.ask(
            &client,
            "POST",
            "/v1/plan",
            Some(json!({ "integrations": [body.clone()] })),
        )
        .await;
        seen.ask(&client, "POST", "/v1/apply", Some(json!({ "integrations": [body] })))
            .await;
    }

    // Keys: one that works, and one that nobody knows.
    let made = client
        .post("/v1/api-keys", json!({ "name": "ci", "scopes": ["events:write"] }))
        .await;
    let key = made["key"].as_str().expect("a key").to_owned();
    marks.add("an API key", &key);
    let unknown = format!("sbx_{}", marks.new_for("a key that is unknown"));
    for presented in [&key, &unknown] {
        for value in [
            format!("Bearer {presented}"),
            format!("Basic {presented}"),
            (*presented).clone(),
        ] {
            let answer = try_request(
                client.api(),
                "GET",
                "/v1/audit",
                &[("authorization", &value)],
                Vec::new(),
            )
            .await;
            seen.0.push(("a key".to_owned(), answer.expect("an answer").text()));
        }
    }
    seen.run(&client, &[("SIGNALBOX_KEY", &unknown)], &["integrations", "list"])
        .await;

    // Targets that repeat what they were sent, in every form.
    let repeats = |text: &str| {
        let percent = text.replace('+', "%2B");
        format!("you sent {text}, {percent} and {}", STANDARD.encode(text))
    };
    for received in all.iter().filter(|one| one["enabled"] != json!(false)) {
        let config = received["config"].as_object().expect("config");
        let address = config.get("url").or_else(|| config.get("webhook_url"));
        let address = address.and_then(Value::as_str).expect("an address");
        let path = address.splitn(4, '/').last().unwrap_or_default();
        let mut secrets: Vec<String> = Vec::new();
        strings(&received["credentials"], &mut secrets);
        strings(&received["config"], &mut secrets);
        let body: String = secrets.iter().map(|secret| repeats(secret)).collect();
        let path = format!("/{path}");
        target.script(
            &path,
            [
                Answer::status(503).body(&body).header("x-echo", "1"),
                Answer::status(400).body(&body),
            ],
        );
    }
    client.publish(Publish::of("tick", &json!({ "n": 1 })).id("one")).await;
    eventually(SOON * 2, "each is dead", async || {
        let letters = client.dead_letters("?limit=200").await.len();
        if letters >= 8 {
            Ok(())
        } else {
            Err(format!("{letters}"))
        }
    })
    .await;
    for one in &all {
        let name = one["name"].as_str().expect("a name");
        seen.ask(
            &client,
            "POST",
            &format!("/v1/integrations/{name}/test"),
            Some(json!({})),
        )
        .await;
        seen.ask(
            &client,
            "POST",
            &format!("/v1/integrations/{name}/preview"),
            Some(json!({ "event_id": "one" })),
        )
        .await;
    }
    read_all(&mut seen, &client).await;
    let rotated = client.command(&["keys", "rotate-master"]).await;
    assert_eq!(rotated.0, 0, "{}", rotated.1);
    let text = std::fs::read_to_string(up.data_dir().join("master.key")).expect("a key file");
    marks.add("the new master key", text.trim());
    read_all(&mut seen, &client).await;

    // Settings with secrets, as commands show them and processes log them that cannot connect.
    let (database, nats, user) = (
        marks.new_for("database password"),
        marks.new_for("NATS password"),
        marks.new_for("NATS url"),
    );
    let (database, url) = (
        format!("postgres://ada:{database}@127.0.0.1:9/none"),
        format!("nats://ada:{user}@127.0.0.1:9"),
    );
    let secret_settings = [
        ("SIGNALBOX_STORE__URL", &*database),
        ("SIGNALBOX_NATS__PASSWORD", &*nats),
        ("SIGNALBOX_NATS__USER", "ada"),
        ("SIGNALBOX_NATS__URL", &*url),
        ("SIGNALBOX_SECRETS__KEY", text.trim()),
    ];
    seen.run(&client, &secret_settings, &["config"]).await;
    seen.run(&client, &secret_settings, &["config", "--output", "json"])
        .await;
    let folder = Folder::new();
    let log = folder.path().join("alone.log");
    for (role, name) in [("router", "cannot reach NATS"), ("recorder", "database")] {
        let mut alone = settings();
        alone.insert("SIGNALBOX_LOG__LEVEL".to_owned(), "trace".to_owned());
        alone.extend(
            secret_settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        if role == "recorder" {
            alone.insert("SIGNALBOX_NATS__URL".to_owned(), client.nats_url().to_owned());
        }
        let arguments = ["run", role, "--admin-listen", "127.0.0.1:0"];
        let mut program = Program::start(role, &signalbox(), &arguments, &alone, &log, false);
        eventually(SOON, "it says what it lacks", async || {
            let said = program.log();
            if said.contains(name) { Ok(()) } else { Err(said) }
        })
        .await;
        program.kill().await;
    }

    let mut found = seen.check(&marks);
    // What is compressed on disk is not found in its file.
    for (place, bytes) in everything(client.nats_url()).await {
        found.extend(
            marks
                .found_in(&bytes)
                .into_iter()
                .map(|mark| format!("{mark} in {place}")),
        );
    }
    if let Some(url) = up.database() {
        let dump = tokio::process::Command::new("pg_dump")
            .args(["--data-only", &url])
            .output()
            .await;
        let dump = dump.expect("pg_dump is installed beside PostgreSQL");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        assert!(marks::holds(&dump.stdout, "by-bearer"), "every table is in the dump");
        let told = marks.found_in(&dump.stdout).into_iter();
        found.extend(told.map(|mark| format!("{mark} in the database")));
    }
    // So that the last spans are sent, and the database has written what it has in memory.
    up.interrupt().await;
    found.extend(marks.found_below(&up.data_dir(), &["master.key", "admin.key"]));
    let (said, alone) = (up.log(), std::fs::read(&log).expect("a log"));
    for (place, bytes) in [
        ("the log", said.as_bytes()),
        ("the log of one that cannot connect", &alone),
        ("traces", &collector.kept()),
    ] {
        assert!(!bytes.is_empty(), "{place} is empty");
        found.extend(
            marks
                .found_in(bytes)
                .into_iter()
                .map(|mark| format!("{mark} in {place}")),
        );
        // What a panic tells is bounded by the hook of the binary, which has tests of its own. None of this is worth one.
        assert!(!marks::holds(bytes, "panicked"), "there is a panic in {place}");
    }
    assert!(
        found.is_empty(),
        "{} secrets are told:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// All texts of a value.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| strings(one, found)),
        Value::Object(fields) => fields.values().for_each(|one| strings(one, found)),
        _ => {}
    }
}
