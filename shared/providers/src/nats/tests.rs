use std::time::Duration;

use serde_json::{Value, json};
use signalbox_proto::{Outcome, integration::Template, outcome::OutcomeKind};

use super::{conformance::SEED, *};
use crate::{About, Egress, Entry, MASK, find, preview};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const URL: &str = "tls://nats.example.com";
const DELIVERIES: [(&str, &str); 5] = [
    ("failed", include_str!("../webhook/golden/failed.delivery.json")),
    ("minimal", include_str!("../webhook/golden/minimal.delivery.json")),
    ("digest", include_str!("../webhook/golden/digest.delivery.json")),
    ("text", include_str!("../webhook/golden/text.delivery.json")),
    ("binary", include_str!("../webhook/golden/binary.delivery.json")),
];

fn entry() -> &'static Entry {
    find("nats").expect("built in")
}

fn delivery(name: &str) -> Delivery {
    let (_, text) = DELIVERIES.iter().find(|(known, _)| *known == name).expect("a delivery");
    serde_json::from_str(text).expect("a delivery")
}

/// An event that came in over this many hops.
fn hopped(count: &str) -> Delivery {
    let mut delivery = delivery("failed");
    let metadata = &mut delivery.events[0].event.metadata;
    metadata.insert(relay::HOPS.to_owned(), count.to_owned());
    delivery
}

fn about(delivery: &Delivery) -> About {
    About {
        integration: "0197".to_owned(),
        name: "relay".parse().expect("a name"),
        org: delivery.event().event.org.clone(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

fn credentials() -> Value {
    json!({ "user": "signalbox", "password": "hush-hush-hush" })
}

fn next(config: &Value, template: Option<&Template>, delivery: &Delivery) -> Step {
    let target = entry()
        .open_with_template(config.clone(), credentials(), about(delivery), template)
        .expect("a target");
    target.next(delivery, &[], NOW)
}

fn publish(config: &Value, delivery: &Delivery) -> Publish {
    match next(config, None, delivery) {
        Step::Send(crate::Request::Nats(request)) => request.publish.expect("a message"),
        other => panic!("no message: {other:?}"),
    }
}

fn config(subject: &str, payload: &str) -> Value {
    json!({ "url": URL, "subject": subject, "payload": payload })
}

/// A message as it goes to the server.
fn show(publish: &Publish) -> String {
    let mut headers: Vec<String> = publish
        .headers
        .iter()
        .map(|(name, value)| format!("{}: {}\n", header_name(name), value.to_str().expect("ASCII")))
        .collect();
    headers.sort();
    format!(
        "PUB {}\n{}\n{}",
        publish.subject,
        headers.concat(),
        String::from_utf8_lossy(&publish.body)
    )
}

#[test]
fn messages_are_as_recorded() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for payload in ["standard", "cloudevents", "cloudevents_binary"] {
            for (name, _) in DELIVERIES {
                let publish = publish(&config("events.{type}", payload), &delivery(name));
                insta::assert_snapshot!(format!("{payload}-{name}"), show(&publish));
            }
        }
        let own = publish(
            &config("signalbox.in.{org}.{type}", "cloudevents_binary"),
            &delivery("failed"),
        );
        insta::assert_snapshot!("own-input", show(&own));
    });
}

#[test]
fn each_attempt_is_the_same_message_and_asks_for_an_acknowledgement_unless_told_not_to() {
    let given = config("events.all", "standard");
    let first = publish(&given, &delivery("failed"));
    let second = publish(&given, &delivery("failed"));
    assert_eq!(show(&first), show(&second));
    assert_eq!(first.header("nats-msg-id"), Some(delivery("failed").id.as_str()));
    assert!(first.jetstream);
    let mut given = given;
    given["jetstream"] = false.into();
    assert!(!publish(&given, &delivery("failed")).jetstream);
}

#[test]
fn a_template_writes_the_body_of_every_payload() {
    let template = Template {
        title: None,
        body: Some(r#"{"type": "{{ event.type }}"}"#.to_owned()),
    };
    for payload in ["standard", "cloudevents", "cloudevents_binary"] {
        let step = next(&config("events.all", payload), Some(&template), &delivery("text"));
        let Step::Send(crate::Request::Nats(Request {
            publish: Some(publish), ..
        })) = step
        else {
            panic!("{step:?}")
        };
        let body: Value = serde_json::from_slice(&publish.body).expect("JSON");
        assert_eq!(body["type"], delivery("text").event().event.event_type.as_str());
        assert!(
            publish
                .header("content-type")
                .is_some_and(|text| text.starts_with("application/"))
        );
    }
}

#[test]
fn in_the_own_input_a_delivery_is_a_new_event_of_the_type_that_the_subject_names() {
    let delivery = delivery("failed");
    let given = &delivery.event().event;
    for (subject, event_type) in [
        ("signalbox.in.{org}.{type}", given.event_type.as_str()),
        ("signalbox.in.{org}.page.needed", "page.needed"),
    ] {
        let publish = publish(&config(subject, "cloudevents_binary"), &delivery);
        assert_eq!(publish.subject, format!("signalbox.in.{}.{event_type}", given.org));
        // Under the id of the first it would be dropped as a repeat of it; another type would be refused.
        assert_eq!(publish.header("ce-id"), Some(delivery.id.as_str()));
        assert_eq!(publish.header("ce-type"), Some(event_type));
        assert_eq!(publish.header("ce-org"), Some(given.org.as_str()));
        assert_eq!(&publish.body[..], given.data.as_bytes());
    }
    let elsewhere = publish(&config("events.{type}", "cloudevents_binary"), &delivery);
    assert_eq!(elsewhere.header("ce-id"), Some(given.id.as_str()));
}

#[test]
fn hops_are_counted_in_header_and_body_and_nobody_can_count_backwards() {
    for payload in ["standard", "cloudevents", "cloudevents_binary"] {
        for (had, expected) in [("0", "1"), ("1", "2"), ("2", "3"), ("-7", "4"), ("99", "4")] {
            let publish = publish(&config("events.all", payload), &hopped(had));
            assert_eq!(publish.header(relay::HOPS_HEADER), Some(expected), "{payload} {had}");
            let values = publish.headers.get_all(relay::HOPS_HEADER).iter().count();
            assert_eq!(values, 1);
            let text = String::from_utf8_lossy(&publish.body);
            if payload != "cloudevents_binary" {
                assert!(text.contains(&format!(r#""signalboxhops":"{expected}""#)), "{text}");
            }
        }
    }
}

#[test]
fn the_third_hop_into_the_own_input_is_the_last() {
    let own = config("signalbox.in.{org}.{type}", "cloudevents_binary");
    for had in ["0", "1", "2"] {
        assert!(matches!(next(&own, None, &hopped(had)), Step::Send(_)), "{had}");
    }
    for had in ["3", "4", "x", ""] {
        let Step::Done(Outcome::Reject { reason }) = next(&own, None, &hopped(had)) else {
            panic!("{had:?} goes on")
        };
        assert_eq!(reason, "the event came round 3 times already: it would go on for ever");
        // To others it goes all the same.
        let elsewhere = config("events.all", "standard");
        assert!(matches!(next(&elsewhere, None, &hopped(had)), Step::Send(_)), "{had}");
    }
}

#[test]
fn hostile_metadata_never_breaks_a_message() {
    let mut delivery = delivery("minimal");
    let metadata = &mut delivery.events[0].event.metadata;
    for (name, value) in [
        ("traceparent", "00-\u{0}\nx: y"),
        ("tracestate", "é"),
        ("ok", "\r\nx: y\u{7f} é"),
        ("nats-msg-id", "other"),
    ] {
        metadata.insert(name.to_owned(), value.to_owned());
    }
    let publish = publish(&config("events.all", "cloudevents_binary"), &delivery);
    assert_eq!(publish.header("ce-ok"), Some("%0D%0Ax:%20y%7F%20%C3%A9"));
    assert_eq!(publish.header("nats-msg-id"), Some(delivery.id.as_str()));
    assert!(publish.header("x").is_none() && publish.header("traceparent").is_none());
}

#[test]
fn headers_that_no_stream_would_take_lose_their_longest_attributes() {
    let mut delivery = delivery("minimal");
    let metadata = &mut delivery.events[0].event.metadata;
    for index in 0..40 {
        metadata.insert(format!("long{index}"), "é".repeat(500));
    }
    metadata.insert("short".to_owned(), "kept".to_owned());
    let publish = publish(&config("events.all", "cloudevents_binary"), &delivery);
    let bytes: usize = publish
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    assert!((50_000..64 * 1024).contains(&bytes), "{bytes}");
    assert_eq!(publish.header("ce-short"), Some("kept"));
    for name in REQUIRED {
        assert!(publish.header(name).is_some(), "{name}");
    }
}

fn refused(config: &Value, credentials: &Value, org: &str) -> Vec<String> {
    let org = org.parse().expect("a name");
    let errors = entry()
        .check_in(&org, config, credentials, &Egress::default())
        .err()
        .unwrap_or_default();
    let told = format!("{errors:?}");
    assert!(!told.contains("hush"), "{told}");
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |key: &str, value: Value| {
        let mut config = config("events.all", "standard");
        config[key] = value;
        config
    };
    let user = credentials();
    for (config, credentials, pointer) in [
        (with("url", json!("nats.example.com")), user.clone(), "config/url"),
        (
            with("url", json!("nats://a:hush@nats.example.com")),
            user.clone(),
            "config/url",
        ),
        // Without TLS only addresses that an operator allows are called.
        (
            with("url", json!("nats://nats.example.com")),
            user.clone(),
            "config/url",
        ),
        (with("url", json!("tls://127.0.0.1")), user.clone(), "config/url"),
        (with("url", json!("tls://2130706433")), user.clone(), "config/url"),
        (
            with("url", json!("tls://a.example,tls://169.254.169.254")),
            user.clone(),
            "config/url",
        ),
        (with("subject", json!("events.>")), user.clone(), "config/subject"),
        (with("subject", json!("$JS.API.INFO")), user.clone(), "config/subject"),
        (
            with("subject", json!("signalbox.deliver.x")),
            user.clone(),
            "config/subject",
        ),
        (
            with("subject", json!("signalbox.in.globex.tick")),
            user.clone(),
            "config/subject",
        ),
        (with("payload", json!("xml")), user.clone(), "config/payload"),
        (with("jetstream", json!("yes")), user.clone(), "config/jetstream"),
        (with("anonymous", json!(true)), user.clone(), "config/anonymous"),
        (with("stream", json!("S")), user.clone(), "config/stream"),
        (with("url", json!(URL)), json!({}), "credentials"),
        (
            with("url", json!(URL)),
            json!({ "user": "hush" }),
            "credentials/password",
        ),
        (
            with("url", json!(URL)),
            json!({ "token": "hush", "nkey": SEED }),
            "credentials/nkey",
        ),
        (
            with("url", json!(URL)),
            json!({ "bearer": "hush" }),
            "credentials/bearer",
        ),
    ] {
        assert_eq!(refused(&config, &credentials, "acme"), [pointer], "{config}");
    }
    let fine = [
        (config("signalbox.in.acme.{type}", "cloudevents_binary"), user.clone()),
        (config("signalbox.in.{org}.{type}", "cloudevents_binary"), user.clone()),
        (with("anonymous", json!(true)), json!({})),
        (with("jetstream", json!(false)), json!({ "token": "hush" })),
    ];
    for (config, credentials) in fine {
        assert!(refused(&config, &credentials, "acme").is_empty(), "{config}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let wrong = refused(
        &json!({ "url": "nowhere", "subject": "a..b" }),
        &json!({ "password": "hush" }),
        "acme",
    );
    assert_eq!(wrong, ["config/url", "config/subject", "credentials/user"]);
}

/// Whoever changes the org of an integration past the API meets the same rule.
#[test]
fn the_input_of_another_org_is_not_opened_either() {
    let delivery = delivery("failed");
    let opened = entry().open(
        config("signalbox.in.globex.tick", "standard"),
        credentials(),
        about(&delivery),
    );
    let error = opened.err().expect("another org").to_string();
    assert!(error.contains("config/subject: is the input of another org"), "{error}");
}

#[test]
fn an_envelope_in_an_envelope_is_warned_of() {
    let warned = |subject: &str, payload: &str| entry().warnings(&config(subject, payload), &credentials()).len();
    assert_eq!(warned("signalbox.in.acme.{type}", "standard"), 1);
    assert_eq!(warned("signalbox.in.acme.{type}", "cloudevents"), 0);
    assert_eq!(warned("signalbox.in.acme.{type}", "cloudevents_binary"), 0);
    assert_eq!(warned("events.{type}", "standard"), 0);
}

#[test]
fn a_preview_shows_the_message_and_nothing_that_proves_who_we_are() {
    let mut delivery = delivery("failed");
    let metadata = &mut delivery.events[0].event.metadata;
    metadata.insert("leak".to_owned(), "it was hush-hush-hush".to_owned());
    let target = entry()
        .open(
            config("events.{type}", "cloudevents_binary"),
            credentials(),
            about(&delivery),
        )
        .expect("a target");
    let Step::Send(request) = target.next(&delivery, &[], NOW) else {
        panic!("a request")
    };
    let shown = preview::of(&request, target.redactor());
    assert_eq!(
        (shown.method.as_str(), shown.url.as_str()),
        ("PUB", "tls://nats.example.com:4222/events.execution.failed")
    );
    assert_eq!(shown.headers["Nats-Msg-Id"], delivery.id);
    assert!(shown.headers["ce-leak"].contains(MASK), "{shown:?}");
    let printed = format!("{shown:?} {request:?}");
    assert!(
        !printed.contains("hush-hush") && !printed.contains("hush%2Dhush"),
        "{printed}"
    );

    let probe = target.probe(NOW).expect("a probe");
    let shown = preview::of(&probe, target.redactor());
    assert_eq!(
        (shown.method.as_str(), shown.url.as_str()),
        ("PING", "tls://nats.example.com:4222")
    );
    assert!(shown.headers.is_empty() && shown.body.is_empty());
}

#[test]
fn a_probe_publishes_nothing() {
    let delivery = delivery("failed");
    let target = entry()
        .open(config("events.all", "standard"), credentials(), about(&delivery))
        .expect("a target");
    let Some(crate::Request::Nats(probe)) = target.probe(NOW) else {
        panic!("a probe")
    };
    assert!(probe.publish.is_none());
    let yes = http::Response {
        status: 200,
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        truncated: false,
    };
    assert_eq!(target.classify(&yes, NOW).kind(), OutcomeKind::Delivered);
}
