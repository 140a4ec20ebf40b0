//! What a config may say, and where its token may not be seen.

use super::*;
use crate::{Egress, preview, redact::Redactor};

#[test]
fn a_chat_is_a_number_or_a_name() {
    for (given, sent) in [
        (json!(-1_001_234_567_890_i64), json!(-1_001_234_567_890_i64)),
        (json!("-1001234567890"), json!(-1_001_234_567_890_i64)),
        (json!(42), json!(42)),
        (json!(" 42\n"), json!(42)),
        (json!("@acme_alerts"), json!("@acme_alerts")),
    ] {
        let request = send(json!({ "chat_id": given }), None, &one("alert.created", &json!({})));
        assert_eq!(body_of(&request)["chat_id"], sent, "{given}");
    }
}

#[test]
fn a_base_url_may_have_a_path_and_white_space() {
    for (base, expected) in [
        ("https://api.telegram.org/", "https://api.telegram.org"),
        ("http://127.0.0.1:8081/telegram/?x ", "http://127.0.0.1:8081/telegram"),
    ] {
        let config = json!({ "chat_id": 42, "base_url": base });
        let entry = find("telegram").expect("built in");
        let spaced = json!({ "bot_token": format!(" {TOKEN}\n") });
        let target = entry.open(config, spaced, about()).expect("a target");
        let request = after(&*target, &one("alert.created", &json!({})), &[]).expect("a request");
        assert_eq!(request.url.as_str(), format!("{expected}/bot{TOKEN}/sendMessage"));
    }
}

fn refused(config: &Value, credentials: &Value, egress: &Egress) -> Vec<String> {
    let checked = find("telegram").expect("built in").check(config, credentials, egress);
    let errors = checked.err().unwrap_or_default();
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let none = Egress::default();
    assert_eq!(refused(&config(), &credentials(), &none), [""; 0]);
    for chat in [
        json!(0),
        json!("0"),
        json!(i64::MAX),
        json!("acme_alerts"),
        json!("@"),
        json!("@two words"),
        json!("@a/../x"),
        json!(""),
        json!(1.5),
        json!(true),
        json!("https://t.me/acme"),
    ] {
        let config = json!({ "chat_id": chat });
        assert_eq!(refused(&config, &credentials(), &none), ["config/chat_id"], "{config}");
    }
    for (field, value) in [
        ("message_thread_id", json!(0)),
        ("message_thread_id", json!(1)),
        ("message_thread_id", json!(-5)),
        ("message_thread_id", json!(3_000_000_000_i64)),
        ("message_thread_id", json!("42")),
        ("disable_notification", json!("yes")),
        ("base_url", json!("https://evil.example")),
        ("base_url", json!("http://api.telegram.org")),
        ("base_url", json!("http://127.0.0.1:8081")),
        ("base_url", json!("https://api.telegram.org.evil.example")),
        ("base_url", json!("nowhere")),
        ("colour", json!("red")),
    ] {
        let mut config = config();
        config[field] = value;
        assert_eq!(
            refused(&config, &credentials(), &none),
            [format!("config/{field}")],
            "{config}"
        );
    }
    for token in [
        "",
        "987654321",
        "987654321:short",
        "bot987654321:AAs3cret_of-the-bot_0123456789abcde",
        "987654321:AAs3cret_of-the-bot/../0123456789abc",
        "987654321:AAs3cret_of-the-bot?0123456789abcd",
        "x:AAs3cret_of-the-bot_0123456789abcde",
        ":AAs3cret_of-the-bot_0123456789abcde",
    ] {
        let credentials = json!({ "bot_token": token });
        assert_eq!(
            refused(&config(), &credentials, &none),
            ["credentials/bot_token"],
            "{token}"
        );
    }
    assert_eq!(
        refused(
            &json!({ "chat_id": "x", "message_thread_id": 1, "base_url": "x" }),
            &json!({ "bot_token": "x" }),
            &none
        ),
        [
            "config/chat_id",
            "config/message_thread_id",
            "config/base_url",
            "credentials/bot_token"
        ],
        "all at once"
    );
    assert_eq!(refused(&json!({}), &credentials(), &none), ["config/chat_id"]);
    assert_eq!(refused(&config(), &json!({}), &none), ["credentials/bot_token"]);
    let open = Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    };
    let local = json!({ "chat_id": 42, "base_url": "http://127.0.0.1:8081" });
    assert_eq!(refused(&local, &credentials(), &open), [""; 0], "a server of one's own");
}

#[test]
fn a_token_that_is_not_whole_is_warned_of() {
    let entry = find("telegram").expect("built in");
    assert_eq!(entry.warnings(&config(), &credentials()), []);
    let cut = json!({ "bot_token": "987654321:AAs3cret_of-the-bot_0123456" });
    let warnings = entry.warnings(&config(), &cut);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].pointer, "credentials/bot_token");
    assert!(!warnings[0].to_string().contains("s3cret"), "{warnings:?}");
}

#[test]
fn the_schema_of_the_chat_takes_a_number_or_a_text() {
    let schema = find("telegram").expect("built in").config_schema();
    assert_eq!(schema["properties"]["chat_id"]["type"], json!(["integer", "string"]));
    assert_eq!(schema["required"], json!(["chat_id"]));
    for (name, field) in schema["properties"].as_object().expect("fields") {
        assert!(field["examples"].is_array(), "{name}: {field}");
    }
}

/// The token stands in the address of each request, and addresses are what logs, errors and previews like to show.
#[test]
fn the_token_is_printed_nowhere() {
    let parsed: Config = serde_json::from_value(config()).expect("a config");
    let given: Credentials = serde_json::from_value(credentials()).expect("credentials");
    let printed = format!(
        "{parsed:?} {given:?} {:?}",
        Telegram::prepare(parsed_again(), given_again()).expect("fits")
    );
    assert!(!printed.contains("s3cret"), "{printed}");

    let target = target(config(), None);
    let delivery = one("alert.created", &json!({}));
    let request = after(&*target, &delivery, &[]).expect("a request");
    let Some(Request::Http(probe)) = target.probe(NOW) else {
        panic!("a bot has a probe")
    };
    for request in [request, probe] {
        assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
        let shown = preview::show(&request, target.redactor());
        assert!(shown.url.starts_with("https://api.telegram.org/"), "{}", shown.url);
        assert!(!format!("{shown:?}").contains("s3cret"), "{shown:?}");
    }

    // A redirection names the path, and a reason where it pointed.
    for location in [
        format!("https://web.telegram.org/bot{TOKEN}/sendMessage"),
        format!("/bot{}/sendMessage", TOKEN.replace(':', "%3A")),
        format!("/bot{}/sendMessage", TOKEN.replace(':', "%3a")),
    ] {
        let mut response = Response {
            status: 302,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            truncated: false,
        };
        response
            .headers
            .insert(::http::header::LOCATION, location.parse().expect("a header"));
        let step = target.next(
            &delivery,
            &[Exchange {
                response: response.clone(),
            }],
            NOW,
        );
        let Step::Done(outcome) = step else { panic!("{step:?}") };
        assert!(!format!("{outcome:?}").contains("s3cret"), "{outcome:?}");
        assert!(
            outcome.reason().is_some_and(|reason| reason.contains("sendMessage")),
            "{outcome:?}"
        );
        assert!(!format!("{:?}", target.classify(&response, NOW)).contains("s3cret"));
    }

    // An error of a field tells no value, and what is kept of an answer is without it.
    let entry = find("telegram").expect("built in");
    let wrong = json!({ "bot_token": format!("{TOKEN}/x") });
    let errors = entry.check(
        &json!({ "chat_id": TOKEN, "base_url": TOKEN }),
        &wrong,
        &Egress::default(),
    );
    assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
    let redactor = Redactor::of(&entry.secrets(&config(), &credentials()));
    assert_eq!(redactor.text(&format!("no bot{TOKEN} here")), "no bot*** here");
    assert_eq!(entry.mask_credentials(&credentials())["bot_token"], "***");
}

fn parsed_again() -> Config {
    serde_json::from_value(config()).expect("a config")
}

fn given_again() -> Credentials {
    serde_json::from_value(credentials()).expect("credentials")
}
