use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal as Sent, kill_process};

use super::*;

#[tokio::test]
async fn every_clone_and_child_sees_the_request() {
    let shutdown = Shutdown::new();
    let (clone, child) = (shutdown.clone(), shutdown.child());
    let alone = shutdown.child();
    alone.trigger();
    assert!(alone.is_requested() && !shutdown.is_requested() && !child.is_requested());
    let waiting = tokio::spawn(async move { clone.requested().await });
    shutdown.trigger();
    shutdown.trigger();
    waiting.await.unwrap();
    child.requested().await;
    assert!(child.is_requested());
}

/// What the test below runs as a process of its own: it tells each step on standard output and never ends by itself.
#[tokio::test]
#[ignore = "the other half of the next test, which starts it"]
async fn a_process_that_waits_for_signals() {
    let shutdown = Shutdown::new();
    shutdown.on_signal().unwrap();
    tell("listening");
    shutdown.requested().await;
    tell("requested");
    std::future::pending::<()>().await;
}

fn tell(step: &str) {
    use std::io::Write as _;
    // Not println!, which the test harness captures.
    let mut out = std::io::stdout().lock();
    writeln!(out, "step {step}").unwrap();
    out.flush().unwrap();
}

#[test]
fn the_first_signal_asks_and_the_second_ends_at_once() {
    for (first, second) in [(Sent::TERM, Sent::INT), (Sent::INT, Sent::TERM)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "shutdown::tests::a_process_that_waits_for_signals",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = |step: &str| {
            lines
                .by_ref()
                .map(|line| line.unwrap())
                .find(|line| line.ends_with(step))
                .expect(step)
        };
        wait_for("step listening");
        kill_process(pid, first).unwrap();
        wait_for("step requested");
        kill_process(pid, second).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(EXIT_AT_ONCE));
    }
}
