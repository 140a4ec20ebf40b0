//! `signalbox acts`: bulk acts, and following one until it ends.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use signalbox_proto::Name;

use super::{
    Client, Failure, Output,
    output::{items, text, time},
    say, usage,
};

/// How often a running act is asked how far it is.
const POLL_PAUSE: Duration = Duration::from_millis(500);
/// How often that is said where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long the API may be away while an act is followed: the act goes on meanwhile.
const AWAY_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List bulk acts, the newest first.
    #[command(after_help = "\
Acts that ended are kept for 30 days, the newest 1,000 of them.

Examples:
  signalbox acts list
  signalbox acts list --status running")]
    List(ListArgs),
    /// Show one act.
    #[command(after_help = "Example:\n  signalbox acts show 0199c0de-0000-7000-8000-0000000000ac --follow")]
    Show(ShowArgs),
    /// Stop an act. What it has done stays done.
    #[command(after_help = "Example:\n  signalbox acts cancel 0199c0de-0000-7000-8000-0000000000ac")]
    Cancel(One),
    /// Let an act go on that was cancelled or failed, from where it stopped. Nothing is sent a second time.
    #[command(after_help = "Example:\n  signalbox acts resume 0199c0de-0000-7000-8000-0000000000ac --no-wait")]
    Resume(ResumeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this org [default: all that the key may see].
    #[arg(long)]
    org: Option<Name>,
    /// Only this status: running, done, cancelled, failed.
    #[arg(long)]
    status: Option<String>,
    /// Acts on a page, 1 to 200.
    #[arg(long, value_parser = usage::whole)]
    limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Its id.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    one: One,
    /// Show how far it is until it ends.
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    one: One,
    /// Return at once, instead of when it is done.
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(command: Command, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args, client, out).await,
        Command::Show(args) => {
            let answer = client.get(&["acts", &args.one.id], &[]).await?;
            if args.follow {
                return finish(answer, client, out).await;
            }
            out.answer(&answer, people)
        }
        Command::Cancel(one) => {
            let answer = client.post(&["acts", &one.id, "cancel"], &[], &json!({})).await?;
            out.answer(&answer, summary)
        }
        Command::Resume(args) => {
            let answer = client.post(&["acts", &args.one.id, "resume"], &[], &json!({})).await?;
            if args.no_wait {
                return out.answer(&answer, begun);
            }
            finish(answer, client, out).await
        }
    }
}

async fn list(args: &ListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let query = [
        ("org", args.org.as_ref().map(Name::as_str)),
        ("status", args.status.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer = client.get(&["acts"], &query).await?;
    out.answer(&answer, table)
}

fn table(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "there is no such bulk act".to_owned();
    }
    let rows = items(answer).iter().map(|act| {
        vec![
            text(&act["id"]),
            text(&act["kind"]),
            text(&act["status"]),
            text(&act["done"]),
            text(&act["total"]),
            text(&act["failed"]),
            time(&act["created_at"]),
            text(&act["asked_by"]),
        ]
    });
    let head = ["ID", "KIND", "STATUS", "DONE", "OF", "FAILED", "ASKED", "BY"];
    let table = Output::table(&head, rows);
    match answer["next_cursor"].as_str() {
        Some(cursor) => format!("{table}\nthere is more: --cursor {cursor}"),
        None => table,
    }
}

fn people(act: &Value) -> String {
    let filter = act["filter"].as_object().into_iter().flatten();
    let filter = filter.filter(|(_, value)| !value.is_null() && **value != json!(false));
    let filter: Vec<String> = filter.map(|(name, value)| format!("{name} {}", text(value))).collect();
    let mut fields: Vec<(&str, String)> = ["id", "kind", "status", "org"]
        .map(|name| (name, text(&act[name])))
        .to_vec();
    let to = [text(&act["to_name"]), text(&act["to"])];
    fields.push(("to", to.join(" ").trim().to_owned()));
    fields.push(("about", filter.join(", ")));
    for name in ["total", "done", "skipped", "failed", "message", "rate", "asked_by"] {
        fields.push((name, text(&act[name])));
    }
    fields.push(("asked_at", time(&act["created_at"])));
    fields.push(("updated_at", time(&act["updated_at"])));
    Output::fields(&fields)
}

/// What is said of an act that was only begun.
pub(crate) fn begun(act: &Value) -> String {
    let id = text(&act["id"]);
    let about = act["total"]
        .as_u64()
        .map(|total| format!(" on {total}"))
        .unwrap_or_default();
    format!("act {id} has begun{about}: signalbox acts show {id}")
}

/// How an act stands, in one line.
fn summary(act: &Value) -> String {
    let counts = format!(
        "{}: {} done, {} settled before, {} failed",
        text(&act["status"]),
        text(&act["done"]),
        text(&act["skipped"]),
        text(&act["failed"])
    );
    match text(&act["message"]) {
        message if message.is_empty() => counts,
        message => format!("{counts}: {message}"),
    }
}

/// Shows how far an act is until it ends, and then how it ended. Ctrl-C leaves it running.
pub(crate) async fn finish(act: Value, client: &Client, out: &Output) -> Result<(), Failure> {
    let id = text(&act["id"]);
    let answer = tokio::select! {
        answer = wait(act, client, out) => answer?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            say(&left_behind(&id));
            let answer = client.get(&["acts", &id], &[]).await?;
            return out.answer(&answer, summary);
        }
    };
    out.answer(&answer, summary)?;
    if answer["status"] == "done" {
        Ok(())
    } else {
        Err(anyhow::anyhow!(
            "act {id} is {}; `signalbox acts resume {id}` lets it go on",
            text(&answer["status"])
        )
        .into())
    }
}

fn left_behind(id: &str) -> String {
    format!(
        "act {id} goes on in the background\n  \
         signalbox acts show {id} --follow   how far it is\n  \
         signalbox acts cancel {id}          stops it\n  \
         signalbox acts resume {id}          lets it go on from there"
    )
}

async fn wait(mut act: Value, client: &Client, out: &Output) -> Result<Value, Failure> {
    let id = text(&act["id"]);
    let meter = Meter::new(&act, Instant::now());
    let on_terminal = std::io::stderr().is_terminal();
    // Hidden where standard error is no terminal.
    let bar = ProgressBar::new(act["total"].as_u64().unwrap_or_default());
    let style = ProgressStyle::with_template("{bar:40} {msg}").unwrap_or(ProgressStyle::default_bar());
    bar.set_style(style);
    let mut said = Instant::now();
    // Programs that read JSON find the id in it.
    let tells = !on_terminal && !out.is_json();
    if tells {
        say(&format!("act {id} has begun; waiting for its end"));
    }
    let mut heard = Instant::now();
    while act["status"] == "running" {
        let line = meter.line(&act, Instant::now());
        bar.set_position(worked(&act));
        if tells && said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            say(&line);
        }
        bar.set_message(line);
        tokio::time::sleep(POLL_PAUSE).await;
        match client.get(&["acts", &id], &[]).await {
            Ok(answer) => {
                act = answer;
                heard = Instant::now();
            }
            Err(Failure::Failed(_)) if heard.elapsed() < AWAY_MAX => {}
            Err(failure) => {
                say(&left_behind(&id));
                return Err(failure);
            }
        }
    }
    bar.finish_and_clear();
    Ok(act)
}

/// How many of those that an act is about are behind it.
fn worked(act: &Value) -> u64 {
    act["done"].as_u64().unwrap_or_default() + act["failed"].as_u64().unwrap_or_default()
}

/// The pace of an act since it is followed.
#[derive(Debug)]
struct Meter {
    from: u64,
    since: Instant,
}

impl Meter {
    fn new(act: &Value, now: Instant) -> Self {
        Self {
            from: worked(act),
            since: now,
        }
    }

    /// How far it is, how quickly it goes, and how long it will take.
    fn line(&self, act: &Value, now: Instant) -> String {
        let worked = worked(act);
        let elapsed = now.duration_since(self.since).as_secs_f64();
        let rate = if elapsed > 0.0 {
            (worked.saturating_sub(self.from)) as f64 / elapsed
        } else {
            0.0
        };
        let Some(total) = act["total"].as_u64() else {
            return format!("{worked} done, {rate:.0}/s");
        };
        let left = total.saturating_sub(worked);
        let time = if rate > 0.0 {
            format!(", {} left", short((left as f64 / rate).ceil()))
        } else {
            String::new()
        };
        format!("{worked} of {total}, {rate:.0}/s{time}")
    }
}

/// Seconds as people say them.
fn short(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests;
