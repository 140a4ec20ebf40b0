//! What proves who we are.

use super::*;
use crate::http::identity::tests::Authority;

#[test]
fn each_way_to_prove_oneself_sets_authorization() {
    let value = |credentials| match request(config("standard"), credentials, &delivery("minimal"), NOW).auth {
        Auth::Authorization(value) => Some(value.to_str().expect("ASCII").to_owned()),
        Auth::OAuth2(_) => Some("a token".to_owned()),
        Auth::None => None,
    };
    assert_eq!(
        value(json!({ "oauth2": oauth2("https://login.example.com/token") })).as_deref(),
        Some("a token")
    );
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
fn a_client_certificate_is_checked_and_goes_with_the_request() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("signalbox", 2021);
    let (_, another) = authority.issue("signalbox", 2021);
    let with = |url: &str| json!({ "url": url, "ca_certificate": authority.pem });
    let of = |key: &str| json!({ "client_certificate": { "certificate": certificate, "key": key }, "bearer": "t" });
    let https = with("https://hooks.example.com/");
    let request = request(https.clone(), of(&key), &delivery("minimal"), NOW);
    assert!(request.identity.is_some_and(|identity| identity.has_certificate()));
    assert!(matches!(request.auth, Auth::Authorization(_)));
    assert_eq!(
        refused(https.clone(), of(&another)),
        ["credentials/client_certificate/key"]
    );
    let plain = find("webhook").expect("built in").check(
        &with("http://127.0.0.1/"),
        &of(&key),
        &serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).expect("ranges"),
    );
    let plain: Vec<String> = plain
        .expect_err("no TLS")
        .into_iter()
        .map(|error| error.pointer)
        .collect();
    assert_eq!(plain, ["credentials/client_certificate", "config/ca_certificate"]);
    // One that is over is taken, and said.
    let warnings = find("webhook").expect("built in").warnings(&https, &of(&key));
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let says = "credentials/client_certificate/certificate: expired at 2021-12-31T00:00:00Z";
    assert!(warnings[0].starts_with(says), "{warnings:?}");
}

#[test]
fn keys_and_client_secrets_are_secret_and_certificates_are_not() {
    let credentials = json!({
        "oauth2": oauth2("https://login.example.com/token"),
        "client_certificate": { "certificate": "PEM", "key": "s3cret" },
    });
    let masked = find("webhook").expect("built in").mask_credentials(&credentials);
    assert_eq!(masked["oauth2"]["client_secret"], crate::MASK);
    assert_eq!(masked["oauth2"]["client_id"], "signalbox");
    assert_eq!(
        masked["client_certificate"],
        json!({ "certificate": "PEM", "key": crate::MASK })
    );
}
