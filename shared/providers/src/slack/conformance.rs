//! Incoming webhooks and chat.postMessage, held to the limits of Block Kit.
//!
//! Limits: the model classes of the vendor's Python SDK (`slack_sdk/models/blocks`) and Slack's reference of blocks and of
//! incoming webhooks, read in 2026.

mod reading;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use signalbox_proto::{
    Delivery,
    integration::Template,
    outcome::OutcomeKind,
    types::{self, Tone},
};

use super::Slack;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    http,
};

/// What Slack advises for `text`.
const TEXT_UNITS_MAX: usize = 4_000;
const BLOCKS_MAX: usize = 50;
const ATTACHMENTS_MAX: usize = 100;
/// Block ids and action ids.
const ID_UNITS_MAX: usize = 255;
/// All texts of the blocks: the number that Slack names for its block for Markdown, and a header above it.
const MESSAGE_UNITS_MAX: usize = 12_000 + 150;
/// Who the samples mention.
const MENTIONS: [&str; 4] = ["<!channel>", "<!here>", "<@U012ABCDEF>", "<!subteam^S012ABCDEF>"];
/// Keeps a value that an owner's template puts between angle brackets from being a mention.
const JOINER: char = '\u{2060}';

const WEBHOOK: &str = "T0ABCDEF/B0ABCDEF/s3cret-of-the-webhook";
const TOKEN: &str = "xoxb-s3cret-of-the-bot";

impl Sampled for Slack {
    fn samples() -> Vec<Sample> {
        samples()
    }
}

fn samples() -> Vec<Sample> {
    let webhook = json!({
        "webhook_url": format!("https://hooks.slack.com/services/{WEBHOOK}"),
        "mention_on_failure": ["@channel", "U012ABCDEF", "S012ABCDEF"],
    });
    let mut with_channel = webhook.clone();
    with_channel["channel"] = "#ops".into();
    let by_webhook = |name, config, template, accepts| Sample {
        name,
        config,
        credentials: json!({}),
        template,
        secrets: vec!["s3cret-of-the-webhook"],
        accepts,
        claims: no_claims,
        yes: answer(200, "ok", OutcomeKind::Delivered),
        answers: webhook_answers(),
    };
    vec![
        by_webhook("incoming webhook", webhook.clone(), None, accepts_webhook),
        by_webhook(
            "webhook with a channel",
            with_channel,
            None,
            accepts_webhook_with_channel,
        ),
        by_webhook("template", webhook, Some(template()), accepts_template),
        Sample {
            name: "bot token",
            config: json!({ "channel": "#ops", "mention_on_failure": ["@here"] }),
            credentials: json!({ "bot_token": TOKEN }),
            template: None,
            secrets: vec!["s3cret-of-the-bot"],
            accepts: accepts_message,
            claims: no_claims,
            yes: answer(200, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, OutcomeKind::Delivered),
            answers: message_answers(),
        },
    ]
}

/// An owner who trusts his events: they stand in links, in code and in a title with markup.
fn template() -> Template {
    Template {
        title: Some("*{{ event.title }}* <{{ event.data.title|truncate(40) }}>".to_owned()),
        body: Some(
            "<{{ event.data.message|truncate(60) }}> <{{ event.data.error|truncate(60) }}|details>\n\
             ```{{ event.data.reason|truncate(900) }}```\n{{ event.data|tojson|truncate(9000) }}"
                .to_owned(),
        ),
    }
}

fn accepts_webhook(request: &http::Request, delivery: &Delivery) {
    let body = webhook_body(request, delivery, Marks::Ours);
    assert!(body.get("channel").is_none(), "no channel is configured");
}

/// The webhook of an app ignores the field; one of the old kind, a custom integration, goes where it says.
fn accepts_webhook_with_channel(request: &http::Request, delivery: &Delivery) {
    assert_eq!(webhook_body(request, delivery, Marks::Ours)["channel"], "#ops");
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    webhook_body(request, delivery, Marks::OfTemplate);
}

fn webhook_body(request: &http::Request, delivery: &Delivery, marks: Marks) -> Value {
    assert_eq!(request.url.host_str(), Some("hooks.slack.com"));
    let body = message(request, delivery, marks);
    for field in ["username", "icon_emoji", "icon_url", "link_names"] {
        assert!(body.get(field).is_none(), "a webhook does not take {field}");
    }
    body
}

fn accepts_message(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://slack.com/api/chat.postMessage");
    let body = message(request, delivery, Marks::Ours);
    assert_eq!(body["channel"], "#ops");
    assert_eq!(body["link_names"], false, "names in data are no mentions");
}

/// Which marks in angle brackets a text may hold besides our mentions and dates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    Ours,
    /// What an owner puts a value into: a link, never a mention.
    OfTemplate,
}

/// What the checks of one message share.
struct Page {
    bad_news: bool,
    marks: Marks,
    /// Units of all texts in blocks.
    used: usize,
    action_ids: BTreeSet<String>,
    /// Whether somebody is mentioned in a block.
    called: bool,
}

/// Reads a message and holds it to every limit.
fn message(request: &http::Request, delivery: &Delivery, marks: Marks) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    let content_type = request.headers["content-type"].to_str().expect("ASCII");
    assert_eq!(content_type, "application/json; charset=utf-8");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let mut page = Page {
        bad_news: is_bad_news(delivery),
        marks,
        used: 0,
        action_ids: BTreeSet::new(),
        called: false,
    };
    let fallback = body["text"].as_str().expect("text is always sent");
    page.mrkdwn(fallback, TEXT_UNITS_MAX, "text");
    assert_eq!(
        (&body["unfurl_links"], &body["unfurl_media"]),
        (&json!(false), &json!(false)),
        "addresses in data are not opened by Slack"
    );
    assert!(
        body.get("parse").is_none(),
        "nothing asks Slack to find names and links"
    );
    let attachments = body["attachments"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(attachments.len() <= ATTACHMENTS_MAX);
    let own = body["blocks"].as_array().into_iter().flatten();
    let inner = attachments
        .iter()
        .flat_map(|attachment| attachment["blocks"].as_array().into_iter().flatten());
    let blocks: Vec<&Value> = own.chain(inner).collect();
    assert!((1..=BLOCKS_MAX).contains(&blocks.len()), "{} blocks", blocks.len());
    let mut ids = BTreeSet::new();
    for block in &blocks {
        if let Some(id) = block["block_id"].as_str() {
            assert!(units(id) <= ID_UNITS_MAX && ids.insert(id), "block_id {id}");
        }
        page.block(block);
    }
    assert!(page.used <= MESSAGE_UNITS_MAX, "{} units in all blocks", page.used);
    assert_eq!(
        page.called, page.bad_news,
        "those of the config are called where the news is bad, and only there"
    );
    if marks == Marks::Ours {
        assert_eq!(blocks[0]["type"], "header", "what happened comes first");
    }
    assert_eq!(blocks[blocks.len() - 1]["type"], "context", "type and time come last");
    body
}

fn is_bad_news(delivery: &Delivery) -> bool {
    delivery.events.iter().any(|accepted| {
        let own = accepted.event.look.as_ref().and_then(|look| look.tone);
        let built_in = || types::built_in(accepted.event.event_type.as_str()).map(|known| known.tone);
        own.or_else(built_in) == Some(Tone::Bad)
    })
}

/// Slack says characters and not which: units of UTF-16 are never fewer.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Page {
    fn block(&mut self, block: &Value) {
        let list = |field: &str| block[field].as_array().map_or(&[][..], Vec::as_slice);
        match block["type"].as_str().expect("a block has a type") {
            "header" => {
                assert_eq!(block["text"]["type"], "plain_text");
                self.text_object(&block["text"], 150, "header");
            }
            "section" => {
                let fields = list("fields");
                assert!(fields.len() <= 10, "{} fields", fields.len());
                assert!(
                    !block["text"].is_null() || !fields.is_empty(),
                    "a section says something"
                );
                if !block["text"].is_null() {
                    self.text_object(&block["text"], 3_000, "section");
                }
                for field in fields {
                    self.text_object(field, 2_000, "field");
                }
            }
            "context" => {
                let elements = list("elements");
                assert!((1..=10).contains(&elements.len()));
                // The vendor names no limit of a context's text; the section's is the least that all texts have.
                for element in elements {
                    self.text_object(element, 3_000, "context");
                }
            }
            "actions" => {
                let elements = list("elements");
                assert!((1..=25).contains(&elements.len()));
                for button in elements {
                    self.button(button);
                }
            }
            "divider" => {}
            other => panic!("a block of type {other} has no check here"),
        }
    }

    fn button(&mut self, button: &Value) {
        assert_eq!(button["type"], "button");
        assert_eq!(button["text"]["type"], "plain_text");
        self.text_object(&button["text"], 75, "button");
        let url = button["url"].as_str().expect("a button leads somewhere");
        assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
        assert!(units(url) <= 3_000, "an address of {} units", units(url));
        let id = button["action_id"].as_str().expect("a button has an id");
        assert!(
            (1..=ID_UNITS_MAX).contains(&units(id)) && self.action_ids.insert(id.to_owned()),
            "action_id {id}"
        );
    }

    fn text_object(&mut self, object: &Value, units_max: usize, place: &str) {
        let text = object["text"]
            .as_str()
            .unwrap_or_else(|| panic!("{place}: {object} has no text"));
        self.used += units(text);
        match object["type"].as_str() {
            Some("plain_text") => {
                assert!(object.get("verbatim").is_none(), "verbatim is for mrkdwn");
                plain(text, units_max, place);
            }
            Some("mrkdwn") => {
                assert!(object.get("emoji").is_none(), "emoji is for plain_text");
                assert_eq!(object["verbatim"], true, "{place}: addresses and names become no links");
                self.mrkdwn(text, units_max, place);
                self.called |= MENTIONS.iter().any(|mention| text.contains(mention));
            }
            other => panic!("{place}: a text of type {other:?}"),
        }
    }

    /// What holds for markup: every escape whole, every mark in angle brackets one of ours, code closed.
    fn mrkdwn(&self, text: &str, units_max: usize, place: &str) {
        plain(text, units_max, place);
        for (index, _) in text.match_indices('&') {
            let rest = text.get(index..).unwrap_or_default();
            let whole = ["&amp;", "&lt;", "&gt;"].iter().any(|escape| rest.starts_with(escape));
            assert!(
                whole,
                "{place}: a broken escape at {:?}",
                rest.chars().take(12).collect::<String>()
            );
        }
        if let Some(code) = text.strip_prefix("*Error*\n```") {
            let inside = code
                .strip_suffix("```")
                .unwrap_or_else(|| panic!("{place}: code stays open in {text:?}"));
            assert!(!inside.contains("```"), "{place}: code ends early in {text:?}");
        }
        let mut rest = text;
        while let Some(begin) = rest.find(['<', '>']) {
            let mark = rest.get(begin..).unwrap_or_default();
            // An owner may write one, to quote.
            if let Some(behind) = mark.strip_prefix('>').filter(|_| self.marks == Marks::OfTemplate) {
                rest = behind;
                continue;
            }
            assert!(mark.starts_with('<'), "{place}: a bare > in {text:?}");
            let end = mark
                .find('>')
                .unwrap_or_else(|| panic!("{place}: an open mark in {text:?}"));
            let inner = mark.get(1..end).unwrap_or_default();
            assert!(!inner.contains('<'), "{place}: a mark inside a mark: {inner}");
            assert!(self.is_ours(inner), "{place}: <{inner}> in {text:?}");
            rest = mark.get(end + 1..).unwrap_or_default();
        }
    }

    fn is_ours(&self, inner: &str) -> bool {
        if MENTIONS.contains(&&*format!("<{inner}>")) {
            return self.bad_news;
        }
        if is_date(inner) {
            return true;
        }
        // Slack makes a mention of what begins so, perhaps behind what nobody sees.
        let first = inner.chars().find(|c| !c.is_whitespace() && !is_hidden(*c));
        self.marks == Marks::OfTemplate && !matches!(first, None | Some('!' | '@' | '#'))
    }
}

/// `!date^1767224000^{date_short_pretty} {time}|2025-12-31 23:33:20 UTC`
fn is_date(inner: &str) -> bool {
    let Some((date, fallback)) = inner.split_once('|') else {
        return false;
    };
    let parts: Vec<&str> = date.split('^').collect();
    let ["!date", secs, form] = parts.as_slice() else {
        return false;
    };
    let forms = ["{date_short_pretty} {time}", "{date_short_pretty} {time_secs}"];
    secs.parse::<u32>().is_ok() && forms.contains(form) && fallback.len() == 23 && fallback.ends_with(" UTC")
}

/// Control characters, and marks that turn round the text behind them.
fn is_hidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

/// What holds for any text: within its limit, not empty, nothing that only machines read, never cut inside a sign.
fn plain(text: &str, units_max: usize, place: &str) {
    let length = units(text);
    assert!(
        (1..=units_max).contains(&length),
        "{place}: {length} units, at most {units_max}"
    );
    assert!(!text.trim().is_empty(), "{place}: nothing to read in {text:?}");
    let hidden = text.chars().find(|c| is_hidden(*c));
    assert_eq!(hidden, None, "{place}: a hidden character in {text:?}");
    let mut open = 0_usize;
    for c in text.chars() {
        match c {
            '\u{2068}' => open += 1,
            '\u{2069}' => open = open.checked_sub(1).expect("what is closed was opened"),
            _ => {}
        }
    }
    assert_eq!(open, 0, "{place}: a direction stays open in {text:?}");
    for (index, _) in text.match_indices('…') {
        let before = text.get(..index).and_then(|before| before.chars().next_back());
        assert_ne!(before, Some('\u{200d}'), "{place}: cut inside a sequence: {text:?}");
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
        answer(200, "", Retry),
        answer(204, "", Retry),
        answer(200, "{}", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(302, "", Suspend),
        answer(302, "ok", Suspend),
        answer(410, "", Suspend),
        answer(429, "<html>slow down</html>", Retry),
        answer(500, "invalid_payload", Retry),
        answer(400, "ok", Reject),
    ]
}

fn message_answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let mut answers = vec![
        answer(200, r#"{"ok":true,"channel":"C1","ts":"1.2"}"#, Delivered),
        answer(429, r#"{"ok":false,"error":"ratelimited"}"#, Retry),
        answer(429, r#"{"ok":false,"error":"invalid_auth"}"#, Retry),
        answer(500, "", Retry),
        answer(503, r#"{"ok":false,"error":"invalid_blocks"}"#, Retry),
        answer(200, "", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, r#"{"ok":false,"error":"a_word_of_tomorrow"}"#, Reject),
        answer(302, r#"{"ok":true}"#, Suspend),
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
