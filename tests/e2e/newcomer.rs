//! A newcomer at the command line: the first ten commands, right and wrong.
//!
//! A wrong input is answered on standard error, in lower case, with the field and the remedy, by an exit code that says
//! whose fault it is; programs get the same as JSON. Nothing panics, whoever closes which pipe when.

use std::{fs, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::harness::{
    Answer, Client, Target, Up, eventually,
    process::{Folder, signalbox},
};

mod wrong;

use wrong::{REFUSED, USAGE, WRONG};

const SOON: Duration = Duration::from_secs(60);

/// A file of integrations, and others that are none.
const FILES: [(&str, &str); 7] = [
    ("empty.yaml", ""),
    ("sequence.yaml", "integrations: [oncall\n"),
    ("prose.yaml", "hello\n"),
    (
        "unknown.yaml",
        "integrations:\n  - name: a\n    provider: webhook\n    confg: {}\n",
    ),
    (
        "provider.yaml",
        "integrations:\n  - name: a\n    provider: slak\n    events: [\"a\"]\n",
    ),
    (
        "variable.yaml",
        "integrations:\n  - name: a\n    provider: webhook\n    config: { url: \"${NOT_SET}\" }\n    events: [\"a\"]\n",
    ),
    (
        "type.yaml",
        "integrations:\n  - name: a\n    provider: webhook\n    config: { url: 5 }\n    events: [\"a\"]\n",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_ten_commands_of_a_newcomer_answer_as_they_should() {
    let up = Up::start().await;
    let target = Target::start().await;
    target.script("/broken", [Answer::status(500)]);
    let client = up.client();
    let folder = Folder::new();
    let file = folder.path().join("integrations.yaml");
    let text = json!({ "integrations": [
        { "name": "oncall", "provider": "webhook", "events": ["alert.*"], "config": { "url": target.url("/oncall") } },
        { "name": "broken", "provider": "webhook", "events": ["execution.failed"], "retry": { "schedule": ["1s"] },
          "config": { "url": target.url("/broken") } },
    ] });
    // JSON is YAML.
    fs::write(&file, text.to_string()).expect("the folder takes a file");
    let file = file.to_str().expect("a path in UTF-8");

    right(client, &["plan", "-f", file], "2 would change").await;
    right(client, &["apply", "-f", file], "2 changed").await;
    right(client, &["apply", "-f", file], "0 changed, 2 stay").await;
    right(
        client,
        &["publish", "alert.created", "--id", "a1", "--wait"],
        "oncall (webhook) delivered 200",
    )
    .await;
    let failed = [
        "publish",
        "execution.failed",
        "--id",
        "e1",
        "--data",
        r#"{"error": "disk full"}"#,
    ];
    right(client, &failed, "e1").await;
    eventually(SOON, "the dead letter", async || {
        match client.dead_letters("").await.len() {
            0 => Err("there is none yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let rows: [(&[&str], &str); 23] = [
        (&["trace", "a1"], "oncall (webhook) delivered"),
        (&["trace", "e1"], "signalbox dead replay dl_1"),
        (&["integrations", "list"], "oncall"),
        (&["integrations", "show", "oncall"], "webhook"),
        (&["integrations", "test", "oncall"], "success"),
        (
            &["integrations", "preview", "oncall", "--type", "alert.created"],
            "nothing was sent",
        ),
        (&["integrations", "pause", "oncall"], "paused"),
        (&["integrations", "resume", "oncall"], "active"),
        (&["pause", "--all"], "broken: paused"),
        (&["resume", "--all", "--rate", "10"], "broken: active"),
        (&["dead", "list"], "dl_1"),
        (&["dead", "list", "--group"], "signalbox dead replay --fingerprint"),
        (&["dead", "show", "dl_1"], "exhausted"),
        (&["dead", "replay", "dl_1", "--to", "oncall"], "done: 1 done"),
        (&["deliveries", "list"], "a1"),
        (
            &["replay", "--since", "2h", "--to", "oncall", "--dry-run"],
            "would be sent to oncall",
        ),
        (&["event-types", "list"], "execution.failed"),
        (&["doctor"], "the ledger is even"),
        (&["config"], "nats.url"),
        (&["providers"], "webhook"),
        (&["providers", "webhook"], "config.url"),
        (&["acts", "list"], "done"),
        (&["help", "publish"], "Examples:"),
    ];
    for (arguments, phrase) in rows {
        right(client, arguments, phrase).await;
    }
    for shell in ["bash", "zsh", "fish"] {
        right(client, &["completions", shell], "signalbox").await;
    }
    // What has nothing to show says so.
    right(
        client,
        &["integrations", "list", "--org", "acme"],
        "org acme has no integrations: `signalbox apply",
    )
    .await;
    right(
        client,
        &["dead", "list", "--org", "acme"],
        "org acme has no such dead letters",
    )
    .await;

    for (arguments, code, phrase) in WRONG {
        refused(client, arguments, *code, phrase).await;
    }
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text).expect("the folder takes a file");
    }
    let phrases = [
        (
            "empty.yaml",
            REFUSED,
            "empty.yaml:1: the file is empty: begin it with `integrations:`",
        ),
        ("sequence.yaml", REFUSED, "sequence.yaml:2: is not YAML"),
        ("prose.yaml", REFUSED, "does not begin with `integrations:`"),
        (
            "unknown.yaml",
            REFUSED,
            "integrations[0].confg: is not a field here: did you mean config?",
        ),
        (
            "provider.yaml",
            REFUSED,
            "integrations[0].provider: \"slak\" is not a provider",
        ),
        (
            "variable.yaml",
            REFUSED,
            "integrations[0].config.url: the variable NOT_SET is not set",
        ),
        ("type.yaml", REFUSED, "integrations[0].config.url"),
        ("missing.yaml", 1, "missing.yaml: there is no such file"),
        (".", 1, "it is a folder"),
    ];
    for (name, code, phrase) in phrases {
        let path = folder.path().join(name);
        let path = path.to_str().expect("a path in UTF-8");
        for command in ["plan", "apply"] {
            refused(client, &[command, "-f", path], code, phrase).await;
        }
    }
    // None of that changed anything.
    right(client, &["plan", "-f", file], "0 would change, 2 stay").await;
    keys(client, folder.path()).await;
    pipes(client).await;
    up.stop().await;
}

/// Runs what is right: it succeeds, says so, and puts no colours into a pipe.
async fn right(client: &Client, arguments: &[&str], phrase: &str) {
    let (code, out, error) = client.command_in(&[], arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {error}");
    assert!(out.contains(phrase), "{arguments:?} does not say {phrase:?}: {out}");
    assert!(
        !out.contains('\u{1b}') && !error.contains('\u{1b}'),
        "{arguments:?}: {out}{error}"
    );
}

/// Runs what is wrong, for people and for programs.
async fn refused(client: &Client, arguments: &[&str], code: i32, phrase: &str) {
    refused_in(client, &[], arguments, code, phrase).await;
}

async fn refused_in(client: &Client, variables: &[(&str, &str)], arguments: &[&str], code: i32, phrase: &str) {
    let (given, out, error) = client.command_in(variables, arguments).await;
    assert_eq!(given, code, "{arguments:?}: {out}{error}");
    assert_eq!(out, "", "{arguments:?} prints on standard output");
    let message = error
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{arguments:?} is not answered as an error: {error}"));
    assert!(!message.starts_with(char::is_uppercase), "{arguments:?}: {message}");
    assert!(
        message.contains(phrase),
        "{arguments:?} is not told {phrase:?}: {message}"
    );
    for riddle in ["panicked", "Some(", "Error {", "\u{1b}", "invalid digit"] {
        assert!(!message.contains(riddle), "{arguments:?}: {riddle} in {message}");
    }
    if arguments.contains(&"--output") {
        return;
    }
    let mut for_programs = arguments.to_vec();
    for_programs.extend(["--output", "json"]);
    let (given, out, error) = client.command_in(variables, &for_programs).await;
    assert_eq!((given, out.as_str()), (code, ""), "{for_programs:?}: {error}");
    let document: Value = serde_json::from_str(&error)
        .unwrap_or_else(|problem| panic!("{for_programs:?} is not answered in JSON ({problem}): {error}"));
    for name in ["code", "detail"] {
        assert!(
            document[name].as_str().is_some_and(|text| !text.is_empty()),
            "{for_programs:?}: {error}"
        );
    }
}

/// A wrong key, none, and one that the data dir named here overrules.
async fn keys(client: &Client, folder: &Path) {
    let (_, key) = client.publishing();
    let doctor = ["doctor"];
    refused(
        client,
        &["doctor", "--key", "sbx_wrong"],
        REFUSED,
        "the key was given with --key or SIGNALBOX_KEY",
    )
    .await;
    refused(
        client,
        &["doctor", "--key", "a\nb"],
        USAGE,
        "--key: holds a character that no key has",
    )
    .await;
    let data_dir = folder.to_str().expect("a path in UTF-8");
    let nowhere = [("SIGNALBOX_KEY", ""), ("SIGNALBOX_DATA_DIR", data_dir)];
    refused_in(
        client,
        &nowhere,
        &doctor,
        REFUSED,
        "admin.key: give the admin key with --key",
    )
    .await;
    fs::write(folder.join("admin.key"), "sbx_of_another_installation").expect("the folder takes a file");
    refused_in(client, &nowhere, &doctor, REFUSED, "the key is that of").await;
    fs::write(folder.join("admin.key"), key).expect("the folder takes a file");
    let (code, _, error) = client
        .command_in(&[("SIGNALBOX_KEY", "sbx_wrong")], &["doctor", "--data-dir", data_dir])
        .await;
    assert_eq!(code, 0, "what the line says counts more than the environment: {error}");
}

/// Whoever reads goes away before, or in the middle.
async fn pipes(client: &Client) {
    let (url, key) = client.publishing();
    let commands: [&[&str]; 7] = [
        &["integrations", "list"],
        &["doctor"],
        &["config", "--reference"],
        &["completions", "bash"],
        &["event-types", "list", "--output", "json"],
        &["tail", "--since", "1h"],
        &["--help"],
    ];
    for arguments in commands {
        let mut child = Command::new(signalbox())
            .args(arguments)
            .env_clear()
            .envs([("SIGNALBOX_URL", url), ("SIGNALBOX_KEY", key)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be run");
        drop(child.stdout.take());
        let output = timeout(SOON, child.wait_with_output()).await;
        let output = output.expect("it ends").expect("it can be waited for");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && error.is_empty(),
            "{arguments:?}: {} {error}",
            output.status
        );
    }
}
