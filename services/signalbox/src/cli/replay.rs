//! `signalbox replay`: accepted events of the past, sent to one integration.

use serde_json::{Value, json};

use super::{
    Client, Failure, Output, acts,
    org::Org,
    output::{text, time},
    usage,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sent are the events that the integration's own subscription selects, as it is now, the oldest first, beside live
traffic; --all-types sends the others too. An event that the integration has had before comes again as the same
delivery. Dead letters are replayed with `signalbox dead replay`.

Examples:
  signalbox replay --since 2h --to oncall --dry-run
  signalbox replay --since 2026-11-20T08:00:00Z --until 2026-11-20T09:00:00Z --to oncall
  signalbox replay --since 1d --type 'alert.*' --all-types --to oncall --rate 50 --no-wait")]
pub(crate) struct Args {
    /// Events accepted since then: a time, or a duration back from now such as 2h.
    #[arg(long, value_name = "T")]
    since: String,
    /// Events accepted before then [default: now].
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Only of the types that this pattern covers: `*` is one token, `>` the rest.
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    #[command(flatten)]
    org: Org,
    /// The integration, by name or id.
    #[arg(long, value_name = "INTEGRATION")]
    to: String,
    /// Also the events that the integration's own subscription does not select.
    #[arg(long)]
    all_types: bool,
    /// Count them, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Events a second at most [default: 100].
    #[arg(long, value_name = "N", value_parser = usage::whole)]
    rate: Option<u32>,
    /// Return as soon as it is written down, instead of when all are sent.
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let mut body = json!({
        "since": args.since,
        "to": args.to,
        "ignore_subscription": args.all_types,
        "dry_run": args.dry_run,
    });
    let optional = [
        ("until", args.until.map(Value::from)),
        ("type", args.event_type.map(Value::from)),
        ("rate", args.rate.map(Value::from)),
        ("by", user().map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let query = [args.org.query()];
    let answer = client.post(&["events", "replay"], &query, &body).await?;
    if args.dry_run {
        return out.answer(&answer, |answer| counted(answer, &args.to));
    }
    if args.no_wait {
        return out.answer(&answer, acts::begun);
    }
    acts::finish(answer, client, out).await
}

/// Who runs this command, as the record of an act shows it.
pub(crate) fn user() -> Option<String> {
    let name = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).ok()?;
    let plain: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    (!plain.is_empty()).then_some(plain)
}

fn counted(answer: &Value, to: &str) -> String {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let (matched, in_range, selected) = (count("matched"), count("in_range"), count("selected"));
    let mut lines = vec![format!(
        "{matched} of {in_range} accepted events would be sent to {to}; its own subscription selects {selected}"
    )];
    if matched < in_range {
        lines.push("--all-types sends the others too".to_owned());
    }
    if count("unanswered") > 0 {
        lines.push(format!(
            "for {} the filter's `where` has no answer: they would count as failed",
            count("unanswered")
        ));
    }
    match text(&answer["available_since"]) {
        none if none.is_empty() => lines.push("no events are kept at the moment".to_owned()),
        _ => lines.push(format!("events are kept since {}", time(&answer["available_since"]))),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
