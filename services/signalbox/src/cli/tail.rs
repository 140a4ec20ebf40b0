//! `signalbox tail`: what happens, as it happens, a line each. Times are UTC.
//!
//! When the API goes away it is asked again until it is back, and the tail goes on behind the last entry that came.

#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use tokio::time::{sleep, timeout};
#[cfg(unix)]
use tokio::{io::Interest, net::unix::pipe};

use super::{
    Client, Failure, Output,
    org::Org,
    output::text,
    paint::{Paint, Tone, plain},
    say,
};

/// The API says every 15 s that a tail stands: without a word for so long it has gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The wait before the API is asked again, doubled up to [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Longest line of the API's that is read, in bytes: the largest event, with room for what JSON adds.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Events as they are accepted.
    Events,
    /// Attempts at deliveries, with their outcomes.
    Deliveries,
    /// Dead letters.
    Dead,
}

impl What {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Dead => "dead",
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs until it is interrupted. Times are UTC; with --output json it prints one JSON object a line.

Examples:
  signalbox tail
  signalbox tail events --type 'canary.>'
  signalbox tail deliveries --integration oncall --since 10m
  signalbox tail dead --org acme --output json")]
pub(crate) struct Args {
    /// What to follow.
    #[arg(value_enum, default_value_t = What::Events)]
    what: What,
    /// Only of the types that this pattern covers: * is one token, > the rest.
    #[arg(long = "type", value_name = "PATTERN")]
    pattern: Option<String>,
    /// Only of this integration, by name or id; events: those that it matches as it is now.
    #[arg(long)]
    integration: Option<String>,
    #[command(flatten)]
    org: Org,
    /// Begin in the past: a time, or a duration back from now such as 10m [default: now].
    #[arg(long)]
    since: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    tokio::select! {
        ended = follow(args, client, out) => ended,
        () = unread() => Ok(()),
    }
}

/// Ends when nobody reads standard output any more, as after `| head -1`: the write that would find it out may be hours
/// away. A file never says so.
async fn unread() {
    #[cfg(unix)]
    if let Ok(out) = std::io::stdout().as_fd().try_clone_to_owned()
        && let Ok(out) = pipe::Sender::from_owned_fd_unchecked(out)
        && out.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn follow(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let query = [
        args.org.query(),
        ("type", args.pattern.as_deref()),
        ("integration", args.integration.as_deref()),
        ("since", args.since.as_deref()),
    ];
    let path = ["tail", args.what.as_str()];
    let paint = Paint::for_stdout();
    let mut last: Option<String> = None;
    // What is wrong with the command shows at once; what goes away later comes back.
    let mut answer = client.open(&path, &query, None).await?;
    loop {
        let mut reader = Reader::default();
        let why = loop {
            match timeout(SILENCE_MAX, answer.chunk()).await {
                Err(_) => break format!("nothing came for {} s", SILENCE_MAX.as_secs()),
                Ok(Err(error)) => break error.without_url().to_string(),
                Ok(Ok(None)) => break "it ended the answer".to_owned(),
                Ok(Ok(Some(bytes))) => {
                    for entry in reader.read(&bytes)? {
                        if let Some(id) = &entry.id {
                            last = Some(id.clone());
                        }
                        print(args.what, &entry, paint, out)?;
                    }
                }
            }
        };
        say(&format!("the API went away ({why}): trying again"));
        answer = again(client, &path, &query, last.as_deref()).await?;
        match &last {
            Some(id) => say(&format!("the API is back: going on behind entry {id}")),
            None => say("the API is back: nothing had come before, so it begins anew"),
        }
    }
}

/// Asks until the API is there. A refusal ends the tail: it would be the same the next time.
async fn again(
    client: &Client,
    path: &[&str],
    query: super::client::Query<'_>,
    last: Option<&str>,
) -> Result<reqwest::Response, Failure> {
    let mut wait = RETRY_FIRST;
    loop {
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_LAST);
        match timeout(SILENCE_MAX, client.open(path, query, last)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(Failure::Problem(problem))) if problem.status < 500 => return Err(Failure::Problem(problem)),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// One entry of the API's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    id: Option<String>,
    /// Empty for the usual ones.
    kind: String,
    /// Empty where only the place is told.
    data: String,
}

/// Reads Server-Sent Events out of bytes that come in any pieces.
#[derive(Default)]
struct Reader {
    line: Vec<u8>,
    entry: Entry,
}

impl Reader {
    /// The entries that are complete with these bytes.
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > LINE_BYTES_MAX {
                    return Err(anyhow::anyhow!("the API sent a line of more than {LINE_BYTES_MAX} bytes").into());
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let entry = std::mem::take(&mut self.entry);
                if entry != Entry::default() {
                    entries.push(entry);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.entry.id = Some(value.to_owned()),
                "event" => self.entry.kind = value.to_owned(),
                "data" => self.entry.data.push_str(value),
                // A comment, or a field of a newer version.
                _ => {}
            }
        }
        Ok(entries)
    }
}

fn print(what: What, entry: &Entry, paint: Paint, out: &Output) -> Result<(), Failure> {
    if entry.data.is_empty() {
        return Ok(());
    }
    if entry.kind == "gap" {
        say("some of what came meanwhile is gone: its stream has let go of it");
        return Ok(());
    }
    if out.is_json() {
        return out.line(&entry.data);
    }
    let value: Value = serde_json::from_str(&entry.data).map_err(|error| anyhow::anyhow!("the API sent {error}"))?;
    out.line(&line(what, &value, paint))
}

/// An entry for people, its columns wide enough for what is usual.
fn line(what: What, value: &Value, paint: Paint) -> String {
    let word = |name: &str| plain(&text(&value[name]));
    let columns = match what {
        What::Events => vec![
            paint.word(Tone::Faint, &time(&value["accepted_at"])),
            format!("{:<24}", word("type")),
            word("id"),
            paint.word(Tone::Faint, &word("severity")),
            paint.word(Tone::Faint, &word("source")),
        ],
        What::Deliveries => {
            let outcome = match value["outcome"].as_str() {
                Some(outcome) => outcome,
                None => value["next"].as_str().unwrap_or_default(),
            };
            let took = match (value["outcome"].is_string(), value["duration_ms"].as_u64()) {
                (true, Some(took)) => format!("{took} ms"),
                _ => String::new(),
            };
            vec![
                paint.word(Tone::Faint, &time(&value["at"])),
                format!("{:<24}", word("event_type")),
                word("event_id"),
                name(value),
                paint.status(&plain(outcome)),
                word("response_code"),
                took,
                paint.word(Tone::Faint, &word("error_message")),
            ]
        }
        What::Dead => vec![
            paint.word(Tone::Faint, &time(&value["last_at"])),
            format!("{:<24}", plain(&text(&value["event"]["type"]))),
            word("id"),
            name(value),
            paint.status(&word("reason")),
            word("message"),
        ],
    };
    let shown: Vec<&str> = columns
        .iter()
        .map(String::as_str)
        .filter(|column| !column.trim().is_empty())
        .collect();
    shown.join("  ").trim_end().to_owned()
}

fn name(value: &Value) -> String {
    let id = plain(&text(&value["integration_id"]));
    value["integration"].as_str().map_or(id, plain)
}

/// To the millisecond: live, tenths of a second are what one watches.
fn time(value: &Value) -> String {
    let text = text(value);
    let Some((seconds, fraction)) = text.trim_end_matches('Z').split_once('.') else {
        return text;
    };
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    format!("{seconds}.{millis}Z")
}

#[cfg(test)]
mod tests;
