//! Messages held to what the Bot API's server takes: its own reading of HTML, its limits, its rules for buttons.
//!
//! Limits: core.telegram.org/bots/api and the sources of tdlib/telegram-bot-api and tdlib/td, read in November 2026.

mod reading;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use self::reading::{Read, read};
use super::Telegram;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, contracts::Claim},
    http,
};

/// Entities that the server keeps of a message.
const ENTITIES_MAX: usize = 100;
/// Buttons of a row, and of a message.
const ROW_MAX: usize = 8;
const BUTTONS_MAX: usize = 100;

const TOKEN: &str = "987654321:AAs3cret-of-the-bot_0123456789abcde";

impl Sampled for Telegram {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({ "bot_token": TOKEN }),
            template,
            secrets: vec![TOKEN, "AAs3cret-of-the-bot_0123456789abcde"],
            accepts,
            claims,
            yes: answer(200, r#"{"ok":true,"result":{"message_id":7}}"#, OutcomeKind::Delivered),
            answers: answers(),
        };
        let topic = json!({ "chat_id": -1_001_234_567_890_i64, "message_thread_id": 42, "disable_notification": true });
        vec![
            of("group", json!({ "chat_id": "-1001234567890" }), None, accepts_in_group),
            of("topic", topic, None, accepts_in_topic),
            of(
                "template",
                json!({ "chat_id": "@acme_alerts" }),
                Some(template()),
                accepts_template,
            ),
        ]
    }
}

fn claims(request: &http::Request) -> Vec<Claim> {
    Claim::of_body("telegram.community.json", "/methods/sendMessage", &request.body)
}

/// An owner who trusts his events and forgets to close what he opens.
fn template() -> Template {
    Template {
        title: Some("<b>{{ event.title }}</b> <{{ event.data.title|truncate(40) }}>".to_owned()),
        body: Some(
            "<a href=\"{{ event.data.logs_url|truncate(300) }}\">run</a> <b><i>{{ event.data.message|truncate(60) }}</b>\n\
             <pre>{{ event.data.reason|truncate(900) }}\n{{ event.data|tojson|truncate(9000) }} & <p>\n\
             <a href='{{ event.data.title|truncate(200) }}"
                .to_owned(),
        ),
    }
}

fn accepts_in_group(request: &http::Request, delivery: &Delivery) {
    let body = own_message(request, delivery);
    assert_eq!(body["chat_id"], -1_001_234_567_890_i64);
    assert!(body.get("message_thread_id").is_none() && body.get("disable_notification").is_none());
}

fn accepts_in_topic(request: &http::Request, delivery: &Delivery) {
    let body = own_message(request, delivery);
    assert_eq!(body["chat_id"], -1_001_234_567_890_i64);
    assert_eq!(body["message_thread_id"], 42);
    assert_eq!(body["disable_notification"], true);
}

fn accepts_template(request: &http::Request, _: &Delivery) {
    let (body, _) = message(request);
    assert_eq!(body["chat_id"], "@acme_alerts");
}

/// A message without a template: what happened comes first and is bold, type and time come last.
fn own_message(request: &http::Request, delivery: &Delivery) -> Value {
    let (body, read) = message(request);
    assert!(read.entities.len() <= ENTITIES_MAX, "{} entities", read.entities.len());
    assert!(read.tagged("a").is_empty(), "data makes no links: {:?}", read.entities);
    let titles = read.tagged("b");
    let first = read.text.lines().next().unwrap_or_default();
    assert!(first.ends_with(titles[0]), "{first:?} is the title {:?}", titles[0]);
    let last = read.text.lines().last().unwrap_or_default();
    let event_type = if delivery.is_digest() {
        "signalbox.digest"
    } else {
        delivery.event().event.event_type.as_str()
    };
    assert!(
        ["🔴", "🟠", "🟢", "🔵"].iter().any(|dot| last.starts_with(dot)),
        "{last:?}"
    );
    assert!(last.contains(event_type) && last.ends_with("Signalbox"), "{last:?}");
    body
}

/// Reads a message and holds it to every limit.
fn message(request: &http::Request) -> (Value, Read) {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(
        request.url.as_str(),
        format!("https://api.telegram.org/bot{TOKEN}/sendMessage")
    );
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["parse_mode"], "HTML");
    assert_eq!(
        body["link_preview_options"]["is_disabled"], true,
        "addresses in data are not opened by Telegram"
    );
    let html = body["text"].as_str().expect("a text");
    let read = read(html).unwrap_or_else(|why| panic!("can't parse entities: {why}: {html:?}"));
    read.check();
    buttons(&body["reply_markup"]);
    (body, read)
}

fn buttons(markup: &Value) {
    if markup.is_null() {
        return;
    }
    let rows = markup["inline_keyboard"].as_array().expect("rows of buttons");
    let rows: Vec<&Vec<Value>> = rows.iter().map(|row| row.as_array().expect("a row")).collect();
    assert!(
        (1..=BUTTONS_MAX).contains(&rows.iter().map(|row| row.len()).sum::<usize>()),
        "{markup}"
    );
    for button in rows {
        assert!((1..=ROW_MAX).contains(&button.len()), "{markup}");
        for button in button {
            let label = button["text"].as_str().expect("a label");
            assert!(
                !label.trim().is_empty(),
                "inline keyboard button text must be non-empty"
            );
            let url = button["url"].as_str().expect("a button leads somewhere");
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let host = rest
                .and_then(|rest| rest.split(['/', '?', '#', ':']).next())
                .unwrap_or_default();
            assert!(
                host.contains('.') && host != ".",
                "inline keyboard button URL is invalid: {url}"
            );
        }
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, r#"{"ok":true,"result":{"message_id":7,"date":1}}"#, Delivered),
        answer(
            429,
            r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#,
            Retry,
        ),
        answer(
            500,
            r#"{"ok":false,"error_code":500,"description":"Internal Server Error"}"#,
            Retry,
        ),
        answer(502, "<html>bad gateway</html>", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, "", Retry),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: message thread not found"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: TOPIC_CLOSED"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: not enough rights to send text messages to the chat"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: message is too long"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: message text is empty"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: something of tomorrow"}"#,
            Reject,
        ),
        answer(
            401,
            r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the supergroup chat"}"#,
            Suspend,
        ),
        answer(
            404,
            r#"{"ok":false,"error_code":404,"description":"Not Found"}"#,
            Suspend,
        ),
        answer(
            200,
            r#"{"ok":false,"error_code":403,"description":"Forbidden: bot is not a member of the channel chat"}"#,
            Suspend,
        ),
        answer(302, "", Suspend),
    ]
}
