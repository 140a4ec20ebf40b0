use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Outcome};

use super::*;
use crate::{
    About, Client, Egress, MASK, Step, find,
    objects::double::{Double, SECRET, unpacked},
    preview,
};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const DELIVERIES: [(&str, &str); 5] = [
    ("failed", include_str!("../webhook/golden/failed.delivery.json")),
    ("minimal", include_str!("../webhook/golden/minimal.delivery.json")),
    ("digest", include_str!("../webhook/golden/digest.delivery.json")),
    ("text", include_str!("../webhook/golden/text.delivery.json")),
    ("binary", include_str!("../webhook/golden/binary.delivery.json")),
];
/// Headers that hold the time of a request, or the address of the double, or what follows from the body: the double checks it.
const CHANGING: [&str; 5] = [
    "authorization",
    "content-length",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
];

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "archive".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(10),
    }
}

fn credentials() -> Value {
    json!({ "access_key_id": " AKIAIOSFODNN7EXAMPLE ", "secret_access_key": format!(" {SECRET}\n") })
}

/// The pointers at fault.
fn wrong(config: Value, credentials: Value) -> Vec<String> {
    let egress: Egress = serde_json::from_value(json!({ "allow": ["10.0.0.0/8"] })).expect("egress rules");
    match find("s3").expect("built in").check(&config, &credentials, &egress) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.pointer).collect(),
    }
}

fn delivery(text: &str) -> Delivery {
    serde_json::from_str(text).expect("a delivery")
}

/// Compares text with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/s3/golden/{name}.txt"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

/// What goes over the wire, but for what changes from request to request.
async fn sent(more: Value, delivery: Option<&Delivery>) -> String {
    let double = Double::start().await;
    let mut config = json!({ "bucket": "acme-events", "endpoint": double.url() });
    let members = config.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    let entry = find("s3").expect("built in");
    let target = entry.open(config, credentials(), about()).expect("a target");
    let egress = serde_json::from_value(json!({ "allow": ["127.0.0.0/8"] })).expect("egress rules");
    let client = Client::new(egress).expect("a client");
    let request = match delivery.map(|delivery| target.next(delivery, &[], NOW)) {
        Some(Step::Send(request)) => request,
        Some(Step::Done(outcome)) => panic!("{outcome:?}"),
        None => target.probe(NOW).expect("there is a probe"),
    };
    let exchange = client.send(request, Duration::from_secs(10)).await.expect("an answer");
    assert_eq!(target.classify(&exchange.response, NOW), Outcome::Delivered);
    let seen = double.seen().pop().expect("a request");
    let mut text = format!("{} {}\n", seen.method, seen.path);
    let version = env!("CARGO_PKG_VERSION");
    for (name, value) in seen
        .headers
        .iter()
        .filter(|(name, _)| !CHANGING.contains(&name.as_str()))
    {
        text += &format!("{name}: {}\n", value.replace(version, "<version>"));
    }
    let lines = unpacked(&seen.path, &seen.body);
    text + "\n" + std::str::from_utf8(&lines).expect("UTF-8")
}

#[tokio::test]
async fn requests_are_as_recorded() {
    for (name, text) in DELIVERIES {
        let delivery = delivery(text);
        golden(&format!("cloudevents-{name}"), &sent(json!({}), Some(&delivery)).await);
        let standard = sent(json!({ "format": "standard" }), Some(&delivery)).await;
        golden(&format!("standard-{name}"), &standard);
    }
    let options = json!({
        "prefix": "/signalbox/", "key_template": "type={type}/dt={yyyy}-{mm}-{dd}/{delivery}.jsonl", "compression": "gzip",
        "storage_class": "STANDARD_IA", "kms_key_id": "alias/events", "overwrite": true,
    });
    golden("options", &sent(options, Some(&delivery(DELIVERIES[2].1))).await);
    golden("probe", &sent(json!({}), None).await);
}

#[test]
fn what_is_wrong_is_said_at_once_with_its_field() {
    let config = json!({
        "bucket": "s3://acme", "region": "eu/central", "key_template": "{org}.jsonl", "prefix": "../up",
        "storage_class": "cold", "kms_key_id": "a key",
    });
    let given = json!({ "access_key_id": "A B", "secret_access_key": " ", "session_token": "a\nb" });
    assert_eq!(
        wrong(config, given),
        [
            "config/bucket",
            "config/region",
            "config/kms_key_id",
            "config/prefix",
            "config/key_template",
            "config/storage_class",
            "credentials/access_key_id",
            "credentials/secret_access_key",
            "credentials/session_token",
        ]
    );
}

#[test]
fn an_access_key_that_no_header_carries_is_refused() {
    for id in ["", " ", "a,b", "a/b", "a=b", "ä", "a\u{7}b"] {
        let given = json!({ "access_key_id": id, "secret_access_key": SECRET });
        assert_eq!(
            wrong(json!({ "bucket": "acme" }), given),
            ["credentials/access_key_id"],
            "{id:?}"
        );
    }
}

#[test]
fn credentials_are_the_integrations_own_or_none() {
    for given in [
        json!({}),
        json!({ "access_key_id": "AKIA" }),
        json!({ "secret_access_key": SECRET }),
        json!({ "role_arn": "arn:aws:iam::123456789012:role/x", "access_key_id": "AKIA", "secret_access_key": SECRET }),
    ] {
        assert!(!wrong(json!({ "bucket": "acme" }), given.clone()).is_empty(), "{given}");
    }
}

#[test]
fn addresses_are_checked_where_the_bucket_is() {
    let with = |endpoint: &str, path_style: bool| {
        wrong(
            json!({ "bucket": "acme", "endpoint": endpoint, "path_style": path_style }),
            credentials(),
        )
    };
    for endpoint in [
        "https://minio.example.com:9000",
        "https://example.com/storage/v1/",
        "http://10.0.0.7:9000",
    ] {
        assert_eq!(with(endpoint, true), Vec::<String>::new(), "{endpoint}");
    }
    assert_eq!(with("https://oss.example.com", false), Vec::<String>::new());
    assert_eq!(with("https://10.0.0.7", false), ["config/path_style"]);
    for endpoint in [
        "minio",
        "ftp://minio.example.com",
        "https://user:password@minio.example.com",
        "https://minio.example.com?x=y",
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://8.8.8.8",
    ] {
        assert_eq!(with(endpoint, true), ["config/endpoint"], "{endpoint}");
    }
}

fn bucket_of(config: Value) -> String {
    let config = serde_json::from_value(config).expect("a config");
    let credentials = serde_json::from_value(credentials()).expect("credentials");
    let prepared = S3::prepare(config, credentials).expect("it is right");
    let urls = S3::urls(&prepared);
    urls[0].1.to_string()
}

#[test]
fn a_bucket_is_where_its_region_is_unless_an_endpoint_is_named() {
    for (config, url) in [
        (json!({ "bucket": "acme" }), "https://s3.us-east-1.amazonaws.com/acme"),
        (
            json!({ "bucket": "acme", "region": "cn-north-1" }),
            "https://s3.cn-north-1.amazonaws.com.cn/acme",
        ),
        (
            json!({ "bucket": "acme", "region": "eu-west-1", "path_style": false }),
            "https://acme.s3.eu-west-1.amazonaws.com/",
        ),
        (
            json!({ "bucket": "acme", "endpoint": "https://example.com:9000/storage/" }),
            "https://example.com:9000/storage/acme",
        ),
    ] {
        assert_eq!(bucket_of(config), url);
    }
}

#[test]
fn temporary_credentials_are_warned_of() {
    let entry = find("s3").expect("built in");
    let mut given = credentials();
    let config = json!({ "bucket": "acme" });
    assert!(entry.warnings(&config, &given).is_empty());
    given["session_token"] = "IQoJb3JpZ2luX2VjE".into();
    let warnings = entry.warnings(&config, &given);
    assert_eq!(warnings[0].pointer, "credentials/session_token");
}

#[test]
fn a_preview_shows_lines_and_no_secret() {
    let config = json!({ "bucket": "acme-events", "compression": "zstd" });
    let target = find("s3")
        .expect("built in")
        .open(config, credentials(), about())
        .expect("a target");
    let Step::Send(request) = target.next(&delivery(DELIVERIES[0].1), &[], NOW) else {
        panic!("nothing is sent")
    };
    let shown = preview::of(&request, target.redactor());
    assert_eq!(shown.method, "PUT");
    assert!(
        shown
            .url
            .starts_with("https://s3.us-east-1.amazonaws.com/acme-events/acme/execution.failed/")
    );
    assert!(shown.url.ends_with(".jsonl.zst"), "{}", shown.url);
    let line: Value = serde_json::from_slice(&shown.body).expect("a line of JSON");
    assert_eq!(line["specversion"], "1.0");
    assert!(!format!("{shown:?} {request:?}").contains(SECRET));
}

#[test]
fn the_secret_is_masked_and_the_id_is_not() {
    let masked = find("s3").expect("built in").mask_credentials(&credentials());
    assert_eq!(masked["secret_access_key"], MASK);
    assert_ne!(masked["access_key_id"], MASK);
}
