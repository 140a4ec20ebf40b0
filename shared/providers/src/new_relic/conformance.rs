//! The Event API, held to New Relic's data requirements: what breaks them is dropped behind a 200.
//!
//! Limits: newrelic/docs-website, "Introduction to the Event API" and "Data requirements and limits for custom event
//! data", read in November 2026.

use std::collections::BTreeSet;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind};

use super::NewRelic;
use crate::{
    conformance::{Answer, NOW, Sample, Sampled, answer, no_claims},
    http,
};

const KEY: &str = "0123456789abcdef0123456789abcdefFFFFNRAL";
const EU_KEY: &str = "eu01xx6789abcdef0123456789abcdefFFFFNRAL";
/// Names that are dropped, or that queries cannot hold.
const REFUSED: [&str; 12] = [
    "accountId",
    "appId",
    "log",
    "hostname",
    "entity.guid",
    "entity.name",
    "entity.type",
    "from",
    "select",
    "limit",
    "since",
    "day",
];

impl Sampled for NewRelic {
    fn samples() -> Vec<Sample> {
        let of = |name, config, key: &'static str, accepts| Sample {
            name,
            config,
            credentials: json!({ "api_key": key }),
            template: None,
            secrets: vec![key],
            accepts,
            claims: no_claims,
            yes: answer(
                200,
                r#"{"success":true,"uuid":"bcaf3ac0-0001-b2f2-0000-0193c0de0001"}"#,
                OutcomeKind::Delivered,
            ),
            answers: answers(),
        };
        let eu = json!({ "account_id": "1234567", "region": "eu", "event_type": "SpecIngestion" });
        vec![
            of("us", json!({ "account_id": "7" }), KEY, accepts_us),
            of("eu", eu, EU_KEY, accepts_eu),
        ]
    }
}

fn accepts_us(request: &http::Request, delivery: &Delivery) {
    let url = "https://insights-collector.newrelic.com/v1/accounts/7/events";
    accepts(request, delivery, url, "SignalboxEvent");
}

fn accepts_eu(request: &http::Request, delivery: &Delivery) {
    let url = "https://insights-collector.eu01.nr-data.net/v1/accounts/1234567/events";
    accepts(request, delivery, url, "SpecIngestion");
}

/// The members of an object, those of one name too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

fn accepts(request: &http::Request, delivery: &Delivery, url: &str, event_type: &str) {
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", url));
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["api-key"].is_sensitive());
    assert!(request.body.len() <= 1_000_000, "{} bytes", request.body.len());
    let events: Vec<Members> = serde_json::from_slice(&request.body).expect("an array of objects");
    assert_eq!(events.len(), delivery.events.len(), "an event for each");
    for (Members(members), accepted) in events.iter().zip(&delivery.events) {
        assert!((4..=254).contains(&members.len()), "{} attributes", members.len());
        let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), members.len(), "a name is there twice");
        for (name, value) in members {
            attribute(name, value);
        }
        let get = |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        assert_eq!(get("eventType"), Some(&json!(event_type)));
        assert_eq!(get("event_type"), Some(&json!(accepted.event.event_type.as_str())));
        assert_eq!(get("delivery_id"), Some(&json!(delivery.id)));
        assert!(get("agent_id").is_some_and(|agent| agent != ""));
        let timestamp = get("timestamp").and_then(Value::as_i64).expect("an integer");
        assert!((timestamp - NOW.millis()).abs() < 24 * 3_600 * 1_000, "{timestamp}");
    }
}

fn attribute(name: &str, value: &Value) {
    assert!((1..=255).contains(&name.len()), "a name of {} bytes", name.len());
    assert!(
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{name}"
    );
    assert!(
        !REFUSED.contains(&name.to_ascii_lowercase().as_str()) && !REFUSED.contains(&name),
        "{name}"
    );
    match value {
        Value::String(text) => {
            assert!(
                text.chars().count() <= 4_096,
                "{name}: {} characters",
                text.chars().count()
            );
            assert!(!text.contains('\0') && !text.contains("\u{200d}…"), "{name}: {text:?}");
        }
        Value::Number(number) => assert!(number.as_i64().is_some() || number.is_f64(), "{name}: {number}"),
        other => panic!("{name}: New Relic takes texts and numbers: {other}"),
    }
}

fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    vec![
        answer(
            200,
            r#"{"success":true,"uuid":"bcaf3ac0-0001-b2f2-0000-0193c0de0001"}"#,
            Delivered,
        ),
        answer(200, "", Retry),
        answer(202, "", Retry),
        answer(204, "", Retry),
        answer(200, "{}", Retry),
        answer(200, r#"{"success":"true"}"#, Retry),
        answer(200, r#"{"status":"ok"}"#, Retry),
        answer(200, r#"{"success":false}"#, Retry),
        answer(200, "<html>sign in</html>", Retry),
        answer(302, "", Suspend),
        answer(400, "", Reject),
        answer(401, "", Suspend),
        answer(403, "{}", Suspend),
        answer(404, "", Suspend),
        answer(408, "", Retry),
        answer(413, "", Reject),
        answer(415, "", Reject),
        answer(429, "", Retry),
        answer(500, "", Retry),
        answer(503, "", Retry),
    ]
}
