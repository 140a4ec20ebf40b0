//! The stream of events and the series of metrics, held to Datadog's limits.
//!
//! Limits: the vendor's OpenAPI files (v1 and v2), its pages on tags and on custom metrics, read in November 2026.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use super::Datadog;
use crate::{
    conformance::{Answer, NOW, Sample, Sampled, answer, contracts::Claim},
    http,
};

const KEY: &str = "s3cret-api-key-0123456789abcdef0";
/// What the vendor answers where it takes an event.
const TAKEN_EVENT: &str = r#"{"status":"ok","event":{"id":1,"title":"x"}}"#;
/// What the vendor answers where it takes metrics.
const TAKEN_METRICS: &str = r#"{"errors":[]}"#;
const APP_KEY: &str = "s3cret-app-key-0123456789abcdef0123456789";

impl Sampled for Datadog {
    fn samples() -> Vec<Sample> {
        let of = |name, config, template, accepts, claims, (yes, mut answers): (_, Vec<Answer>)| Sample {
            name,
            config,
            credentials: json!({ "api_key": KEY, "app_key": APP_KEY }),
            template,
            secrets: vec![KEY, APP_KEY],
            accepts,
            claims,
            yes: answer(202, yes, OutcomeKind::Delivered),
            answers: {
                answers.extend(refusals());
                answers
            },
        };
        let (of_events, of_metrics) = (|| (TAKEN_EVENT, events()), || (TAKEN_METRICS, metrics()));
        let template = Template {
            title: Some("{{ event.title }}: {{ event.data.message|truncate(60) }}".to_owned()),
            body: Some("## {{ event.type }}\n> {{ event.data|tojson|truncate(9000) }}\n```\n{{ event.data.error|truncate(900) }}".to_owned()),
        };
        let config = json!({ "site": "datadoghq.eu", "tags": ["env:production"], "event_tags": ["team:platform"] });
        let counted = json!({ "site": "datadoghq.eu", "action": "metric", "tags": ["env:production"] });
        let mut one_name = counted.clone();
        one_name["metric_name"] = "platform.event".into();
        vec![
            of("event", config.clone(), None, accepts_event, claims_event, of_events()),
            of(
                "event with a template",
                config,
                Some(template),
                accepts_template,
                claims_event,
                of_events(),
            ),
            of("metric", counted, None, accepts_metrics, claims_metrics, of_metrics()),
            of(
                "metric of one name",
                one_name,
                None,
                accepts_metrics,
                claims_metrics,
                of_metrics(),
            ),
        ]
    }
}

fn claims_event(request: &http::Request) -> Vec<Claim> {
    let schema = "/components/schemas/EventCreateRequest";
    Claim::of_body("datadog-v1.openapi.json", schema, &request.body)
}

fn claims_metrics(request: &http::Request) -> Vec<Claim> {
    Claim::of_body(
        "datadog-v2.openapi.json",
        "/components/schemas/MetricPayload",
        &request.body,
    )
}

fn body_of(request: &http::Request, url: &str) -> Value {
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", url));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["dd-api-key"], KEY);
    assert!(request.headers["dd-api-key"].is_sensitive());
    assert!(
        !request.headers.contains_key("dd-application-key"),
        "nothing that is sent needs it"
    );
    serde_json::from_slice(&request.body).expect("JSON")
}

fn accepts_event(request: &http::Request, delivery: &Delivery) {
    let inside = event(request, delivery);
    markup(&inside);
}

fn accepts_template(request: &http::Request, delivery: &Delivery) {
    let inside = event(request, delivery);
    assert_eq!(inside.matches("```").count() % 2, 0, "code stays open in {inside:?}");
}

/// Holds an event to the limits; what its text is between the marks.
fn event(request: &http::Request, delivery: &Delivery) -> String {
    let body = body_of(request, "https://api.datadoghq.eu/api/v1/events");
    let title = body["title"].as_str().expect("a title");
    assert!((1..=100).contains(&title.chars().count()), "{title:?}");
    assert!(!title.contains('\n'), "{title:?}");
    let text = body["text"].as_str().expect("a text");
    assert!(text.chars().count() <= 4_000, "{} characters", text.chars().count());
    let inside = text.strip_prefix("%%% \n").and_then(|text| text.strip_suffix("\n %%%"));
    let inside = inside.expect("a text is between the marks of Markdown");
    assert!(!inside.contains("%%%"), "the markup ends early: {inside:?}");
    for shown in [title, inside] {
        plain(shown);
    }
    let types = ["error", "warning", "info", "success"];
    assert!(types.contains(&body["alert_type"].as_str().expect("a mark")));
    if let Some(secs) = body.get("date_happened") {
        let ago = NOW.secs() - secs.as_i64().expect("an integer");
        assert!((-3_600..18 * 3_600).contains(&ago), "{ago} seconds ago");
    }
    match body.get("aggregation_key") {
        Some(key) => assert!(key.as_str().is_some_and(|key| (1..=100).contains(&key.chars().count()))),
        None => assert!(delivery.is_digest(), "events about one thing are gathered"),
    }
    let tags = tags(&body["tags"]);
    assert!(tags.contains("env:production") && tags.contains("team:platform"));
    assert!(tags.len() <= 60, "{} tags", tags.len());
    inside.to_owned()
}

/// What holds for any text: nobody is called, no direction stays open, nothing is cut inside a sign.
fn plain(text: &str) {
    for (at, _) in text.match_indices('@') {
        let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
        assert!(matches!(next, Some('\u{2060}' | '…')), "somebody is called in {text:?}");
    }
    let hidden = |c: char| {
        c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}')
    };
    assert!(!text.contains(hidden), "a hidden character in {text:?}");
    let mut open = 0_usize;
    for c in text.chars() {
        match c {
            '\u{2068}' => open += 1,
            '\u{2069}' => open = open.checked_sub(1).expect("what is closed was opened"),
            _ => {}
        }
    }
    assert_eq!(open, 0, "a direction stays open in {text:?}");
    assert!(!text.contains("\u{200d}…"), "cut inside a sequence: {text:?}");
}

/// What holds for markup that we write: code is closed, and outside of it no mark is another's.
fn markup(text: &str) {
    let mut in_code = false;
    for line in text.lines() {
        if line == "```" {
            in_code = !in_code;
            continue;
        }
        if in_code {
            assert!(!line.contains("```"), "code ends early in {text:?}");
            continue;
        }
        // Our own marks: an item, bold around a label or a title, links in a line of their own.
        let line = line.strip_prefix("    - ").or(line.strip_prefix("- ")).unwrap_or(line);
        if line.starts_with("[View ") {
            for link in line.split(" · ") {
                let url = link.split_once("](").and_then(|(_, url)| url.strip_suffix(')'));
                let url = url.unwrap_or_else(|| panic!("no link: {link:?}"));
                assert!(
                    url.starts_with("http") && !url.contains(['(', ')', ' ', '<', '>', '@']),
                    "{url:?}"
                );
            }
            continue;
        }
        assert!(
            !line.starts_with(['#', '+', '-', '=', ' ', '\t']),
            "{line:?} begins a block"
        );
        let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(
            numbered.len() == line.len() || !numbered.starts_with(['.', ')']),
            "{line:?} begins a list"
        );
        let mut escaped = false;
        let mut stars = 0;
        for c in line.chars() {
            if escaped {
                escaped = false;
                continue;
            }
            match c {
                '\\' => escaped = true,
                '*' => stars += 1,
                '`' | '[' | ']' | '<' | '>' | '~' | '|' => panic!("a bare {c} in {line:?}"),
                _ => {}
            }
        }
        assert!(!escaped, "an escape is cut in {line:?}");
        assert!(stars == 0 || stars == 4, "{stars} stars in {line:?}");
    }
    assert!(!in_code, "code stays open in {text:?}");
}

fn tags(list: &Value) -> BTreeSet<&str> {
    let list: Vec<&str> = list
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| tag.as_str().expect("a text"))
        .collect();
    for tag in &list {
        assert!((1..=200).contains(&tag.chars().count()), "{tag:?}");
        assert!(
            tag.starts_with(char::is_alphabetic) && !tag.ends_with([':', '_']),
            "{tag:?}"
        );
        let is_kept = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '/');
        assert!(tag.chars().all(is_kept), "{tag:?}");
        assert!(!tag.contains(|c: char| c.is_ascii_uppercase()), "{tag:?}");
    }
    for key in ["event_type:", "agent_id:"] {
        assert!(list.iter().any(|tag| tag.starts_with(key)), "no {key} in {list:?}");
    }
    let distinct: BTreeSet<&str> = list.iter().copied().collect();
    assert_eq!(distinct.len(), list.len(), "a tag is there twice: {list:?}");
    distinct
}

fn accepts_metrics(request: &http::Request, delivery: &Delivery) {
    let body = body_of(request, "https://api.datadoghq.eu/api/v2/series");
    assert!(request.body.len() <= 512_000, "{} bytes", request.body.len());
    let series = body["series"].as_array().expect("series");
    assert!(!series.is_empty());
    let mut seen = BTreeSet::new();
    let mut events = 0;
    for one in series {
        let metric = one["metric"].as_str().expect("a name");
        let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        assert!(
            metric.len() <= 200 && metric.starts_with(|c: char| c.is_ascii_alphabetic()) && metric.bytes().all(is_kept)
        );
        let tags = tags(&one["tags"]);
        assert!(tags.contains("env:production"));
        assert!(seen.insert((metric, tags)), "of two points in one second one is lost");
        let points = one["points"].as_array().expect("points");
        assert_eq!(points.len(), 1);
        let ago = NOW.secs() - points[0]["timestamp"].as_i64().expect("whole seconds");
        assert!((-600..3_600).contains(&ago), "{ago} seconds ago: dropped");
        let value = points[0]["value"].as_f64().expect("a number");
        match one["type"].as_u64() {
            Some(1) => {
                assert!(value >= 1.0 && value.fract() == 0.0 && one["interval"].as_u64().is_some_and(|secs| secs > 0));
                if metric.ends_with(".processed") || metric == "platform.event" {
                    events += points[0]["value"].as_u64().expect("a count");
                }
            }
            Some(3) => assert!((0.0..=1e9).contains(&value) && one["unit"] == "second"),
            other => panic!("a series of type {other:?}"),
        }
    }
    assert_eq!(events, delivery.events.len() as u64, "each event counts once");
}

fn events() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry};
    vec![
        answer(202, TAKEN_EVENT, Delivered),
        answer(200, r#"{"status":"\u006fk","event":{}}"#, Delivered),
        answer(202, r#"{"status":"error"}"#, Reject),
        answer(202, r#"{"status":"ok","errors":["bad tag"]}"#, Reject),
        // Another end of Datadog's.
        answer(202, TAKEN_METRICS, Retry),
        answer(200, r#"{"valid":true}"#, Retry),
    ]
}

fn metrics() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry};
    vec![
        answer(202, TAKEN_METRICS, Delivered),
        answer(202, r#"{"errors":["bad series"]}"#, Reject),
        answer(202, r#"{"errors":"none"}"#, Retry),
        answer(202, r#"{"status":"ok"}"#, Delivered),
    ]
}

/// Of events and of metrics alike.
fn refusals() -> Vec<Answer> {
    use OutcomeKind::{Reject, Retry, Suspend};
    let limited = |headers| Answer {
        headers,
        ..answer(429, r#"{"errors":["Too many requests"]}"#, Retry)
    };
    vec![
        answer(202, "", Retry),
        answer(204, "", Retry),
        answer(200, "{}", Retry),
        answer(202, "[]", Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(302, "", Suspend),
        answer(400, r#"{"errors":["Payload is not in the expected format"]}"#, Reject),
        answer(401, "", Suspend),
        answer(403, r#"{"errors":["Forbidden"]}"#, Suspend),
        answer(404, "", Suspend),
        answer(408, r#"{"errors":["timeout"]}"#, Retry),
        answer(413, r#"{"errors":["Payload too large"]}"#, Reject),
        limited(&[("x-ratelimit-reset", "12"), ("x-ratelimit-period", "60")]),
        limited(&[]),
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
