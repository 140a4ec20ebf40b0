//! `signalbox config`.

use serde_json::{Value, json};

use super::{Failure, Global, Output, output::text};
use crate::settings;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox config
  SIGNALBOX_LOG__LEVEL=debug signalbox config --output json
  signalbox config --reference > docs/configuration.md")]
pub(crate) struct Args {
    /// Print the reference of all settings, as a page in Markdown.
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(args: Args, global: &Global, out: &Output) -> Result<(), Failure> {
    if args.reference {
        return out.line(settings::reference().trim_end());
    }
    let settings = settings::load(global.settings.as_deref())?;
    settings::Loaded::new(&settings)?;
    let items: Vec<Value> = settings
        .entries()
        .into_iter()
        .map(|entry| json!({ "key": entry.key, "value": entry.value, "origin": entry.origin.to_string() }))
        .collect();
    let answer = json!({ "items": items, "next_cursor": null });
    out.answer(&answer, |_| {
        let rows = items
            .iter()
            .map(|item| vec![text(&item["key"]), text(&item["value"]), text(&item["origin"])]);
        Output::table(&["SETTING", "VALUE", "FROM"], rows)
    })
}
