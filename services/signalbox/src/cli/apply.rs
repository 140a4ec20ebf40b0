//! `signalbox plan`, `apply` and `export`.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    output::{self, text},
    say,
};
use crate::file::{self, File};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox plan -f integrations.yaml
  signalbox plan -f integrations.yaml --prune --output json")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox apply -f integrations.yaml
  SLACK_URL=https://… signalbox apply -f integrations.yaml     ${SLACK_URL} and ${file:/path} are resolved here
  signalbox apply -f integrations.yaml --prune --discard       delete the others, with what waits for them")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// End the deliveries that wait for what is deleted or replaced as discarded.
    #[arg(long)]
    discard: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox export
  signalbox export -f integrations.yaml --org acme")]
pub(crate) struct ExportArgs {
    /// The file to write [default: standard output].
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Of this tenant alone [default: all].
    #[arg(long)]
    org: Option<Name>,
}

/// What the integrations shall be.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// The file; - for standard input.
    #[arg(short, long)]
    file: PathBuf,
    /// Also delete what the file does not name, in the orgs that it names.
    #[arg(long)]
    prune: bool,
    /// The tenant of those integrations that name none [default: default].
    #[arg(long)]
    org: Option<Name>,
}

impl Wanted {
    /// What a file says, with nothing deleted.
    pub(crate) fn of(file: PathBuf) -> Self {
        Self {
            file,
            prune: false,
            org: None,
        }
    }
}

/// Applies a file, or says what that would change.
pub(crate) async fn apply_file(
    client: &Client,
    wanted: &Wanted,
    discard: bool,
    dry_run: bool,
) -> Result<Value, Failure> {
    let file = File::load(&wanted.file)?;
    let prune = wanted.prune;
    let body = json!({ "integrations": file.integrations(), "prune": prune, "discard": discard, "dry_run": dry_run });
    let query = [("org", wanted.org.as_ref().map(Name::as_str))];
    match client.post(&["apply"], &query, &body).await {
        Err(Failure::Problem(problem)) if problem.code() == "invalid_integrations" => {
            let errors = problem.document["errors"].as_array().into_iter().flatten();
            let errors = errors.map(|error| (text(&error["index"]), text(&error["field"]), text(&error["message"])));
            Err(file.explain(errors).into())
        }
        answer => answer,
    }
}

pub(crate) async fn plan(args: PlanArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = apply_file(client, &args.wanted, false, true).await?;
    out.answer(&answer, |answer| people(answer, "would change"))
}

pub(crate) async fn apply(args: ApplyArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = apply_file(client, &args.wanted, args.discard, false).await?;
    out.answer(&answer, |answer| people(answer, "changed"))
}

/// The changes that are some, and how many there are.
fn people(answer: &Value, verb: &str) -> String {
    let changes: Vec<&Value> = answer["changes"].as_array().into_iter().flatten().collect();
    let some: Vec<&&Value> = changes.iter().filter(|change| change["action"] != "none").collect();
    let mut text_of_all = String::new();
    if !some.is_empty() {
        let rows = some.iter().map(|change| {
            let sign = match change["action"].as_str() {
                Some("create") => "+",
                Some("update") => "~",
                Some("replace") => "±",
                Some("delete") => "-",
                _ => "?",
            };
            let mut what = text(&change["fields"]);
            if let Some(waiting) = change["waiting"].as_u64().filter(|waiting| *waiting > 0) {
                what = format!("{what} ({waiting} deliveries wait)").trim_start().to_owned();
            }
            vec![
                format!("{sign} {}", text(&change["action"])),
                text(&change["org"]),
                text(&change["name"]),
                text(&change["provider"]),
                what,
            ]
        });
        text_of_all = Output::table(&["ACTION", "ORG", "NAME", "PROVIDER", "FIELDS"], rows);
        text_of_all.push('\n');
    }
    let same = changes.len() - some.len();
    format!("{text_of_all}{} {verb}, {same} stay as they are", some.len())
}

pub(crate) async fn export(args: ExportArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client
        .get(&["export"], &[("org", args.org.as_ref().map(Name::as_str))])
        .await?;
    let list = answer["integrations"].as_array().map_or(&[][..], Vec::as_slice);
    let written = if out.is_json() {
        format!("{answer:#}\n")
    } else {
        file::integrations_yaml(list, &output::text(&answer["note"]))
    };
    match args.file {
        None => out.line(written.trim_end()),
        Some(path) => {
            std::fs::write(&path, written).with_context(|| format!("cannot write {}", path.display()))?;
            say(&format!("wrote {} integrations to {}", list.len(), path.display()));
            Ok(())
        }
    }
}
