//! `signalbox keys`.

use serde_json::{Map, Value, json};
use signalbox_proto::{Name, key::PrincipalKind};

use super::{
    Client, Failure, Output, master_key,
    output::{items, text, time},
    usage,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an API key; its text is printed this once.
    #[command(after_help = "\
Examples:
  signalbox keys create ci --scope events:write
  signalbox keys create oncall --org acme --scope integrations:write --expires-in 90d
  signalbox keys create dashboard --scope deliveries:read --scope integrations:read
  signalbox keys create ada --principal user:ada@example.com --scope admin
  signalbox keys create ops --installation")]
    Create(CreateArgs),
    /// List API keys, masked; expired and revoked ones too.
    #[command(after_help = "\
Examples:
  signalbox keys list
  signalbox keys list --org acme --output json")]
    List(ListArgs),
    /// Put a new key into the place of another; both count for a while.
    #[command(after_help = "Example:\n  signalbox keys rotate 0199c0de-0000-7000-8000-000000000001 --overlap 1h")]
    Rotate(RotateArgs),
    /// Revoke an API key: it is refused everywhere within a second.
    #[command(after_help = "Example:\n  signalbox keys revoke 0199c0de-0000-7000-8000-000000000001")]
    Revoke(One),
    /// Seal all credentials with another master key, while everything runs.
    #[command(after_help = "\
`up` makes the new key itself and removes the old one at the end. In production put a new key on a line before the old one in
the file of secrets.key_file, for all processes, then call this, then remove the old line.

Examples:
  signalbox keys rotate-master
  signalbox keys rotate-master --no-wait
  signalbox keys rotate-master --status")]
    RotateMaster(master_key::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// What it is for.
    name: String,
    /// The org [default: that of the key in use, else default].
    #[arg(long)]
    org: Option<Name>,
    /// What it may do: events:write, integrations:read, integrations:write, deliveries:read, dead-letters:write or
    /// admin; may be repeated.
    #[arg(long, value_name = "SCOPE", required_unless_present = "installation")]
    scope: Vec<String>,
    /// Who holds it, as the audit names who acts with it: user, service or external_agent, a colon, and a name
    /// [default: a service of the key's name].
    #[arg(long, value_name = "TYPE:ID", value_parser = holder)]
    principal: Option<Holder>,
    /// When it ends, such as 90d; never where it is left out.
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<String>,
    /// A key of the whole installation, which may do everything.
    #[arg(long, conflicts_with_all = ["org", "scope"])]
    installation: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Keys of this org [default: all that the key in use may see].
    #[arg(long)]
    org: Option<Name>,
    /// Keys on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The key's id.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    one: One,
    /// How long the old key goes on [default: 24h].
    #[arg(long, value_name = "SPAN")]
    overlap: Option<String>,
}

/// Who holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    kind: PrincipalKind,
    id: String,
}

/// Reads a holder. The name may have colons of its own.
fn holder(given: &str) -> Result<Holder, String> {
    let known = PrincipalKind::ALL.map(PrincipalKind::as_str).join(", ");
    let (kind, id) = given
        .split_once(':')
        .ok_or_else(|| format!("is not TYPE:ID such as user:ada@example.com, with a TYPE of {known}"))?;
    let mut kinds = PrincipalKind::ALL.into_iter();
    let kind = kinds
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| format!("{kind:?} is no type of holder: it is one of {known}"))?;
    if id.trim().is_empty() {
        return Err(format!("says no name: put one behind `{}:`", kind.as_str()));
    }
    Ok(Holder {
        kind,
        id: id.to_owned(),
    })
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::Create(args) => {
            let mut body = Map::new();
            body.insert("name".to_owned(), args.name.into());
            let scopes = if args.installation {
                body.insert("installation".to_owned(), true.into());
                vec!["admin".to_owned()]
            } else {
                args.scope
            };
            body.insert("scopes".to_owned(), scopes.into());
            if let Some(Holder { kind, id }) = args.principal {
                body.insert("principal".to_owned(), json!({ "type": kind.as_str(), "id": id }));
            }
            if let Some(span) = args.expires_in {
                body.insert("expires_in".to_owned(), span.into());
            }
            let query = [("org", args.org.as_ref().map(Name::as_str))];
            let answer = client.post(&["api-keys"], &query, &body.into()).await?;
            out.answer(&answer, people)
        }
        Command::List(args) => {
            let limit = args.limit.map(|limit| limit.to_string());
            let query = [
                ("org", args.org.as_ref().map(Name::as_str)),
                ("limit", limit.as_deref()),
                ("cursor", args.cursor.as_deref()),
            ];
            let answer = client.get(&["api-keys"], &query).await?;
            out.answer(&answer, table)
        }
        Command::Rotate(args) => {
            let mut body = Map::new();
            if let Some(overlap) = args.overlap {
                body.insert("overlap".to_owned(), overlap.into());
            }
            let path = ["api-keys", &args.one.id, "rotate"];
            let answer = client.post(&path, &[], &body.into()).await?;
            out.answer(&answer, people)
        }
        Command::RotateMaster(args) => master_key::run(args, client, out).await,
        Command::Revoke(one) => {
            let answer = client.delete(&["api-keys", &one.id], &[]).await?;
            out.answer(&answer, |answer| format!("{}: revoked", text(&answer["id"])))
        }
    }
}

fn scopes(item: &Value) -> String {
    let words = item["scopes"].as_array().map_or(&[][..], Vec::as_slice);
    words.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn held_by(item: &Value) -> String {
    let holder = &item["principal"];
    format!("{} {}", text(&holder["type"]), text(&holder["id"]))
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "there are no such keys".to_owned();
    }
    let rows = items(answer).iter().map(|item| {
        vec![
            text(&item["id"]),
            text(&item["name"]),
            text(&item["org"]),
            text(&item["key"]),
            text(&item["status"]),
            scopes(item),
            held_by(item),
            time(&item["expires_at"]),
        ]
    });
    let table = Output::table(
        &["ID", "NAME", "ORG", "KEY", "STATUS", "SCOPES", "HOLDER", "EXPIRES"],
        rows,
    );
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}

fn people(answer: &Value) -> String {
    let names = ["id", "name", "org", "key", "status", "expires_at", "created_at"];
    let mut fields: Vec<(&str, String)> = names.into_iter().map(|name| (name, text(&answer[name]))).collect();
    fields.insert(4, ("scopes", scopes(answer)));
    fields.insert(5, ("holder", held_by(answer)));
    format!("{}\nkeep the key now: it is shown this once", Output::fields(&fields))
}

#[cfg(test)]
mod tests;
