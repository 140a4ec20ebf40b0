mod answers;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Delivery, Name, integration::Template};

use super::*;
use crate::{About, Egress, Step, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const WEBHOOK: &str = "https://discord.com/api/webhooks/1234567890/s3cret-token-of-a-webhook";

/// As it is accepted: the severity is the event's own, else its type's.
fn event(event_type: &str, data: &Value) -> Accepted {
    let severity: Option<signalbox_proto::Severity> = serde_json::from_value(data["severity"].clone()).ok();
    serde_json::from_value(json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "time": "2025-12-31T23:59:58Z",
            "severity": severity.unwrap_or_else(|| signalbox_proto::types::default_severity(event_type)),
            "severity_named": severity.is_some(), "data": data,
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "discord".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.events = events;
    delivery
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "team-chat".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

/// As a worker does it: by the registry, with the owner's template.
fn send(config: Value, template: Option<&Template>, delivery: &Delivery) -> http::Request {
    let target = find("discord")
        .expect("built in")
        .open_with_template(config, json!({}), about(), template)
        .expect("a target");
    match target.next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("no request: {outcome:?}"),
    }
}

fn config() -> Value {
    json!({ "webhook_url": WEBHOOK, "username": "Spec Bot", "avatar_url": "https://example.com/bot-avatar.png" })
}

fn embed_of(delivery: &Delivery) -> Value {
    let body: Value = serde_json::from_slice(&send(config(), None, delivery).body).expect("JSON");
    body["embeds"][0].clone()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .filter(|(name, _)| *name != USER_AGENT)
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
        .collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/discord/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

/// One event of each sort that people meet.
fn samples() -> Vec<(&'static str, &'static str, Value)> {
    let spec = json!({
        "id": "FEAT-0001", "title": "User Authentication", "file": "specs/feat-0001.md", "status": "approved",
        "url": "https://example.com/specs/feat-0001",
    });
    let pr = json!({ "number": 42, "url": "https://example.com/acme/site/pull/42" });
    vec![
        (
            "execution-failed",
            "execution.failed",
            json!({
                "agent_name": "builder", "severity": "critical", "success_rate": 0.925,
                "error": "no space left on <device> & more\n  at write()", "logs_url": "https://example.com/logs/7",
            }),
        ),
        (
            "alert-created",
            "alert.created",
            json!({ "title": "Latency is rising", "message": "p99 is above 800 ms since 10 minutes.", "latency_ms": 840,
                    "affected_agents": ["agent-1", "agent-2"] }),
        ),
        (
            "alert-resolved",
            "alert.resolved",
            json!({ "title": "Latency is rising" }),
        ),
        ("canary-started", "canary.started", json!({ "version": "1.4.2" })),
        (
            "canary-rolled-back",
            "canary.rolled_back",
            json!({ "version": "1.4.2", "reason": "error rate above 2 %" }),
        ),
        (
            "implementation-completed",
            "implementation.completed",
            json!({
                "spec": spec, "pr": pr, "repository": { "owner": "acme", "name": "site" }, "reviewers": ["@team", "ann"],
                "acceptance_criteria": ["A user can sign in", "A user can sign out, everywhere"],
            }),
        ),
        (
            "system-degraded",
            "system.degraded",
            json!({ "reason": "two of three agents are down" }),
        ),
        ("integration-test", "integration.test", json!({})),
        (
            "own-type",
            "shop.order-paid",
            json!({
                "order": { "id": 7, "lines": [1, 2, 3], "buyer": { "name": "Ann <ann@example.com>" } }, "paid": true,
                "note": null, "total": 19.90, "comment": "@everyone <@1> *now* & `then`\n> quoted [x](https://evil.example)",
                "callbackURL": "javascript:x", "items": [{ "sku": "a-1", "count": 2 }, { "sku": "b-2", "count": 1 }],
                "שם": "שלום \u{202e}עולם",
            }),
        ),
    ]
}

#[test]
fn messages_are_as_recorded() {
    for (name, event_type, data) in samples() {
        golden(name, &send(config(), None, &delivery(vec![event(event_type, &data)])));
    }
}

#[test]
fn a_digest_is_one_embed_as_recorded() {
    let events = samples()
        .into_iter()
        .map(|(_, event_type, data)| event(event_type, &data));
    golden("digest", &send(config(), None, &delivery(events.collect())));
    let many = (0..60).map(|n| event("execution.failed", &json!({ "error": format!("error {n}") })));
    let embed = embed_of(&delivery(many.collect()));
    assert_eq!(embed["title"], "📚 60 events");
    assert_eq!(embed["fields"][0]["value"], "and 20 more events");
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let data = json!({ "error": "<@1> & [co](https://evil.example)", "logs_url": "https://example.com/logs/7" });
    let template = Template {
        title: Some("Run broke: {{ event.data.error }}".to_owned()),
        body: Some("[Runbook](https://example.com) for **{{ event.type }}**\n> {{ event.data.error }}".to_owned()),
    };
    let one = delivery(vec![event("execution.failed", &data)]);
    golden("template", &send(config(), Some(&template), &one));
}

#[test]
fn a_probe_reads_the_webhook_and_posts_nothing() {
    let entry = find("discord").expect("built in");
    let config = json!({ "webhook_url": format!("{WEBHOOK}?thread_id=7") });
    let target = entry.open(config, json!({}), about()).expect("a target");
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("there is a probe")
    };
    assert_eq!((probe.method.as_str(), probe.body.len()), ("GET", 0));
    golden("probe", &probe);
}

#[test]
fn messages_go_to_the_version_of_the_api_that_is_read_here_and_wait() {
    for (given, sent) in [
        (
            WEBHOOK,
            "/api/v10/webhooks/1234567890/s3cret-token-of-a-webhook?wait=true",
        ),
        (
            " https://discord.com/api/v9/webhooks/1/a-b_c/?wait=false&thread_id=5\n",
            "/api/v10/webhooks/1/a-b_c?thread_id=5&wait=true",
        ),
        (
            "https://discordapp.com/api/webhooks/1/t",
            "/api/v10/webhooks/1/t?wait=true",
        ),
        ("http://127.0.0.1:9/api/webhooks/1/t", "/api/v10/webhooks/1/t?wait=true"),
        ("http://127.0.0.1:9/elsewhere", "/elsewhere?wait=true"),
    ] {
        let url = webhook(&given.into()).expect("an address").to_string();
        assert!(url.ends_with(sent), "{given}: {url}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (config, pointer) in [
        (json!({}), "config/webhook_url"),
        (json!({ "webhook_url": "" }), "config/webhook_url"),
        (
            json!({ "webhook_url": "https://discord.com/channels/1/2" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}/slack") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}/github") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://discord.com/api/webhooks/my-webhook/t" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://discord.com/api/v10/webhooks/123456789012345678901/t" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://discord.com/api/webhooks/١٢/t" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}?thread_id=general") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}?thread_id=") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}?thread_id=1&thread_id=x") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": format!("{WEBHOOK}?thread_id=123456789012345678901") }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://discord.com.evil.example/api/webhooks/1/t" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "http://discord.com/api/webhooks/1/t" }),
            "config/webhook_url",
        ),
        (json!({ "webhook_url": WEBHOOK, "username": "" }), "config/username"),
        (
            json!({ "webhook_url": WEBHOOK, "username": "My DisCord bot" }),
            "config/username",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "username": "Clyde" }),
            "config/username",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "username": "x".repeat(81) }),
            "config/username",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "avatar_url": "bot.png" }),
            "config/avatar_url",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "avatar_url": "data:image/png;base64,x" }),
            "config/avatar_url",
        ),
        (json!({ "webhook_url": WEBHOOK, "colour": "red" }), "config/colour"),
    ] {
        let errors = find("discord")
            .expect("built in")
            .check(&config, &json!({}), &Egress::default());
        let pointers: Vec<String> = errors
            .expect_err(pointer)
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert_eq!(pointers, [pointer], "{config}");
    }
    let all = json!({ "webhook_url": "x", "username": "clyde", "avatar_url": "x" });
    let errors = find("discord")
        .expect("built in")
        .check(&all, &json!({}), &Egress::default());
    assert_eq!(errors.map_err(|errors| errors.len()), Err(3), "all of it at once");
    assert_eq!(
        find("discord")
            .expect("built in")
            .check(&config(), &json!({}), &Egress::default()),
        Ok(())
    );
}

#[test]
fn an_id_that_is_no_number_is_named_and_not_repeated() {
    for (url, says) in [
        ("https://discord.com/api/webhooks/s3cret/t", "id of a webhook"),
        ("https://discord.com/api/webhooks/1/t?thread_id=s3cret", "thread_id"),
    ] {
        let error = webhook(&url.into()).expect_err(url);
        let said = format!("{error:?}");
        assert!(said.contains(says) && !said.contains("s3cret"), "{said}");
    }
    for id in ["1", "1234567890123456789", "18446744073709551615"] {
        let url = format!("https://discord.com/api/webhooks/{id}/t?thread_id={id}");
        assert!(webhook(&url.as_str().into()).is_ok(), "{url}");
    }
}

#[test]
fn the_bar_shows_the_tone() {
    for (event_type, color) in [
        ("execution.failed", 0xFF_00_00),
        ("alert.created", 0xFF_66_00),
        ("alert.resolved", 0x00_FF_00),
        ("canary.started", 0x00_99_FF),
        ("own.type", 0x00_99_FF),
    ] {
        assert_eq!(
            embed_of(&delivery(vec![event(event_type, &json!({}))]))["color"],
            color,
            "{event_type}"
        );
    }
}

#[test]
fn a_link_that_is_too_long_is_named_and_the_others_lead_on() {
    let long = format!("https://example.com/{}", "a".repeat(1_900));
    let data = json!({ "spec": { "url": long }, "pr": { "url": "https://example.com/pull/(42)" }, "logs_url": long });
    let embed = embed_of(&delivery(vec![event("pr.created", &data)]));
    let fields = embed["fields"].as_array().expect("fields");
    assert_eq!(
        fields.last().expect("the links")["value"],
        "View Spec (its address is too long) · [View PR](https://example.com/pull/%2842%29) · View Details (its address \
         is too long)"
    );
    assert_eq!(embed["url"], long, "the title leads there");
}

#[test]
fn fields_beyond_the_sum_of_all_texts_are_counted() {
    let data: serde_json::Map<String, Value> = (0..30)
        .map(|n| (format!("field_{n}"), "x".repeat(700).into()))
        .collect();
    let embed = embed_of(&delivery(vec![event("execution.failed", &data.into())]));
    let fields = embed["fields"].as_array().expect("fields");
    let shown = fields.len() - 1;
    assert!((5..20).contains(&shown), "{shown} fields");
    let counted = format!("and {} more fields", 30 - shown);
    assert_eq!(fields[shown], json!({ "name": "More", "value": counted }));
}

#[test]
fn no_secret_is_printed() {
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let read: Config = serde_json::from_value(config()).expect("a config");
    let printed = format!("{read:?} {:?}", send(config(), None, &one));
    let prepared = Discord::prepare(read, Credentials {}).expect("a good config");
    let printed = format!("{printed} {prepared:?}");
    assert!(!printed.contains("s3cret"), "{printed}");
    let entry = find("discord").expect("built in");
    assert_eq!(entry.mask(&config())["webhook_url"], "***");
    let target = entry.open(config(), json!({}), about()).expect("a target");
    let saved = format!(r#"{{"token":"s3cret-token-of-a-webhook","url":"{WEBHOOK}"}}"#);
    let shown = target.redactor().text(&saved).into_owned();
    assert!(!shown.contains("s3cret"), "{shown}");
}
