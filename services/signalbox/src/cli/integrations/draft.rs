//! `signalbox integrations try`: what a subscription would have taken of the last events. Nothing is sent.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use signalbox_proto::Name;

use crate::{
    cli::{
        Client, Failure, Output,
        output::{items, text, time},
        usage,
    },
    file::File,
};

/// Fields of a subscription, with their other names.
const FIELDS: [(&str, &str); 2] = [("events", "subscribed_events"), ("filter", "event_filters")];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin with the subscription of this integration, by name or id; with -f, of the one that the file calls so.
    integration: Option<String>,
    /// A file of integrations; - for standard input. One of several is named.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// A pattern of event types, such as alert.*; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    events: Vec<String>,
    /// A CEL condition.
    #[arg(long = "where", value_name = "CEL")]
    condition: Option<String>,
    /// low, medium, high or critical.
    #[arg(long, value_name = "SEVERITY")]
    min_severity: Option<String>,
    /// An agent that is wanted; may be repeated.
    #[arg(long, value_name = "ID")]
    agent_id: Vec<String>,
    /// How many of the newest events, 1 to 1,000 [default: 100].
    #[arg(long, value_name = "N", value_parser = usage::whole)]
    last: Option<u32>,
    /// Also show events whose type nobody asked for.
    #[arg(long)]
    all: bool,
    /// The org [default: that of the file's integration, else the key's own].
    #[arg(long)]
    org: Option<Name>,
}

impl Args {
    /// The request: its org and its body.
    fn request(&self) -> Result<(Option<String>, Value), Failure> {
        let mut body = Map::new();
        let mut org = None;
        match (&self.file, &self.integration) {
            (Some(file), name) => {
                let found = self.in_file(file, name.as_deref())?;
                org = found["org"].as_str().map(str::to_owned);
                for (field, alias) in FIELDS {
                    if let Some(given) = [field, alias].iter().find_map(|name| found.get(name)) {
                        body.insert(field.to_owned(), given.clone());
                    }
                }
            }
            (None, Some(name)) => {
                body.insert("integration".to_owned(), name.as_str().into());
            }
            (None, None) => {}
        }
        if !self.events.is_empty() {
            body.insert("events".to_owned(), json!(self.events));
        }
        let mut filter = Map::new();
        if let Some(condition) = &self.condition {
            filter.insert("where".to_owned(), condition.as_str().into());
        }
        if let Some(severity) = &self.min_severity {
            filter.insert("min_severity".to_owned(), severity.as_str().into());
        }
        if !self.agent_id.is_empty() {
            filter.insert("agent_ids".to_owned(), json!(self.agent_id));
        }
        if !filter.is_empty() {
            body.insert("filter".to_owned(), filter.into());
        }
        if let Some(last) = self.last {
            body.insert("last".to_owned(), last.into());
        }
        let org = self.org.as_ref().map(Name::to_string).or(org);
        Ok((org, body.into()))
    }

    /// The integration of a file that is meant.
    fn in_file(&self, path: &Path, name: Option<&str>) -> Result<Value, Failure> {
        let file = File::load(path, true)?;
        let names: Vec<&str> = file.integrations().iter().map(|made| made.name()).collect();
        let found = match (name, file.integrations()) {
            (None, [one]) => Some(one),
            (None, _) => None,
            (Some(name), all) => all.iter().find(|made| made.name() == name),
        };
        match found {
            Some(made) => Ok(made.value().clone()),
            None => Err(Failure::Usage(format!(
                "name one integration of {}: it has {}",
                path.display(),
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ))),
        }
    }
}

pub(super) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let (org, body) = args.request()?;
    let answer = client
        .post(&["subscriptions", "try"], &[("org", org.as_deref())], &body)
        .await?;
    out.answer(&answer, |answer| people(answer, args.all))
}

fn people(answer: &Value, all: bool) -> String {
    let looked_at = answer["looked_at"].as_u64().unwrap_or_default();
    if looked_at == 0 {
        return "there are no events to ask about".to_owned();
    }
    let mut summary = format!(
        "{} of the last {looked_at} events match, since {}",
        text(&answer["matched"]),
        time(&answer["since"])
    );
    for (reason, count) in answer["reasons"].as_object().into_iter().flatten() {
        summary.push_str(&format!("\nnot because of {reason}: {count}"));
    }
    let errors = answer["errors"].as_u64().unwrap_or_default();
    if errors > 0 {
        summary.push_str(&format!(
            "\nwhere has no answer for {errors}: each would be a dead letter"
        ));
    }
    if answer["truncated"] == true {
        summary.push_str("\nfewer were asked about than there are, as they are large");
    }
    let shown = items(answer).iter().filter(|item| all || item["near"] == true);
    let rows: Vec<Vec<String>> = shown
        .map(|item| {
            vec![
                if item["matches"] == true { "yes" } else { "no" }.to_owned(),
                time(&item["accepted_at"]),
                text(&item["type"]),
                text(&item["id"]),
                text(&item["why"]),
            ]
        })
        .collect();
    if rows.is_empty() {
        return summary;
    }
    let table = Output::table(&["MATCHES", "ACCEPTED", "TYPE", "EVENT", "WHY NOT"], rows);
    format!("{summary}\n\n{table}")
}
