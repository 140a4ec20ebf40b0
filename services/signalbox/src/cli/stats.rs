//! `signalbox stats`.

use serde_json::Value;

use super::{
    Client, Failure, Output,
    org::Org,
    output::{items, text, time},
    usage,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox stats
  signalbox stats --since 7d --group-by day --provider slack
  signalbox stats --integration oncall --since 24h --group-by hour --output json")]
pub(crate) struct Args {
    #[command(flatten)]
    org: Org,
    /// This integration alone, by name or id.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// This provider alone.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// From then on: a time, or so long ago, at most 90 days [default: 24h].
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Before then [default: now].
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Also by hour, day or week.
    #[arg(long, value_name = "hour|day|week")]
    group_by: Option<String>,
    /// Integrations on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let query = [
        args.org.query(),
        ("integration", args.integration.as_deref()),
        ("provider", args.provider.as_deref()),
        ("since", args.since.as_deref()),
        ("until", args.until.as_deref()),
        ("group_by", args.group_by.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer = client.get(&["stats"], &query).await?;
    out.answer(&answer, people)
}

const HEAD: [&str; 11] = [
    "",
    "DELIVERED",
    "DEAD",
    "EXPIRED",
    "ATTEMPTS",
    "SUCCESS",
    "P50 MS",
    "P99 MS",
    "ANSWER P99",
    "WAITING",
    "OLDEST",
];

fn people(answer: &Value) -> String {
    let mut blocks = vec![format!("{} to {}", time(&answer["since"]), time(&answer["until"]))];
    let series = answer["series"].as_array().map_or(&[][..], Vec::as_slice);
    if !series.is_empty() {
        let rows = series
            .iter()
            .map(|part| row(time(&part["since"]), &part["figures"], &Value::Null));
        blocks.push(Output::table(
            &HEAD[..9],
            rows.map(|mut row| {
                row.truncate(9);
                row
            }),
        ));
    }
    let mut rows = vec![row("all".to_owned(), &answer["total"], &answer["lag"])];
    for provider in answer["providers"].as_array().into_iter().flatten() {
        rows.push(row(text(&provider["provider"]), &provider["figures"], &provider["lag"]));
    }
    for item in items(answer) {
        let name = format!("  {} ({})", text(&item["name"]), text(&item["provider"]));
        rows.push(row(name, &item["figures"], &item["lag"]));
    }
    blocks.push(Output::table(&HEAD, rows));
    let mut notes = Vec::new();
    if answer["has_gaps"] == true {
        notes.push("a stream let go of records of this time before they were counted".to_owned());
    }
    if answer["waiting_at"].is_null() {
        notes.push("what waits could not be counted in time".to_owned());
    }
    if let Some(cursor) = answer["next_cursor"].as_str() {
        notes.push(format!("there are more integrations: --cursor {cursor}"));
    }
    blocks.push(notes.join("\n"));
    blocks.join("\n\n")
}

fn row(name: String, figures: &Value, lag: &Value) -> Vec<String> {
    let success = figures["rates"]["success"].as_f64();
    let oldest = lag["oldest_age_s"].as_u64();
    vec![
        name,
        text(&figures["deliveries"]["delivered"]),
        text(&figures["deliveries"]["dead"]),
        text(&figures["deliveries"]["expired"]),
        text(&figures["attempts"]["total"]),
        success.map_or_else(String::new, |share| format!("{:.2} %", share * 100.0)),
        text(&figures["latency_ms"]["p50"]),
        text(&figures["latency_ms"]["p99"]),
        text(&figures["duration_ms"]["p99"]),
        text(&lag["waiting"]),
        oldest.map_or_else(String::new, |secs| format!("{secs}s")),
    ]
}
