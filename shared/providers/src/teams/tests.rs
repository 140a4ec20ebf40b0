use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Accepted, Delivery, Name, Outcome, integration::Template};

use super::*;
use crate::{About, Egress, conformance::as_http, find, http::Response};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const WEBHOOK: &str = "https://prod-01.westeurope.logic.azure.com/workflows/abc/triggers/manual/paths/invoke?\
                       api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s3cret-signature";

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
    let provider: Name = "teams".parse().expect("a name");
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
    let target = find("teams")
        .expect("built in")
        .open_with_template(config, json!({}), about(), template)
        .expect("a target");
    match target.next(delivery, &[], NOW) {
        Step::Send(request) => as_http(request),
        Step::Done(outcome) => panic!("no request: {outcome:?}"),
    }
}

fn config() -> Value {
    json!({ "webhook_url": WEBHOOK })
}

fn card_of(request: &http::Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    body["attachments"][0]["content"].clone()
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").into()))
        .collect();
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/teams/golden/{name}.json"));
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
                "note": null, "total": 19.90, "comment": "@everyone <at>Ann</at> *now* & `then`\n> quoted [x](https://evil.example)",
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
fn a_digest_is_one_card_as_recorded() {
    let events = samples()
        .into_iter()
        .map(|(_, event_type, data)| event(event_type, &data));
    golden("digest", &send(config(), None, &delivery(events.collect())));
    let many = (0..60).map(|n| event("execution.failed", &json!({ "error": format!("error {n}") })));
    let card = card_of(&send(config(), None, &delivery(many.collect()))).to_string();
    assert!(
        card.contains("📚 60 events") && card.contains("and 20 more events"),
        "{card}"
    );
}

#[test]
fn without_cards_a_message_is_one_text_as_recorded() {
    let config = json!({ "webhook_url": WEBHOOK, "use_adaptive_cards": false });
    let (_, event_type, data) = samples().swap_remove(5);
    let one = delivery(vec![event(event_type, &data)]);
    golden("single-text", &send(config.clone(), None, &one));
    let events = samples()
        .into_iter()
        .map(|(_, event_type, data)| event(event_type, &data));
    golden("single-text-digest", &send(config, None, &delivery(events.collect())));
}

#[test]
fn a_template_takes_the_place_of_title_and_fields_as_recorded() {
    let data = json!({ "error": "<at>x</at> & [co](https://evil.example)", "logs_url": "https://example.com/logs/7" });
    let template = Template {
        title: Some("Run broke: {{ event.data.error }}".to_owned()),
        body: Some("[Runbook](https://example.com) for **{{ event.type }}**\n\n- {{ event.data.error }}".to_owned()),
    };
    let one = delivery(vec![event("execution.failed", &data)]);
    golden("template", &send(config(), Some(&template), &one));
}

#[test]
fn a_card_keeps_to_the_size_and_counts_what_it_leaves_out() {
    for text in ["x", "\"", "\\", "שלום ", "👩\u{200d}👩\u{200d}👧\u{200d}👦", "a\n"] {
        let text = text.repeat(2_000);
        let mut data: serde_json::Map<String, Value> =
            (0..30).map(|n| (format!("field_{n}"), text.clone().into())).collect();
        for name in ["title", "message", "error"] {
            data.insert(name.to_owned(), text.clone().into());
        }
        let one = delivery(vec![event("execution.failed", &data.into())]);
        for cards in [true, false] {
            let config = json!({ "webhook_url": WEBHOOK, "use_adaptive_cards": cards });
            let request = send(config, None, &one);
            assert!(
                request.body.len() <= card::MESSAGE_BYTES_MAX,
                "{} bytes",
                request.body.len()
            );
            let card = card_of(&request);
            let (shown, counted) = (shown_fields(&card), counted(&card));
            // Twenty of the others and the error are taken for a card at most.
            assert_eq!(
                shown + counted,
                31,
                "{cards} {text:.9}: {shown} shown, {counted} counted"
            );
            assert!(shown >= 5, "{shown} shown");
        }
    }
}

/// How many fields of the last test stand in a card.
fn shown_fields(card: &Value) -> usize {
    let text = card["body"].to_string();
    text.matches("Field ").count() + usize::from(text.contains("\"Error\"") || text.contains("Error: "))
}

/// What the note at the end counts.
fn counted(card: &Value) -> usize {
    let text = card["body"].to_string();
    let Some((_, behind)) = text.rsplit_once("and ") else {
        return 0;
    };
    let number = behind.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

#[test]
fn a_long_template_is_cut_by_lines_and_counts_them() {
    let template = Template {
        title: None,
        body: Some("{% for n in range(900) %}line {{ n }} of the report, which is long\n{% endfor %}".to_owned()),
    };
    let one = delivery(vec![event("execution.failed", &json!({}))]);
    for cards in [true, false] {
        let config = json!({ "webhook_url": WEBHOOK, "use_adaptive_cards": cards });
        let request = send(config, Some(&template), &one);
        assert!(request.body.len() <= card::MESSAGE_BYTES_MAX);
        let card = card_of(&request);
        let lines = card["body"].to_string().matches("of the report").count();
        assert_eq!(lines + counted(&card), 900, "{lines} lines");
    }
}

#[test]
fn the_address_is_sent_as_it_was_given() {
    let one = delivery(vec![event("alert.created", &json!({}))]);
    for (given, sent) in [
        (WEBHOOK.to_owned(), WEBHOOK.to_owned()),
        (format!(" {WEBHOOK}\n"), WEBHOOK.to_owned()),
        (
            "https://default1.a7.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/1/\
             triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=x-_y"
                .to_owned(),
            "https://default1.a7.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/1/\
             triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=x-_y"
                .to_owned(),
        ),
        (
            "https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4".to_owned(),
            "https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4".to_owned(),
        ),
    ] {
        let config = json!({ "webhook_url": given });
        assert_eq!(
            find("teams")
                .expect("built in")
                .check(&config, &json!({}), &Egress::default()),
            Ok(()),
            "{given}"
        );
        assert_eq!(send(config, None, &one).url.as_str(), sent);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (config, pointer) in [
        (json!({}), "config/webhook_url"),
        (json!({ "webhook_url": "" }), "config/webhook_url"),
        (
            json!({ "webhook_url": "https://logic.azure.com.evil.example/?sig=x" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": "http://prod-01.westeurope.logic.azure.com/?sig=x" }),
            "config/webhook_url",
        ),
        (
            json!({ "webhook_url": WEBHOOK, "use_adaptive_cards": "yes" }),
            "config/use_adaptive_cards",
        ),
        (json!({ "webhook_url": WEBHOOK, "channel": "#ops" }), "config/channel"),
    ] {
        let errors = find("teams")
            .expect("built in")
            .check(&config, &json!({}), &Egress::default());
        let pointers: Vec<String> = errors
            .expect_err(pointer)
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert_eq!(pointers, [pointer], "{config}");
    }
}

#[test]
fn what_will_not_work_for_long_is_warned_of() {
    let warned = |url: &str| {
        let warnings = find("teams")
            .expect("built in")
            .warnings(&json!({ "webhook_url": url }), &json!({}));
        warnings.first().map(ToString::to_string).unwrap_or_default()
    };
    assert_eq!(warned(WEBHOOK), "");
    assert_eq!(warned("http://127.0.0.1:9000/teams"), "");
    let old = warned("https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4");
    assert!(old.contains("make a workflow"), "{old}");
    let unsigned = warned("https://default1.a7.environment.api.powerplatform.com/invoke?api-version=1");
    assert!(unsigned.contains("has no sig"), "{unsigned}");
}

#[test]
fn an_error_inside_a_200_is_no_success() {
    let told = |status: &str| {
        format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with ContextId tcid=1,server=X"
        )
    };
    let connector = "https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4";
    for url in [connector, WEBHOOK] {
        let target = find("teams").expect("built in");
        let target = target
            .open(json!({ "webhook_url": url }), json!({}), about())
            .expect("a target");
        let one = delivery(vec![event("alert.created", &json!({}))]);
        let outcome = |body: String| {
            let response = Response {
                status: 200,
                headers: HeaderMap::from_iter([(
                    HeaderName::from_static("retry-after"),
                    HeaderValue::from_static("37"),
                )]),
                body: body.into(),
                truncated: false,
            };
            match target.next(&one, &[Exchange { response }], NOW) {
                Step::Done(outcome) => outcome,
                Step::Send(request) => panic!("another request {request:?}"),
            }
        };
        for status in ["429", "503"] {
            match outcome(told(status)) {
                Outcome::Retry { after, reason } => {
                    assert_eq!(after, Some(Duration::from_secs(37)));
                    assert!(reason.contains(status), "{reason}");
                }
                other => panic!("{status}: {other:?}"),
            }
        }
        assert!(matches!(outcome(told("413")), Outcome::Reject { .. }));
        assert!(matches!(outcome(told("410")), Outcome::Suspend { at_once: true, .. }));
        assert_eq!(outcome("1".to_owned()), Outcome::Delivered);
    }
}

#[test]
fn there_is_no_probe_as_all_that_is_taken_is_shown() {
    let target = find("teams")
        .expect("built in")
        .open(config(), json!({}), about())
        .expect("a target");
    assert!(target.probe(NOW).is_none());
}

#[test]
fn no_secret_is_printed() {
    let one = delivery(vec![event("alert.created", &json!({}))]);
    let read: Config = serde_json::from_value(config()).expect("a config");
    let printed = format!("{read:?} {:?}", send(config(), None, &one));
    let prepared = Teams::prepare(read, Credentials {}).expect("a good config");
    let printed = format!("{printed} {prepared:?}");
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(find("teams").expect("built in").mask(&config())["webhook_url"], "***");
}
