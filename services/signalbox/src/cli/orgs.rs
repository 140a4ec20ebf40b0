//! `signalbox orgs`.

use serde_json::{Map, Value};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output, erase,
    output::{items, text, time},
    usage,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List orgs.
    #[command(after_help = "Example:\n  signalbox orgs list --limit 200")]
    List(ListArgs),
    /// Make an org.
    #[command(after_help = "Example:\n  signalbox orgs create acme --title 'Acme Ltd'")]
    Create(CreateArgs),
    /// Erase an org with all that is its, for good.
    #[command(after_help = "\
Nothing is taken in for it from then on, and its name is never used again.

Examples:
  signalbox orgs erase acme --dry-run
  signalbox orgs erase acme --confirm acme")]
    Erase(erase::OrgArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Orgs on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Its name, for ever.
    name: Name,
    /// What people call it.
    #[arg(long)]
    title: Option<String>,
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let query = [("limit", limit.as_deref()), ("cursor", args.cursor.as_deref())];
            let answer = client.get(&["orgs"], &query).await?;
            out.answer(&answer, table)
        }
        Command::Erase(args) => erase::org(args, client, out).await,
        Command::Create(args) => {
            let mut body = Map::new();
            body.insert("name".to_owned(), args.name.as_str().into());
            if let Some(title) = args.title {
                body.insert("title".to_owned(), title.into());
            }
            let answer = client.post(&["orgs"], &[], &body.into()).await?;
            out.answer(&answer, |answer| format!("{}: made", text(&answer["name"])))
        }
    }
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "there are no orgs".to_owned();
    }
    let rows = items(answer).iter().map(|item| {
        vec![
            text(&item["name"]),
            text(&item["title"]),
            text(&item["status"]),
            time(&item["created_at"]),
        ]
    });
    let table = Output::table(&["NAME", "TITLE", "STATUS", "MADE"], rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}
