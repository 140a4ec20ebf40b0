//! `signalbox trace`: the story of an event as a tree. Times are UTC.

use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::Value;

use super::{
    Client, Failure, Output,
    org::Org,
    output::{text, time},
    paint::{Paint, Tone, plain},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are UTC. An event that an integration was given is found for as long as history is kept. One that nobody wanted is
looked for among the events of the last 24 hours, the newest million of them, or among all since --since.

Examples:
  signalbox trace canary-1.4.2
  signalbox trace 42 --org acme --source /billing --since 7d")]
pub(crate) struct Args {
    /// The event's id.
    event_id: String,
    #[command(flatten)]
    org: Org,
    /// Its source, where several have an event with this id.
    #[arg(long)]
    source: Option<String>,
    /// Look among all events that were accepted since then and are still stored: a time, or a duration back from now
    /// such as 7d.
    #[arg(long, value_name = "T")]
    since: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    let query = [
        args.org.query(),
        ("source", args.source.as_deref()),
        ("since", args.since.as_deref()),
    ];
    // Hidden where standard error is no terminal.
    let progress = ProgressBar::new_spinner().with_message("reading the streams");
    progress.enable_steady_tick(Duration::from_millis(120));
    let answer = client.get(&["events", &args.event_id], &query).await;
    progress.finish_and_clear();
    out.answer(&answer?, |answer| tree(answer, Paint::for_stdout()))
}

/// A line and what hangs below it.
struct Node {
    line: String,
    children: Vec<Self>,
}

impl Node {
    fn leaf(line: String) -> Self {
        Self {
            line,
            children: Vec::new(),
        }
    }

    fn draw(&self, lines: &mut Vec<String>, stem: &str) {
        for (index, child) in self.children.iter().enumerate() {
            let is_last = index + 1 == self.children.len();
            let (branch, below) = if is_last { ("└ ", "  ") } else { ("├ ", "│ ") };
            lines.push(format!("{stem}{branch}{}", child.line));
            child.draw(lines, &format!("{stem}{below}"));
        }
    }
}

fn tree(answer: &Value, paint: Paint) -> String {
    let event = &answer["event"];
    let word = |value: &Value| plain(&text(value));
    let mut children = vec![Node::leaf(format!(
        "org {}, source {}{}",
        word(&event["org"]),
        word(&event["source"]),
        {
            match event["severity"].as_str() {
                Some(severity) => format!(", severity {severity}"),
                None => String::new(),
            }
        }
    ))];
    let sequence = word(&answer["sequence"]);
    children.push(Node::leaf(match answer["accepted_at"].as_str() {
        Some(at) => format!("accepted {at} as {sequence} of EVENTS"),
        None => format!("accepted as {sequence} of EVENTS"),
    }));
    if answer["data_expired"] == true {
        children.push(Node::leaf("its data has left EVENTS".to_owned()));
    }
    let status = word(&answer["status"]);
    let deliveries = list(&answer["deliveries"]);
    children.push(Node {
        line: paint.word(Tone::Bold, &status.replace('_', " ")),
        // What the deliveries say need not be said twice.
        children: if deliveries.is_empty() {
            reasons(answer, paint)
        } else {
            reasons_of(answer, &["why"], paint)
        },
    });
    children.extend(deliveries.iter().map(|one| delivery(one, paint)));
    if let Some(more @ 1..) = answer["deliveries_more"].as_u64() {
        children.push(Node::leaf(format!(
            "and {more} more deliveries, most of them delivered"
        )));
    }
    let unread = word(&answer["unread"]);
    if !unread.is_empty() {
        children.push(Node::leaf(format!(
            "not known: what waits in {unread}, which did not answer"
        )));
    }
    let not_matched = list(&answer["not_matched"]);
    let more = answer["not_matched_more"].as_u64().unwrap_or_default();
    if !not_matched.is_empty() {
        let mut others: Vec<Node> = not_matched.iter().map(|one| other(one, paint)).collect();
        if more > 0 {
            others.push(Node::leaf(format!("and {more} more")));
        }
        let count = not_matched.len() as u64 + more;
        children.push(Node {
            line: paint.word(Tone::Bold, &format!("not matched: {count}")),
            children: others,
        });
    }
    let root = Node {
        line: format!(
            "{} {}",
            paint.word(Tone::Bold, &word(&event["type"])),
            word(&event["id"])
        ),
        children,
    };
    let mut lines = vec![root.line.clone()];
    root.draw(&mut lines, "");
    lines.join("\n")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(of: &Value) -> String {
    let name = match of["integration"].as_str() {
        Some(name) => name.to_owned(),
        None => text(&of["integration_id"]),
    };
    format!("{} ({})", plain(&name), plain(&text(&of["provider"])))
}

fn reasons(of: &Value, paint: Paint) -> Vec<Node> {
    reasons_of(of, &["why", "next"], paint)
}

fn reasons_of(of: &Value, names: &[&str], paint: Paint) -> Vec<Node> {
    let line = |name: &&str| {
        let text = of[*name].as_str()?;
        Some(Node::leaf(format!(
            "{} {}",
            paint.word(Tone::Faint, &format!("{name}:")),
            plain(text)
        )))
    };
    names.iter().filter_map(line).collect()
}

fn delivery(delivery: &Value, paint: Paint) -> Node {
    let waiting = match delivery["waiting_for"].as_str() {
        Some(what) => format!(" (waiting for {what})"),
        None => String::new(),
    };
    let digest = match list(&delivery["event_ids"]).len() {
        0 => String::new(),
        events => format!(" in a digest of {events}"),
    };
    let line = format!(
        "{} {}{waiting}{digest}  {}",
        name(delivery),
        paint.status(&plain(&text(&delivery["status"]))),
        paint.word(Tone::Faint, &plain(&text(&delivery["id"])))
    );
    let replays = list(&delivery["replays"]);
    let mut replayed = 0;
    let mut children = Vec::new();
    for entry in list(&delivery["history"]) {
        // Each replay stands before the attempts that it caused.
        let generation = entry["generation"].as_u64().unwrap_or_default();
        let due = |replay: &&Value| replay["generation"].as_u64().is_some_and(|replay| replay <= generation);
        for replay in replays.iter().skip(replayed).take_while(due) {
            children.push(self::replay(replay));
            replayed += 1;
        }
        children.push(Node::leaf(attempt(entry, paint)));
    }
    children.extend(replays.iter().skip(replayed).map(self::replay));
    children.extend(reasons(delivery, paint));
    Node { line, children }
}

/// One delivery alone.
pub(super) fn one(answer: &Value, paint: Paint) -> String {
    let root = delivery(answer, paint);
    let mut lines = vec![root.line.clone()];
    root.draw(&mut lines, "");
    lines.join("\n")
}

fn replay(replay: &Value) -> Node {
    let mut line = match replay["at"].as_str() {
        Some(_) => format!("{} replayed", time(&replay["at"])),
        None => "replayed".to_owned(),
    };
    if let Some(act) = replay["act"].as_str() {
        line.push_str(&format!(" by act {act}"));
    }
    if let Some(letter) = replay["dead_letter_id"].as_str() {
        line.push_str(&format!(" from dead letter {letter}"));
    }
    Node::leaf(line)
}

fn other(one: &Value, paint: Paint) -> Node {
    Node {
        line: name(one),
        children: reasons(one, paint),
    }
}

fn attempt(attempt: &Value, paint: Paint) -> String {
    let word = match attempt["outcome"].as_str() {
        Some(outcome) => outcome.to_owned(),
        // No request was sent.
        None => text(&attempt["next"]),
    };
    let mut line = format!("{} {}", time(&attempt["at"]), paint.status(&word));
    if let Some(code) = attempt["response_code"].as_u64() {
        line.push_str(&format!(" {code}"));
    }
    if attempt["outcome"].is_string()
        && let Some(took) = attempt["duration_ms"].as_u64()
    {
        line.push_str(&format!(", took {took} ms"));
    }
    if let Some(error) = attempt["error_message"].as_str() {
        line.push_str(&format!(": {}", plain(error)));
    }
    line
}

#[cfg(test)]
mod tests;
