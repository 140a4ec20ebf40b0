use ::http::{HeaderMap, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::{Secret, redact::SECRET_BYTES_MIN};

fn request(url: &str, headers: &[(&'static str, &str)], body: &str, auth: Auth) -> http::Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).expect("a value"));
    }
    http::Request {
        method: Method::POST,
        url: url.parse().expect("a URL"),
        headers: map,
        body: Bytes::copy_from_slice(body.as_bytes()),
        auth,
        identity: None,
    }
}

fn secrets(list: &[&str]) -> Redactor {
    let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
    Redactor::of(&list)
}

#[test]
fn what_holds_no_secret_is_shown_as_it_is_sent() {
    let shown = show(
        &request(
            "https://example.com/a?b=c",
            &[("webhook-id", "d-1"), ("content-type", "application/json")],
            "{\"a\": 1}",
            Auth::None,
        ),
        &secrets(&["hush-hush"]),
    );
    assert_eq!(
        (shown.method.as_str(), shown.url.as_str()),
        ("POST", "https://example.com/a?b=c")
    );
    assert_eq!(shown.headers["webhook-id"], "d-1");
    assert_eq!(shown.headers["user-agent"], http::USER_AGENT);
    assert_eq!(&*shown.body, b"{\"a\": 1}");
}

#[test]
fn proofs_and_signatures_are_masked_by_what_they_are() {
    let auth = Auth::bearer(&Secret::from("a")).expect("a value");
    let shown = show(
        &request(
            "https://example.com/",
            &[("webhook-signature", "v1,abc"), ("x-signature-256", "sha256=00")],
            "",
            auth,
        ),
        &secrets(&[]),
    );
    assert_eq!(shown.headers["authorization"], "Bearer ***");
    assert_eq!(shown.headers["webhook-signature"], "***");
    assert_eq!(shown.headers["x-signature-256"], "***");
    let given = Auth::header(&Secret::from("hunter2")).expect("a value");
    assert_eq!(
        show(&request("https://example.com/", &[], "", given), &secrets(&[])).headers["authorization"],
        "***"
    );
    let mut marked = request("https://example.com/", &[("x-key", "k")], "", Auth::None);
    marked.headers.get_mut("x-key").expect("there").set_sensitive(true);
    assert_eq!(show(&marked, &secrets(&[])).headers["x-key"], "***");
}

#[test]
fn an_address_that_is_a_secret_keeps_its_host_alone() {
    let url = "https://hooks.example.com/services/T1/B2/xyz?token=1";
    let shown = show(&request(url, &[], "", Auth::None), &secrets(&[url]));
    assert_eq!(shown.url, "https://hooks.example.com/***");
    let below = show(
        &request("https://hooks.example.com/services/T1/B2/xyz/send", &[], "", Auth::None),
        &secrets(&["https://hooks.example.com/services/T1/B2/xyz"]),
    );
    assert_eq!(below.url, "https://hooks.example.com/***");
    let port = show(
        &request("http://127.0.0.1:9000/x", &[], "", Auth::None),
        &secrets(&["http://127.0.0.1:9000/x"]),
    );
    assert_eq!(port.url, "http://127.0.0.1:9000/***");
}

#[test]
fn a_secret_is_masked_wherever_it_stands() {
    let secret = "to\"ken/+ß1";
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let quoted = serde_json::to_string(secret).expect("a text");
    let shown = show(
        &request(
            &format!("https://example.com/bot{encoded}/send"),
            &[("x-a", "k=123456")],
            &format!("{{\"a\":{quoted}}} {secret} {encoded}"),
            Auth::None,
        ),
        &secrets(&[secret, "123456", "short"]),
    );
    assert_eq!(shown.url, "https://example.com/bot***/send");
    assert_eq!(shown.headers["x-a"], "k=***");
    assert_eq!(&*shown.body, "{\"a\":\"***\"} *** ***".as_bytes());
    let spelled = show(
        &request("https://example.com/%31%32%33456/", &[], "", Auth::None),
        &secrets(&["123456"]),
    );
    assert_eq!(spelled.url, "https://example.com/***");
    let mut binary = request("https://example.com/", &[], "", Auth::None);
    binary.body = Bytes::from_static(b"\xff123456");
    assert_eq!(&*show(&binary, &secrets(&["123456"])).body, b"***");
}

proptest! {
    #[test]
    fn no_secret_of_some_length_is_ever_shown(secret in "[a-zA-Z0-9:/?&=+\"\\\\ é<>-]{6,24}", around in "[a-z/]{0,8}") {
        // White space around a secret is none of it, and what is left may be too short to be looked for.
        prop_assume!(secret.trim().len() >= SECRET_BYTES_MIN);
        let quoted = serde_json::to_string(&format!("{around}{secret}{around}")).expect("a text");
        let encoded = utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string();
        let mut sent = request(&format!("https://example.com/{encoded}"), &[], &format!("{quoted}{secret}"), Auth::None);
        if let Ok(value) = HeaderValue::from_str(&secret) {
            sent.headers.insert("x-a", value);
        }
        let shown = show(&sent, &Redactor::of(std::slice::from_ref(&secret)));
        let all = format!("{}{:?}{}", shown.url, shown.headers, String::from_utf8_lossy(&shown.body));
        prop_assert!(!all.contains(&secret), "{all}");
        prop_assert!(!shown.url.contains(&encoded));
    }
}

#[test]
fn of_a_token_that_is_fetched_only_the_scheme_is_shown() {
    let credentials: http::oauth2::ClientCredentials = serde_json::from_value(serde_json::json!({
        "token_url": "https://login.example.com/token", "client_id": "id", "client_secret": "hunter2",
    }))
    .expect("credentials");
    let grant = credentials.read("credentials/oauth2").expect("they are right");
    let auth = Auth::OAuth2(grant.into());
    let shown = show(&request("https://example.com/", &[], "", auth), &secrets(&["hunter2"]));
    assert_eq!(shown.headers["authorization"], "Bearer ***");
}
