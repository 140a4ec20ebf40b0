//! `signalbox integrations`.

mod draft;
mod effective;

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{
    Client, Failure, Output,
    org::Org,
    output::{items, text, time},
    publish, usage,
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
    #[command(after_help = "\
Examples:
  signalbox integrations show oncall --org acme
  signalbox integrations show oncall --effective
      every setting that holds, and whether the default, the provider, the org or its owner said so")]
    Show(ShowArgs),
    /// Prove that an integration can deliver. Without a probe of its provider a test event is sent.
    #[command(after_help = "\
A success activates an integration and ends its status error; a failure of an active one makes it error.
Exit code 1 when the test fails.

Examples:
  signalbox integrations test oncall
  signalbox integrations test oncall --org acme --output json")]
    Test(One),
    /// Show the exact request that an event would cause, secrets masked. Nothing is sent.
    #[command(after_help = "\
Examples:
  signalbox integrations preview oncall --type execution.failed --data '{\"error\":\"timeout\"}'
  signalbox integrations preview oncall --type alert.created --severity critical --data @alert.json
  signalbox integrations preview oncall --event 01912d68-783e-7a3f-8a2b-0c2f7e4b9d11")]
    Preview(PreviewArgs),
    /// Ask a draft of a subscription about the last events: which it would take, and why not the others. Nothing is sent.
    #[command(after_help = "\
Examples:
  signalbox integrations try --events 'alert.*' --where 'event.data.success_rate < 0.9' --last 500
  signalbox integrations try oncall --min-severity high
  signalbox integrations try oncall -f integrations.yaml")]
    Try(draft::Args),
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
  signalbox integrations delete oncall --discard
      what waits for it ends as discarded")]
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    org: Org,
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
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its name or id.
    integration: String,
    #[command(flatten)]
    org: Org,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    one: One,
    /// Show every setting that holds, with its origin.
    #[arg(long)]
    effective: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    drain: Drain,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PreviewArgs {
    #[command(flatten)]
    one: One,
    /// The type of an event that is made up.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "event")]
    event_type: Option<String>,
    /// Its data: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-", requires = "event_type")]
    data: Option<String>,
    /// Its id [default: a new one].
    #[arg(long, requires = "event_type")]
    id: Option<String>,
    /// What it is about.
    #[arg(long, requires = "event_type")]
    subject: Option<String>,
    /// low, medium, high or critical [default: that of its type].
    #[arg(long, requires = "event_type")]
    severity: Option<String>,
    /// The agent that it concerns.
    #[arg(long, requires = "event_type")]
    agent_id: Option<String>,
    /// The id of an event that was accepted.
    #[arg(long, value_name = "EVENT_ID", conflicts_with = "event_type")]
    event: Option<String>,
    /// Where the event comes from.
    #[arg(long)]
    source: Option<String>,
}

impl PreviewArgs {
    /// The body of the request.
    fn body(&self) -> Result<Value, Failure> {
        let mut body = Map::new();
        let mut event = Map::new();
        if let Some(id) = &self.event {
            body.insert("event_id".to_owned(), id.as_str().into());
            if let Some(source) = &self.source {
                body.insert("source".to_owned(), source.as_str().into());
            }
            return Ok(body.into());
        }
        if let Some(data) = &self.data {
            event.insert("data".to_owned(), publish::json("--data", data)?);
        }
        let texts = [
            ("type", &self.event_type),
            ("id", &self.id),
            ("source", &self.source),
            ("subject", &self.subject),
            ("severity", &self.severity),
            ("agent_id", &self.agent_id),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                event.insert(name.to_owned(), value.as_str().into());
            }
        }
        body.insert("event".to_owned(), event.into());
        Ok(body.into())
    }
}

/// How what waits is let go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Drain {
    /// Deliveries a second that are let go at most.
    #[arg(long, value_name = "N", value_parser = usage::whole)]
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

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::List(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let query = [
                args.org.query(),
                ("provider", args.provider.as_deref()),
                ("type", args.kind.as_deref()),
                ("status", args.status.as_deref()),
                ("limit", limit.as_deref()),
                ("cursor", args.cursor.as_deref()),
            ];
            let answer = client.get(&["integrations"], &query).await?;
            out.answer(&answer, |answer| table(answer, &args))
        }
        Command::Try(args) => draft::run(args, client, out).await,
        Command::Show(ShowArgs { one, effective: true }) => {
            let path = ["integrations", &one.integration, "settings"];
            let answer = client.get(&path, &[one.org.query()]).await?;
            out.answer(&answer, effective::people)
        }
        Command::Show(ShowArgs { one, effective: false }) => {
            let answer = client
                .get(&["integrations", &one.integration], &[one.org.query()])
                .await?;
            out.answer(&answer, people)
        }
        Command::Test(one) => {
            let path = ["integrations", &one.integration, "test"];
            let answer = client.post(&path, &[one.org.query()], &json!({})).await?;
            out.answer(&answer, |answer| tested(&one.integration, answer))?;
            return Ok(if answer["status"] == "success" {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Preview(args) => {
            let path = ["integrations", &args.one.integration, "preview"];
            let answer = client.post(&path, &[args.one.org.query()], &args.body()?).await?;
            out.answer(&answer, previewed)
        }
        Command::Pause(one) => {
            let path = ["integrations", &one.integration, "pause"];
            let answer = client.post(&path, &[one.org.query()], &json!({})).await?;
            out.answer(&answer, status)
        }
        Command::Resume(args) => {
            let path = ["integrations", &args.one.integration, "resume"];
            let answer = client.post(&path, &[args.one.org.query()], &args.drain.body()).await?;
            out.answer(&answer, status)
        }
        Command::Delete(args) => {
            let discard = args.discard.then_some("true");
            let query = [args.one.org.query(), ("discard", discard)];
            let answer = client.delete(&["integrations", &args.one.integration], &query).await?;
            out.answer(&answer, status)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// What a test found out.
fn tested(name: &str, answer: &Value) -> String {
    let mut lines = vec![format!(
        "{name}: {}: {} ({} ms)",
        text(&answer["status"]),
        text(&answer["message"]),
        text(&answer["duration_ms"])
    )];
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let (field, message) = (text(&warning["field"]), text(&warning["message"]));
        lines.push(format!("warning: {field}: {message}"));
    }
    lines.push(format!("the integration is {}", text(&answer["integration_status"])));
    lines.join("\n")
}

/// Requests as HTTP writes them.
fn previewed(answer: &Value) -> String {
    let mut blocks = Vec::new();
    for request in answer["requests"].as_array().into_iter().flatten() {
        let mut lines = vec![format!("{} {}", text(&request["method"]), text(&request["url"]))];
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            lines.push(format!("{name}: {}", text(value)));
        }
        lines.push(String::new());
        lines.push(match &request["body_base64"] {
            Value::String(base64) => format!("(binary, in base64) {base64}"),
            _ => text(&request["body_text"]),
        });
        blocks.push(lines.join("\n"));
    }
    let mut notes = Vec::new();
    if let Some(error) = answer["error"].as_str() {
        notes.push(format!("no request would be sent: {error}"));
    }
    if answer["more"] == true {
        notes.push("further requests follow, which depend on the answer".to_owned());
    }
    match answer["why_not"].as_str() {
        None => notes.push("the event matches; nothing was sent".to_owned()),
        Some(why) => notes.push(format!("the event would not be delivered: {why}; nothing was sent")),
    }
    blocks.push(notes.join("\n"));
    blocks.join("\n\n")
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

fn table(answer: &Value, args: &ListArgs) -> String {
    if items(answer).is_empty() {
        let filtered = args.provider.is_some() || args.kind.is_some() || args.status.is_some() || args.cursor.is_some();
        return if filtered {
            format!("{} has no such integration", args.org)
        } else {
            format!(
                "{} has no integrations: `signalbox apply -f FILE` makes those that a file names",
                args.org
            )
        };
    }
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
        "template",
        "expire_after",
        "timeout",
        "health_check",
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
