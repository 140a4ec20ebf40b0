//! `signalbox deliveries`: what is owed to integrations, how each delivery stands, and what a person does about it.

use serde_json::{Map, Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output, acts,
    org::Org,
    output::{items, text, time},
    paint::{Paint, plain},
    selected::Selected,
    trace, usage,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List deliveries, the newest first.
    #[command(after_help = "\
As far back as history is kept. Statuses are pending, retrying, parked, delivered, dead, expired, discarded; `waiting` is
the first three, `success` delivered, `failed` dead or expired.

Examples:
  signalbox deliveries list
  signalbox deliveries list --integration oncall --status failed --since 24h
  signalbox deliveries list --status retrying --output json")]
    List(ListArgs),
    /// Show one delivery with its attempts, why it stands as it does, and what comes next.
    #[command(after_help = "Example:\n  signalbox deliveries show Xk2pQv9cT4uW1yZr8sLm0A")]
    Show(One),
    /// Try deliveries now that wait for their next attempt.
    #[command(after_help = "\
By id, each is tried at once. By a filter, a bulk act does it at a rate. What is paused or suspended is not tried: resume
its integration. What is dead is replayed: signalbox dead replay.

Examples:
  signalbox deliveries retry Xk2pQv9cT4uW1yZr8sLm0A
  signalbox deliveries retry --integration oncall --rate 10
  signalbox deliveries retry --type order.placed --dry-run")]
    Retry(RetryArgs),
    /// Give up deliveries that wait. They become dead letters, which can be replayed.
    #[command(after_help = "\
What a worker has in hand at that moment may still arrive.

Examples:
  signalbox deliveries discard --integration oncall --older-than 1h --dry-run
  signalbox deliveries discard --integration oncall --older-than 1h
  signalbox deliveries discard Xk2pQv9cT4uW1yZr8sLm0A
  signalbox deliveries discard --all --rate 1000 --no-wait")]
    Discard(DiscardArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    org: Org,
    /// Only to this integration, by name or id.
    #[arg(long)]
    integration: Option<String>,
    /// Only to this kind of target.
    #[arg(long)]
    provider: Option<Name>,
    /// Only with this status: pending, retrying, parked, delivered, dead, expired, discarded, waiting, success, failed.
    #[arg(long)]
    status: Option<String>,
    /// Only of this event type; patterns are not taken.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of events accepted since then: a time, or a duration back from now such as 2h.
    #[arg(long)]
    since: Option<String>,
    /// Only of events accepted before then.
    #[arg(long)]
    until: Option<String>,
    /// Deliveries on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its id.
    id: String,
    #[command(flatten)]
    org: Org,
    /// The integration that it is for: found sooner where very many wait.
    #[arg(long)]
    integration: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
struct Filter {
    #[command(flatten)]
    org: Org,
    /// Only to this integration, by name or id.
    #[arg(long)]
    integration: Option<String>,
    /// Only to this kind of target.
    #[arg(long)]
    provider: Option<Name>,
    /// Only of this event type; patterns are not taken.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of events accepted since then: a time, or a duration back from now such as 2h.
    #[arg(long)]
    since: Option<String>,
    /// Only of events accepted before then.
    #[arg(long)]
    until: Option<String>,
    /// Only of events accepted longer ago than this, such as 1h.
    #[arg(long, value_name = "T", conflicts_with = "until")]
    older_than: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Selection {
    /// Ids, instead of a filter.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All that wait in the org.
    #[arg(long)]
    all: bool,
    /// Count them, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Deliveries a second at most [default: 100].
    #[arg(long, value_name = "N", value_parser = usage::whole)]
    rate: Option<u32>,
    /// Return as soon as it is written down, instead of when it is done.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    selection: Selection,
    /// Only with this status: pending, retrying, parked.
    #[arg(long)]
    status: Option<String>,
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args, client, out).await,
        Command::Show(one) => {
            let answer = client.get(&["deliveries", &one.id], &one.query()).await?;
            out.answer(&answer, |answer| people(answer, Paint::for_stdout()))
        }
        Command::Retry(args) if !args.selection.ids.is_empty() => retry(&args.selection, client, out).await,
        Command::Retry(args) => act("retry", &args.selection, None, client, out).await,
        Command::Discard(args) => act("discard", &args.selection, args.status.as_deref(), client, out).await,
    }
}

impl One {
    fn query(&self) -> [(&str, Option<&str>); 2] {
        [self.org.query(), ("integration", self.integration.as_deref())]
    }
}

async fn list(args: &ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let query = [
        args.org.query(),
        ("integration", args.integration.as_deref()),
        ("provider", args.provider.as_ref().map(Name::as_str)),
        ("status", args.status.as_deref()),
        ("event_type", args.event_type.as_deref()),
        ("since", args.since.as_deref()),
        ("until", args.until.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer = client.get(&["deliveries"], &query).await?;
    out.answer(&answer, table)
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() && answer["truncated"] != true && answer["next_cursor"].is_null() {
        return "there is no such delivery".to_owned();
    }
    let rows = items(answer).iter().map(|item| {
        let integration = match item["integration"].as_str() {
            Some(name) => name.to_owned(),
            None => text(&item["integration_id"]),
        };
        vec![
            time(&item["created_at"]),
            status(item),
            integration,
            text(&item["event_type"]),
            text(&item["event_id"]),
            text(&item["attempts"]),
            text(&item["response_code"]),
            text(&item["id"]),
            next(item),
        ]
    });
    let head = [
        "ACCEPTED",
        "STATUS",
        "INTEGRATION",
        "TYPE",
        "EVENT",
        "TRIES",
        "CODE",
        "ID",
        "NEXT OR WHY",
    ];
    let mut lines = vec![Output::table(&head, rows)];
    if let Some(cursor) = answer["next_cursor"].as_str() {
        lines.push(format!("there is more: --cursor {cursor}"));
    }
    if let Some(hint) = answer["hint"].as_str() {
        lines.push(hint.to_owned());
    } else if answer["truncated"] == true {
        lines.push(
            "there may be others: more waits or has ended than one request reads; narrow it with --integration, \
             --status or --since"
                .to_owned(),
        );
    }
    lines.extend(gaps(answer));
    lines.join("\n")
}

/// One line for each time of which records were lost.
pub(super) fn gaps(answer: &Value) -> impl Iterator<Item = String> {
    let list = answer["gaps"].as_array().into_iter().flatten();
    list.map(|gap| {
        format!(
            "records were lost: {} messages of {} between {} and {}",
            text(&gap["messages"]),
            text(&gap["stream"]),
            time(&gap["since"]),
            time(&gap["until"])
        )
    })
}

fn status(item: &Value) -> String {
    match item["waiting_for"].as_str() {
        Some(what) => format!("{} ({what})", text(&item["status"])),
        None => text(&item["status"]),
    }
}

/// What one wants to know next: when it is tried again, or why it was not delivered.
fn next(item: &Value) -> String {
    let why = plain(&text(&item["error_message"]));
    match (item["next_attempt_at"].as_str(), why.is_empty()) {
        (Some(_), true) => format!("next {}", time(&item["next_attempt_at"])),
        (Some(_), false) => format!("next {}; {why}", time(&item["next_attempt_at"])),
        (None, _) => why,
    }
}

fn people(answer: &Value, paint: Paint) -> String {
    let event = format!(
        "event {} {}, accepted {}",
        plain(&text(&answer["event_type"])),
        plain(&text(&answer["event_id"])),
        text(&answer["created_at"])
    );
    let mut lines = vec![trace::one(answer, paint), event];
    if let Some(at) = answer["next_attempt_at"].as_str() {
        lines.push(format!("next attempt {at}"));
    }
    if let Some(letter) = answer["dead_letter_id"].as_str() {
        lines.push(format!("dead letter {letter}: signalbox dead show {letter}"));
    }
    lines.join("\n")
}

/// Tries each of some deliveries now.
async fn retry(selection: &Selection, client: &Client, out: &Output) -> Result<(), Failure> {
    let filter = &selection.filter;
    if selection.dry_run || selection.rate.is_some() || selection.all || !fields(filter, None).is_empty() {
        return Err(Failure::Usage(
            "ids are tried at once: --all, --rate, --dry-run and filters are for many".to_owned(),
        ));
    }
    let query = [filter.org.query()];
    let mut answers = Vec::with_capacity(selection.ids.len());
    let mut refused = None;
    for id in &selection.ids {
        match client.post(&["deliveries", id, "retry"], &query, &json!({})).await {
            Ok(answer) => answers.push(answer),
            // The others are tried all the same; the first refusal is told last, where it is seen.
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    if !answers.is_empty() {
        let answer = json!({ "items": answers, "next_cursor": null });
        out.answer(&answer, |answer| {
            let line = |item: &Value| format!("{} is tried now (it was {})", text(&item["id"]), text(&item["status"]));
            items(answer).iter().map(line).collect::<Vec<_>>().join("\n")
        })?;
    }
    refused.map_or(Ok(()), Err)
}

fn fields(filter: &Filter, status: Option<&str>) -> Map<String, Value> {
    [
        ("integration", filter.integration.as_deref()),
        ("provider", filter.provider.as_ref().map(Name::as_str)),
        ("event_type", filter.event_type.as_deref()),
        ("since", filter.since.as_deref()),
        ("until", filter.until.as_deref()),
        ("older_than", filter.older_than.as_deref()),
        ("status", status),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
    .collect()
}

/// What a request says of which deliveries are meant.
fn body(selection: &Selection, status: Option<&str>) -> Result<Value, Failure> {
    let selected = Selected {
        what: "deliveries",
        ids: &selection.ids,
        filter: fields(&selection.filter, status),
        all: selection.all,
        dry_run: selection.dry_run,
        rate: selection.rate,
    };
    selected.body()
}

async fn act(
    verb: &str,
    selection: &Selection,
    status: Option<&str>,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let query = [selection.filter.org.query()];
    let answer = client
        .post(&["deliveries", verb], &query, &body(selection, status)?)
        .await?;
    if selection.dry_run {
        return out.answer(&answer, |answer| {
            let least = if answer["truncated"] == true { "at least " } else { "" };
            format!("{verb}: {least}{} would be", text(&answer["matched"]))
        });
    }
    if selection.no_wait {
        return out.answer(&answer, acts::begun);
    }
    acts::finish(answer, client, out).await
}

#[cfg(test)]
mod tests;
