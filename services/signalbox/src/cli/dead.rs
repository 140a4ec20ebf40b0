//! `signalbox dead`: dead letters, and bulk acts on them.

use serde_json::{Map, Value};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output, acts,
    deliveries::gaps,
    org::Org,
    output::{items, text, time},
    selected::Selected,
    usage,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List dead letters, the newest first.
    #[command(after_help = "\
Examples:
  signalbox dead list
  signalbox dead list --integration oncall --reason exhausted --since 2h
  signalbox dead list --group
      like errors together, with their counts")]
    List(ListArgs),
    /// Show one dead letter.
    #[command(after_help = "Example:\n  signalbox dead show dl_17")]
    Show(ShowArgs),
    /// Deliver dead letters again. A rejected input is sent in again, as if it had just been published.
    #[command(after_help = "\
What became of each is seen with `signalbox dead list` and `signalbox trace`: an input that is still wrong is rejected
again, as another dead letter. They go in the order in which they died, beside live traffic. Ctrl-C leaves the act
running: see `signalbox acts --help`.

Examples:
  signalbox dead replay dl_17 dl_18
  signalbox dead replay --integration oncall --since 2h --dry-run
  signalbox dead replay --reason expired --to oncall-new --rate 10
  signalbox dead replay --all")]
    Replay(ReplayArgs),
    /// Give dead letters up for good.
    #[command(after_help = "\
Examples:
  signalbox dead discard dl_17
  signalbox dead discard --fingerprint Xk2pQv9cT4uW1yZr8sLm0A --dry-run")]
    Discard(DiscardArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct Filter {
    #[command(flatten)]
    org: Org,
    /// Only of this integration, by name or id.
    #[arg(long)]
    integration: Option<String>,
    /// Only of this provider.
    #[arg(long)]
    provider: Option<Name>,
    /// Only of this stage: ingest, route, delivery.
    #[arg(long)]
    stage: Option<String>,
    /// Only of this class: rejected, exhausted, expired, poison, invalid, discarded.
    #[arg(long)]
    reason: Option<String>,
    /// Only like errors.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Only of this event type, that of rejected inputs included; patterns are not taken.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only since then: a time, or a duration back from now such as 2h.
    #[arg(long)]
    since: Option<String>,
    /// Only until then.
    #[arg(long)]
    until: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Put like errors together.
    #[arg(long)]
    group: bool,
    /// Dead letters or groups on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its id, such as dl_17.
    id: String,
    #[command(flatten)]
    org: Org,
}

#[derive(Debug, clap::Args)]
struct Selection {
    /// Ids, such as dl_17; instead of a filter.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All dead letters of the org.
    #[arg(long)]
    all: bool,
    /// Count them, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Dead letters a second at most [default: 100; 10000 where they are given up].
    #[arg(long, value_name = "N", value_parser = usage::whole)]
    rate: Option<u32>,
    /// Return as soon as it is written down, instead of when it is done.
    #[arg(long)]
    no_wait: bool,
    /// Wait until it is done, which is the default.
    #[arg(long, hide = true, conflicts_with = "no_wait")]
    wait: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    selection: Selection,
    /// Deliver to this integration instead of their own.
    #[arg(long)]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    selection: Selection,
}

impl Filter {
    fn fields(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("integration", self.integration.as_deref()),
            ("provider", self.provider.as_ref().map(Name::as_str)),
            ("stage", self.stage.as_deref()),
            ("reason", self.reason.as_deref()),
            ("fingerprint", self.fingerprint.as_deref()),
            ("event_type", self.event_type.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args, client, out).await,
        Command::Show(args) => {
            let answer = client.get(&["dead-letters", &args.id], &[args.org.query()]).await?;
            out.answer(&answer, people)
        }
        Command::Replay(args) => act("replay", &args.selection, args.to.as_deref(), client, out).await,
        Command::Discard(args) => act("discard", &args.selection, None, client, out).await,
    }
}

async fn list(args: &ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let mut query = args.filter.fields().to_vec();
    query.push(args.filter.org.query());
    query.push(("limit", limit.as_deref()));
    query.push(("cursor", args.cursor.as_deref()));
    query.push(("group_by", args.group.then_some("fingerprint")));
    let answer = client.get(&["dead-letters"], &query).await?;
    if args.group {
        out.answer(&answer, |answer| groups(answer, &args.filter.org))
    } else {
        out.answer(&answer, |answer| table(answer, &args.filter.org))
    }
}

fn table(answer: &Value, org: &Org) -> String {
    if items(answer).is_empty() && answer["truncated"] != true && answer["next_cursor"].is_null() {
        return format!("{org} has no such dead letters");
    }
    let rows = items(answer).iter().map(|item| {
        let settled = match (&item["replayed_at"], &item["discarded_at"]) {
            (_, Value::String(_)) => "discarded",
            (Value::String(_), _) => "replayed",
            _ => "",
        };
        vec![
            text(&item["id"]),
            time(&item["last_at"]),
            text(&item["stage"]),
            text(&item["reason"]),
            text(&item["event"]["type"]),
            events(item),
            settled.to_owned(),
            text(&item["message"]),
        ]
    });
    let table = Output::table(
        &["ID", "LAST", "STAGE", "REASON", "TYPE", "EVENT", "SETTLED", "MESSAGE"],
        rows,
    );
    let mut lines = vec![table];
    if let Some(cursor) = answer["next_cursor"].as_str() {
        lines.push(format!("there is more: --cursor {cursor}"));
    }
    lines.extend(answer["hint"].as_str().map(str::to_owned));
    lines.extend(gaps(answer));
    lines.join("\n")
}

/// The event; of a digest the first, and how many more it has.
fn events(item: &Value) -> String {
    let first = text(&item["event"]["id"]);
    match item["event_ids"].as_array().map(Vec::len) {
        Some(count) if count > 1 => format!("{first} +{}", count - 1),
        _ => first,
    }
}

/// Each group with what it takes to look into it, and to replay it.
fn groups(answer: &Value, org: &Org) -> String {
    let org = org.argument();
    let mut blocks: Vec<String> = items(answer).iter().map(|group| block(group, &org)).collect();
    if blocks.is_empty() && answer["truncated"] != true {
        return "there are no dead letters".to_owned();
    }
    if let Some(hint) = answer["hint"].as_str() {
        blocks.push(hint.to_owned());
    } else if answer["truncated"] == true {
        blocks.push("there are more groups: narrow the filter, or raise --limit".to_owned());
    }
    blocks.join("\n\n")
}

fn block(group: &Value, org: &str) -> String {
    let settled = match group["settled"].as_u64() {
        None | Some(0) => String::new(),
        Some(settled) => format!(", {settled} of them settled"),
    };
    let head = format!(
        "{} {} at stage {}{settled}: {}",
        text(&group["count"]),
        text(&group["reason"]),
        text(&group["stage"]),
        text(&group["message"])
    );
    let target = [text(&group["provider"]), text(&group["integration"])];
    let fields = [
        ("  target", target.join(" ").trim().to_owned()),
        ("  first", time(&group["first_at"])),
        ("  last", time(&group["last_at"])),
        ("  examples", text(&group["examples"])),
        (
            "  replay",
            format!(
                "signalbox dead replay --fingerprint {}{org}",
                text(&group["fingerprint"])
            ),
        ),
    ];
    format!("{head}\n{}", Output::fields(&fields))
}

fn people(answer: &Value) -> String {
    let names = [
        "id",
        "stage",
        "reason",
        "message",
        "fingerprint",
        "org",
        "provider",
        "integration_id",
        "delivery_id",
        "first_at",
        "last_at",
        "replayed_at",
        "discarded_at",
        "event",
        "event_ids",
        "input_base64",
    ];
    let fields: Vec<(&str, String)> = names.into_iter().map(|name| (name, text(&answer[name]))).collect();
    let attempts: Vec<&Value> = answer["attempts"].as_array().into_iter().flatten().collect();
    if attempts.is_empty() {
        return Output::fields(&fields);
    }
    let rows = attempts.iter().map(|attempt| {
        vec![
            time(&attempt["at"]),
            text(&attempt["outcome"]),
            text(&attempt["response_code"]),
            text(&attempt["error_message"]),
        ]
    });
    format!(
        "{}\n\n{}",
        Output::fields(&fields),
        Output::table(&["ATTEMPT", "OUTCOME", "CODE", "ERROR"], rows)
    )
}

/// What a request says of which dead letters are meant.
fn body(selection: &Selection, to: Option<&str>) -> Result<Value, Failure> {
    let filter: Map<String, Value> = selection
        .filter
        .fields()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
        .collect();
    let selected = Selected {
        what: "dead letters",
        ids: &selection.ids,
        filter,
        all: selection.all,
        dry_run: selection.dry_run,
        rate: selection.rate,
    };
    let mut body = selected.body()?;
    if let Some(to) = to {
        body["to"] = to.into();
    }
    Ok(body)
}

async fn act(
    verb: &str,
    selection: &Selection,
    to: Option<&str>,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let query = [selection.filter.org.query()];
    let answer = client
        .post(&["dead-letters", verb], &query, &body(selection, to)?)
        .await?;
    if selection.dry_run {
        return out.answer(&answer, |answer| {
            format!(
                "{verb}: {} would be, {} are settled already",
                text(&answer["matched"]),
                text(&answer["already"])
            )
        });
    }
    if selection.no_wait {
        return out.answer(&answer, acts::begun);
    }
    acts::finish(answer, client, out).await
}

#[cfg(test)]
mod tests;
