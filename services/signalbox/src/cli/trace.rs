//! `signalbox trace`: the story of an event as a tree.

use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::Value;
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    output::{text, time},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox trace canary-1.4.2
  signalbox trace 42 --org acme --source /billing --since 24h")]
pub(crate) struct Args {
    /// The event's id.
    event_id: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    org: Name,
    /// Its source, where several have an event with this id.
    #[arg(long)]
    source: Option<String>,
    /// How far back to look: a duration, or a time [default: 1h].
    #[arg(long)]
    since: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let query = [
        ("org", Some(args.org.as_str())),
        ("source", args.source.as_deref()),
        ("since", args.since.as_deref()),
    ];
    // Hidden where standard error is no terminal.
    let progress = ProgressBar::new_spinner().with_message("reading the streams");
    progress.enable_steady_tick(Duration::from_millis(120));
    let answer = client.get(&["events", &args.event_id], &query).await;
    progress.finish_and_clear();
    out.answer(&answer?, tree)
}

fn tree(answer: &Value) -> String {
    let event = &answer["event"];
    let mut lines = vec![
        format!("{} {}", text(&event["type"]), text(&event["id"])),
        format!(
            "├ org {}, source {}, severity {}",
            text(&event["org"]),
            text(&event["source"]),
            text(&event["severity"])
        ),
        format!(
            "├ accepted {} as {} of EVENTS",
            text(&answer["accepted_at"]),
            text(&answer["sequence"])
        ),
    ];
    let deliveries: Vec<&Value> = answer["deliveries"].as_array().into_iter().flatten().collect();
    match answer["status"].as_str() {
        Some("no_route") => lines.push("└ matched no integration".to_owned()),
        Some("accepted") => lines.push("└ not routed yet".to_owned()),
        _ => {}
    }
    for (index, delivery) in deliveries.iter().enumerate() {
        let last = index + 1 == deliveries.len();
        let (branch, stem) = if last { ("└", " ") } else { ("├", "│") };
        lines.push(format!("{branch} {}", head(delivery)));
        let mut children: Vec<String> = delivery["history"]
            .as_array()
            .into_iter()
            .flatten()
            .map(attempt)
            .collect();
        if let Some(at) = delivery["next_attempt_at"].as_str() {
            children.push(format!("next attempt {at}"));
        }
        if let Some(id) = delivery["dead_letter_id"].as_str() {
            children.push(format!("dead letter {id}: {}", text(&delivery["error_message"])));
        }
        for (index, child) in children.iter().enumerate() {
            let branch = if index + 1 == children.len() { "└" } else { "├" };
            lines.push(format!("{stem} {branch} {child}"));
        }
    }
    lines.join("\n")
}

fn head(delivery: &Value) -> String {
    let name = match delivery["integration"].as_str() {
        Some(name) => name.to_owned(),
        None => text(&delivery["integration_id"]),
    };
    let waiting = match delivery["waiting_for"].as_str() {
        Some(what) => format!(" (waiting for {what})"),
        None => String::new(),
    };
    format!(
        "{name} ({}) {}{waiting}  {}",
        text(&delivery["provider"]),
        text(&delivery["status"]),
        text(&delivery["id"])
    )
}

fn attempt(attempt: &Value) -> String {
    let mut line = format!("{} {}", time(&attempt["at"]), text(&attempt["outcome"]));
    if attempt["outcome"].is_null() {
        line.push_str(&text(&attempt["next"]));
    }
    if let Some(code) = attempt["response_code"].as_u64() {
        line.push_str(&format!(" {code}"));
    }
    if let Some(took) = attempt["duration_ms"].as_u64() {
        line.push_str(&format!(" in {took} ms"));
    }
    if let Some(error) = attempt["error_message"].as_str() {
        line.push_str(&format!(": {error}"));
    }
    line
}
