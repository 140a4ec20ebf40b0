//! Notifications held to what the server takes, and to what the push services behind it carry.
//!
//! Limits: `transformBodyJSON`, `parseActions`, `toFirebaseMessage` and `createAPNSAlertConfig` of ntfy 2.13, read in November
//! 2026.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::Ntfy;
use crate::{
    conformance::{
        Answer, Sample, Sampled, answer, no_claims,
        readable::{one_line, readable},
    },
    http,
};

const TOPIC: &str = "s3cret-topic-of-the-team";
const TOKEN: &str = "tk_s3cretOfTheUser0123456789abcd";
const PASSWORD: &str = "s3cret-password";
/// What the server answers where it takes a message, as far as it matters.
const TAKEN: &str = r#"{"id":"xE73Iyuabi","time":1673542291,"expires":1673585491,"event":"message","topic":"s3cret-topic-of-the-team","message":"x"}"#;
/// Bytes of a message from which on it becomes an attachment.
const ATTACHED_BYTES: usize = 4_096;
/// Bytes of a body from which on it is refused.
const REFUSED_BYTES: usize = 2 * 4_096;
/// What Apple takes of a notification.
const APPLE_BYTES_MAX: usize = 4_096;

impl Sampled for Ntfy {
    fn samples() -> Vec<Sample> {
        let sample = |name, config, credentials, template, accepts| Sample {
            name,
            config,
            credentials,
            template,
            secrets: vec![TOPIC, TOKEN, PASSWORD, "c2lnbmFsYm94OnMzY3JldC1wYXNzd29yZA"],
            accepts,
            claims: no_claims,
            yes: answer(200, TAKEN, OutcomeKind::Delivered),
            answers: answers(),
        };
        let own = json!({ "topic": TOPIC, "base_url": "https://ntfy.example.com", "tags": ["rotating_light", "über"] });
        vec![
            sample("anybody", json!({ "topic": TOPIC }), json!({}), None, accepts_public),
            sample("own server", own, json!({ "token": TOKEN }), None, accepts_own_server),
            sample(
                "template",
                json!({ "topic": TOPIC }),
                json!({ "user": "signalbox", "password": PASSWORD }),
                Some(template()),
                accepts_template,
            ),
        ]
    }
}

/// An owner who trusts his events.
fn template() -> Template {
    Template {
        title: Some("{{ event.title }} =?utf-8?q?x?= {{ event.data.title|truncate(200) }}".to_owned()),
        body: Some("{{ event.data.error|truncate(900) }}\n{{ event.data|tojson|truncate(9000) }}".to_owned()),
    }
}

fn accepts_public(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://ntfy.sh/");
    assert!(matches!(request.auth, http::Auth::None));
    let body = notification(request, delivery);
    assert_eq!(body["tags"].as_array().map(Vec::len), Some(2));
}

fn accepts_own_server(request: &http::Request, delivery: &Delivery) {
    assert_eq!(request.url.as_str(), "https://ntfy.example.com/");
    let body = notification(request, delivery);
    assert_eq!(body["tags"][0], "rotating_light");
    assert_eq!(body["tags"].as_array().map(Vec::len), Some(4));
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let body = notification(request, delivery);
    assert!(!body["title"].as_str().expect("a title").contains("=?"), "{body}");
}

/// Reads a notification and holds it to every limit.
fn notification(request: &http::Request, delivery: &Delivery) -> Value {
    assert_eq!(request.method, ::http::Method::POST);
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.body.len() < REFUSED_BYTES, "JSON body too large");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["topic"], TOPIC);
    let of = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name} of {body}"));
    one_line(of("title"), 250, "title");
    readable(of("message"), ATTACHED_BYTES, "message");
    assert!(of("message").len() < ATTACHED_BYTES, "an attachment");
    assert_eq!(of("message"), of("message").trim(), "the server trims it");
    assert!(of("message").ends_with(" · Signalbox"), "{body}");
    assert!(
        (2..=5).contains(&body["priority"].as_u64().expect("a number")),
        "{body}"
    );
    for tag in body["tags"].as_array().expect("tags") {
        let tag = tag.as_str().expect("a text");
        assert!(!tag.is_empty() && !tag.contains(','), "{tag:?}");
    }
    let sequence_id = of("sequence_id");
    assert_eq!(sequence_id, delivery.id);
    let of_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    assert!((1..=64).contains(&sequence_id.len()) && sequence_id.chars().all(of_id));
    let none = Vec::new();
    let actions = body["actions"].as_array().unwrap_or(&none);
    assert!(actions.len() <= 3, "only 3 actions allowed");
    for action in actions {
        assert_eq!(action["action"], "view");
        assert!(!action["label"].as_str().expect("a label").is_empty());
        address(&action["url"]);
    }
    assert_eq!(body.get("click"), actions.first().map(|action| &action["url"]));
    assert!(body.get("markdown").is_none(), "phones show it as it is written");
    let payload = payload(&body);
    assert!(
        payload <= APPLE_BYTES_MAX,
        "{payload} bytes never arrive at an iPhone: {body}"
    );
    body
}

fn address(url: &Value) {
    let url = url.as_str().expect("an address");
    assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
    let encoded = url.contains("=?");
    assert!(!encoded, "the server would decode a part of {url}");
}

/// How long the notification is as the server gives it to Apple.
fn payload(body: &Value) -> usize {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let actions = body["actions"].as_array().map(|actions| {
        let each = actions.iter().map(|action| {
            json!({ "id": "0123456789", "action": "view", "label": action["label"], "clear": false, "url": action["url"] })
        });
        go(&Value::from_iter(each))
    });
    let tags: Vec<&str> = body["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let beginning: String = text("message").chars().take(100).collect();
    let mut payload = json!({
        "aps": { "alert": { "title": text("title"), "body": beginning }, "mutable-content": 1 },
        "id": "xE73Iyuabi", "time": "1673542291", "event": "message", "topic": text("topic"),
        "priority": "5", "tags": tags.join(","), "click": text("click"), "icon": "", "title": text("title"),
        "message": text("message"), "content_type": "", "encoding": "", "sequence_id": text("sequence_id"),
    });
    if let Some(actions) = actions {
        payload["actions"] = actions.into();
    }
    go(&payload).len()
}

/// JSON as Go writes it.
fn go(value: &Value) -> String {
    let json = value.to_string();
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(200, TAKEN, Delivered),
        answer(200, "<html>sign in</html>", Retry),
        answer(200, "", Retry),
        answer(200, r#"{"success":true}"#, Retry),
        answer(
            400,
            r#"{"code":40009,"http":400,"error":"invalid request: topic invalid"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"code":40010,"http":400,"error":"invalid request: topic name is not allowed"}"#,
            Suspend,
        ),
        answer(
            400,
            r#"{"code":40014,"http":400,"error":"invalid request: attachments not allowed","link":"https://ntfy.sh/docs/config/#attachments"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":40017,"http":400,"error":"invalid request: request body must be message JSON","link":"https://ntfy.sh/docs/publish/#publish-as-json"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":40018,"http":400,"error":"invalid request: actions invalid, only 3 actions allowed","link":"https://ntfy.sh/docs/publish/#action-buttons"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":40024,"http":400,"error":"invalid request: request body must be valid JSON"}"#,
            Reject,
        ),
        answer(
            400,
            r#"{"code":40099,"http":400,"error":"something of tomorrow"}"#,
            Reject,
        ),
        answer(
            401,
            r#"{"code":40101,"http":401,"error":"unauthorized","link":"https://ntfy.sh/docs/publish/#authentication"}"#,
            Suspend,
        ),
        answer(
            403,
            r#"{"code":40301,"http":403,"error":"forbidden","link":"https://ntfy.sh/docs/publish/#authentication"}"#,
            Suspend,
        ),
        answer(404, r#"{"code":40401,"http":404,"error":"page not found"}"#, Suspend),
        answer(
            413,
            r#"{"code":41301,"http":413,"error":"attachment too large, or bandwidth limit reached","link":"https://ntfy.sh/docs/publish/#limitations"}"#,
            Reject,
        ),
        answer(
            413,
            r#"{"code":41303,"http":413,"error":"JSON body too large"}"#,
            Reject,
        ),
        answer(
            429,
            r#"{"code":42901,"http":429,"error":"limit reached: too many requests","link":"https://ntfy.sh/docs/publish/#limitations"}"#,
            Retry,
        ),
        answer(
            429,
            r#"{"code":42908,"http":429,"error":"limit reached: daily message quota reached","link":"https://ntfy.sh/docs/publish/#limitations"}"#,
            Retry,
        ),
        answer(
            429,
            r#"{"code":42909,"http":429,"error":"limit reached: too many auth failures","link":"https://ntfy.sh/docs/publish/#limitations"}"#,
            Retry,
        ),
        answer(
            500,
            r#"{"code":50001,"http":500,"error":"internal server error"}"#,
            Retry,
        ),
        answer(502, "<html>bad gateway</html>", Retry),
        answer(302, "", Suspend),
    ]
}
