//! The demonstration: its story holds, and nothing of it is left, however it ends.

use std::{fs, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::harness::{
    eventually,
    process::{Folder, gone, nats_server, signalbox},
};

const SOON: Duration = Duration::from_secs(60);

/// Starts the demonstration with its temporary files in `folder`.
fn demo(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(signalbox())
        .arg("demo")
        .args(arguments)
        .env_clear()
        .env("TMPDIR", folder)
        .env("SIGNALBOX_NATS__SERVER_PATH", nats_server())
        // Of another installation: the lines that are printed work all the same.
        .env("SIGNALBOX_KEY", "sbx_of_another_installation")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run")
}

/// Nothing is left of a demonstration: no process, no file.
async fn nothing_is_left(folder: &Folder) {
    gone(folder.path().to_str().expect("a path in UTF-8")).await;
    assert_eq!(entries(folder), 0, "files are left");
}

fn entries(folder: &Folder) -> usize {
    fs::read_dir(folder.path()).expect("the folder is there").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_tells_its_story_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = timeout(SOON, demo(folder.path(), &[]).wait_with_output()).await;
    let output = output.expect("it ends").expect("it can be waited for");
    let (told, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && error.is_empty(),
        "{}: {error}",
        output.status
    );
    for phrase in [
        "dead letter dl_1, 3 attempts",
        "It prints: done: 1 done, 0 settled before, 0 failed",
        "5 events became 13 deliveries. 4 attempts failed on the way",
        "finds nothing wrong",
    ] {
        assert!(told.contains(phrase), "{phrase} is not in {told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
    nothing_is_left(&folder).await;

    let output = timeout(SOON, demo(folder.path(), &["--output", "json"]).wait_with_output()).await;
    let output = output.expect("it ends").expect("it can be waited for");
    let told = String::from_utf8_lossy(&output.stdout);
    let steps: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let last = steps.last().expect("a step");
    assert_eq!(
        (&last["step"], &last["delivered"]),
        (&json!("done"), &json!(13)),
        "{told}"
    );
    nothing_is_left(&folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_ends_at_once_and_cleanly_when_it_is_asked_to() {
    let folder = Folder::new();
    // Before anything is said, after the first line, among the events, at the dead letter.
    for lines in [0, 1, 15, 34] {
        let mut child = demo(folder.path(), &[]);
        let mut told = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        for _ in 0..lines {
            told.next_line().await.expect("a line").expect("it goes on");
        }
        if lines == 0 {
            // It has its folder, and may be anywhere in its start.
            eventually(SOON, "its folder", async || match entries(&folder) {
                0 => Err("there is none yet".to_owned()),
                _ => Ok(()),
            })
            .await;
        }
        let pid = Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("not 0");
        kill_process(pid, Signal::INT).expect("it takes a signal");
        while told.next_line().await.expect("a line").is_some() {}
        let output = timeout(SOON, child.wait_with_output()).await;
        let output = output.expect("it ends").expect("it can be waited for");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "after {lines} lines: {} {error}",
            output.status
        );
        assert!(error.contains("everything is stopped"), "after {lines} lines: {error}");
        nothing_is_left(&folder).await;
    }
    // Whoever read it has gone.
    let mut child = demo(folder.path(), &[]);
    drop(child.stdout.take());
    let output = timeout(SOON, child.wait_with_output()).await;
    let output = output.expect("it ends").expect("it can be waited for");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    nothing_is_left(&folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_program_the_demonstration_names_the_remedy_and_leaves_nothing() {
    let folder = Folder::new();
    for (arguments, is_json) in [(&["demo"][..], false), (&["demo", "--output", "json"], true)] {
        let output = Command::new(signalbox())
            .args(arguments)
            .env_clear()
            .env("TMPDIR", folder.path())
            .env("SIGNALBOX_NATS__SERVER_PATH", folder.path().join("absent"))
            .output()
            .await
            .expect("the program can be run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("make tools") && output.stdout.is_empty(), "{error}");
        assert_eq!(serde_json::from_str::<Value>(&error).is_ok(), is_json, "{error}");
        nothing_is_left(&folder).await;
    }
}
