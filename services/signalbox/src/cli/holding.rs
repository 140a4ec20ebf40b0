//! `signalbox pause` and `signalbox resume`: for one integration, those of a provider, of an org, or all.

use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    integrations::{Drain, status},
    say,
};

/// For which integrations.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true)]
struct Which {
    /// One integration, by name or id.
    #[arg(long, group = "which", conflicts_with_all = ["provider", "all"])]
    integration: Option<String>,
    /// All integrations of a provider.
    #[arg(long, group = "which", conflicts_with = "all")]
    provider: Option<Name>,
    /// All integrations of an org; beside --integration or --provider, the org that these are of.
    #[arg(long, group = "which", conflicts_with = "all")]
    org: Option<Name>,
    /// All integrations of all orgs.
    #[arg(long, group = "which")]
    all: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox pause --integration oncall
  signalbox pause --provider webhook
  signalbox pause --org acme")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox resume --integration oncall
  signalbox resume --org acme --rate 50
  signalbox resume --all --drop-older-than 1h")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    drain: Drain,
}

pub(crate) async fn pause(args: PauseArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    each(&args.which, "pause", &json!({}), client, out).await
}

pub(crate) async fn resume(args: ResumeArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    each(&args.which, "resume", &args.drain.body(), client, out).await
}

/// Nothing that is held or released fits.
fn nobody(which: &Which) -> String {
    let of = match &which.provider {
        Some(provider) => format!(" of provider {provider} (`signalbox providers` lists those that there are)"),
        None => String::new(),
    };
    match &which.org {
        Some(org) => format!("org {org} has no integrations{of}"),
        None => format!("there are no integrations{of}"),
    }
}

async fn each(which: &Which, verb: &str, body: &Value, client: &Client, out: &Output) -> Result<(), Failure> {
    // Whose it is where nobody says so is left to the key.
    let wanted: Vec<(Option<String>, String)> = match &which.integration {
        Some(integration) => {
            vec![(which.org.as_ref().map(Name::to_string), integration.clone())]
        }
        None => {
            let org = which.org.as_ref().map(Name::as_str);
            let answer = client.get(&["export"], &[("org", org)]).await?;
            let list = answer["integrations"].as_array().cloned().unwrap_or_default();
            list.iter()
                .filter(|item| {
                    which
                        .provider
                        .as_ref()
                        .is_none_or(|provider| item["provider"] == provider.as_str())
                })
                .filter_map(|item| {
                    Some((
                        Some(item["org"].as_str()?.to_owned()),
                        item["name"].as_str()?.to_owned(),
                    ))
                })
                .collect()
        }
    };
    if wanted.is_empty() {
        return Err(Failure::NotFound(nobody(which)));
    }
    let mut answers = Vec::with_capacity(wanted.len());
    for (org, integration) in &wanted {
        let answer = client
            .post(&["integrations", integration, verb], &[("org", org.as_deref())], body)
            .await;
        match answer {
            Ok(answer) => answers.push(answer),
            // Deleted since they were listed.
            Err(Failure::Problem(problem)) if problem.status == 404 && which.integration.is_none() => {}
            Err(failure) => {
                if !answers.is_empty() {
                    say(&format!(
                        "{verb}d {} of {} before an error",
                        answers.len(),
                        wanted.len()
                    ));
                }
                return Err(failure);
            }
        }
    }
    let answer = json!({ "items": answers, "next_cursor": null });
    out.answer(&answer, |_| answers.iter().map(status).collect::<Vec<_>>().join("\n"))
}
