//! Events as custom events of New Relic: a JSON array of flat objects.

use std::{ops::Range, time::Duration};

use signalbox_proto::{Accepted, Delivery, Timestamp};

use super::attributes::Attributes;
use crate::display::Look;

/// Largest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 1_000_000;
/// The agent of an event that names none.
const NO_AGENT: &str = "system";
/// An event's time must be within a day of New Relic's clock; ten minutes less, as the request takes its time and clocks
/// differ.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600 - 600);
/// How far ahead a producer's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// Room for most events.
const EVENT_BYTES: usize = 1_024;

/// The body of the `index`-th request of a delivery; `None` where those before it hold all.
pub(super) fn body(delivery: &Delivery, event_type: &str, now: Timestamp, index: usize) -> Option<Vec<u8>> {
    let events = &delivery.events[part(delivery, event_type, index)?];
    let mut body = Vec::with_capacity(EVENT_BYTES * events.len().min(512));
    body.push(b'[');
    for accepted in events {
        if body.len() > 1 {
            body.push(b',');
        }
        write(&mut body, delivery, accepted, event_type, now);
    }
    body.push(b']');
    Some(body)
}

/// The events of the `index`-th request. They are the same at any time, although an event is longer once it is late: a
/// later attempt goes on behind the requests that were answered, and must neither leave events out nor send them again.
fn part(delivery: &Delivery, event_type: &str, index: usize) -> Option<Range<usize>> {
    let count = delivery.events.len();
    if count <= 1 {
        return (index == 0 && count == 1).then_some(0..1);
    }
    let mut scratch = Vec::with_capacity(EVENT_BYTES);
    let mut longest = |accepted: &Accepted| {
        let times = [accepted.time(), accepted.time() + 2 * AGE_MAX];
        let lengths = times.map(|now| {
            scratch.clear();
            write(&mut scratch, delivery, accepted, event_type, now);
            scratch.len()
        });
        lengths[0].max(lengths[1])
    };
    let (mut at, mut begin, mut bytes) = (0, 0, 2);
    for (n, accepted) in delivery.events.iter().enumerate() {
        let length = longest(accepted) + 1;
        if n > begin && bytes + length > BODY_BYTES_MAX {
            if at == index {
                return Some(begin..n);
            }
            (at, begin, bytes) = (at + 1, n, 2);
        }
        bytes += length;
    }
    (at == index).then_some(begin..count)
}

fn write(out: &mut Vec<u8>, delivery: &Delivery, accepted: &Accepted, event_type: &str, now: Timestamp) {
    let event = &accepted.event;
    let time = accepted.time();
    // Of an id that nobody could read nothing would be left.
    let is_read = |c: char| !c.is_control() && !c.is_whitespace();
    let agent = event.agent_id.as_deref().filter(|id| id.contains(is_read));
    let execution = event.execution_id.as_deref().filter(|id| !id.is_empty());
    let severity = event.severity.as_str();
    let repeated = [
        ("agent_id", agent.unwrap_or_default()),
        ("execution_id", execution.unwrap_or_default()),
        ("severity", severity),
    ];
    let mut attributes = Attributes::begin(out, repeated);
    attributes.text("eventType", event_type);
    attributes.text("event_type", event.event_type.as_str());
    attributes.text("agent_id", agent.unwrap_or(NO_AGENT));
    if now.since(time) <= AGE_MAX && time.since(now) <= AHEAD_MAX {
        attributes.number("timestamp", time.millis());
    } else {
        attributes.number("timestamp", now.millis());
        attributes.number("event_time", time.millis());
    }
    attributes.text("event_id", &event.id);
    attributes.text("delivery_id", &delivery.id);
    attributes.text("org", event.org.as_str());
    attributes.text("source", &event.source);
    if let Some(subject) = event.subject.as_deref().filter(|subject| !subject.is_empty()) {
        attributes.text("subject", subject);
    }
    if let Some(execution) = execution {
        attributes.text("execution_id", execution);
    }
    attributes.text("severity", severity);
    attributes.text("tone", Look::of(accepted).tone.as_str());
    if event.data_base64 {
        let kind = event.datacontenttype.as_deref().unwrap_or("application/octet-stream");
        attributes.member("data", "content_type", kind);
    } else {
        attributes.data(event.data.as_bytes());
    }
    for (name, value) in &event.metadata {
        attributes.member("metadata", name, value);
    }
    attributes.end();
}
