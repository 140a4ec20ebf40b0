//! `signalbox providers`: the kinds of targets, and what one of them takes.

use serde_json::Value;

use super::{
    Client, Failure, Output,
    output::{items, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox providers
  signalbox providers webhook
  signalbox providers webhook --output json      its schemas as they are")]
pub(crate) struct Args {
    /// One of them [default: all].
    #[arg(value_name = "NAME")]
    provider: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    match args.provider {
        None => out.answer(&client.get(&["providers"], &[]).await?, table),
        Some(name) => out.answer(&client.get(&["providers", &name], &[]).await?, people),
    }
}

fn table(answer: &Value) -> String {
    let rows = items(answer)
        .iter()
        .map(|item| ["name", "type", "description"].map(|field| text(&item[field])).to_vec());
    Output::table(&["NAME", "TYPE", "WHAT"], rows)
}

/// What it is, and a row for every field of its config and credentials.
fn people(answer: &Value) -> String {
    let fields = ["name", "type", "description"].map(|name| (name, text(&answer[name])));
    let mut rows = Vec::new();
    for place in ["config", "credentials"] {
        let schema = &answer[format!("{place}_schema")];
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|required| required == name.as_str());
            rows.push(vec![
                format!("{place}.{name}"),
                if is_required { "required" } else { "" }.to_owned(),
                text(&field["description"]),
            ]);
        }
    }
    format!(
        "{}\n\n{}",
        Output::fields(&fields),
        Output::table(&["FIELD", "", "WHAT"], rows)
    )
}
