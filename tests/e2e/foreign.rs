//! A client that no one here wrote publishes, and libraries that no one here wrote verify what arrives.

use std::{path::PathBuf, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::harness::{Target, Up, process::workspace};

const SOON: Duration = Duration::from_secs(20);

/// The Python of `.tools/venv`, which has what `scripts/python.txt` names.
pub(crate) fn python() -> PathBuf {
    let python = workspace().join(".tools/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make tools`", python.display());
    python
}

/// Runs a script of this folder; it must succeed.
pub(crate) async fn run(script: &str, arguments: &[&str], input: &str) -> String {
    run_within(script, arguments, input, SOON).await
}

/// As [`run`], for a script that has more to do.
pub(crate) async fn run_within(script: &str, arguments: &[&str], input: &str, time: Duration) -> String {
    let script = workspace().join("tests/e2e/foreign").join(script);
    let mut child = Command::new(python())
        .arg(&script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin
        .write_all(input.as_bytes())
        .await
        .expect("the script reads its input");
    drop(stdin);
    let ended = tokio::time::timeout(time, child.wait_with_output()).await;
    let output = ended
        .expect("the script ends in time")
        .expect("the script can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} failed (`make tools` installs what it needs): {errors}",
        script.display()
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_json_by_a_public_client_arrives_signed_so_that_public_libraries_verify_it() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let signing = SigningKey::from_bytes(&[7; 32]);
    let hmac = format!("whsec_{}", STANDARD.encode([3; 32]));
    let ed25519 = format!("whsk_{}", STANDARD.encode(signing.to_bytes()));
    let public = STANDARD.encode(signing.verifying_key().to_bytes());
    client
        .apply(json!([{
            "name": "signed", "provider": "webhook", "events": ["execution.*"],
            "config": { "url": target.url("/signed") },
            "credentials": { "secret": hmac, "secrets": [ed25519] },
        }]))
        .await;
    let data = json!({ "agent_id": "agent-7", "error": "timeout – „grüße“ 🚨", "success_rate": 0.25, "big": 9_007_199_254_740_993_u64 });
    run(
        "publish.py",
        &[client.nats_url(), "signalbox.in.default.execution.failed"],
        &data.to_string(),
    )
    .await;
    let received = target.wait_for("/signed", 1, SOON).await;
    let request = &received[0];
    let body = request.json();
    assert_eq!(
        (&body["type"], &body["data"]),
        (&json!("execution.failed"), &data),
        "{body}"
    );
    assert_eq!(request.method, "POST");

    let text = String::from_utf8(request.body.clone()).expect("JSON is UTF-8");
    let input = |body: &str| {
        json!({ "headers": request.headers, "body": body, "secret": hmac, "public_key": public }).to_string()
    };
    let verified: Value = serde_json::from_str(&run("verify.py", &[], &input(&text)).await).expect("JSON");
    assert_eq!(verified, json!({ "v1": true, "v1a": true }), "{:?}", request.headers);
    let forged = text.replace("timeout", "tampered");
    let verified: Value = serde_json::from_str(&run("verify.py", &[], &input(&forged)).await).expect("JSON");
    assert_eq!(verified, json!({ "v1": false, "v1a": false }));
    up.stop().await;
}
