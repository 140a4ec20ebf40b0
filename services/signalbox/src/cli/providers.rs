//! `signalbox providers`: the kinds of targets, and what one of them takes.

use serde_json::Value;

use super::{
    Client, Failure, Output,
    output::{items, text},
};

/// Longest line of a description, in characters.
const LINE_CHARS_MAX: usize = 96;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox providers
  signalbox providers webhook
  signalbox providers webhook --output json
      its schemas as they are")]
pub(crate) struct Args {
    /// One of them [default: all].
    #[arg(value_name = "NAME")]
    provider: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    match args.provider {
        None => out.answer(&client.get(&["providers"], &[]).await?, table),
        Some(name) => match client.get(&["providers", &name], &[]).await {
            Ok(answer) => out.answer(&answer, people),
            Err(Failure::Problem(problem)) if problem.status == 404 => {
                let all = client.get(&["providers"], &[]).await?;
                let names: Vec<String> = items(&all).iter().map(|one| text(&one["name"])).collect();
                Err(Failure::NotFound(format!(
                    "there is no provider {name:?}: there are {}",
                    names.join(", ")
                )))
            }
            Err(failure) => Err(failure),
        },
    }
}

fn table(answer: &Value) -> String {
    let rows = items(answer)
        .iter()
        .map(|item| ["name", "type", "description"].map(|field| text(&item[field])).to_vec());
    Output::table(&["NAME", "TYPE", "WHAT"], rows)
}

/// What it is, and every field of its config and credentials.
fn people(answer: &Value) -> String {
    let fields = ["name", "type", "description"].map(|name| (name, text(&answer[name])));
    let mut blocks = vec![Output::fields(&fields)];
    for place in ["config", "credentials"] {
        let schema = &answer[format!("{place}_schema")];
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|required| required == name.as_str());
            let required = if is_required { " (required)" } else { "" };
            blocks.push(format!(
                "{place}.{name}{required}\n{}",
                wrapped(&text(&field["description"]), "    ")
            ));
        }
    }
    blocks.join("\n\n")
}

/// Text in lines that a terminal shows whole, each behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE_CHARS_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
