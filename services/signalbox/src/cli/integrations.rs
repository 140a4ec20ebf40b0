//! `signalbox integrations`.

use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    output::{items, text, time},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List integrations.
    #[command(after_help = "\
Examples:
  signalbox integrations list
  signalbox integrations list --org acme --provider webhook --status error")]
    List(ListArgs),
    /// Show one integration, secrets masked.
    #[command(after_help = "Example:\n  signalbox integrations show oncall --org acme")]
    Show(One),
    /// Hold the deliveries of one integration.
    #[command(after_help = "Example:\n  signalbox integrations pause oncall --org acme")]
    Pause(One),
    /// Let the held deliveries of one integration go.
    #[command(after_help = "\
Examples:
  signalbox integrations resume oncall --org acme
  signalbox integrations resume oncall --rate 10 --drop-older-than 1h")]
    Resume(ResumeArgs),
    /// Delete an integration. Refused while deliveries wait for it.
    #[command(after_help = "\
Examples:
  signalbox integrations delete oncall
  signalbox integrations delete oncall --discard     what waits ends as discarded")]
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The tenant.
    #[arg(long, default_value = "default")]
    org: Name,
    /// Only this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only this type, such as notification.
    #[arg(long = "type")]
    kind: Option<String>,
    /// Only this status: active, inactive, pending_setup, paused, error.
    #[arg(long)]
    status: Option<String>,
    /// Integrations on a page, 1 to 200.
    #[arg(long)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its name or id.
    integration: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    org: Name,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    drain: Drain,
}

/// How what waits is let go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Drain {
    /// Deliveries a second that are let go at most.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// End what was accepted longer ago than this as discarded, such as 1h.
    #[arg(long, value_name = "T")]
    pub drop_older_than: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    one: One,
    /// End the deliveries that wait for it as discarded.
    #[arg(long)]
    discard: bool,
}

impl Drain {
    /// The body of a resume.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(rate) = self.rate {
            body["rate"] = rate.into();
        }
        if let Some(age) = &self.drop_older_than {
            body["drop_older_than"] = age.as_str().into();
        }
        body
    }
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let query = [
                ("org", Some(args.org.as_str())),
                ("provider", args.provider.as_deref()),
                ("type", args.kind.as_deref()),
                ("status", args.status.as_deref()),
                ("limit", limit.as_deref()),
                ("cursor", args.cursor.as_deref()),
            ];
            let answer = client.get(&["integrations"], &query).await?;
            out.answer(&answer, table)
        }
        Command::Show(one) => {
            let answer = client
                .get(&["integrations", &one.integration], &[("org", Some(one.org.as_str()))])
                .await?;
            out.answer(&answer, people)
        }
        Command::Pause(one) => {
            let path = ["integrations", &one.integration, "pause"];
            let answer = client
                .post(&path, &[("org", Some(one.org.as_str()))], &json!({}))
                .await?;
            out.answer(&answer, status)
        }
        Command::Resume(args) => {
            let path = ["integrations", &args.one.integration, "resume"];
            let answer = client
                .post(&path, &[("org", Some(args.one.org.as_str()))], &args.drain.body())
                .await?;
            out.answer(&answer, status)
        }
        Command::Delete(args) => {
            let discard = args.discard.then_some("true");
            let query = [("org", Some(args.one.org.as_str())), ("discard", discard)];
            let answer = client.delete(&["integrations", &args.one.integration], &query).await?;
            out.answer(&answer, status)
        }
    }
}

/// What became of an integration, in one line.
pub(crate) fn status(answer: &Value) -> String {
    format!(
        "{}/{}: {}",
        text(&answer["org"]),
        text(&answer["name"]),
        text(&answer["status"])
    )
}

fn table(answer: &Value) -> String {
    let rows = items(answer).iter().map(|item| {
        vec![
            text(&item["name"]),
            text(&item["provider"]),
            text(&item["status"]),
            text(&item["events"]),
            time(&item["updated_at"]),
            text(&item["error_message"]),
        ]
    });
    let table = Output::table(&["NAME", "PROVIDER", "STATUS", "EVENTS", "CHANGED", "ERROR"], rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}

fn people(answer: &Value) -> String {
    let names = [
        "id",
        "org",
        "name",
        "type",
        "provider",
        "status",
        "error_message",
        "events",
        "filter",
        "config",
        "credentials",
        "expire_after",
        "timeout",
        "revision",
        "created_at",
        "updated_at",
    ];
    let mut fields: Vec<(&str, String)> = names
        .into_iter()
        .map(|name| (name, text(&answer[name])))
        .filter(|(_, value)| value != "{}")
        .collect();
    fields.push(("retry", text(&answer["retry"]["schedule"])));
    Output::fields(&fields)
}
