//! Events as counts and a gauge (`POST /api/v2/series`).
//!
//! Of points with the same name, tags and second Datadog keeps the last. So what a digest holds is added up first, by
//! type and agent, and all requests of a repeated attempt write the second of the first one: they replace what that may
//! have left.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use signalbox_proto::{Accepted, Delivery, Timestamp, types::Tone};

use super::{duration, tags};
use crate::display::Look;

/// Longest name of a metric, in bytes: all of them are ASCII.
pub(super) const NAME_BYTES_MAX: usize = 200;
/// Largest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 512_000;
/// An older point is dropped, an hour after it; ten minutes less, as the request takes its time and clocks differ.
const AGE_MAX: Duration = Duration::from_secs(3_000);
/// A point further ahead is dropped, ten minutes ahead of Datadog's clock; two less. Another worker's clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(480);
/// What the kinds of metrics are called.
const COUNT: u8 = 1;
const GAUGE: u8 = 3;
/// Seconds that a count stands for.
const INTERVAL_SECS: u8 = 1;

/// What the metrics of an integration are called.
#[derive(Debug)]
pub(super) enum Names {
    /// One count of all events.
    One(String),
    /// Counts by how it went, and the time that it took.
    Four(Box<Four>),
}

#[derive(Debug)]
pub(super) struct Four {
    processed: String,
    success: String,
    failure: String,
    duration: String,
}

impl Names {
    /// The four below a prefix.
    pub(super) fn below(prefix: &str) -> Self {
        let name = |last: &str| format!("{prefix}.{last}");
        Self::Four(Box::new(Four {
            processed: name("processed"),
            success: name("success"),
            failure: name("failure"),
            duration: name("duration"),
        }))
    }
}

/// One series of the request.
#[derive(Serialize)]
struct Series<'a> {
    metric: &'a str,
    #[serde(rename = "type")]
    kind: u8,
    points: [Point; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
struct Point {
    timestamp: i64,
    value: Value,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Count(u64),
    Gauge(f64),
}

/// What happened to one agent that is of one type.
#[derive(Default)]
struct Tally {
    processed: u64,
    success: u64,
    failure: u64,
    durations: u64,
    duration_secs: f64,
}

impl Tally {
    fn add(&mut self, accepted: &Accepted, names: &Names) {
        self.processed += 1;
        if matches!(names, Names::One(_)) {
            return;
        }
        match Look::of(accepted).tone {
            Tone::Good => self.success += 1,
            Tone::Bad => self.failure += 1,
            Tone::Neutral => {}
        }
        if let Some(secs) = duration::secs(accepted.event.event_type.as_str(), accepted.event.data.as_bytes()) {
            self.durations += 1;
            self.duration_secs += secs;
        }
    }

    /// Its series, those of nothing left out.
    fn each<'n>(&self, names: &'n Names, mut write: impl FnMut(&'n str, Value)) {
        let names = match names {
            Names::One(name) => return write(name, Value::Count(self.processed)),
            Names::Four(names) => names,
        };
        write(&names.processed, Value::Count(self.processed));
        for (name, count) in [(&names.success, self.success), (&names.failure, self.failure)] {
            if count > 0 {
                write(name, Value::Count(count));
            }
        }
        if self.durations > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a digest has at most thousands of events")]
            let mean = self.duration_secs / self.durations as f64;
            write(&names.duration, Value::Gauge(mean));
        }
    }
}

/// The body of the `index`-th request of a delivery; `None` where those before it hold all.
pub(super) fn body(
    delivery: &Delivery,
    names: &Names,
    own: &[String],
    now: Timestamp,
    index: usize,
) -> Option<Vec<u8>> {
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for accepted in &delivery.events {
        let event = &accepted.event;
        let tags = (
            tags::event_type(event.event_type.as_str()),
            tags::agent(event.agent_id.as_deref()),
        );
        tallies.entry(tags).or_default().add(accepted, names);
    }
    let mut bodies = Bodies {
        wanted: index,
        at: 0,
        body: Vec::with_capacity(if delivery.is_digest() { 8 * 1024 } else { 1_024 }),
    };
    bodies.body.extend_from_slice(BEGIN);
    let timestamp = second(delivery, now);
    for ((event_type, agent), tally) in &tallies {
        tally.each(names, |metric, value| {
            let is_count = matches!(value, Value::Count(_));
            let mut tags = Vec::with_capacity(2 + own.len());
            tags.extend([event_type.as_str(), agent.as_str()]);
            tags.extend(
                own.iter()
                    .filter(|own| ![event_type, agent].contains(own))
                    .map(String::as_str),
            );
            bodies.push(&Series {
                metric,
                kind: if is_count { COUNT } else { GAUGE },
                points: [Point { timestamp, value }],
                interval: is_count.then_some(INTERVAL_SECS),
                unit: (!is_count).then_some("second"),
                tags,
            });
        });
    }
    bodies.finish()
}

/// The second of the first attempt, for each request of each attempt; `now` is the time of this one. At the second of an
/// event others of its kind may be, and the last would replace all before it; attempts are apart.
///
/// Where a point of the first attempt would be dropped by now, the first attempt after it takes its place, and so on: as
/// each attempt goes through those before it, it finds the second that the last one wrote.
fn second(delivery: &Delivery, now: Timestamp) -> i64 {
    let before = delivery.notes.iter().map(|note| note.at);
    let taken = before.reduce(|point, at| if is_taken(point, at) { point } else { at });
    taken.filter(|point| is_taken(*point, now)).unwrap_or(now).secs()
}

/// Whether Datadog takes a point of this time.
fn is_taken(point: Timestamp, now: Timestamp) -> bool {
    if point <= now {
        now.since(point) <= AGE_MAX
    } else {
        point.since(now) <= AHEAD_MAX
    }
}

const BEGIN: &[u8] = br#"{"series":["#;
const END: &[u8] = b"]}";

/// Series, parted into bodies that are not too large; one of them is kept.
struct Bodies {
    wanted: usize,
    at: usize,
    body: Vec<u8>,
}

impl Bodies {
    fn push(&mut self, series: &Series<'_>) {
        if self.at > self.wanted {
            return;
        }
        let begin = self.body.len();
        let is_first = begin == BEGIN.len();
        if !is_first {
            self.body.push(b',');
        }
        serde_json::to_writer(&mut self.body, series).expect("texts and numbers are written to memory");
        if self.body.len() + END.len() <= BODY_BYTES_MAX || is_first {
            return;
        }
        if self.at == self.wanted {
            self.body.truncate(begin);
        } else {
            // With its comma: what is left begins the next body.
            self.body.drain(BEGIN.len()..=begin);
        }
        self.at += 1;
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.at < self.wanted || self.body.len() == BEGIN.len() {
            return None;
        }
        self.body.extend_from_slice(END);
        Some(self.body)
    }
}

#[cfg(test)]
mod tests;
