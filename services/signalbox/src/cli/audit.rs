//! `signalbox audit`.

use serde_json::Value;
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    output::{items, text, time},
    usage,
};

/// `signalbox audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox audit --since 2h
  signalbox audit --org acme --action integration.updated --output json
  signalbox audit --object-type api_key --actor ada@example.com
  signalbox audit --object 0199c0de-0000-7000-8000-000000000001")]
pub(crate) struct Args {
    /// Changes of this org [default: all that the key in use may see].
    #[arg(long)]
    org: Option<Name>,
    /// Of this action, such as integration.updated.
    #[arg(long)]
    action: Option<String>,
    /// About things of this kind: integration, event_type, api_key, org and others, as entries say in object.type.
    #[arg(long, value_name = "KIND")]
    object_type: Option<String>,
    /// About the thing with this id.
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// By whom, as WHO shows behind the type: the holder that a key was made for, or admin, the installation's own key.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Not before: a time, or a duration back from now such as 2h.
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Before: a time, or a duration back from now.
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Entries on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let query = [
        ("org", args.org.as_ref().map(Name::as_str)),
        ("action", args.action.as_deref()),
        ("object_type", args.object_type.as_deref()),
        ("object_id", args.object.as_deref()),
        ("actor_id", args.actor.as_deref()),
        ("since", args.since.as_deref()),
        ("until", args.until.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer = client.get(&["audit"], &query).await?;
    out.answer(&answer, table)
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "nothing was changed".to_owned();
    }
    let rows = items(answer).iter().map(|item| {
        let object = &item["object"];
        let name = match text(&object["name"]) {
            name if name.is_empty() => text(&object["id"]),
            name => name,
        };
        vec![
            time(&item["at"]),
            text(&item["action"]),
            text(&item["org"]),
            name,
            format!("{} {}", text(&item["actor"]["type"]), text(&item["actor"]["id"])),
            text(&item["address"]),
        ]
    });
    let table = Output::table(&["AT", "ACTION", "ORG", "WHAT", "WHO", "FROM"], rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}
