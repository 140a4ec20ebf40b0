//! The page about the HTTP API: its commands, word for word, lead from a key to a delivered event.

use std::time::Duration;

use tokio::process::Command;

use crate::harness::{Target, Up, process::Folder};

const PAGE: &str = include_str!("../../docs/api.md");
const TIMEOUT: Duration = Duration::from_secs(60);

/// The commands of the page, in order.
fn commands() -> Vec<String> {
    let blocks = PAGE.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_page_lead_from_a_key_to_a_delivered_event() {
    let up = Up::start().await;
    let target = Target::start().await;
    let folder = Folder::new();
    let commands = commands();
    assert!(commands.len() > 6, "the page has commands");
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, block) in commands.iter().enumerate() {
        script.push_str(block);
        if number == 0 {
            // Only where things are differs here.
            let (api, key) = (up.client().api(), up.client().key());
            script.push_str(&format!("API={api}\nADMIN={key}\nTARGET={}\n", target.url("/hook")));
        }
        script.push_str("\necho\necho -----\n");
    }
    // The page reads the key where `up` keeps it.
    let kept = folder.path().join("signalbox-data");
    std::fs::create_dir(&kept).expect("a folder can be made");
    std::fs::write(kept.join("admin.key"), up.client().key()).expect("a file can be written");
    let run = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEOUT, run)
        .await
        .expect("the commands end")
        .expect("bash and curl are there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    let answers: Vec<&str> = out.split("-----\n").map(str::trim).collect();
    // By block: settings, key, integration with its test, event, what became of it, change, producer's key.
    assert!(answers[2].contains("\"status\":\"success\""), "{out}");
    assert!(answers[3].contains("\"status\":\"delivered\""), "{out}");
    assert_eq!(answers[4].matches("\"delivered\"").count().min(2), 2, "{out}");
    assert!(answers[5].contains("integration.updated"), "{out}");
    assert!(answers[6].contains("\"key\":\"sbx_"), "{out}");
    assert!(
        target
            .received("/hook")
            .iter()
            .any(|request| request.event == "alert-1"),
        "the event has arrived"
    );
    up.stop().await;
}
