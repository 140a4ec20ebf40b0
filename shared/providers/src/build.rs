//! What a build is told of a delivery: texts that a pipeline reads as inputs, variables or parameters.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use signalbox_proto::{Accepted, Delivery, digest};

use crate::{
    About,
    display::{Gist, text},
};

/// Longest id of an agent, in characters.
const AGENT_CHARS_MAX: usize = 200;
/// Characters of a headline and of a message where the data itself has no room.
const GIST_CHARS_MAX: usize = 500;
/// Bytes that are kept for what stands around the events of a digest.
const FRAME_BYTES: usize = 128;

/// What a build is told.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// The type of the event, or of a digest.
    pub(crate) event_type: &'a str,
    /// The agent; empty where there is none.
    pub(crate) agent_id: Cow<'a, str>,
    /// The data as JSON; of a digest the list of its events.
    pub(crate) payload: String,
}

/// Instead of data that has no room.
#[derive(Serialize)]
struct Instead<'a> {
    not_shown: String,
    id: &'a str,
    title: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A digest.
#[derive(Serialize)]
struct Batch {
    batch: bool,
    event_count: usize,
    events: Vec<Box<RawValue>>,
    /// How many there are beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_more: Option<usize>,
}

/// One event of a digest.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> Told<'a> {
    /// What a build is told of a delivery, in at most so many bytes together.
    pub(crate) fn of(delivery: &'a Delivery, about: &About, bytes_max: usize) -> Self {
        let event = &delivery.event().event;
        let is_digest = delivery.is_digest();
        let (event_type, agent) = if is_digest {
            (digest::EVENT_TYPE, None)
        } else {
            (event.event_type.as_str(), event.agent_id.as_deref())
        };
        let agent_id = text::line(agent.unwrap_or_default(), AGENT_CHARS_MAX);
        let room = bytes_max.saturating_sub(event_type.len() + agent_id.len());
        let payload = if is_digest {
            batch(delivery, room)
        } else {
            single(delivery, about, room)
        };
        Self {
            event_type,
            agent_id,
            payload,
        }
    }
}

fn single(delivery: &Delivery, about: &About, room: usize) -> String {
    let accepted = delivery.event();
    let data = accepted.event.data.as_bytes();
    if data.len() <= room
        && let Ok(data) = std::str::from_utf8(data)
    {
        return data.to_owned();
    }
    let gist = Gist::of(accepted, about);
    let short = |text: Option<Cow<'_, str>>| text.map(|text| text::line(&text, GIST_CHARS_MAX).into_owned());
    let instead = Instead {
        not_shown: format!("the data has {} bytes, which is more than a build is told", data.len()),
        id: &accepted.event.id,
        title: gist.title,
        headline: short(gist.headline),
        message: short(gist.message),
    };
    json(&instead)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are written to memory")
}

/// The events of a digest: with their data where all of it has room, else without, else as many as have room.
fn batch(delivery: &Delivery, room: usize) -> String {
    let event_count = delivery.events.len();
    let whole = |events, events_more| Batch {
        batch: true,
        event_count,
        events,
        events_more,
    };
    let data_bytes = delivery
        .events
        .iter()
        .map(|one| one.event.data.as_bytes().len())
        .sum::<usize>();
    if data_bytes <= room {
        let events = delivery.events.iter().map(|accepted| listed(accepted, true)).collect();
        let json = json(&whole(events, None));
        if json.len() <= room {
            return json;
        }
    }
    let mut left = room.saturating_sub(FRAME_BYTES);
    let mut events = Vec::new();
    for accepted in &delivery.events {
        let event = listed(accepted, false);
        let Some(rest) = left.checked_sub(event.get().len() + 1) else {
            break;
        };
        left = rest;
        events.push(event);
    }
    let more = event_count - events.len();
    json(&whole(events, (more > 0).then_some(more)))
}

fn listed(accepted: &Accepted, with_data: bool) -> Box<RawValue> {
    let event = &accepted.event;
    let data = || serde_json::from_slice(event.data.as_bytes()).ok();
    let listed = Listed {
        id: &event.id,
        event_type: event.event_type.as_str(),
        timestamp: accepted.time().to_string(),
        data: with_data.then(data).flatten(),
    };
    serde_json::value::to_raw_value(&listed).expect("texts and JSON are written to memory")
}

#[cfg(test)]
mod tests;
