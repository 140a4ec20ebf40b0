//! `signalbox orgs erase` and `signalbox events erase`: for good, followed until nothing is left.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{Client, Failure, Output, output::text, say};

/// How often it is asked how far it is.
const POLL_PAUSE: Duration = Duration::from_millis(500);
/// How often that is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long the API may be away meanwhile: another process of it goes on.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// What is counted, and its words.
const COUNTED: [(&str, &str); 7] = [
    ("events", "events"),
    ("inputs", "inputs"),
    ("deliveries", "waiting deliveries"),
    ("dead_letters", "dead letters"),
    ("records", "records"),
    ("entries", "entries in buckets"),
    ("rows", "rows"),
];

/// `signalbox events`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Erase an event for good, wherever it is; what a target was sent is with the target.
    #[command(after_help = "\
Examples:
  signalbox events erase 0199c0de-0000-7000-8000-000000000001 --dry-run
  signalbox events erase order-17 --org acme --source /acme/shop")]
    Erase(EventArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventArgs {
    /// The event's id.
    id: String,
    /// Its source, where events of several sources have the id.
    #[arg(long)]
    source: Option<String>,
    /// The org [default: that of the key in use, else default].
    #[arg(long)]
    org: Option<Name>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OrgArgs {
    /// The org.
    name: Name,
    /// Its name once more.
    #[arg(long, value_name = "ORG", required_unless_present = "dry_run")]
    confirm: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    /// Return at once, instead of when nothing is left.
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
}

pub(crate) async fn org(args: OrgArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let name = args.name.as_str();
    let confirm = args.confirm.as_deref().unwrap_or(name);
    let body = json!({ "confirm": confirm, "dry_run": args.how.dry_run });
    let answer = match client.post(&["orgs", name, "erase"], &[], &body).await {
        // One that was begun before, and its command interrupted, is followed.
        Err(Failure::Problem(problem)) if problem.document["erasure_id"].is_string() => {
            say("it is being erased already");
            client
                .get(&["erasures", &text(&problem.document["erasure_id"])], &[])
                .await?
        }
        answer => answer?,
    };
    finish(answer, &args.how, client, out).await
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    let Command::Erase(args) = command;
    let query = [
        ("org", args.org.as_ref().map(Name::as_str)),
        ("source", args.source.as_deref()),
        ("dry_run", args.how.dry_run.then_some("true")),
    ];
    let answer = client.delete(&["events", &args.id], &query).await?;
    finish(answer, &args.how, client, out).await
}

/// Prints what was counted, or follows what was begun.
async fn finish(mut answer: Value, how: &How, client: &Client, out: &Output) -> Result<(), Failure> {
    if how.dry_run || how.no_wait {
        return out.answer(&answer, people);
    }
    let id = text(&answer["id"]);
    let mut said = Instant::now();
    let mut answered = Instant::now();
    while answer["state"] != "done" {
        if said.elapsed() >= SAY_EVERY {
            say(&people(&answer));
            said = Instant::now();
        }
        tokio::time::sleep(POLL_PAUSE).await;
        match client.get(&["erasures", &id], &[]).await {
            Ok(next) => (answer, answered) = (next, Instant::now()),
            Err(failure) if answered.elapsed() > AWAY_MAX => return Err(failure),
            Err(_) => {}
        }
    }
    out.answer(&answer, people)
}

fn counts(value: &Value) -> String {
    let found = COUNTED
        .iter()
        .filter(|(name, _)| value[*name].as_u64().is_some_and(|count| count > 0));
    let parts: Vec<String> = found
        .map(|(name, words)| format!("{} {words}", text(&value[*name])))
        .collect();
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

fn people(answer: &Value) -> String {
    let name = match answer["event_id"].as_str() {
        Some(id) => format!("event {id}"),
        None => format!("org {}", text(&answer["org"])),
    };
    if !answer["would_erase"].is_null() {
        return format!("{name}: would erase {}", counts(&answer["would_erase"]));
    }
    let erased = counts(&answer["erased"]);
    match (answer["state"].as_str(), answer["waiting_for"].as_str()) {
        (Some("done"), _) => format!("{name}: erased {erased}"),
        (_, Some(waiting_for)) => format!("{name}: erased {erased} so far; waits: {waiting_for}"),
        (_, None) => format!("{name}: erased {erased} so far"),
    }
}
