//! `signalbox keys rotate-master`: begins a rotation of the master key and follows it to its end.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Client, Failure, Output, output::text, say};

/// How often it is asked how far it is.
const POLL_PAUSE: Duration = Duration::from_millis(300);
/// How often that is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long the API may be away meanwhile: another process of it goes on.
const AWAY_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Return at once, instead of when it is done.
    #[arg(long)]
    no_wait: bool,
    /// Only say how far it is.
    #[arg(long, conflicts_with = "no_wait")]
    status: bool,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let now = client.get(&["master-key"], &[]).await?;
    if args.status {
        return out.answer(&now, people);
    }
    // One that is at work, such as after this command was interrupted, is followed.
    let answer = if now["state"] == "done" {
        client.post(&["master-key", "rotate"], &[], &json!({})).await?
    } else {
        say("it is being rotated already");
        now
    };
    if args.no_wait {
        return out.answer(&answer, people);
    }
    let answer = follow(answer, client).await?;
    out.answer(&answer, people)
}

/// Asks again and again until it is done.
async fn follow(mut answer: Value, client: &Client) -> Result<Value, Failure> {
    let mut said: Option<(String, Instant)> = None;
    let mut answered = Instant::now();
    let target = answer["target_id"].clone();
    while answer["state"] != "done" {
        let line = progress(&answer);
        if said
            .as_ref()
            .is_none_or(|(before, at)| *before != line && at.elapsed() >= SAY_EVERY)
        {
            say(&line);
            said = Some((line, Instant::now()));
        }
        tokio::time::sleep(POLL_PAUSE).await;
        match client.get(&["master-key"], &[]).await {
            Ok(next) => (answer, answered) = (next, Instant::now()),
            Err(failure) if answered.elapsed() > AWAY_MAX => return Err(failure),
            Err(_) => {}
        }
        if answer["target_id"] != target {
            return Err(anyhow!("someone else began another rotation: signalbox keys rotate-master --status").into());
        }
    }
    Ok(answer)
}

fn list(value: &Value) -> String {
    let words = value.as_array().map_or(&[][..], Vec::as_slice);
    words.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn progress(answer: &Value) -> String {
    if let Some(blocked) = answer["blocked"].as_str() {
        return format!("it cannot go on: {blocked}");
    }
    match answer["state"].as_str() {
        Some("spreading") => {
            let waiting = list(&answer["waiting_for"]);
            let key = text(&answer["target_id"]);
            match waiting.is_empty() {
                true => format!("every process is to have key {key}"),
                false => format!("key {key} is not in the key file yet of: {waiting}"),
            }
        }
        _ => format!(
            "{} of {} integrations are sealed anew",
            text(&answer["resealed"]),
            text(&answer["total"])
        ),
    }
}

fn people(answer: &Value) -> String {
    if answer["state"] != "done" {
        return progress(answer);
    }
    let key = text(&answer["key_id"]);
    if answer["ended_at"].is_null() {
        return format!("key {key} seals; it was never rotated");
    }
    let mut lines = vec![format!(
        "key {key} seals; {} integrations were sealed anew, and all {} values in the database and in KV open with it alone",
        text(&answer["resealed"]),
        text(&answer["opened"])
    )];
    if answer["unreadable"].as_u64().is_some_and(|count| count > 0) {
        lines.push(format!(
            "{} integrations open with no key: signalbox doctor names them",
            text(&answer["unreadable"])
        ));
    }
    let unneeded = list(&answer["unneeded"]);
    if !unneeded.is_empty() {
        lines.push(format!(
            "nothing needs key {unneeded} any more: remove it from the key file of all processes"
        ));
    }
    lines.join("\n")
}
