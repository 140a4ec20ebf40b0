//! `signalbox publish`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::Path,
};

use serde_json::{Map, Value, json};
use signalbox_runtime::duration;

use super::{Client, Failure, Output, failure::reason, org::Org, output};

/// Most bytes of data that are read before the API has a say.
const DATA_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Integrations whose names are looked up.
const NAMES_MAX: usize = 20;
/// The longest wait that the API takes, in seconds.
const WAIT_SECS_MAX: u64 = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox publish execution.failed --data '{\"agent_id\":\"agent-7\",\"error\":\"timeout\"}'
  signalbox publish alert.created --org acme --severity critical --data @alert.json
  signalbox publish system.degraded --wait=30s
  echo '{\"version\":\"1.4.2\"}' | signalbox publish canary.promoted --data - --id canary-1.4.2")]
pub(crate) struct Args {
    /// The event's type, such as execution.failed.
    #[arg(value_name = "TYPE")]
    event_type: String,
    #[command(flatten)]
    org: Org,
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
    /// Wait until its deliveries are settled, at most so long (up to 60s), and tell what became of them.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10s")]
    wait: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let mut event = Map::new();
    event.insert("type".to_owned(), json!(args.event_type));
    event.insert("data".to_owned(), json("--data", &args.data)?);
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
    let wait = args.wait.as_deref().map(wait_secs).transpose()?;
    let (path, query, event) = (["events"], [args.org.query()], event.into());
    let answer = match wait {
        None => client.post(&path, &query, &event).await?,
        Some(secs) => {
            let prefer = format!("wait={secs}");
            client.post_preferring(&path, &query, &event, &prefer).await?
        }
    };
    let names = if out.is_json() {
        BTreeMap::new()
    } else {
        names(&answer, &args.org, client).await
    };
    out.answer(&answer, |answer| {
        let events = answer["events"].as_array().into_iter().flatten();
        let lines = events.flat_map(|event| {
            let id = std::iter::once(output::text(&event["id"]));
            id.chain(wait.map(|_| became(event, &names)).unwrap_or_default())
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// Whole seconds, as the API takes them; a part of one counts as one.
fn wait_secs(given: &str) -> Result<u64, Failure> {
    let wait = duration::parse(given).map_err(|error| Failure::Usage(format!("--wait: {error}")))?;
    let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    if (1..=WAIT_SECS_MAX).contains(&secs) {
        Ok(secs)
    } else {
        Err(Failure::Usage(format!(
            "--wait: {given} is not from 1s to {WAIT_SECS_MAX}s"
        )))
    }
}

/// The names of the integrations that an answer speaks of, by id: of the first ones, as far as the API tells them.
async fn names(answer: &Value, org: &Org, client: &Client) -> BTreeMap<String, String> {
    let events = answer["events"].as_array().into_iter().flatten();
    let deliveries = events.flat_map(|event| event["deliveries"].as_array().into_iter().flatten());
    let ids: BTreeSet<&str> = deliveries.filter_map(|one| one["integration_id"].as_str()).collect();
    let mut names = BTreeMap::new();
    for id in ids.into_iter().take(NAMES_MAX) {
        // Where only events may be published, ids have to do.
        let Ok(integration) = client.get(&["integrations", id], &[org.query()]).await else {
            break;
        };
        names.insert(id.to_owned(), output::text(&integration["name"]));
    }
    names
}

/// What became of an event's deliveries, a line each.
fn became(event: &Value, names: &BTreeMap<String, String>) -> Vec<String> {
    let Some(settled) = event["settled"].as_bool() else {
        return vec!["  the API is too busy to wait: look with `signalbox trace`".to_owned()];
    };
    let deliveries = event["deliveries"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = deliveries.map(|one| delivery(one, names)).collect();
    match (settled, lines.len()) {
        (true, 0) if event["error_message"].is_string() => {
            lines.push(format!(
                "  could not be routed: {}",
                output::text(&event["error_message"])
            ));
        }
        (true, 0) => lines.push("  matched no integration".to_owned()),
        (true, _) => {}
        (false, _) => lines.push("  not settled yet: look with `signalbox trace`".to_owned()),
    }
    lines
}

fn delivery(delivery: &Value, names: &BTreeMap<String, String>) -> String {
    let id = output::text(&delivery["integration_id"]);
    let mut line = format!(
        "  {} ({}) {}",
        names.get(&id).unwrap_or(&id),
        output::text(&delivery["provider"]),
        output::text(&delivery["status"])
    );
    if let Some(code) = delivery["response_code"].as_u64() {
        line.push_str(&format!(" {code}"));
    }
    if let Some(error) = delivery["error_message"].as_str() {
        line.push_str(&format!(": {error}"));
    }
    line
}

/// The JSON that an argument gives: itself, in a file (`@FILE`), or on standard input (`-`).
pub(crate) fn json(argument: &str, given: &str) -> Result<Value, Failure> {
    let cannot_read = |place: &str, error: &std::io::Error| {
        Failure::Failed(anyhow::anyhow!("{argument}: cannot read {place}: {}", reason(error)))
    };
    let (text, place) = match given.strip_prefix('@') {
        _ if given == "-" => {
            let text = read(&mut std::io::stdin().lock()).map_err(|error| cannot_read("standard input", &error))?;
            (text, "standard input")
        }
        Some("") => {
            return Err(Failure::Usage(format!(
                "{argument}: the file's name is missing behind @"
            )));
        }
        Some(path) => {
            let file = std::fs::File::open(Path::new(path));
            let text = file.and_then(|mut file| read(&mut file));
            (text.map_err(|error| cannot_read(path, &error))?, path)
        }
        None => (given.to_owned(), "what was given"),
    };
    if text.trim().is_empty() {
        return Err(Failure::Usage(format!(
            "{argument}: {place} is empty: write JSON such as '{{\"version\": \"1.4.2\"}}'"
        )));
    }
    serde_json::from_str(&text).map_err(|error| {
        // Shells take quotes away that are not in others.
        let remedy = match place {
            "what was given" => ": write it in single quotes, such as '{\"version\": \"1.4.2\"}'",
            _ => "",
        };
        Failure::Usage(format!("{argument}: {place} is not JSON: {error}{remedy}"))
    })
}

fn read(from: &mut dyn std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(DATA_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn metadata(given: &[String]) -> Result<Value, Failure> {
    let mut map = Map::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--metadata: {pair:?} is not NAME=VALUE")))?;
        map.insert(name.to_owned(), json!(value));
    }
    Ok(map.into())
}
