//! `slack`: incoming webhooks and chat.postMessage, held to the limits of Block Kit.
//!
//! Limits: the model classes of the vendor's Python SDK (`slack_sdk/models/blocks`) and Slack's reference of blocks and of
//! incoming webhooks, read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind};
use signalbox_providers::http;

use crate::fixture::{Answer, Fixture, answer};

/// What Slack advises for `text`.
const TEXT_CHARS_MAX: usize = 4_000;
const BLOCKS_MAX: usize = 50;
const ATTACHMENTS_MAX: usize = 100;
/// Block ids and action ids.
const ID_CHARS_MAX: usize = 255;

const WEBHOOK: &str = "T0ABCDEF/B0ABCDEF/s3cret-of-the-webhook";
const TOKEN: &str = "xoxb-s3cret-of-the-bot";

pub(crate) fn fixtures() -> Vec<Fixture> {
    let webhook = json!({
        "webhook_url": format!("https://hooks.slack.com/services/{WEBHOOK}"),
        "mention_on_failure": ["@channel", "U012ABCDEF", "S012ABCDEF"],
    });
    vec![
        Fixture {
            provider: "slack",
            name: "incoming webhook",
            config: webhook,
            credentials: json!({}),
            secrets: vec!["s3cret-of-the-webhook"],
            accepts: accepts_webhook,
            answers: webhook_answers(),
        },
        Fixture {
            provider: "slack",
            name: "bot token",
            config: json!({ "channel": "#ops", "mention_on_failure": ["@here"] }),
            credentials: json!({ "bot_token": TOKEN }),
            secrets: vec!["s3cret-of-the-bot"],
            accepts: accepts_message,
            answers: message_answers(),
        },
    ]
}

fn accepts_webhook(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.host_str(), Some("hooks.slack.com"));
    let body = message(request, delivery);
    for field in ["channel", "username", "icon_emoji"] {
        assert!(body.get(field).is_none(), "an app webhook ignores {field}");
    }
}

fn accepts_message(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://slack.com/api/chat.postMessage");
    assert_eq!(message(request, delivery)["channel"], "#ops");
}

/// Reads a message and holds it to every limit.
fn message(request: &http::Request, delivery: &Delivery) -> Value {
    let content_type = request.headers["content-type"].to_str().expect("ASCII");
    assert_eq!(content_type, "application/json; charset=utf-8");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let fallback = body["text"].as_str().expect("text is always sent");
    mrkdwn(fallback, TEXT_CHARS_MAX, "text", delivery);
    let attachments = body["attachments"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(attachments.len() <= ATTACHMENTS_MAX);
    let own = body["blocks"].as_array().into_iter().flatten();
    let inner = attachments
        .iter()
        .flat_map(|attachment| attachment["blocks"].as_array().into_iter().flatten());
    let blocks: Vec<&Value> = own.chain(inner).collect();
    assert!((1..=BLOCKS_MAX).contains(&blocks.len()), "{} blocks", blocks.len());
    let mut ids = std::collections::BTreeSet::new();
    for block in blocks {
        if let Some(id) = block["block_id"].as_str() {
            assert!(id.chars().count() <= ID_CHARS_MAX && ids.insert(id), "block_id {id}");
        }
        check_block(block, delivery);
    }
    body
}

fn check_block(block: &Value, delivery: &Delivery) {
    let list = |field: &str| block[field].as_array().map_or(&[][..], Vec::as_slice);
    match block["type"].as_str().expect("a block has a type") {
        "header" => {
            assert_eq!(block["text"]["type"], "plain_text");
            text_object(&block["text"], 150, "header", delivery);
        }
        "section" => {
            let fields = list("fields");
            assert!(fields.len() <= 10, "{} fields", fields.len());
            assert!(
                !block["text"].is_null() || !fields.is_empty(),
                "a section says something"
            );
            if !block["text"].is_null() {
                text_object(&block["text"], 3_000, "section", delivery);
            }
            fields
                .iter()
                .for_each(|field| text_object(field, 2_000, "field", delivery));
        }
        "context" => {
            let elements = list("elements");
            assert!((1..=10).contains(&elements.len()));
            // The vendor names no limit of a context's text; the section's is the least that all texts have.
            elements
                .iter()
                .for_each(|element| text_object(element, 3_000, "context", delivery));
        }
        "actions" => {
            let elements = list("elements");
            assert!((1..=25).contains(&elements.len()));
            elements.iter().for_each(|button| check_button(button, delivery));
        }
        "divider" => {}
        other => panic!("a block of type {other} has no check here"),
    }
}

fn check_button(button: &Value, delivery: &Delivery) {
    assert_eq!(button["type"], "button");
    assert_eq!(button["text"]["type"], "plain_text");
    text_object(&button["text"], 75, "button", delivery);
    let url = button["url"].as_str().expect("a button leads somewhere");
    assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
    assert!(url.chars().count() <= 3_000);
    if let Some(id) = button["action_id"].as_str() {
        assert!(id.chars().count() <= ID_CHARS_MAX);
    }
}

fn text_object(object: &Value, chars_max: usize, place: &str, delivery: &Delivery) {
    let text = object["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{place}: {object} has no text"));
    match object["type"].as_str() {
        Some("plain_text") => {
            assert!(object.get("verbatim").is_none(), "verbatim is for mrkdwn");
            plain(text, chars_max, place);
        }
        Some("mrkdwn") => {
            assert!(object.get("emoji").is_none(), "emoji is for plain_text");
            mrkdwn(text, chars_max, place, delivery);
        }
        other => panic!("{place}: a text of type {other:?}"),
    }
}

/// What holds for any text: within its limit, not empty, nothing that only machines read, never cut inside a sign.
fn plain(text: &str, chars_max: usize, place: &str) {
    let chars = text.chars().count();
    assert!(
        (1..=chars_max).contains(&chars),
        "{place}: {chars} characters, at most {chars_max}"
    );
    assert!(!text.trim().is_empty(), "{place}: nothing to read in {text:?}");
    let control = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(control, None, "{place}: a control character in {text:?}");
    for (index, _) in text.match_indices('…') {
        let before = text.get(..index).and_then(|before| before.chars().next_back());
        assert_ne!(before, Some('\u{200d}'), "{place}: cut inside a sequence: {text:?}");
    }
}

/// What holds for markup: every escape whole, every mark in angle brackets one of ours.
fn mrkdwn(text: &str, chars_max: usize, place: &str, delivery: &Delivery) {
    plain(text, chars_max, place);
    for (index, _) in text.match_indices('&') {
        let rest = text.get(index..).unwrap_or_default();
        let whole = ["&amp;", "&lt;", "&gt;"].iter().any(|escape| rest.starts_with(escape));
        assert!(
            whole,
            "{place}: a broken escape at {:?}",
            rest.chars().take(12).collect::<String>()
        );
    }
    let mut rest = text;
    while let Some(begin) = rest.find(['<', '>']) {
        let mark = rest.get(begin..).unwrap_or_default();
        assert!(mark.starts_with('<'), "{place}: a bare > in {text:?}");
        let end = mark
            .find('>')
            .unwrap_or_else(|| panic!("{place}: an open mark in {text:?}"));
        let inner = mark.get(1..end).unwrap_or_default();
        let bad_news = ["<!channel>", "<!here>", "<@U012ABCDEF>", "<!subteam^S012ABCDEF>"];
        let ours = inner.starts_with("!date^")
            || inner.starts_with("https://")
            || inner.starts_with("http://")
            || bad_news.contains(&&*format!("<{inner}>"));
        assert!(ours, "{place}: <{inner}> of {:?}", delivery.event().event.event_type);
        assert!(!inner.contains('<'), "{place}: a mark inside a mark: {inner}");
        rest = mark.get(end + 1..).unwrap_or_default();
    }
}

fn webhook_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, "ok", Delivered),
        answer(400, "invalid_payload", Reject),
        answer(400, "no_text", Reject),
        answer(400, "invalid_blocks", Reject),
        answer(400, "too_many_attachments", Reject),
        answer(400, "user_not_found", Suspend),
        answer(403, "action_prohibited", Suspend),
        answer(403, "invalid_token", Suspend),
        answer(403, "posting_to_general_channel_denied", Suspend),
        answer(404, "channel_not_found", Suspend),
        answer(404, "no_service", Suspend),
        answer(404, "no_team", Suspend),
        answer(404, "user_not_found", Suspend),
        answer(410, "channel_is_archived", Suspend),
        answer(429, "rate_limited", Retry),
        answer(500, "rollup_error", Retry),
        answer(503, "", Retry),
    ]
}

fn message_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let mut answers = vec![
        answer(200, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, Delivered),
        answer(429, r#"{"ok":false,"error":"ratelimited"}"#, Retry),
        answer(500, "", Retry),
    ];
    for body in [
        r#"{"ok":false,"error":"internal_error"}"#,
        r#"{"ok":false,"error":"fatal_error"}"#,
        r#"{"ok":false,"error":"service_unavailable"}"#,
        r#"{"ok":false,"error":"request_timeout"}"#,
        r#"{"ok":false,"error":"ratelimited"}"#,
    ] {
        answers.push(answer(200, body, Retry));
    }
    for body in [
        r#"{"ok":false,"error":"invalid_blocks"}"#,
        r#"{"ok":false,"error":"msg_too_long"}"#,
        r#"{"ok":false,"error":"no_text"}"#,
        r#"{"ok":false,"error":"invalid_arguments"}"#,
        r#"{"ok":false,"error":"too_many_attachments"}"#,
        r#"{"ok":false,"error":"msg_blocks_too_long"}"#,
    ] {
        answers.push(answer(200, body, Reject));
    }
    for body in [
        r#"{"ok":false,"error":"invalid_auth"}"#,
        r#"{"ok":false,"error":"not_authed"}"#,
        r#"{"ok":false,"error":"account_inactive"}"#,
        r#"{"ok":false,"error":"token_revoked"}"#,
        r#"{"ok":false,"error":"token_expired"}"#,
        r#"{"ok":false,"error":"missing_scope"}"#,
        r#"{"ok":false,"error":"channel_not_found"}"#,
        r#"{"ok":false,"error":"not_in_channel"}"#,
        r#"{"ok":false,"error":"is_archived"}"#,
        r#"{"ok":false,"error":"restricted_action"}"#,
        r#"{"ok":false,"error":"ekm_access_denied"}"#,
    ] {
        answers.push(answer(200, body, Suspend));
    }
    answers
}
