//! `signalbox event-types`.

use serde_json::{Map, Value};
use signalbox_proto::EventType;

use super::{
    Client, Failure, Output,
    org::Org,
    output::{items, text, time},
    publish, usage,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List event types: the built-in ones and those of the org.
    #[command(after_help = "\
Examples:
  signalbox event-types list
  signalbox event-types list --org acme --built-in false")]
    List(ListArgs),
    /// Show one event type with its schema.
    #[command(after_help = "Example:\n  signalbox event-types show execution.failed --org acme")]
    Show(One),
    /// Register an event type, or replace it: what is not given is taken away.
    ///
    /// Under the name of a built-in type, what is not given stays as it is built in.
    #[command(after_help = "\
Examples:
  signalbox event-types put deploy.done --title 'Deployed' --emoji 🚀 --tone good
  signalbox event-types put deploy.done --title 'Deployed' --schema @deploy.schema.json
  signalbox event-types put execution.failed --org acme --severity critical
  echo '{\"required\":[\"version\"]}' | signalbox event-types put deploy.done --schema -")]
    Put(PutArgs),
    /// Forget an event type of the org; a built-in type of the same name shows again.
    #[command(after_help = "Example:\n  signalbox event-types delete deploy.done")]
    Delete(One),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    org: Org,
    /// Only built-in types, or only others.
    #[arg(long, value_name = "true|false")]
    built_in: Option<bool>,
    /// Types on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its name, such as deploy.done.
    #[arg(value_name = "TYPE")]
    event_type: EventType,
    #[command(flatten)]
    org: Org,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    one: One,
    /// What people read instead of the name.
    #[arg(long)]
    title: Option<String>,
    /// Shown before the title.
    #[arg(long)]
    emoji: Option<String>,
    /// The severity of events that name none: low, medium, high or critical.
    #[arg(long)]
    severity: Option<String>,
    /// good, bad or neutral: decides colours and mentions.
    #[arg(long)]
    tone: Option<String>,
    /// The JSON Schema that the data of each such event must match: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "@FILE|JSON|-")]
    schema: Option<String>,
}

impl PutArgs {
    fn body(self) -> Result<Value, Failure> {
        let mut body = Map::new();
        let texts = [
            ("title", self.title),
            ("emoji", self.emoji),
            ("severity", self.severity),
            ("tone", self.tone),
        ];
        for (name, given) in texts {
            if let Some(given) = given {
                body.insert(name.to_owned(), given.into());
            }
        }
        if let Some(given) = &self.schema {
            body.insert("schema".to_owned(), publish::json("--schema", given)?);
        }
        Ok(body.into())
    }
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let built_in = args.built_in.map(|wanted| wanted.to_string());
            let query = [
                args.org.query(),
                ("built_in", built_in.as_deref()),
                ("limit", limit.as_deref()),
                ("cursor", args.cursor.as_deref()),
            ];
            let answer = client.get(&["event-types"], &query).await?;
            out.answer(&answer, table)
        }
        Command::Show(one) => {
            let query = [one.org.query()];
            let answer = client.get(&["event-types", one.event_type.as_str()], &query).await?;
            out.answer(&answer, people)
        }
        Command::Put(args) => {
            let (org, name) = (args.one.org.clone(), args.one.event_type.clone());
            let body = args.body()?;
            let query = [org.query()];
            let answer = client.put(&["event-types", name.as_str()], &query, &body).await?;
            out.answer(&answer, people)
        }
        Command::Delete(one) => {
            let query = [one.org.query()];
            let answer = client.delete(&["event-types", one.event_type.as_str()], &query).await?;
            out.answer(&answer, |answer| {
                let is = match answer["status"].as_str() {
                    Some("built_in") => "as it is built in",
                    _ => "deleted",
                };
                format!("{}/{}: {is}", text(&answer["org"]), text(&answer["type"]))
            })
        }
    }
}

/// Who says how a type looks.
fn origin(item: &Value) -> &'static str {
    match (item["built_in"].as_bool(), item["created_at"].is_null()) {
        (Some(true), true) => "built in",
        (Some(true), false) => "org, over built in",
        _ => "org",
    }
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "there are no such event types".to_owned();
    }
    let rows = items(answer).iter().map(|item| {
        vec![
            text(&item["type"]),
            format!("{} {}", text(&item["emoji"]), text(&item["title"])),
            text(&item["severity"]),
            text(&item["tone"]),
            if item["schema"].is_null() { "" } else { "yes" }.to_owned(),
            origin(item).to_owned(),
            time(&item["updated_at"]),
        ]
    });
    let head = ["TYPE", "SHOWN AS", "SEVERITY", "TONE", "SCHEMA", "FROM", "CHANGED"];
    let table = Output::table(&head, rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}

fn people(answer: &Value) -> String {
    let names = ["type", "title", "emoji", "severity", "tone"];
    let mut fields: Vec<(&str, String)> = names.into_iter().map(|name| (name, text(&answer[name]))).collect();
    fields.push(("from", origin(answer).to_owned()));
    fields.extend(["created_at", "updated_at"].map(|name| (name, text(&answer[name]))));
    if !answer["schema"].is_null() {
        fields.push(("schema", format!("{:#}", answer["schema"])));
    }
    Output::fields(&fields)
}
