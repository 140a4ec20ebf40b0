use std::{path::Path, time::Duration};

use ed25519_dalek::{Signature as Ed25519, SigningKey, Verifier, VerifyingKey};
use serde_json::{Value, json};
use signalbox_proto::{Name, Outcome};

use super::*;
use crate::{About, Egress, Exchange, Step, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const DELIVERIES: [(&str, &str); 5] = [
    ("failed", include_str!("golden/failed.delivery.json")),
    ("minimal", include_str!("golden/minimal.delivery.json")),
    ("digest", include_str!("golden/digest.delivery.json")),
    ("text", include_str!("golden/text.delivery.json")),
    ("binary", include_str!("golden/binary.delivery.json")),
];
const PAYLOADS: [&str; 5] = ["standard", "envelope", "flat", "cloudevents", "cloudevents_binary"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn delivery(name: &str) -> Delivery {
    let (_, text) = DELIVERIES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a golden delivery");
    serde_json::from_str(text).expect("a delivery")
}

fn next(config: Value, credentials: Value, delivery: &Delivery, so_far: &[Exchange], now: Timestamp) -> Step {
    let about = About {
        integration: "0197".to_owned(),
        name: "hooks".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let target = find("webhook")
        .expect("built in")
        .open(config, credentials, about)
        .expect("a target");
    target.next(delivery, so_far, now)
}

fn request(config: Value, credentials: Value, delivery: &Delivery, now: Timestamp) -> http::Request {
    match next(config, credentials, delivery, &[], now) {
        Step::Send(Request::Http(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

fn config(payload: &str) -> Value {
    json!({ "url": "https://hooks.example.com/in?a=b", "payload": payload })
}

/// The request that a template makes.
fn templated(config: Value, credentials: Value, delivery: &Delivery, body: &str) -> Step {
    let about = About {
        integration: "0197".to_owned(),
        name: "hooks".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let template = signalbox_proto::integration::Template {
        title: None,
        body: Some(body.to_owned()),
    };
    let entry = find("webhook").expect("built in");
    let target = entry
        .open_with_template(config, credentials, about, Some(&template))
        .expect("a target");
    target.next(delivery, &[], NOW)
}

#[test]
fn a_template_writes_the_body_of_every_payload_and_it_is_signed() {
    let delivery = delivery("failed");
    for payload in PAYLOADS {
        let body = r#"{"type": "{{ event.type }}", "by": "{{ integration.name }}"}"#;
        let step = templated(config(payload), json!({ "secret": "text" }), &delivery, body);
        let Step::Send(Request::Http(request)) = step else {
            panic!("{payload}: {step:?}")
        };
        assert_eq!(&*request.body, br#"{"type": "execution.failed", "by": "hooks"}"#);
        let plain = self::request(config(payload), json!({ "secret": "text" }), &delivery, NOW);
        assert_ne!(
            request.headers["x-signature-256"], plain.headers["x-signature-256"],
            "{payload}"
        );
        assert_eq!(request.headers["webhook-id"], plain.headers["webhook-id"]);
        let content_type = request.headers["content-type"].to_str().expect("ASCII");
        assert!(content_type.starts_with("application/"), "{payload}: {content_type}");
        assert_eq!(content_type.contains("cloudevents"), payload == "cloudevents");
        assert_eq!(request.headers.contains_key("ce-id"), payload == "cloudevents_binary");
    }
}

#[test]
fn a_body_that_is_no_json_is_rejected_and_not_sent() {
    let step = templated(config("standard"), json!({}), &delivery("failed"), "{{ event.type }}");
    let Step::Done(Outcome::Reject { reason }) = step else {
        panic!("{step:?}")
    };
    assert!(
        reason.starts_with("template: body: what it made is not JSON: "),
        "{reason}"
    );
}

/// The request as text, headers by name.
fn show(request: &http::Request) -> String {
    let mut headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("ASCII")))
        .collect();
    headers.sort();
    if let Auth::Authorization(value) = &request.auth {
        headers.push(format!("authorization: {}\n", value.to_str().expect("ASCII")));
    }
    format!(
        "{} {}\n{}\n{}",
        request.method,
        request.url,
        headers.concat(),
        String::from_utf8_lossy(&request.body)
    )
}

fn golden() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn requests_are_as_recorded() {
    golden().bind(|| {
        for payload in PAYLOADS {
            for (name, _) in DELIVERIES {
                let request = request(config(payload), json!({ "secret": SECRET }), &delivery(name), NOW);
                insta::assert_snapshot!(format!("{payload}-{name}"), show(&request));
            }
        }
    });
}

#[test]
fn a_request_with_every_option_is_as_recorded() {
    let config = json!({
        "url": "https://hooks.example.com/in",
        "method": "PUT",
        "payload": "flat",
        "headers": { "X-Team": "core", "content-type": "application/json; charset=utf-8", "User-Agent": "acme/1" },
        "retry_count": 3,
    });
    let credentials = json!({ "secret": "plain text", "basic": { "username": "ada", "password": "hush" } });
    golden().bind(|| {
        insta::assert_snapshot!(
            "options",
            show(&request(config, credentials, &delivery("minimal"), NOW))
        );
    });
}

#[test]
fn every_body_but_plain_data_is_one_json_object() {
    for (name, _) in DELIVERIES {
        for payload in ["standard", "envelope", "flat", "cloudevents"] {
            let body = request(config(payload), json!({}), &delivery(name), NOW).body;
            let value: Value = serde_json::from_slice(&body).expect(payload);
            assert!(value.is_object(), "{payload} {name}");
        }
    }
}

/// What the published schema of CloudEvents asks for, and what its text adds.
#[test]
fn structured_cloudevents_hold_to_their_schema() {
    for (name, _) in DELIVERIES {
        let body = request(config("cloudevents"), json!({}), &delivery(name), NOW).body;
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        let members = event.as_object().expect("an object");
        for required in ["id", "source", "specversion", "type"] {
            assert!(
                members[required].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {required}"
            );
        }
        assert_eq!(event["specversion"], "1.0");
        assert!(event["time"].as_str().expect("a time").parse::<Timestamp>().is_ok());
        assert!(
            members.contains_key("data") != members.contains_key("data_base64"),
            "{name}: one of the two"
        );
        for (key, value) in members
            .iter()
            .filter(|(key, _)| !["data", "data_base64"].contains(&key.as_str()))
        {
            assert!(
                key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                "{name}: {key}"
            );
            assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
        }
    }
}

#[test]
fn binary_cloudevents_carry_the_data_as_it_was_published() {
    let body = |name| request(config("cloudevents_binary"), json!({}), &delivery(name), NOW);
    assert_eq!(&body("text").body[..], "<a>é</a>".as_bytes());
    assert_eq!(body("text").headers["content-type"], "application/xml");
    assert_eq!(&body("binary").body[..], [0, 255, 1]);
    assert_eq!(
        body("failed").headers["ce-subject"],
        "Euro%20%E2%82%AC%20%22x%22%20100%25"
    );
    assert_eq!(body("failed").headers["content-type"], "application/json");
}

#[test]
fn flat_data_gives_way_to_our_names_and_keeps_its_order() {
    let mut delivery = delivery("minimal");
    let data = r#"{"z":1,"event":"x","a":{"b":1.50},"timestamp":2,"e\u0301":[]}"#;
    delivery.events[0].event.data = serde_json::from_str(data).expect("JSON");
    let body = request(config("flat"), json!({}), &delivery, NOW).body;
    let text = std::str::from_utf8(&body).expect("UTF-8");
    assert!(
        text.starts_with(r#"{"event":"execution_completed","timestamp":""#),
        "{text}"
    );
    assert!(
        text.ends_with("\",\"z\":1,\"a\":{\"b\":1.50},\"e\u{301}\":[]}"),
        "{text}"
    );
}

#[test]
fn hostile_metadata_never_breaks_a_request() {
    let mut delivery = delivery("minimal");
    for (name, value) in [
        ("traceparent", "00-\u{0}\nx: y"),
        ("tracestate", "é"),
        ("dataschema", "not a url"),
        ("data", "x"),
        ("a\"b", "\u{1}\""),
        ("longerthantwentychars", "x"),
        ("ok", "\r\nx: y\u{7f} é"),
    ] {
        delivery.events[0]
            .event
            .metadata
            .insert(name.to_owned(), value.to_owned());
    }
    delivery.events[0].event.datacontenttype = Some("text/\nplain".to_owned());
    for payload in PAYLOADS {
        let request = request(config(payload), json!({}), &delivery, NOW);
        assert!(!request.headers.contains_key("x"));
        if payload == "cloudevents_binary" {
            assert_eq!(request.headers["ce-ok"], "%0D%0Ax:%20y%7F%20%C3%A9");
            assert!(!request.headers.contains_key("ce-data") && !request.headers.contains_key("ce-dataschema"));
        }
    }
}

#[test]
fn a_digest_of_one_event_has_the_form_of_a_digest() {
    let mut digest = delivery("digest");
    digest.digest = true;
    digest.events.truncate(1);
    let request = request(config("standard"), json!({}), &digest, NOW);
    let body: Value = serde_json::from_slice(&request.body).expect("a body");
    assert_eq!(body["type"], "signalbox.digest");
    assert_eq!(body["id"], digest.id, "its own, not its event's");
    assert_eq!(
        body["data"],
        json!({
            "batch": true,
            "event_count": 1,
            "events": [{
                "id": "evt-5",
                "type": "alert.created",
                "timestamp": "2026-01-01T00:00:05Z",
                "data": { "title": "first" },
            }],
        })
    );
}

#[test]
fn each_attempt_is_stamped_and_signed_anew_under_the_same_id() {
    let credentials = json!({ "secret": SECRET });
    let first = request(config("standard"), credentials.clone(), &delivery("failed"), NOW);
    let second = request(
        config("standard"),
        credentials,
        &delivery("failed"),
        NOW + Duration::from_secs(5),
    );
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert_eq!(second.headers["webhook-timestamp"], "1767225605");
    assert_ne!(first.headers["webhook-signature"], second.headers["webhook-signature"]);
    assert_eq!(first.body, second.body);
}

/// Signs content of our own choosing, past the forms.
fn sign(secrets: &[&str], id: &str, timestamp: i64, body: &str) -> HeaderMap {
    let owned: Vec<Secret> = secrets.iter().map(|text| Secret::from(*text)).collect();
    let named: Vec<(String, &Secret)> = owned.iter().map(|secret| (String::new(), secret)).collect();
    let mut errors = Vec::new();
    let signer = signature::signer(None, &named, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    let mut headers = HeaderMap::new();
    signer.sign(id.as_bytes(), timestamp, body.as_bytes(), &mut headers);
    headers
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// The first key pair of RFC 8032, section 7.1.
fn rfc8032() -> SigningKey {
    let hex = b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("hex") as u8;
    let seed: Vec<u8> = hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    SigningKey::from_bytes(seed.as_slice().try_into().expect("32 bytes"))
}

#[test]
fn signatures_agree_with_those_of_the_vendors_libraries() {
    for (secret, id, timestamp, body, expected) in [
        (
            SECRET,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            "{\"email\":\"test@example.com\",\"username\":\"test_user\"}",
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ] {
        assert_eq!(sign(&[secret], id, timestamp, body)["webhook-signature"], expected);
    }
}

/// Runs the shared vectors too, where they lie beside the workspace.
#[test]
fn signatures_agree_with_the_shared_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/vectors/standard-webhooks.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: {} is not here; the same values are checked in the test before",
            path.display()
        );
        return;
    };
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let check = |vector: &Value, secret: &str| {
        let text = |key: &str| vector[key].as_str().expect(key).to_owned();
        let timestamp = vector["timestamp"].as_i64().expect("a time");
        let headers = sign(&[secret], &text("id"), timestamp, &text("payload"));
        assert_eq!(headers["webhook-signature"], text("signature"));
    };
    for vector in vectors["v1"].as_array().expect("v1") {
        check(vector, vector["secret"].as_str().expect("a secret"));
    }
    for vector in vectors["v1a"].as_array().expect("v1a") {
        check(vector, &format!("whsk_{}", base64(rfc8032().as_bytes())));
    }
}

#[test]
fn two_live_secrets_of_both_kinds_sign_side_by_side() {
    let key = rfc8032();
    let (seed, pair) = (
        format!("whsk_{}", base64(key.as_bytes())),
        format!("whsk_{}", base64(&key.to_keypair_bytes())),
    );
    let headers = sign(&[SECRET, &seed, &pair], "msg_1", 1_700_000_000, "{}");
    let signatures: Vec<&str> = headers["webhook-signature"]
        .to_str()
        .expect("ASCII")
        .split(' ')
        .collect();
    let [v1, from_seed, from_pair] = signatures.as_slice() else {
        panic!("{signatures:?}")
    };
    assert!(v1.starts_with("v1,"));
    assert_eq!(from_seed, from_pair);
    let bytes = {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD
            .decode(from_seed.strip_prefix("v1a,").expect("v1a"))
            .expect("base64")
    };
    let verifying: VerifyingKey = key.verifying_key();
    verifying
        .verify(b"msg_1.1700000000.{}", &Ed25519::from_slice(&bytes).expect("64 bytes"))
        .expect("the signature is good");
}

#[test]
fn the_older_signature_is_keyed_by_the_text_of_the_secret() {
    // The example of RFC 4231, case 2.
    let headers = sign(&["Jefe"], "msg_1", 1_700_000_000, "what do ya want for nothing?");
    assert_eq!(
        headers["x-signature-256"],
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert!(!headers.contains_key("webhook-signature"));
}

#[test]
fn the_signature_may_be_chosen_against_the_prefix() {
    let with = |signature: &str, secret: &str| {
        let mut config = config("standard");
        config["signature"] = json!(signature);
        request(config, json!({ "secret": secret }), &delivery("minimal"), NOW).headers
    };
    assert!(with("x_signature_256", SECRET).contains_key("x-signature-256"));
    let bare = SECRET.strip_prefix("whsec_").expect("the prefix");
    assert_eq!(
        with("standard", bare)["webhook-signature"],
        with("standard", SECRET)["webhook-signature"]
    );
    let none = with("none", SECRET);
    assert!(!none.contains_key("webhook-signature") && !none.contains_key("x-signature-256"));
    assert!(none.contains_key("webhook-id") && none.contains_key("webhook-timestamp"));
}

fn refused(config: Value, credentials: Value) -> Vec<String> {
    let entry = find("webhook").expect("built in");
    let errors = entry
        .check(&config, &credentials, &Egress::default())
        .err()
        .unwrap_or_default();
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |key: &str, value: Value| {
        let mut config = config("standard");
        config[key] = value;
        config
    };
    let cases = [
        (with("url", json!("hooks.example.com")), json!({}), "config/url"),
        (
            with("url", json!("https://ada:hush@hooks.example.com/")),
            json!({}),
            "config/url",
        ),
        (with("url", json!("ftp://hooks.example.com/")), json!({}), "config/url"),
        (with("url", json!("http://hooks.example.com/")), json!({}), "config/url"),
        (
            with("url", json!("https://169.254.169.254/latest")),
            json!({}),
            "config/url",
        ),
        (
            with("url", json!(format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX)))),
            json!({}),
            "config/url",
        ),
        (with("method", json!("GET")), json!({}), "config/method"),
        (with("retry_count", json!(0)), json!({}), "config/retry_count"),
        (with("retry_count", json!(21)), json!({}), "config/retry_count"),
        (
            with("headers", json!({ "Host": "x" })),
            json!({}),
            "config/headers/Host",
        ),
        (
            with("headers", json!({ "Webhook-Id": "x" })),
            json!({}),
            "config/headers/Webhook-Id",
        ),
        (
            with("headers", json!({ "traceparent": "x" })),
            json!({}),
            "config/headers/traceparent",
        ),
        (
            with("headers", json!({ "Content-Length": "1" })),
            json!({}),
            "config/headers/Content-Length",
        ),
        (
            with("headers", json!({ "Content-Type": "text/xml" })),
            json!({}),
            "config/headers/Content-Type",
        ),
        (with("headers", json!({ "X A": "x" })), json!({}), "config/headers/X A"),
        (
            with("headers", json!({ "X-A": "a\nb" })),
            json!({}),
            "config/headers/X-A",
        ),
        (
            with("headers", json!({ "X-A": "1", "x-a": "2" })),
            json!({}),
            "config/headers/x-a",
        ),
        (with("signature", json!("standard")), json!({}), "credentials/secret"),
        (
            config("standard"),
            json!({ "oauth2": { "token_url": "https://a.example" } }),
            "credentials/oauth2",
        ),
        (config("standard"), json!({ "secret": "" }), "credentials/secret"),
        (config("standard"), json!({ "secret": "whsec_!" }), "credentials/secret"),
        (config("standard"), json!({ "secret": "whsec_" }), "credentials/secret"),
        (
            config("standard"),
            json!({ "secrets": [SECRET, "whsk_AAAA"] }),
            "credentials/secrets/1",
        ),
        (
            config("standard"),
            json!({ "secret": SECRET, "secrets": ["plain"] }),
            "config/signature",
        ),
        (
            config("standard"),
            json!({ "secret": "plain", "secrets": ["other"] }),
            "credentials/secrets/0",
        ),
        (
            config("standard"),
            json!({ "secrets": [SECRET, SECRET, SECRET, SECRET, SECRET] }),
            "credentials/secrets",
        ),
        (config("standard"), json!({ "bearer": "a\nb" }), "credentials/bearer"),
        (
            config("standard"),
            json!({ "bearer": "a", "auth_header": "Token b" }),
            "credentials/bearer",
        ),
        (
            config("standard"),
            json!({ "basic": { "username": "a:b", "password": "c" } }),
            "credentials/basic/username",
        ),
        (
            with("headers", json!({ "Authorization": "x" })),
            json!({ "bearer": "a" }),
            "credentials/bearer",
        ),
        (
            json!({ "url": "https://a.example/", "payload": "cloudevents_binary", "headers": { "ce-id": "1" } }),
            json!({}),
            "config/headers/ce-id",
        ),
    ];
    for (config, credentials, pointer) in cases {
        assert_eq!(
            refused(config.clone(), credentials.clone()),
            [pointer],
            "{config} {credentials}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let config = json!({ "url": "nowhere", "headers": { "Host": "x", "TE": "y" }, "retry_count": 0 });
    assert_eq!(refused(config, json!({ "secret": "whsec_!", "oauth2": {} })).len(), 6);
}

#[test]
fn each_way_to_prove_oneself_sets_authorization() {
    let value = |credentials| match request(config("standard"), credentials, &delivery("minimal"), NOW).auth {
        Auth::Authorization(value) => Some(value.to_str().expect("ASCII").to_owned()),
        Auth::None => None,
    };
    assert_eq!(value(json!({ "bearer": "t" })).as_deref(), Some("Bearer t"));
    assert_eq!(value(json!({ "auth_header": "Token t" })).as_deref(), Some("Token t"));
    // The example of RFC 7617.
    let basic = json!({ "basic": { "username": "Aladdin", "password": "open sesame" } });
    assert_eq!(value(basic).as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert_eq!(value(json!({})), None);
    let mut given = config("standard");
    given["headers"] = json!({ "Authorization": "Bearer from the guide" });
    let headers = request(given, json!({}), &delivery("minimal"), NOW).headers;
    assert_eq!(headers["authorization"], "Bearer from the guide");
}

#[test]
fn documented_answers_have_the_documented_outcome() {
    let outcome = |status: u16| {
        let response = http::Response {
            status,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            truncated: false,
        };
        match next(
            config("standard"),
            json!({}),
            &delivery("minimal"),
            &[Exchange { response }],
            NOW,
        ) {
            Step::Done(outcome) => outcome,
            Step::Send(request) => panic!("one request is enough: {request:?}"),
        }
    };
    for status in [200, 201, 202, 204] {
        assert_eq!(outcome(status), Outcome::Delivered, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert!(matches!(outcome(status), Outcome::Retry { .. }), "{status}");
    }
    for status in [301, 302, 307, 308, 401, 403, 404] {
        assert!(
            matches!(outcome(status), Outcome::Suspend { at_once: false, .. }),
            "{status}"
        );
    }
    assert!(matches!(outcome(410), Outcome::Suspend { at_once: true, .. }));
    for status in [400, 402, 405, 409, 413, 415, 418, 422, 431] {
        assert!(matches!(outcome(status), Outcome::Reject { .. }), "{status}");
    }
}
