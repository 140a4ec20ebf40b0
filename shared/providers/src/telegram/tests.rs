mod moves;
mod settings;

use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Delivery, Name, integration::Template, outcome::OutcomeKind, types};

use super::*;
use crate::{About, conformance::as_http, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const TOKEN: &str = "987654321:AAs3cret_of-the-bot_0123456789abcde";

/// As it is accepted: the severity is the event's own, else its type's.
fn event(event_type: &str, data: &Value) -> Accepted {
    let severity: Option<signalbox_proto::Severity> = serde_json::from_value(data["severity"].clone()).ok();
    serde_json::from_value(json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "time": "2025-12-31T23:59:58Z",
            "severity": severity.unwrap_or_else(|| types::default_severity(event_type)),
            "severity_named": severity.is_some(), "data": data,
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "telegram".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.events = events;
    delivery
}

fn one(event_type: &str, data: &Value) -> Delivery {
    delivery(vec![event(event_type, data)])
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "team-chat".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    }
}

fn config() -> Value {
    json!({ "chat_id": -1_001_234_567_890_i64 })
}

fn credentials() -> Value {
    json!({ "bot_token": TOKEN })
}

/// As a worker has it: by the registry, with the owner's template.
fn target(config: Value, template: Option<&Template>) -> Box<dyn crate::AnyTarget> {
    find("telegram")
        .expect("built in")
        .open_with_template(config, credentials(), about(), template)
        .expect("a target")
}

/// The next request after these answers.
fn after(
    target: &dyn crate::AnyTarget,
    delivery: &Delivery,
    answers: &[(u16, &str)],
) -> Result<http::Request, Outcome> {
    let so_far: Vec<Exchange> = answers
        .iter()
        .map(|(status, body)| Exchange {
            response: Response {
                status: *status,
                headers: HeaderMap::new(),
                body: (*body).to_owned().into(),
                truncated: false,
            },
        })
        .collect();
    match target.next(delivery, &so_far, NOW) {
        Step::Send(request) => Ok(as_http(request)),
        Step::Done(outcome) => Err(outcome),
    }
}

fn send(config: Value, template: Option<&Template>, delivery: &Delivery) -> http::Request {
    after(&*target(config, template), delivery, &[]).expect("a request")
}

fn body_of(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

fn text_of(template: Option<&Template>, delivery: &Delivery) -> String {
    body_of(&send(config(), template, delivery))["text"]
        .as_str()
        .expect("a text")
        .to_owned()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set. The text stands
/// there line by line.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
        .collect();
    let mut body = body_of(request);
    if let Some(text) = body["text"].as_str() {
        body["text"] = text.split('\n').collect();
    }
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str().replace(TOKEN, "TOKEN"), "headers": headers,
        "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/telegram/golden/{name}.json"));
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
                "error": "no space left on <device> & more\n  at write() of @acme/disk", "logs_url": "https://example.com/logs/7",
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
        (
            "canary-promoted",
            "canary.promoted",
            json!({ "version": "1.4.2", "success_rate": 0.9991 }),
        ),
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
            json!({ "reason": "two of three agents are down", "logs_url": "http://localhost:3000/logs" }),
        ),
        ("integration-test", "integration.test", json!({})),
        (
            "own-type",
            "shop.order-paid",
            json!({
                "order": { "id": 7, "lines": [1, 2, 3], "buyer": { "name": "Ann <ann@example.com>" } }, "paid": true,
                "note": null, "total": 19.90, "comment": "@everyone <b>now</b>\n> /ban@another_bot", "callbackURL": "javascript:x",
                "items": [{ "sku": "a-1", "count": 2 }, { "sku": "b-2", "count": 1 }], "שם": "שלום \u{202e}עולם",
            }),
        ),
    ]
}

#[test]
fn messages_are_as_recorded() {
    for (name, event_type, data) in samples() {
        golden(name, &send(config(), None, &one(event_type, &data)));
    }
}

#[test]
fn a_digest_is_one_message_as_recorded() {
    let events: Vec<Accepted> = samples()
        .iter()
        .map(|(_, event_type, data)| event(event_type, data))
        .collect();
    golden("digest", &send(config(), None, &delivery(events)));
    let many = (0..60).map(|n| event("execution.failed", &json!({ "error": format!("error {n}") })));
    let text = text_of(None, &delivery(many.collect()));
    assert!(
        text.starts_with("📚 <b>60 events</b>\n60 × Execution Failed\n"),
        "{text}"
    );
    let lines = text.lines().filter(|line| line.starts_with("❌ ")).count();
    assert!(
        text.contains(&format!("<i>and {} more events</i>", 60 - lines)),
        "{lines} lines in {text}"
    );
    assert!(lines >= 30, "{lines} lines in {text}");
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let data =
        json!({ "error": "<b>@ann</b> & co", "logs_url": "https://example.com/logs/7", "who": "tg://user?id=7" });
    let template = Template {
        title: Some("Run broke: {{ event.data.error }}".to_owned()),
        body: Some(
            "<a href=\"https://example.com\">Runbook</a> for <code>{{ event.type }}</code>, @oncall\n\
             <blockquote>{{ event.data.error }} <a href=\"{{ event.data.who }}\">who</a>"
                .to_owned(),
        ),
    };
    golden(
        "template",
        &send(config(), Some(&template), &one("execution.failed", &data)),
    );
    let title = |title: &str| Template {
        title: Some(title.to_owned()),
        body: None,
    };
    let first_line = |template: &Template| {
        let text = text_of(Some(template), &one("execution.failed", &data));
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(
        first_line(&title("<i>Look</i> at {{ event.type }}")),
        "<i>Look</i> at execution.failed"
    );
    assert_eq!(
        first_line(&title("<i></i>{{ event.data.nothing }}")),
        "❌ <b>Execution Failed</b>"
    );
}

#[test]
fn a_topic_and_silence_are_asked_for_and_a_probe_is_seen_by_nobody() {
    let config = json!({ "chat_id": " @acme_alerts ", "message_thread_id": 42, "disable_notification": true });
    golden("topic", &send(config.clone(), None, &one("alert.created", &json!({}))));
    let Some(Request::Http(probe)) = target(config, None).probe(NOW) else {
        panic!("a bot has a probe")
    };
    golden("probe", &probe);
}

#[test]
fn tone_and_severity_have_a_colour() {
    for (event_type, severity, dot) in [
        ("execution.failed", "critical", "🔴 critical"),
        ("execution.failed", "high", "🔴 high"),
        ("execution.failed", "low", "🟠 low"),
        ("alert.resolved", "low", "🟢 low"),
        ("canary.started", "high", "🔵 high"),
    ] {
        let text = text_of(None, &one(event_type, &json!({ "severity": severity })));
        assert!(
            text.contains(&format!("\n\n{dot} · <code>{event_type}</code>")),
            "{text}"
        );
    }
    let mut own = event("own.type", &json!({}));
    own.event.look = Some(types::Look {
        title: None,
        emoji: None,
        tone: Some(types::Tone::Bad),
    });
    assert!(
        text_of(None, &delivery(vec![own])).contains("🟠 low"),
        "the emoji does not tell it"
    );
}

/// Telegram refuses the whole message for such a button.
#[test]
fn an_address_that_no_button_may_open_is_a_line_of_the_text() {
    let of = |url: &str| {
        body_of(&send(
            config(),
            None,
            &one("alert.created", &json!({ "logs_url": url })),
        ))
    };
    for url in [
        "http://localhost:3000/logs",
        "https://ci/build/7",
        "http://[::1]:8080/x",
        "https://localhost./x",
        "https://example.com:0/",
        "https://a\"b.example.com/",
    ] {
        let body = of(url);
        assert!(body.get("reply_markup").is_none(), "{url}: {body}");
        let text = body["text"].as_str().expect("a text");
        assert!(
            text.contains("View Details: http") || text.contains("Logs URL"),
            "{url}: {text}"
        );
    }
    for url in [
        "https://example.com/logs?a=b&c=d",
        "http://127.0.0.1:8080/x",
        "https://a_b.example.com.",
    ] {
        let body = of(url);
        assert_eq!(
            body["reply_markup"]["inline_keyboard"][0][0]["text"], "View Details",
            "{url}: {body}"
        );
        assert!(
            !body["text"].as_str().expect("a text").contains("View Details"),
            "{url}: {body}"
        );
    }
}

#[test]
fn what_a_server_does_not_take_is_sent_once_more_as_plain_text() {
    const TOO_RICH: (u16, &str) = (
        400,
        r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: Unsupported start tag \"tg-time\" at byte offset 9"}"#,
    );
    const YES: (u16, &str) = (200, r#"{"ok":true,"result":{"message_id":7}}"#);
    let data = json!({ "error": "a < b & @ann", "logs_url": "https://example.com/logs/7" });
    let delivery = one("execution.failed", &data);
    let target = target(config(), None);
    let plain = after(&*target, &delivery, &[TOO_RICH]).expect("a second request");
    golden("plain", &plain);
    let outcome = |answers: &[(u16, &str)]| after(&*target, &delivery, answers).expect_err("the end").kind();
    assert_eq!(outcome(&[TOO_RICH, YES]), OutcomeKind::Delivered);
    assert_eq!(outcome(&[TOO_RICH, TOO_RICH]), OutcomeKind::Reject, "and no third time");
    assert_eq!(outcome(&[TOO_RICH, (429, "")]), OutcomeKind::Retry);
    assert_eq!(outcome(&[YES]), OutcomeKind::Delivered);
}

#[test]
fn much_text_keeps_room_for_the_last_line() {
    for sign in ["x", "𝕳", "<", "@", "שלום ", "👩\u{200d}👩\u{200d}👧\u{200d}👦"] {
        let fields = (0..60).map(|n| (format!("field_{n}"), Value::from(sign.repeat(800))));
        let mut data: serde_json::Map<String, Value> = fields.collect();
        data.insert("title".to_owned(), sign.repeat(500).into());
        data.insert("message".to_owned(), sign.repeat(2_000).into());
        let text = text_of(None, &one("execution.failed", &data.into()));
        assert!(
            text.ends_with(" · Signalbox") && text.contains(" more fields</i>\n\n🔴"),
            "{sign}: {text}"
        );
    }
}
