//! `signalbox publish`.

use std::{io::Read as _, path::Path};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use signalbox_proto::Name;

use super::{Client, Failure, Output, output};

/// Most bytes of data that are read before the API has a say.
const DATA_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox publish execution.failed --data '{\"agent_id\":\"agent-7\",\"error\":\"timeout\"}'
  signalbox publish alert.created --org acme --severity critical --data @alert.json
  echo '{\"version\":\"1.4.2\"}' | signalbox publish canary.promoted --data - --id canary-1.4.2")]
pub(crate) struct Args {
    /// The event's type, such as execution.failed.
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    org: Name,
    /// The event's data: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    data: String,
    /// The event's id; a repeat within five minutes is the same event [default: a new one].
    #[arg(long)]
    id: Option<String>,
    /// Where it comes from; by default a slash and the org.
    #[arg(long)]
    source: Option<String>,
    /// What it is about.
    #[arg(long)]
    subject: Option<String>,
    /// When it happened, such as 2026-01-31T09:30:00Z [default: now].
    #[arg(long)]
    time: Option<String>,
    /// low, medium, high or critical [default: that of its type].
    #[arg(long)]
    severity: Option<String>,
    /// The agent that it concerns.
    #[arg(long)]
    agent_id: Option<String>,
    /// The execution that it concerns.
    #[arg(long)]
    execution_id: Option<String>,
    /// A further attribute; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    metadata: Vec<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let mut event = Map::new();
    event.insert("type".to_owned(), json!(args.event_type));
    event.insert("data".to_owned(), data(&args.data)?);
    let optional = [
        ("id", args.id),
        ("source", args.source),
        ("subject", args.subject),
        ("time", args.time),
        ("severity", args.severity),
        ("agent_id", args.agent_id),
        ("execution_id", args.execution_id),
    ];
    event.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))),
    );
    if !args.metadata.is_empty() {
        event.insert("metadata".to_owned(), metadata(&args.metadata)?);
    }
    let answer = client
        .post(&["events"], &[("org", Some(args.org.as_str()))], &event.into())
        .await?;
    out.answer(&answer, |answer| {
        let events = answer["events"].as_array().into_iter().flatten();
        events
            .map(|event| output::text(&event["id"]))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

fn data(given: &str) -> Result<Value, Failure> {
    let (text, place) = match given.strip_prefix('@') {
        _ if given == "-" => (
            read(&mut std::io::stdin().lock(), "standard input")?,
            "standard input".to_owned(),
        ),
        Some(path) => {
            let mut file = std::fs::File::open(Path::new(path)).with_context(|| format!("cannot open {path}"))?;
            (read(&mut file, path)?, path.to_owned())
        }
        None => (given.to_owned(), "--data".to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("{place} is not JSON: {error}")))
}

fn read(from: &mut dyn std::io::Read, place: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(DATA_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {place}"))?;
    Ok(text)
}

fn metadata(given: &[String]) -> Result<Value, Failure> {
    let mut map = Map::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--metadata {pair:?} is not NAME=VALUE")))?;
        map.insert(name.to_owned(), json!(value));
    }
    Ok(map.into())
}
