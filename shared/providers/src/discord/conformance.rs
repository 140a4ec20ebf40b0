//! A webhook with and without a name of its own, held to the limits of embeds.
//!
//! Limits: Discord's documentation of embeds and of webhooks, and its OpenAPI document, read in 2026.

use serde_json::{Value, json};
use signalbox_proto::{
    Delivery,
    integration::Template,
    outcome::OutcomeKind,
    types::{self, Tone},
};

use super::Discord;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, contracts::Claim},
    http,
};

const TOKEN: &str = "s3cret-of-the-webhook";
/// What the vendor answers where it takes a message: the message, here as far as it matters.
const SAVED: &str = r#"{"id":"1","type":0,"channel_id":"2","embeds":[]}"#;

impl Sampled for Discord {
    fn samples() -> Vec<Sample> {
        let url = format!("https://discord.com/api/webhooks/1234567890/{TOKEN}");
        let sample = |name, config, template, accepts| Sample {
            name,
            config,
            credentials: json!({}),
            template,
            secrets: vec![TOKEN],
            accepts,
            claims,
            yes: answer(200, SAVED, OutcomeKind::Delivered),
            answers: answers(),
        };
        let named = json!({
            "webhook_url": format!("{url}?thread_id=42"), "username": "Spec Bot",
            "avatar_url": "https://example.com/bot.png",
        });
        vec![
            sample("webhook", json!({ "webhook_url": url }), None, accepts_plain),
            sample("thread with a name", named, None, accepts_named),
            sample(
                "template",
                json!({ "webhook_url": url }),
                Some(template()),
                accepts_template,
            ),
        ]
    }
}

fn template() -> Template {
    Template {
        title: Some("**{{ event.title }}** {{ event.data.title|truncate(40) }}".to_owned()),
        body: Some("[Runbook](https://example.com) for {{ event.data.error|truncate(900) }}\n{{ event.data|tojson|truncate(9000) }}".to_owned()),
    }
}

fn claims(request: &http::Request) -> Vec<Claim> {
    Claim::of_body(
        "discord.openapi.json",
        "/components/schemas/IncomingWebhookRequestPartial",
        &request.body,
    )
}

fn accepts_plain(request: &http::Request, delivery: &Delivery) {
    let body = message(request, delivery);
    assert!(body.get("username").is_none() && body.get("avatar_url").is_none());
    assert_eq!(request.url.query(), Some("wait=true"));
    markup(&body);
}

fn accepts_named(request: &http::Request, delivery: &Delivery) {
    let body = message(request, delivery);
    assert_eq!(body["username"], "Spec Bot");
    assert_eq!(body["avatar_url"], "https://example.com/bot.png");
    assert_eq!(request.url.query(), Some("thread_id=42&wait=true"));
    markup(&body);
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let body = message(request, delivery);
    let description = body["embeds"][0]["description"].as_str().expect("the template's body");
    assert!(
        description.starts_with("[Runbook](https://example.com) for "),
        "{description}"
    );
}

/// Reads a message and holds it to every limit.
fn message(request: &http::Request, delivery: &Delivery) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.url.host_str(), Some("discord.com"));
    assert_eq!(request.url.path(), format!("/api/v10/webhooks/1234567890/{TOKEN}"));
    let agent = request.headers["user-agent"].to_str().expect("ASCII");
    assert!(agent.starts_with("DiscordBot (") && agent.ends_with(')'), "{agent}");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }), "nobody is mentioned");
    assert!(body.get("content").is_none() && body.get("tts").is_none());
    let embeds = body["embeds"].as_array().expect("embeds");
    assert_eq!(embeds.len(), 1);
    let embed = &embeds[0];
    let mut all = text(&embed["title"], 256, "title") + text(&embed["footer"]["text"], 2_048, "footer");
    if !embed["description"].is_null() {
        all += text(&embed["description"], 4_096, "description");
    }
    let fields = embed["fields"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(fields.len() <= 25, "{} fields", fields.len());
    for field in fields {
        all += text(&field["name"], 256, "name") + text(&field["value"], 1_024, "value");
    }
    assert!(all <= 6_000, "{all} code points in all");
    if let Some(url) = embed["url"].as_str() {
        assert!(url.starts_with("http") && url.chars().count() <= 2_048, "{url}");
    }
    let time = embed["timestamp"].as_str().expect("a time");
    assert!(time.parse::<signalbox_proto::Timestamp>().is_ok(), "{time}");
    assert_eq!(embed["color"], color(delivery), "tone is seen");
    body
}

fn color(delivery: &Delivery) -> u32 {
    let tone = |accepted: &signalbox_proto::Accepted| {
        let own = accepted.event.look.as_ref().and_then(|look| look.tone);
        let built_in = types::built_in(accepted.event.event_type.as_str()).map(|known| known.tone);
        own.or(built_in).unwrap_or_default()
    };
    let tones: Vec<Tone> = delivery.events.iter().map(tone).collect();
    let alert = !delivery.is_digest() && delivery.event().event.event_type.as_str().starts_with("alert.");
    if tones.contains(&Tone::Bad) {
        return if alert { 0xFF6600 } else { 0xFF0000 };
    }
    if tones.contains(&Tone::Neutral) {
        0x0099FF
    } else {
        0x00FF00
    }
}

/// What holds for any text: not empty, within its limit, nothing hidden, no direction left open, no sign cut.
fn text(value: &Value, chars_max: usize, place: &str) -> usize {
    let text = value.as_str().unwrap_or_else(|| panic!("{place} is no text: {value}"));
    let count = text.chars().count();
    assert!(!text.trim().is_empty(), "{place}: nothing to read");
    assert!(count <= chars_max, "{place}: {count} code points, at most {chars_max}");
    let hidden = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}')
    };
    assert!(!text.contains(hidden), "{place}: {text:?}");
    let marks = |mark| text.matches(mark).count();
    assert_eq!(
        marks('\u{2068}'),
        marks('\u{2069}'),
        "{place}: a direction stays open: {text:?}"
    );
    assert!(!text.contains("\u{200d}…"), "{place}: cut inside a sign: {text:?}");
    count
}

/// What data brought is no markup anywhere.
fn markup(body: &Value) {
    let embed = &body["embeds"][0];
    no_markup(embed["title"].as_str().unwrap_or_default(), "title");
    // Our own: bold at both ends of a name, and dates in a digest.
    let description = embed["description"].as_str().unwrap_or_default();
    no_markup(&without_dates(&without_bold(description)), "description");
    for field in embed["fields"].as_array().into_iter().flatten() {
        let (name, value) = (field["name"].as_str(), field["value"].as_str());
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        no_markup(name, "name");
        match value.strip_prefix("```\n") {
            Some(code) => {
                let code = code.strip_suffix("\n```").expect("code is closed");
                assert!(!code.contains("```"), "code ends early: {code:?}");
            }
            None if name == "Links" && value.starts_with(['[', 'V']) => links(value),
            None => no_markup(value, "value"),
        }
    }
}

/// `[View PR](https://example.com) · View Details (its address is too long)`
fn links(value: &str) {
    for link in value.split(" · ") {
        let label = ["View PR", "View Spec", "View Details"]
            .into_iter()
            .find(|label| link.trim_start_matches('[').starts_with(label))
            .unwrap_or_else(|| panic!("{link} has no label of ours"));
        let rest = link.trim_start_matches('[').strip_prefix(label).unwrap_or_default();
        if rest == " (its address is too long)" {
            continue;
        }
        let url = rest.strip_prefix("](").and_then(|rest| rest.strip_suffix(')'));
        let url = url.unwrap_or_else(|| panic!("{link} is no masked link"));
        assert!(
            url.starts_with("http") && !url.contains(['(', ')', ' ', '<', '>']),
            "{url}"
        );
    }
}

fn without_bold(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut kept, mut at) = (String::new(), 0);
    while let Some(c) = chars.get(at) {
        if *c == '\\' {
            kept.extend(chars.iter().skip(at).take(2));
            at += 2;
        } else if *c == '*' && chars.get(at + 1) == Some(&'*') {
            at += 2;
        } else {
            kept.push(*c);
            at += 1;
        }
    }
    kept
}

fn without_dates(text: &str) -> String {
    let mut parts = text.split("<t:");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (secs, rest) = part.split_once(":f>").unwrap_or_else(|| panic!("{part} is no date"));
        assert!(secs.parse::<i64>().is_ok(), "{secs}");
        kept.push_str(rest);
    }
    kept
}

/// Every sign that may begin markup stands behind a backslash, or inside an address that shows itself.
fn no_markup(text: &str, place: &str) {
    for word in text.split_whitespace() {
        let mut chars = word.char_indices();
        while let Some((at, c)) = chars.next() {
            let address = word.get(..at).is_some_and(|before| before.contains("://"));
            match c {
                '\\' => {
                    let next = chars.next().map(|(_, c)| c);
                    assert!(
                        next.is_some_and(|c| c.is_ascii_punctuation()),
                        "{place}: a lone backslash in {word:?}"
                    );
                }
                '_' | '~' | '#' => assert!(address, "{place}: {c} is not escaped in {word:?}"),
                '*' | '|' | '`' | '>' | '<' | '[' | ']' => panic!("{place}: {c} is not escaped in {word:?}"),
                _ => {}
            }
        }
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let limited = r#"{"message":"You are being rate limited.","retry_after":0.65,"global":false}"#;
    vec![
        answer(200, SAVED, Delivered),
        answer(204, "", Delivered),
        answer(200, "", Retry),
        answer(200, "{}", Retry),
        answer(200, r#"{"id":1}"#, Retry),
        answer(200, r#"{"status":"ok"}"#, Retry),
        answer(200, r#"["id"]"#, Retry),
        answer(204, "{}", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(429, limited, Retry),
        answer(429, r#"{"message":"You are being blocked","code":0}"#, Retry),
        answer(429, "error code: 1015", Retry),
        answer(500, r#"{"message":"500: Internal Server Error","code":0}"#, Retry),
        answer(502, "<html>", Retry),
        answer(503, r#"{"message":"API resource overloaded","code":130000}"#, Retry),
        answer(504, "", Retry),
        answer(
            400,
            r#"{"code":50035,"errors":{"embeds":{}},"message":"Invalid Form Body"}"#,
            Reject,
        ),
        answer(400, r#"{"code":50035,"message":"Invalid Form Body"}"#, Reject),
        answer(400, r#"{"code":50035,"errors":{"username":{"_errors":[]}}}"#, Suspend),
        answer(400, r#"{"code":50035,"errors":{"avatar_url":{"_errors":[]}}}"#, Suspend),
        answer(
            400,
            r#"{"code":50006,"message":"Cannot send an empty message"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":50109,"message":"The request body contains invalid JSON."}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":50035,"errors":{"thread_id":{"_errors":[{"code":"NUMBER_TYPE_COERCE","message":"Value \"x\" is not snowflake."}]}},"message":"Invalid Form Body"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"code":50035,"errors":{"webhook_id":{"_errors":[{"code":"NUMBER_TYPE_COERCE","message":"x"}]}},"message":"Invalid Form Body"}"#,
            Suspend,
        ),
        answer(404, r#"{"code":10016,"message":"Unknown Webhook Service"}"#, Suspend),
        answer(400, r#"{"code":10003,"message":"Unknown Channel"}"#, Suspend),
        answer(
            400,
            r#"{"code":50024,"message":"Cannot execute action on this channel type"}"#,
            Suspend,
        ),
        answer(400, r#"{"code":220001,"message":"forum"}"#, Suspend),
        answer(400, r#"{"code":220002,"message":"forum"}"#, Suspend),
        answer(400, r#"{"code":220003,"message":"forum"}"#, Suspend),
        answer(400, r#"{"code":50083,"message":"Thread is archived"}"#, Suspend),
        answer(400, r#"{"code":160005,"message":"Thread is locked"}"#, Suspend),
        answer(400, r#"{"code":200000,"message":"Blocked"}"#, Reject),
        answer(400, r#"{"code":20009,"message":"Explicit"}"#, Reject),
        answer(413, r#"{"code":40005,"message":"Request entity too large"}"#, Reject),
        answer(401, r#"{"code":50027,"message":"Invalid Webhook Token"}"#, Suspend),
        answer(401, "", Suspend),
        answer(403, r#"{"code":50013,"message":"Missing Permissions"}"#, Suspend),
        answer(403, r#"{"code":50001,"message":"Missing Access"}"#, Suspend),
        answer(403, r#"{"code":40333,"message":"internal network error"}"#, Retry),
        answer(403, "", Suspend),
        answer(404, r#"{"code":10015,"message":"Unknown Webhook"}"#, Suspend),
        answer(404, r#"{"code":10003,"message":"Unknown Channel"}"#, Suspend),
        answer(404, r#"{"code":10004,"message":"Unknown Guild"}"#, Suspend),
        answer(404, "", Suspend),
        answer(410, "", Suspend),
        answer(302, "", Suspend),
    ]
}
