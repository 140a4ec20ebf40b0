//! `signalbox doctor`.

use std::{process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{Client, Failure, Output, output::text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1 when something is wrong, with --repair where something could not be mended.

--repair is about what workers know and what the database says: where they differ, the database counts, and what it
does not know is taken over.

Examples:
  signalbox doctor
  signalbox doctor --repair
  signalbox doctor --since 24h --output json")]
pub(crate) struct Args {
    /// From when on the ledger is checked: a duration back from now, or a time [default: 1h].
    #[arg(long)]
    since: Option<String>,
    /// Make the database count where workers know something else.
    #[arg(long, conflicts_with = "since")]
    repair: bool,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<ExitCode, Failure> {
    if args.repair {
        let answer = client.post(&["doctor", "repair"], &[], &json!({})).await?;
        out.answer(&answer, repaired)?;
        let is_whole = answer["left"].as_array().is_none_or(Vec::is_empty);
        return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    // Hidden where standard error is no terminal.
    let progress = ProgressBar::new_spinner().with_message("looking at streams, consumers, what waits, and the ledger");
    progress.enable_steady_tick(Duration::from_millis(120));
    let answer = client.get(&["doctor"], &[("since", args.since.as_deref())]).await;
    progress.finish_and_clear();
    let answer = answer?;
    out.answer(&answer, people)?;
    Ok(if answer["status"] == "error" {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn repaired(answer: &Value) -> String {
    let named = |drift: &Value| {
        format!(
            "{} {}: {}",
            text(&drift["kind"]),
            text(&drift["id"]),
            text(&drift["how"])
        )
    };
    let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
    let mut lines: Vec<String> = list("repaired")
        .iter()
        .map(|drift| format!("mended  {}", named(drift)))
        .collect();
    lines.extend(
        list("left")
            .iter()
            .map(|drift| format!("left    {}: {}", named(drift), text(&drift["reason"]))),
    );
    if lines.is_empty() {
        lines.push("workers know what the database says: nothing to mend".to_owned());
    }
    if answer["truncated"] == true {
        lines.push("there is more: repair again".to_owned());
    }
    lines.join("\n")
}

fn people(answer: &Value) -> String {
    let mut lines = Vec::new();
    for finding in answer["findings"].as_array().into_iter().flatten() {
        lines.push(format!("{:5}  {}", text(&finding["level"]), text(&finding["what"])));
        if let Some(remedy) = finding["remedy"].as_str() {
            lines.push(format!("       → {remedy}"));
        }
    }
    let waiting: Vec<&Value> = answer["waiting"]["integrations"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if !waiting.is_empty() {
        let rows = waiting.iter().map(|entry| {
            let name = entry["integration"]
                .as_str()
                .map_or_else(|| text(&entry["integration_id"]), str::to_owned);
            let mut row = vec![name];
            row.extend(
                ["org", "provider", "pending", "retrying", "parked", "oldest_age_s"].map(|field| text(&entry[field])),
            );
            row
        });
        let head = [
            "WAITING FOR",
            "ORG",
            "PROVIDER",
            "PENDING",
            "RETRYING",
            "PARKED",
            "OLDEST, S",
        ];
        lines.push(String::new());
        lines.push(Output::table(&head, rows));
    }
    lines.join("\n")
}
