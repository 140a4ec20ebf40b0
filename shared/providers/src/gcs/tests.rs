use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::Outcome;

use super::{conformance::ACCOUNT, *};
use crate::{About, Client, Egress, FieldError, MASK, Step, conformance::hostile, find, objects::double::Double};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
/// Headers that hold the time of a request, or the address of the double, or what follows from the body.
const CHANGING: [&str; 3] = ["authorization", "content-length", "host"];
const SOON: Duration = Duration::from_secs(10);

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "archive".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: SOON,
    }
}

fn check(config: Value, credentials: Value) -> Vec<FieldError> {
    let egress: Egress = serde_json::from_value(json!({ "allow": ["10.0.0.0/8"] })).expect("egress rules");
    let checked = find("gcs").expect("built in").check(&config, &credentials, &egress);
    checked.err().unwrap_or_default()
}

/// A key file with a change.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut account: Value = serde_json::from_str(ACCOUNT).expect("JSON");
    change(&mut account);
    json!({ "service_account": account.to_string() })
}

#[test]
fn a_key_file_is_taken_whole_and_what_is_none_is_refused_without_its_text() {
    let config = json!({ "bucket": "acme-events" });
    let spaced = format!("\n {ACCOUNT} \n");
    assert!(check(config.clone(), json!({ "service_account": spaced })).is_empty());
    let untyped = changed(|account| drop(account.as_object_mut().expect("an object").remove("type")));
    assert!(check(config.clone(), untyped).is_empty());
    for (credentials, says) in [
        (json!({ "service_account": "hush-hush" }), "whole JSON"),
        (json!({ "service_account": "[\"hush-hush\"]" }), "whole JSON"),
        (
            changed(|account| account["type"] = "authorized_user".into()),
            "service_account",
        ),
        (changed(|account| account["private_key"] = Value::Null), "private_key"),
        (changed(|account| account["private_key"] = "hush-hush".into()), "PKCS#8"),
        (changed(|account| account["client_email"] = " ".into()), "client_email"),
        (
            changed(|account| account["private_key_id"] = Value::Null),
            "private_key_id",
        ),
    ] {
        let errors = check(config.clone(), credentials);
        let [error] = &errors[..] else {
            panic!("{says}: {errors:?}")
        };
        assert_eq!(error.pointer, "credentials/service_account");
        assert!(
            error.message.contains(says) && !error.message.contains("hush"),
            "{error}"
        );
    }
}

#[test]
fn a_token_goes_to_google_alone_or_where_an_operator_allows_it() {
    let credentials = json!({ "service_account": ACCOUNT });
    let with = |endpoint: &str| check(json!({ "bucket": "acme", "endpoint": endpoint }), credentials.clone());
    for endpoint in [
        "https://storage.googleapis.com",
        "https://storage.europe-west3.rep.googleapis.com/",
        "http://10.0.0.7:4443",
    ] {
        assert!(with(endpoint).is_empty(), "{endpoint}");
    }
    for endpoint in [
        "https://storage.example.com",
        "https://storagexgoogleapis.com",
        "http://storage.googleapis.com",
        "https://169.254.169.254",
        "https://storage.googleapis.com/?x=y",
    ] {
        let errors = with(endpoint);
        assert!(
            errors.iter().any(|error| error.pointer == "config/endpoint"),
            "{endpoint}: {errors:?}"
        );
    }
}

/// Sends one event to a double by these credentials.
async fn sent(credentials: Value, double: &Double) -> Outcome {
    let config = json!({ "bucket": "acme-events", "endpoint": double.url() });
    let target = find("gcs")
        .expect("built in")
        .open(config, credentials, about())
        .expect("a target");
    let egress = serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).expect("egress rules");
    let client = Client::new(egress).expect("a client");
    let delivery = hostile::delivery(hostile::event("alert.created", &json!({ "title": "Disk full" })), 1);
    let Step::Send(request) = target.next(&delivery, &[], NOW) else {
        panic!("nothing is sent")
    };
    match client.send(request, SOON).await {
        Ok(exchange) => target.classify(&exchange.response, NOW),
        Err(unanswered) => unanswered.outcome,
    }
}

#[tokio::test]
async fn an_object_is_created_with_a_token_of_our_own_and_only_where_there_is_none() {
    let double = Double::start().await;
    assert_eq!(
        sent(json!({ "service_account": ACCOUNT }), &double).await,
        Outcome::Delivered
    );
    let seen = double.seen();
    assert_eq!(seen.len(), 1, "no token is fetched");
    assert_eq!(seen[0].method, "PUT");
    assert_eq!(seen[0].headers["x-goog-if-generation-match"], "0");
    assert_eq!(seen[0].headers["content-type"], "application/x-ndjson");
    let token = seen[0].headers["authorization"]
        .strip_prefix("Bearer ")
        .expect("a token");
    let claims = token.split('.').nth(1).expect("what it claims");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["iss"], "signalbox@example.iam.gserviceaccount.com");
    let life = claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time");
    assert_eq!(life, 3_600);
}

/// Compares text with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/gcs/golden/{name}.txt"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

#[tokio::test]
async fn a_request_is_as_recorded() {
    let double = Double::start().await;
    assert_eq!(
        sent(json!({ "service_account": ACCOUNT }), &double).await,
        Outcome::Delivered
    );
    let seen = double.seen().pop().expect("a request");
    let mut text = format!("{} {}\n", seen.method, seen.path);
    let version = env!("CARGO_PKG_VERSION");
    let said = seen
        .headers
        .iter()
        .filter(|(name, _)| !CHANGING.contains(&name.as_str()));
    for (name, value) in said {
        text += &format!("{name}: {}\n", value.replace(version, "<version>"));
    }
    golden("alert-created", &(text + "\n" + &String::from_utf8_lossy(&seen.body)));
}

/// Both are switches of the signer for tests, which a tenant's file must not reach.
#[tokio::test]
async fn a_key_file_changes_neither_where_an_object_goes_nor_that_a_token_is_sent() {
    let double = Double::start().await;
    let credentials = changed(|account| {
        account["gcs_base_url"] = "http://10.0.0.9".into();
        account["disable_oauth"] = true.into();
    });
    assert_eq!(sent(credentials, &double).await, Outcome::Delivered);
    assert!(double.seen()[0].headers["authorization"].len() > 300);
}

#[test]
fn the_key_file_is_masked() {
    let masked = find("gcs")
        .expect("built in")
        .mask_credentials(&json!({ "service_account": ACCOUNT }));
    assert_eq!(masked["service_account"], MASK);
}
