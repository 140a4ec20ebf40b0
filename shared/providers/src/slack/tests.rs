mod limits;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Delivery, Name, integration::Template};

use super::*;
use crate::{About, Egress, Step, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const WEBHOOK: &str = "https://hooks.slack.com/services/T0ABCDEF/B0ABCDEF/s3cret";
const TOKEN: &str = "xoxb-s3cret";

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
    let provider: Name = "slack".parse().expect("a name");
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

fn webhook_config() -> Value {
    json!({ "webhook_url": WEBHOOK, "mention_on_failure": ["@channel", "U012AB3CD", "S012AB3CD"] })
}

fn target() -> Target<Slack> {
    let config = serde_json::from_value(webhook_config()).expect("a config");
    let credentials = serde_json::from_value(json!({})).expect("credentials");
    Target {
        about: about(),
        prepared: Slack::prepare(config, credentials).expect("a good config"),
        texts: None,
        redactor: crate::redact::Redactor::default(),
    }
}

fn build(target: &Target<Slack>, delivery: &Delivery, text: &Text) -> http::Request {
    match Slack::request(target, delivery, text, NOW) {
        Request::Http(request) => request,
        other => panic!("{other:?}"),
    }
}

fn body_of(delivery: &Delivery) -> Value {
    serde_json::from_slice(&build(&target(), delivery, &Text::default()).body).expect("JSON")
}

/// As a worker does it: by the registry, with the owner's template.
fn send(config: Value, credentials: Value, template: Option<&Template>, delivery: &Delivery) -> http::Request {
    let target = find("slack")
        .expect("built in")
        .open_with_template(config, credentials, about(), template)
        .expect("a target");
    match target.next(delivery, &[], NOW) {
        Step::Send(Request::Http(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
        .collect();
    let auth = match &request.auth {
        Auth::Authorization(value) => Value::from(value.to_str().expect("ASCII")),
        Auth::None => Value::Null,
    };
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "authorization": auth,
        "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/slack/golden/{name}.json"));
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
            "implementation-started",
            "implementation.started",
            json!({ "spec": spec, "branch": "spec/feat-0001" }),
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
            "implementation-failed",
            "implementation.failed",
            json!({ "spec": spec, "error": "Schema validation failed", "logs_url": "https://example.com/logs/8" }),
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
                "note": null, "total": 19.90, "comment": "<!channel> *now* & `then`\n> quoted", "callbackURL": "javascript:x",
                "items": [{ "sku": "a-1", "count": 2 }, { "sku": "b-2", "count": 1 }], "שם": "שלום \u{202e}עולם",
            }),
        ),
    ]
}

#[test]
fn messages_are_as_recorded() {
    for (name, event_type, data) in samples() {
        golden(
            name,
            &build(&target(), &delivery(vec![event(event_type, &data)]), &Text::default()),
        );
    }
}

#[test]
fn a_digest_is_one_message_as_recorded() {
    let events: Vec<Accepted> = samples()
        .iter()
        .map(|(_, event_type, data)| event(event_type, data))
        .collect();
    golden("digest", &build(&target(), &delivery(events), &Text::default()));
    let many = (0..60).map(|n| event("execution.failed", &json!({ "error": format!("error {n}") })));
    let body = body_of(&delivery(many.collect()));
    let text = body.to_string();
    assert!(
        text.contains("📚 60 events") && text.contains("60 × Execution Failed"),
        "{text}"
    );
    assert!(text.contains("and 20 more events"), "{text}");
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let data = json!({ "error": "<!channel> & co", "logs_url": "https://example.com/logs/7", "who": "!here" });
    let one = delivery(vec![event("execution.failed", &data)]);
    let template = Template {
        title: Some("Run broke: {{ event.data.error }}".to_owned()),
        body: Some(
            "<https://example.com|Runbook> for *{{ event.type }}*\n> {{ event.data.error }} <{{ event.data.who }}>"
                .to_owned(),
        ),
    };
    golden("template", &send(webhook_config(), json!({}), Some(&template), &one));
    let marked = Template {
        title: Some("<https://example.com|Look> at `{{ event.type }}`".to_owned()),
        body: None,
    };
    golden(
        "template-marked-title",
        &send(webhook_config(), json!({}), Some(&marked), &one),
    );
}

#[test]
fn a_bot_posts_to_its_channel_and_its_probe_is_seen_by_nobody() {
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let (config, credentials) = (json!({ "channel": "C012AB3CD" }), json!({ "bot_token": TOKEN }));
    golden("bot", &send(config.clone(), credentials.clone(), None, &one));
    let entry = find("slack").expect("built in");
    let target = entry.open(config, credentials, about()).expect("a target");
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("a bot has a probe")
    };
    golden("bot-probe", &probe);
    let webhook = entry.open(webhook_config(), json!({}), about()).expect("a target");
    assert!(webhook.probe(NOW).is_none());
}

#[test]
fn a_base_url_may_have_a_path_and_end_in_api() {
    for (base, expected) in [
        ("https://slack-gov.com", "https://slack-gov.com/api/chat.postMessage"),
        ("https://slack.com/", "https://slack.com/api/chat.postMessage"),
        ("https://slack.com/api/", "https://slack.com/api/chat.postMessage"),
        (
            "http://127.0.0.1:9000/proxy",
            "http://127.0.0.1:9000/proxy/api/chat.postMessage",
        ),
    ] {
        let config = json!({ "channel": "#ops", "base_url": base });
        let one = delivery(vec![event("alert.created", &json!({}))]);
        let request = send(config, json!({ "bot_token": TOKEN }), None, &one);
        assert_eq!(request.url.as_str(), expected);
    }
}

#[test]
fn only_bad_news_mention_and_data_mentions_nobody() {
    let data = json!({ "message": "<!channel> <@U1> @channel", "error": "``` <!here>" });
    let ours = "<!channel> <@U012AB3CD> <!subteam^S012AB3CD>";
    let bad = body_of(&delivery(vec![event("execution.failed", &data)])).to_string();
    assert!(bad.contains(ours), "{bad}");
    assert!(bad.contains("&lt;!channel&gt; &lt;@U1&gt;"), "{bad}");
    assert!(!bad.contains("<!here>"), "{bad}");
    let good = body_of(&delivery(vec![event("alert.resolved", &data)])).to_string();
    assert!(!good.contains("<!channel>"), "{good}");
    let mixed = delivery(vec![event("alert.resolved", &data), event("alert.created", &data)]);
    assert!(
        body_of(&mixed).to_string().contains(ours),
        "a digest is as bad as its worst"
    );
}

#[test]
fn a_channel_is_sent_to_a_webhook_too_and_warned_of() {
    let config = json!({ "webhook_url": WEBHOOK, "channel": " #ops " });
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let body = |config: &Value| -> Value {
        serde_json::from_slice(&send(config.clone(), json!({}), None, &one).body).expect("JSON")
    };
    assert_eq!(body(&config)["channel"], "#ops");
    assert_eq!(body(&webhook_config()).get("channel"), None);
    let warnings = find("slack").expect("built in").warnings(&config, &json!({}));
    assert!(
        warnings[0].to_string().contains("the webhook of an app"),
        "{warnings:?}"
    );
}

#[test]
fn a_mention_given_twice_is_made_once() {
    let config = json!({ "webhook_url": WEBHOOK, "mention_on_failure": ["@here", "@here", "@everyone", "W012AB3CD"] });
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let request = send(config, json!({}), None, &one);
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["blocks"][1]["text"]["text"], "<!here> <!everyone> <@W012AB3CD>");
}

fn refused(config: &Value, credentials: &Value, egress: &Egress) -> Vec<String> {
    let checked = find("slack").expect("built in").check(config, credentials, egress);
    checked
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|error| error.pointer)
        .collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let bot = |config: Value| (config, json!({ "bot_token": TOKEN }));
    let cases = [
        (json!({}), json!({}), "config/webhook_url"),
        (
            json!({ "webhook_url": WEBHOOK }),
            json!({ "bot_token": TOKEN }),
            "credentials/bot_token",
        ),
        (json!({ "webhook_url": "" }), json!({}), "config/webhook_url"),
        (
            json!({ "webhook_url": "https://example.com/services/x" }),
            json!({}),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://hooks.slack.com.evil.example/services/x" }),
            json!({}),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "http://hooks.slack.com/services/x" }),
            json!({}),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://slack.com/api" }),
            json!({}),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "https://a:b@hooks.slack.com/services/x" }),
            json!({}),
            "config/webhook_url",
        ),
        (json!({ "webhook_url": 7 }), json!({}), "config/webhook_url"),
        (
            json!({ "webhook_url": WEBHOOK, "mention_on_failure": ["@here", "bob"] }),
            json!({}),
            "config/mention_on_failure/1",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "mention_on_failure": ["<!channel>"] }),
            json!({}),
            "config/mention_on_failure/0",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "mention_on_failure": ["U01>x"] }),
            json!({}),
            "config/mention_on_failure/0",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "mention_on_failure": vec!["@here"; 21] }),
            json!({}),
            "config/mention_on_failure",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "colour": "red" }),
            json!({}),
            "config/colour",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "channel": "two words" }),
            json!({}),
            "config/channel",
        ),
        (json!({}), json!({ "bot_token": TOKEN }), "config/channel"),
        (
            json!({ "channel": "#a" }),
            json!({ "bot_token": "" }),
            "credentials/bot_token",
        ),
        (
            json!({ "channel": "#a" }),
            json!({ "bot_token": "a\nb" }),
            "credentials/bot_token",
        ),
        bot_case(bot(json!({ "channel": "#a", "base_url": "https://evil.example" }))),
        bot_case(bot(json!({ "channel": "#a", "base_url": "ftp://slack.com" }))),
        bot_case(bot(json!({ "channel": "#a", "base_url": "http://127.0.0.1:9" }))),
    ];
    for (config, credentials, pointer) in cases {
        assert_eq!(
            refused(&config, &credentials, &Egress::default()),
            [pointer],
            "{config}"
        );
    }
}

fn bot_case((config, credentials): (Value, Value)) -> (Value, Value, &'static str) {
    (config, credentials, "config/base_url")
}

#[test]
fn another_host_must_lie_where_the_operator_allows_it() {
    let open = Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    };
    for (url, fits) in [
        ("http://127.0.0.1:9000/hook", true),
        ("https://127.1.2.3/hook", true),
        ("http://localhost:9000/hook", true),
        // Connected to allowed ranges alone, whatever it resolves to.
        ("http://slack.internal/hook", true),
        ("https://slack.internal/hook", false),
        ("http://10.0.0.1/hook", false),
        ("https://93.184.215.14/hook", false),
        ("http://hooks.slack.com/services/x", false),
        (WEBHOOK, true),
        ("https://hooks.slack-gov.com/services/T0/B0/x", true),
    ] {
        let errors = refused(&json!({ "webhook_url": url }), &json!({}), &open);
        assert_eq!(errors.is_empty(), fits, "{url}: {errors:?}");
    }
}

#[test]
fn fields_without_effect_are_warned_of() {
    let entry = find("slack").expect("built in");
    let warned = |config: &Value| -> Vec<String> {
        let warnings = entry.warnings(config, &json!({}));
        warnings.into_iter().map(|warning| warning.pointer).collect()
    };
    assert_eq!(warned(&webhook_config()), [""; 0]);
    assert_eq!(
        warned(&json!({ "webhook_url": WEBHOOK, "channel": "#ops" })),
        ["config/channel"]
    );
    assert_eq!(
        warned(&json!({ "webhook_url": WEBHOOK, "base_url": "https://slack.com" })),
        ["config/base_url"]
    );
    assert_eq!(
        warned(&json!({ "webhook_url": "https://hooks.slack.com/workflows/T0/A0/x" })),
        ["config/webhook_url"]
    );
    assert_eq!(
        warned(&json!({ "channel": "#ops" })),
        [""; 0],
        "what does not pass is told as an error"
    );
    let bot = entry.warnings(&json!({ "channel": "#ops" }), &json!({ "bot_token": TOKEN }));
    assert_eq!(bot, []);
}

#[test]
fn no_secret_is_printed() {
    let target = target();
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let config: Config = serde_json::from_value(webhook_config()).expect("a config");
    let credentials = || -> Credentials { serde_json::from_value(json!({ "bot_token": TOKEN })).expect("credentials") };
    let bot_config: Config = serde_json::from_value(json!({ "channel": "#ops" })).expect("a config");
    let printed = format!(
        "{config:?} {:?} {:?} {:?} {:?}",
        credentials(),
        target.prepared,
        build(&target, &one, &Text::default()),
        Slack::prepare(bot_config, credentials()).map_err(|_| "refused")
    );
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("hooks.slack.com"), "{printed}");
    let errors = find("slack").expect("built in").check(
        &json!({ "webhook_url": format!("{WEBHOOK} {WEBHOOK}\n"), "base_url": WEBHOOK }),
        &json!({ "bot_token": TOKEN }),
        &Egress::default(),
    );
    assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    let entry = find("slack").expect("built in");
    assert_eq!(entry.mask(&webhook_config())["webhook_url"], "***");
}

/// What a request costs beside one of the webhook: printed, and bounded so generously that only a mistake fails.
#[test]
fn a_small_event_costs_a_few_times_what_a_webhook_does() {
    let data = json!({ "agent_name": "builder", "success_rate": 0.925, "error": "x".repeat(300), "version": "1.4.2" });
    let one = delivery(vec![event("execution.failed", &data)]);
    let time = |provider: &str, config: Value| {
        let target = find(provider)
            .expect("built in")
            .open(config, json!({}), about())
            .expect("a target");
        let begun = Instant::now();
        for _ in 0..2_000 {
            std::hint::black_box(target.next(&one, &[], NOW));
        }
        begun.elapsed() / 2_000
    };
    let webhook = time("webhook", json!({ "url": "https://hooks.example.com/in" }));
    let slack = time("slack", webhook_config());
    eprintln!("a request of 512 bytes: webhook {webhook:?}, slack {slack:?}");
    assert!(
        slack < 50 * webhook + Duration::from_millis(1),
        "webhook {webhook:?}, slack {slack:?}"
    );
}
