//! The API by https, with a certificate from files.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use crate::harness::{Up, process::settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_the_api_answers_by_https_and_not_otherwise() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("a file can be written");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("a file can be written");
    let path = |path: &std::path::Path| path.display().to_string();
    let mut settings = settings();
    settings.insert("SIGNALBOX_HTTP__TLS_CERT_FILE".into(), path(&cert_file));
    settings.insert("SIGNALBOX_HTTP__TLS_KEY_FILE".into(), path(&key_file));
    let up = Up::start_with(settings).await;
    let client = up.client();
    assert!(client.api().starts_with("https://"), "{}", client.api());

    let trusting = [("SSL_CERT_FILE", path(&cert_file))];
    let trusting: Vec<(&str, &str)> = trusting.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, answer, error) = client
        .command_in(&trusting, &["integrations", "list", "--output", "json"])
        .await;
    assert_eq!(status, 0, "{error}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["items"], serde_json::json!([]));
    // Who does not trust it is not served, nor who speaks plain HTTP.
    let (status, _, error) = client.command_in(&[], &["integrations", "list"]).await;
    assert_eq!(status, 1, "{error}");
    let plain = client.api().replace("https://", "http://");
    let (status, _, error) = client
        .command_in(&trusting, &["--url", &plain, "integrations", "list"])
        .await;
    assert_eq!(status, 1, "{error}");
    up.stop().await;
}
