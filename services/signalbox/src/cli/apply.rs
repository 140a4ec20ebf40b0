//! `signalbox plan`, `apply` and `export`.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    failure::reason,
    output::{self, text},
    say,
};
use crate::file::{self, File, Made};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox plan -f integrations.yaml
  signalbox plan -f integrations.yaml --prune --output json
  signalbox plan -f specs.config.yaml --skip-unavailable
      a file of blocks by name, as in `slack: { channel: ops }`")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox apply -f integrations.yaml
  SLACK_URL=https://hooks.slack.com/services/T0/B0/x signalbox apply -f integrations.yaml
      ${SLACK_URL} and ${file:/path} in the file are resolved here
  signalbox apply -f integrations.yaml --prune --discard
      the others are deleted, with what waits for them")]
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
    /// Of this org alone [default: all that the key may see].
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
    /// The org of those integrations that name none [default: the key's own, or default].
    #[arg(long)]
    org: Option<Name>,
    /// Leave out what later versions have (it is named), and go on with the rest.
    #[arg(long)]
    skip_unavailable: bool,
}

impl Wanted {
    /// What a file says, with nothing deleted.
    pub(crate) fn of(file: PathBuf) -> Self {
        Self {
            file,
            prune: false,
            org: None,
            skip_unavailable: false,
        }
    }

    /// Reads the file, so that what is wrong with it is found out before anything is started.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        // What is no file, such as a pipe, can be read once alone.
        let readable_twice = std::fs::metadata(&self.file).is_ok_and(|metadata| metadata.is_file());
        let missing = self.file.as_os_str() != "-" && !self.file.exists();
        if readable_twice || missing {
            File::load(&self.file, self.skip_unavailable)?;
        }
        Ok(())
    }

    /// The same, without what later versions have.
    pub(crate) fn skipping_unavailable(self, skip_unavailable: bool) -> Self {
        Self {
            skip_unavailable,
            ..self
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
    let mut file = File::load(&wanted.file, wanted.skip_unavailable)?;
    let query = [("org", wanted.org.as_ref().map(Name::as_str))];
    leave_out_what_cannot_be_stored(client, &mut file, &query).await?;
    for remark in file.remarks() {
        say(&remark);
    }
    let prune = wanted.prune;
    let integrations: Vec<&Value> = file.integrations().iter().map(Made::value).collect();
    let body = json!({ "integrations": integrations, "prune": prune, "discard": discard, "dry_run": dry_run });
    match client.post(&["apply"], &query, &body).await {
        Err(Failure::Problem(problem)) if problem.code() == "invalid_integrations" => {
            let errors = problem.document["errors"].as_array().into_iter().flatten();
            let errors = errors.map(|error| (text(&error["index"]), text(&error["field"]), text(&error["message"])));
            Err(file.explain(errors).into())
        }
        mut answer => {
            if let (Ok(answer), Some((made, left_out))) = (&mut answer, file.translation()) {
                answer["translated"] = made.into();
                answer["left_out"] = left_out.into();
            }
            answer
        }
    }
}

/// Takes those disabled integrations out whose secrets are neither given nor stored.
async fn leave_out_what_cannot_be_stored(
    client: &Client,
    file: &mut File,
    query: &[(&str, Option<&str>)],
) -> Result<(), Failure> {
    let lacking: Vec<(String, String, String)> = file
        .integrations()
        .iter()
        .filter(|made| !made.unset().is_empty())
        .map(|made| {
            let unset = made.unset().join(", ");
            (made.name().to_owned(), made.provider().to_owned(), unset)
        })
        .collect();
    for (name, provider, unset) in lacking {
        match client.get(&["integrations", &name], query).await {
            Ok(stored) if stored["provider"] == provider.as_str() => {}
            Err(Failure::Problem(problem)) if problem.status != 404 => return Err(Failure::Problem(problem)),
            Ok(_) | Err(Failure::Problem(_)) => file.leave_out(&name, &format!("it is disabled, and {unset}")),
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

pub(crate) async fn plan(args: PlanArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = apply_file(client, &args.wanted, false, true).await?;
    out.answer(&answer, |answer| {
        format!("{}{}", translated(answer), people(answer, "would change"))
    })
}

pub(crate) async fn apply(args: ApplyArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = apply_file(client, &args.wanted, args.discard, false).await?;
    out.answer(&answer, |answer| people(answer, "changed"))
}

/// What the blocks of a file became, and which variables of the environment went into them.
fn translated(answer: &Value) -> String {
    let made = answer["translated"].as_array().map_or(&[][..], Vec::as_slice);
    if made.is_empty() {
        return String::new();
    }
    let rows = made.iter().map(|made| {
        let variables = made["variables"].as_object().into_iter().flatten();
        let variables: Vec<String> = variables
            .map(|(field, names)| format!("{field} from {}", text(names)))
            .collect();
        let mut row = ["block", "name", "provider", "events"]
            .map(|field| text(&made[field]))
            .to_vec();
        row.push(variables.join(", "));
        row
    });
    let head = ["BLOCK", "NAME", "PROVIDER", "EVENTS", "ENVIRONMENT"];
    format!("{}\n\n", Output::table(&head, rows))
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
    for change in &changes {
        for warning in change["warnings"].as_array().into_iter().flatten() {
            let (name, field, message) = (
                text(&change["name"]),
                text(&warning["field"]),
                text(&warning["message"]),
            );
            text_of_all.push_str(&format!("warning: {name}: {field}: {message}\n"));
        }
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
            std::fs::write(&path, written)
                .map_err(|error| anyhow!("cannot write {}: {}", path.display(), reason(&error)))?;
            say(&format!("wrote {} integrations to {}", list.len(), path.display()));
            Ok(())
        }
    }
}
