//! Mails held to the rules of RFC 5321, 5322, 2045 and 2047, read by a parser that did not write them.

use std::collections::BTreeSet;

use mail_parser::{Message, MessageParser, PartType};
use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::{Email, SUBJECT_CHARS_MAX, TEXT_CHARS_MAX};
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims, readable},
    http,
};

const PASSWORD: &str = "s3cret-password-4711";
/// Bytes of the largest mail: every server takes ten times as much.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// What stands between `<` and `>` in our HTML, each without its attributes.
const TAGS: [&str; 28] = [
    "!DOCTYPE html",
    "a",
    "/a",
    "b",
    "/b",
    "body",
    "/body",
    "br",
    "code",
    "/code",
    "div",
    "/div",
    "h2",
    "/h2",
    "html",
    "/html",
    "li",
    "/li",
    "p",
    "/p",
    "table",
    "/table",
    "td",
    "/td",
    "tr",
    "/tr",
    "ul",
    "/ul",
];

impl Sampled for Email {
    fn samples() -> Vec<Sample> {
        let of = |name, config: Value, credentials: Value, template, accepts, yes| Sample {
            name,
            config,
            credentials,
            template,
            secrets: vec![PASSWORD],
            accepts,
            claims: no_claims,
            yes: answer(250, yes, OutcomeKind::Delivered),
            answers: answers(yes),
        };
        let login = json!({ "username": "signalbox", "password": format!(" {PASSWORD}\n") });
        let by_type = json!({
            "smtp": { "host": "smtp.example.com", "port": 465, "secure": true },
            "from": "\"Späher, \\Ops\" <signalbox@example.com>",
            "recipients": { ">": ["ann@example.com", "Bob <bob@bücher.example>"], "alert.*": ["ann@example.com"] },
        });
        let plain = json!({
            "smtp_host": "127.0.0.1", "smtp_port": 2525, "smtp": { "secure": false },
            "from_address": "signalbox@example.com", "to_addresses": ["ops@example.com"],
        });
        let template = Template {
            title: Some("=?utf-8?Q?hidden?= {{ event.title }} {{ event.data.title|truncate(40) }}".to_owned()),
            body: Some("Runbook: https://example.com\n.\n{{ event.data|tojson|truncate(9000) }}".to_owned()),
        };
        let two = r#"{"step":"DATA","got":[0,1]}"#;
        let one = r#"{"step":"DATA","why":"2.0.0","got":[0]}"#;
        vec![
            of(
                "by type",
                by_type,
                login,
                None,
                accepts_two as fn(&http::Request, &Delivery),
                two,
            ),
            of(
                "aliases, without a login",
                plain.clone(),
                json!({}),
                None,
                accepts_one,
                one,
            ),
            of("template", plain, json!({}), Some(template), accepts_template, one),
        ]
    }
}

fn accepts_two(request: &http::Request, delivery: &Delivery) {
    let mail = mail(&request.body, delivery);
    let to: Vec<&str> = mail
        .to()
        .expect("recipients")
        .iter()
        .filter_map(|to| to.address())
        .collect();
    assert_eq!(to, ["ann@example.com", "bob@xn--bcher-kva.example"]);
    let from = mail.from().and_then(|from| from.first()).expect("a sender");
    assert_eq!(
        (from.name(), from.address()),
        (Some("Späher, \\Ops"), Some("signalbox@example.com"))
    );
    envelope(request, &to);
    own_form(&mail);
}

fn accepts_one(request: &http::Request, delivery: &Delivery) {
    let mail = mail(&request.body, delivery);
    envelope(request, &["ops@example.com"]);
    own_form(&mail);
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let mail = mail(&request.body, delivery);
    envelope(request, &["ops@example.com"]);
    let subject = mail.subject().expect("a subject");
    // What is written from right to left is set apart.
    let title = subject
        .strip_prefix("[Signalbox] ")
        .map(|title| title.trim_start_matches('\u{2068}'));
    assert!(
        title.is_some_and(|title| title.starts_with("=?utf-8?Q?hidden?= ")),
        "{subject}"
    );
    let text = mail.body_text(0).expect("a text").replace("\r\n", "\n");
    assert!(text.contains("\nRunbook: https://example.com\n.\n"), "{text:?}");
}

/// Who the server is told, besides who the message names.
fn envelope(request: &http::Request, to: &[&str]) {
    let header = |name| {
        request
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().expect("ASCII"))
    };
    assert_eq!(header("mail-from").collect::<Vec<_>>(), ["signalbox@example.com"]);
    let numbered: Vec<String> = to
        .iter()
        .enumerate()
        .map(|(number, to)| format!("{number} {to}"))
        .collect();
    assert_eq!(header("rcpt-to").collect::<Vec<_>>(), numbered);
}

/// The title stands at the beginning of the subject and of both texts.
fn own_form(mail: &Message<'_>) {
    let subject = mail.subject().expect("a subject");
    assert!(subject.starts_with("[Signalbox] "), "{subject}");
    assert!(mail.body_text(0).expect("a text").contains("Signalbox · "));
}

/// Reads a mail and holds it to every rule.
fn mail<'a>(raw: &'a [u8], delivery: &Delivery) -> Message<'a> {
    assert!(raw.len() <= MESSAGE_BYTES_MAX, "{} bytes", raw.len());
    let text = std::str::from_utf8(raw).expect("ASCII");
    assert!(text.is_ascii(), "no server need take more (RFC 6152)");
    assert!(text.ends_with("\r\n"), "the last line ends");
    for line in text.trim_end_matches("\r\n").split("\r\n") {
        assert!(line.len() <= 998, "a line of {} bytes", line.len());
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?} holds the end of a line");
    }
    let (head, _) = text.split_once("\r\n\r\n").expect("a head and a body");
    let mut names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(": ").expect("a name and a value").0)
        .collect();
    for line in head.split("\r\n") {
        assert!(line.len() <= 78 || !line.contains("=?"), "{line}");
        for word in line.split(' ').filter(|word| word.starts_with("=?")) {
            assert!(word.len() <= 75 && word.ends_with("?="), "{word}");
        }
    }
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To"
        ],
        "every header once, and no other"
    );
    let mail = MessageParser::default().parse(raw).expect("a mail");
    assert_eq!(mail.message_id(), Some(format!("{}@example.com", delivery.id).as_str()));
    let date = mail.date().expect("a date");
    assert!(
        date.is_valid() && date.to_timestamp() == delivery.since.secs().max(0),
        "{date}"
    );
    readable::one_line(mail.subject().expect("a subject"), 2 * SUBJECT_CHARS_MAX, "subject");
    parts(&mail);
    mail
}

/// Two alternatives that say the same, the text first.
fn parts(mail: &Message<'_>) {
    assert_eq!(mail.parts.len(), 3, "the whole, a text and HTML");
    assert_eq!(mail.attachment_count(), 0);
    assert!(mail.parts.iter().all(|part| !part.is_encoding_problem));
    let (PartType::Text(text), PartType::Html(html)) = (&mail.parts[1].body, &mail.parts[2].body) else {
        panic!("not a text and then HTML: {:?}", mail.parts);
    };
    readable::readable(&text.replace("\r\n", "\n"), 2 * TEXT_CHARS_MAX, "text");
    let mut rest = &**html;
    let mut seen = BTreeSet::new();
    while let Some((between, behind)) = rest.split_once('<') {
        assert!(!between.contains('>'), "an open bracket: {between}");
        let (tag, behind) = behind.split_once('>').expect("a tag that ends");
        let name = if tag.starts_with('!') {
            tag
        } else {
            tag.split(' ').next().unwrap_or_default()
        };
        assert!(TAGS.contains(&name), "<{tag}> is none of our tags");
        let known: usize = [" style=\"", " dir=\"", " href=\""]
            .iter()
            .map(|attribute| tag.matches(attribute).count())
            .sum();
        assert_eq!(
            tag.matches("=\"").count(),
            known,
            "an attribute that is none of ours: {tag}"
        );
        assert_eq!(tag.matches('"').count(), 2 * known, "{tag}");
        if let Some((_, address)) = tag.split_once("href=\"") {
            assert!(
                address.starts_with("http://") || address.starts_with("https://"),
                "{tag}"
            );
        }
        seen.insert(name.to_owned());
        rest = behind;
    }
    assert!(seen.contains("html") && seen.contains("/html"), "{seen:?}");
}

fn answers(yes: &'static str) -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let two = yes.contains("[0,1]");
    let refused = |one, both| if two { both } else { one };
    vec![
        answer(250, yes, Delivered),
        // Without a record nobody is known to have it.
        answer(250, "", Retry),
        answer(354, "", Retry),
        answer(421, r#"{"step":"HELLO"}"#, Retry),
        answer(554, r#"{"step":"HELLO"}"#, Suspend),
        answer(550, r#"{"step":"EHLO"}"#, Suspend),
        answer(454, r#"{"step":"TLS"}"#, Retry),
        answer(502, r#"{"step":"TLS"}"#, Suspend),
        answer(454, r#"{"step":"AUTH","why":"4.7.0"}"#, Retry),
        answer(535, r#"{"step":"AUTH","why":"5.7.8"}"#, Suspend),
        answer(534, r#"{"step":"AUTH","why":"5.7.9"}"#, Suspend),
        answer(538, r#"{"step":"AUTH","why":"5.7.11"}"#, Suspend),
        answer(504, r#"{"step":"AUTH"}"#, Suspend),
        answer(530, r#"{"step":"MAIL","why":"5.7.0"}"#, Suspend),
        answer(550, r#"{"step":"MAIL","why":"5.7.8"}"#, Suspend),
        answer(452, r#"{"step":"MAIL","why":"4.3.1"}"#, Retry),
        answer(553, r#"{"step":"MAIL","why":"5.1.8"}"#, Suspend),
        answer(550, r#"{"step":"MAIL","why":"5.4.5"}"#, Retry),
        answer(
            450,
            refused(
                r#"{"step":"RCPT","not":[[0,450,"4.2.1"]]}"#,
                r#"{"step":"RCPT","not":[[0,450,"4.2.1"],[1,550,null]]}"#,
            ),
            Retry,
        ),
        answer(
            550,
            refused(
                r#"{"step":"RCPT","not":[[0,550,"5.1.1"]]}"#,
                r#"{"step":"RCPT","not":[[0,550,"5.1.1"],[1,553,null]]}"#,
            ),
            Reject,
        ),
        answer(550, r#"{"step":"RCPT","why":"5.4.5","not":[[0,550,"5.4.5"]]}"#, Retry),
        answer(530, r#"{"step":"RCPT","not":[[0,530,null]]}"#, Suspend),
        answer(421, r#"{"step":"RCPT"}"#, Retry),
        answer(451, r#"{"step":"DATA","why":"4.3.0"}"#, Retry),
        answer(550, r#"{"step":"DATA","why":"5.4.5"}"#, Retry),
        answer(552, r#"{"step":"DATA","why":"5.3.4"}"#, Reject),
        answer(554, r#"{"step":"DATA","why":"5.6.0"}"#, Reject),
    ]
}
