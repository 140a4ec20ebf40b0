//! Files of the guide's form, from the command line to what their receivers see.

use std::{path::Path, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Client, Publish, Target, Up, eventually};

mod printed;

const SOON: Duration = Duration::from_secs(20);
/// What signs the requests to `/signed`.
const SECRET: &str = "whsec_read-as-the-text-that-it-is";
const TOKEN: &str = "a-token-that-must-not-be-shown";

/// Two webhooks and what a larger file has beside them. The other blocks come below.
fn webhooks(target: &Target) -> String {
    format!(
        "version: 3\nintegrations:\n  webhooks:\n    enabled: true\n    endpoints:\n      - name: plain\n        url: \"{}\"\n        \
         events: [spec_approved, \"tick.*\"]\n        headers: {{ X-Key: \"k ${{HOOK_TOKEN}}\" }}\n        retry_count: 2\n      \
         - name: signed\n        url: \"{}\"\n        events: [implementation_completed]\n        secret: \"${{HOOK_SECRET}}\"\n",
        target.url("/plain"),
        target.url("/signed"),
    )
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("specs.config.yaml");
    std::fs::write(&path, text).expect("a file can be written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

async fn publish(client: &Client, event_type: &str, id: &str, data: &Value) {
    client
        .publish(
            Publish::of(event_type, data)
                .id(id)
                .header("ce-time", "2026-03-01T10:00:00Z"),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_a_guide_file_get_the_old_names_flat_and_signed() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), &webhooks(&target));
    let variables = [("HOOK_TOKEN", TOKEN), ("HOOK_SECRET", SECRET)];

    let (code, out, error) = client
        .command_in(&variables, &["plan", "-f", &file, "--output", "json"])
        .await;
    assert_eq!(code, 0, "{error}");
    assert!(!out.contains(TOKEN) && !out.contains(SECRET), "{out}");
    let planned: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        planned["translated"],
        json!([
            {
                "block": "integrations.webhooks.endpoints[0]", "name": "plain", "provider": "webhook", "enabled": true,
                "events": ["spec.approved", "tick.*"], "variables": { "headers.X-Key": ["HOOK_TOKEN"] },
            },
            {
                "block": "integrations.webhooks.endpoints[1]", "name": "signed", "provider": "webhook", "enabled": true,
                "events": ["implementation.completed"], "variables": { "secret": ["HOOK_SECRET"] },
            },
        ])
    );
    assert!(
        error.contains("not version (line 1)"),
        "what is not read is named: {error}"
    );
    let (code, out, error) = client.command_in(&variables, &["plan", "-f", &file]).await;
    assert_eq!(code, 0, "{error}");
    assert!(
        out.contains("secret from HOOK_SECRET") && out.contains("2 would change"),
        "{out}"
    );
    assert!(!out.contains(TOKEN) && !out.contains(SECRET), "{out}");

    let (code, _, error) = client.command_in(&variables, &["apply", "-f", &file]).await;
    assert_eq!(code, 0, "{error}");
    let spec = json!({ "id": "FEAT-7", "title": "A title", "status": "approved" });
    publish(client, "spec.approved", "one", &json!({ "spec": spec })).await;
    let plain = target.wait_for("/plain", 1, SOON).await.remove(0);
    assert_eq!(
        plain.json(),
        json!({ "event": "spec_approved", "timestamp": "2026-03-01T10:00:00Z", "spec": spec })
    );
    assert_eq!(plain.header("x-key"), format!("k {TOKEN}"));
    assert_eq!(plain.header("x-signature-256"), "", "no secret, no signature");

    let data = json!({ "spec": spec, "pr": { "number": 4, "url": "https://example.com/4" } });
    publish(client, "implementation.completed", "two", &data).await;
    let signed = target.wait_for("/signed", 1, SOON).await.remove(0);
    assert_eq!(
        signed.json(),
        json!({
            "event": "implementation_completed", "timestamp": "2026-03-01T10:00:00Z", "spec": spec,
            "pr": { "number": 4, "url": "https://example.com/4" },
        })
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(&signed.body);
    let expected: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(signed.header("x-signature-256"), format!("sha256={expected}"));

    client.settled(SOON).await;
    assert_eq!((target.count("/plain"), target.count("/signed")), (1, 1));
    let (code, out, _) = client
        .command_in(&variables, &["apply", "-f", &file, "--output", "json"])
        .await;
    let again: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &again["changes"][0]["action"], &again["changes"][1]["action"]),
        (0, &json!("none"), &json!("none")),
        "the same file changes nothing: {again}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slack_block_delivers_to_the_address_in_the_environment() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let folder = tempfile::tempdir().expect("a folder");
    let text = "integrations:\n  slack:\n    enabled: true\n    channel: \"#ops\"\n    notify_on:\n      - \
                implementation_failed\n    mention_on_failure: [\"@channel\"]\n";
    let file = write(folder.path(), text);
    let (code, _, error) = client.command_in(&[], &["apply", "-f", &file]).await;
    assert_eq!(code, 4, "{error}");
    assert!(
        error.contains(":2: integrations.slack: needs SLACK_WEBHOOK_URL, which is not set"),
        "{error}"
    );
    let url = target.url("/services/T0/B0/secret");
    let (code, _, error) = client
        .command_in(&[("SLACK_WEBHOOK_URL", &url)], &["apply", "-f", &file])
        .await;
    assert_eq!(code, 0, "{error}");
    let data = json!({ "spec": { "id": "FEAT-7", "title": "A title" }, "error": "it broke" });
    publish(client, "implementation.failed", "one", &data).await;
    let received = target.wait_for("/services/T0/B0/secret", 1, SOON).await.remove(0);
    let body = String::from_utf8(received.body).expect("UTF-8");
    assert!(body.contains("it broke") && body.contains("<!channel>"), "{body}");
    client.settled(SOON).await;

    // An address that is refused is told with the variable that it came from.
    let (code, _, error) = client
        .command_in(
            &[("SLACK_WEBHOOK_URL", "https://192.168.1.1/services/T0/B0/secret")],
            &["plan", "-f", &file],
        )
        .await;
    assert_eq!(code, 4, "{error}");
    assert!(
        error.contains(":2: integrations.slack.webhook_url (from SLACK_WEBHOOK_URL): ") && !error.contains("/T0/"),
        "{error}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_block_is_refused_whole_whatever_may_be_left_out() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{}  pigeon: {{ enabled: true }}\n", webhooks(&target));
    let file = write(folder.path(), &text);
    let variables = [("HOOK_TOKEN", TOKEN), ("HOOK_SECRET", SECRET)];
    // A version that knew when pigeons come could leave them out: what that is like the reader's own tests say.
    for arguments in [&["plan"][..], &["apply"], &["apply", "--skip-unavailable"]] {
        let arguments = [arguments, &["-f", file.as_str()][..]].concat();
        let (code, out, error) = client.command_in(&variables, &arguments).await;
        assert_eq!((code, out.as_str()), (4, ""), "{error}");
        let told = ":15: integrations.pigeon: is no block of this form: there are ";
        assert!(error.contains(told) && !error.contains("plain"), "{error}");
    }
    assert_eq!(client.get("/v1/integrations").await["items"], json!([]));
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_switched_off_without_its_secret_and_never_made_without_it() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let folder = tempfile::tempdir().expect("a folder");
    let on = webhooks(&target);
    let off = on.replace("enabled: true", "enabled: false");
    let variables = [("HOOK_TOKEN", TOKEN), ("HOOK_SECRET", SECRET)];

    let (code, _, error) = client
        .command_in(&[], &["apply", "-f", &write(folder.path(), &off)])
        .await;
    assert_eq!(code, 0, "{error}");
    assert!(
        error.contains(
            "left out: integrations.webhooks.endpoints[1]: it is disabled, and the variable HOOK_SECRET is not set"
        ),
        "{error}"
    );
    assert_eq!(client.get("/v1/integrations").await["items"], json!([]));

    let (code, _, error) = client
        .command_in(&variables, &["apply", "-f", &write(folder.path(), &on)])
        .await;
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = client
        .command_in(&[], &["apply", "-f", &write(folder.path(), &off)])
        .await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(client.integration("signed").await["status"], "inactive");
    assert_eq!(client.integration("plain").await["status"], "inactive");

    // Its secret is still what it was.
    let (code, out, error) = client
        .command_in(
            &variables,
            &["apply", "-f", &write(folder.path(), &on), "--output", "json"],
        )
        .await;
    assert_eq!(code, 0, "{error}");
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["changes"][1]["fields"], json!(["enabled"]), "{answer}");
    eventually(SOON, "it delivers again", async || {
        publish(client, "implementation.completed", "again", &json!({})).await;
        match target.count("/signed") {
            0 => Err("nothing yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    up.stop().await;
}
