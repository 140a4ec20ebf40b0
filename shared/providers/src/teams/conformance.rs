//! A workflow with cards, with single texts and with a template, and a connector of the old kind.
//!
//! Limits: Microsoft's documentation of webhooks in Teams, of formatting cards, and the schemas of Adaptive Cards, read in
//! 2026.

use serde_json::{Value, json};
use signalbox_proto::{
    Delivery,
    integration::Template,
    outcome::OutcomeKind,
    types::{self, Tone},
};

use super::Teams;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, contracts::Claim},
    http,
};

/// Teams takes about 28 KB.
const MESSAGE_BYTES_MAX: usize = 27 * 1_024;
/// Buttons that Teams shows of one card.
const ACTIONS_MAX: usize = 6;
const SIG: &str = "s3cret-of-the-workflow";
const HOOK: &str = "s3cret-of-the-connector";
const QUERY: &str = "api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s3cret-of-the-workflow";
/// What keeps brackets of data from becoming a link.
const JOINER: char = '\u{2060}';

impl Sampled for Teams {
    fn samples() -> Vec<Sample> {
        let url = format!(
            "https://prod-01.westeurope.logic.azure.com:443/workflows/abc/triggers/manual/paths/invoke?{QUERY}"
        );
        let sample = |name, config, template, accepts, claims| Sample {
            name,
            config,
            credentials: json!({}),
            template,
            secrets: vec![SIG],
            accepts,
            claims,
            yes: answer(202, "", OutcomeKind::Delivered),
            answers: workflow_answers(),
        };
        let connector =
            json!({ "webhook_url": format!("https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/{HOOK}/3") });
        vec![
            sample(
                "workflow",
                json!({ "webhook_url": url }),
                None,
                accepts_card,
                claims_card,
            ),
            sample(
                "single text",
                json!({ "webhook_url": url, "use_adaptive_cards": false }),
                None,
                accepts_text,
                claims_text,
            ),
            sample(
                "template",
                json!({ "webhook_url": url }),
                Some(template()),
                accepts_template,
                claims_card,
            ),
            sample(
                "template of a single text",
                json!({ "webhook_url": url, "use_adaptive_cards": false }),
                Some(template()),
                accepts_text,
                claims_text,
            ),
            Sample {
                secrets: vec![HOOK],
                yes: answer(200, "1", OutcomeKind::Delivered),
                answers: connector_answers(),
                ..sample("connector", connector, None, accepts_connector, claims_card)
            },
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("{{ event.title }}: {{ event.data.title|truncate(40) }}".to_owned()),
        body: Some(
            "Look at {{ event.data.error|truncate(900) }} ({{ event.data.reason|truncate(900) }})\n\
             {{ event.data|tojson|truncate(9000) }}\n{{ event.data.message|truncate(900) }}"
                .to_owned(),
        ),
    }
}

/// The card, without the one word of Teams' own that its schema does not know.
fn claims(file: &'static str, request: &http::Request) -> Vec<Claim> {
    let mut body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let mut card = body["attachments"][0]["content"].take();
    card.as_object_mut().expect("a card").remove("msteams");
    vec![Claim {
        file,
        pointer: "",
        document: card,
    }]
}

fn claims_card(request: &http::Request) -> Vec<Claim> {
    claims("teams-adaptive-card-1.5.schema.json", request)
}

fn claims_text(request: &http::Request) -> Vec<Claim> {
    claims("teams-adaptive-card-1.4.schema.json", request)
}

fn accepts_card(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.query(), Some(QUERY), "the query is sent as it was given");
    assert_eq!(request.url.port_or_known_default(), Some(443));
    full_card(request, delivery);
}

fn accepts_connector(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.host_str(), Some("acme.webhook.office.com"));
    full_card(request, delivery);
}

fn full_card(request: &http::Request, delivery: &Delivery) {
    let card = card(request, delivery);
    let body = card["body"].as_array().expect("a body");
    for element in body.iter().take(body.len() - 1) {
        no_markdown(element);
    }
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    card(request, delivery);
}

fn accepts_text(request: &http::Request, _delivery: &Delivery) {
    let card = envelope(request);
    assert_eq!(card["version"], "1.4");
    let body = card["body"].as_array().expect("a body");
    assert_eq!(body.len(), 1, "one text and nothing else");
    let text = body[0]["text"].as_str().expect("a text");
    assert_eq!(
        (&body[0]["type"], &body[0]["wrap"]),
        (&json!("TextBlock"), &json!(true))
    );
    clean(text);
    no_link(text);
    assert!(text.contains("{{TIME("), "type and time come last: {text}");
    assert!(card.get("actions").is_none());
}

/// Reads a card in colours and holds it to every limit.
fn card(request: &http::Request, delivery: &Delivery) -> Value {
    let card = envelope(request);
    assert_eq!(card["version"], "1.5");
    assert_eq!(card["msteams"], json!({ "width": "Full" }));
    let body = card["body"].as_array().expect("a body");
    assert_eq!(body[0]["type"], "Container", "what happened comes first");
    assert_eq!(body[0]["style"], style(delivery), "tone is seen");
    let last = body[body.len() - 1]["text"].as_str().expect("the last line");
    assert!(last.contains(" · ") && last.contains("{{DATE("), "{last}");
    for element in body {
        element_fits(element);
    }
    if let Some(actions) = card.get("actions") {
        let actions = actions.as_array().expect("actions");
        assert!((1..=ACTIONS_MAX).contains(&actions.len()));
        for action in actions {
            assert_eq!(action["type"], "Action.OpenUrl", "others need a bot");
            let url = action["url"].as_str().expect("an address");
            assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
            let title = action["title"].as_str().expect("a title");
            assert!(["View PR", "View Spec", "View Details"].contains(&title), "{title}");
        }
    }
    card
}

fn envelope(request: &http::Request) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert!(request.body.len() <= MESSAGE_BYTES_MAX, "{} bytes", request.body.len());
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["type"], "message");
    let attachments = body["attachments"].as_array().expect("attachments");
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0]["contentType"], "application/vnd.microsoft.card.adaptive");
    assert!(attachments[0]["contentUrl"].is_null());
    let card = attachments[0]["content"].clone();
    assert_eq!(card["type"], "AdaptiveCard");
    let fallback = card["fallbackText"].as_str().expect("a fallback");
    assert!(!fallback.is_empty() && fallback.chars().count() <= 300, "{fallback}");
    no_link(fallback);
    card
}

fn style(delivery: &Delivery) -> &'static str {
    let tone = |accepted: &signalbox_proto::Accepted| {
        let own = accepted.event.look.as_ref().and_then(|look| look.tone);
        let built_in = types::built_in(accepted.event.event_type.as_str()).map(|known| known.tone);
        own.or(built_in).unwrap_or_default()
    };
    let tones: Vec<Tone> = delivery.events.iter().map(tone).collect();
    if tones.contains(&Tone::Bad) {
        "attention"
    } else if tones.contains(&Tone::Neutral) {
        "accent"
    } else {
        "good"
    }
}

fn element_fits(element: &Value) {
    match element["type"].as_str().expect("an element has a type") {
        "TextBlock" => {
            assert_eq!(element["wrap"], true, "long lines are not cut off");
            clean(element["text"].as_str().expect("a text"));
        }
        "RichTextBlock" => {
            let runs = element["inlines"].as_array().expect("runs");
            assert!(!runs.is_empty());
            for run in runs {
                assert_eq!(run["type"], "TextRun");
                clean(run["text"].as_str().expect("a text"));
            }
        }
        "FactSet" => {
            let facts = element["facts"].as_array().expect("facts");
            assert!(!facts.is_empty());
            for fact in facts {
                for part in [&fact["title"], &fact["value"]] {
                    clean(part.as_str().expect("a text"));
                }
            }
        }
        "Container" => element["items"]
            .as_array()
            .expect("items")
            .iter()
            .for_each(element_fits),
        other => panic!("an element of type {other} has no check here"),
    }
}

/// What data brought stands where no Markdown is read, or holds none.
fn no_markdown(element: &Value) {
    let plain = |text: &Value| {
        let text = text.as_str().expect("a text");
        assert!(
            !text.contains(['*', '`', '[', ']', '<', '\\', '~']),
            "Markdown in {text:?}"
        );
        assert!(!text.contains("{{"), "a date in {text:?}");
    };
    match element["type"].as_str() {
        Some("TextBlock") => plain(&element["text"]),
        Some("FactSet") => {
            for fact in element["facts"].as_array().into_iter().flatten() {
                plain(&fact["title"]);
                plain(&fact["value"]);
            }
        }
        Some("Container") => element["items"].as_array().into_iter().flatten().for_each(no_markdown),
        _ => {}
    }
}

/// Links are our own alone. Where a text was cut behind a bracket, that begins none either.
fn no_link(text: &str) {
    const APART: [char; 2] = [JOINER, '…'];
    for part in text.split(']').skip(1) {
        let ours = part.starts_with("(https://example.com/") || part.starts_with("(http");
        let label = ["[View PR]", "[View Spec]", "[View Details]"]
            .iter()
            .any(|label| text.contains(label));
        assert!(part.starts_with(APART) || ours && label, "a link in {text:?}");
    }
    for part in text.split('<').skip(1) {
        assert!(part.starts_with(APART), "a link in {text:?}");
    }
}

/// What holds for any text: not empty, nothing hidden, no direction left open, no sign cut.
fn clean(text: &str) {
    assert!(!text.trim().is_empty(), "nothing to read");
    let hidden = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}')
    };
    assert!(!text.contains(hidden), "{text:?}");
    let marks = |mark| text.matches(mark).count();
    assert_eq!(marks('\u{2068}'), marks('\u{2069}'), "a direction stays open: {text:?}");
    assert!(!text.contains("\u{200d}…"), "cut inside a sign: {text:?}");
}

fn workflow_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(202, "", Delivered),
        answer(200, "", Delivered),
        answer(200, "thank you", Delivered),
        answer(200, r#"{"status":"posted","error":null}"#, Delivered),
        answer(200, r#"{"error":{"code":"502","message":"no such host"}}"#, Retry),
        answer(200, r#"{"error":"upstream"}"#, Retry),
        answer(200, r#"{"error":false,"message":"posted"}"#, Delivered),
        answer(200, "<html>sign in</html>", Retry),
        answer(
            429,
            r#"{"error":{"code":"429","message":"Rate limit is exceeded"}}"#,
            Retry,
        ),
        answer(408, "", Retry),
        answer(500, "", Retry),
        answer(502, r#"{"error":{"code":"NoResponse","message":"x"}}"#, Retry),
        answer(503, "", Retry),
        answer(504, "", Retry),
        answer(
            400,
            r#"{"error":{"code":"TriggerInputSchemaMismatch","message":"x"}}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"error":{"code":"InvalidRequestContent","message":"x"}}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"x"}}"#,
            Suspend,
        ),
        answer(
            404,
            r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"x"}}"#,
            Suspend,
        ),
        answer(404, r#"{"error":{"code":"WorkflowNotFound","message":"x"}}"#, Suspend),
        answer(
            401,
            r#"{"error":{"code":"DirectApiAuthorizationRequired","message":"x"}}"#,
            Suspend,
        ),
        answer(
            401,
            r#"{"error":{"code":"DirectApiInvalidAuthorizationScheme","message":"x"}}"#,
            Suspend,
        ),
        answer(401, "", Suspend),
        answer(403, "", Suspend),
        answer(404, "", Suspend),
        answer(410, "", Suspend),
        answer(413, "Request Entity too large", Reject),
        answer(302, "", Suspend),
    ]
}

fn connector_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let mut answers = vec![
        answer(200, "1", Delivered),
        answer(200, "1\n", Delivered),
        answer(200, "", Retry),
        answer(204, "", Retry),
        answer(200, "0", Retry),
        answer(200, "{}", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, "Summary or Text is required.", Retry),
        answer(
            200,
            "Webhook message delivery failed with error: Error contacting Microsoft Teams endpoint",
            Retry,
        ),
        answer(400, "Bad payload received by generic incoming webhook.", Reject),
        answer(404, "", Suspend),
        answer(410, "", Suspend),
        answer(413, "", Reject),
        answer(429, "", Retry),
        answer(500, "", Retry),
    ];
    for (body, means) in [
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=1",
            Retry,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 502 with ContextId tcid=1",
            Retry,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 400 with ContextId tcid=1",
            Reject,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId tcid=1",
            Reject,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403 with ContextId tcid=1",
            Suspend,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 410 with ContextId tcid=1",
            Suspend,
        ),
        (
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error x",
            Retry,
        ),
    ] {
        answers.push(answer(200, body, means));
    }
    answers
}
