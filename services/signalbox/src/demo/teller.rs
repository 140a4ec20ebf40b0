//! Tells what happens, a line at a time: for people, or as JSON for programs.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Writes the story to standard output. Clones tell the same story.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    json: bool,
    colours: bool,
    /// Nobody reads any more.
    unheard: CancellationToken,
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Plain,
    Head,
    Good,
    Bad,
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            shared: Arc::new(Shared {
                begun: Instant::now(),
                json,
                colours: !json && !no_colour && std::io::stdout().is_terminal(),
                unheard: CancellationToken::new(),
            }),
        }
    }

    /// One step: `people` for people; for programs `fields` with the step's name and its time since the start.
    pub(super) fn step(&self, mood: Mood, step: &str, people: &str, fields: Value) {
        let line = if self.shared.json {
            let mut line = json!({ "step": step, "at_ms": self.millis() });
            if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
                line.extend(fields);
            }
            line.to_string()
        } else {
            paint(people, mood, self.shared.colours)
        };
        if writeln!(std::io::stdout().lock(), "{line}").is_err() {
            self.shared.unheard.cancel();
        }
    }

    /// What is said to people alone.
    pub(super) fn say(&self, mood: Mood, people: &str) {
        if !self.shared.json {
            self.step(mood, "", people, Value::Null);
        }
    }

    /// Waits until whoever read the story has gone, as `head` does.
    pub(super) async fn unheard(&self) {
        self.shared.unheard.cancelled().await;
    }

    /// Time since the start, as lines begin with it.
    pub(super) fn clock(&self) -> String {
        format!("{:6.2} s", self.shared.begun.elapsed().as_secs_f64())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A time as people say it: `4.2 ms`, `1.04 s`.
pub(super) fn spoken(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

fn paint(text: &str, mood: Mood, colours: bool) -> String {
    let code = match mood {
        _ if !colours => return text.to_owned(),
        Mood::Plain => return text.to_owned(),
        Mood::Head => "1",
        Mood::Good => "32",
        Mood::Bad => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
