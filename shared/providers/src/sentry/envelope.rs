//! The envelope around an event: lines of JSON, parted by line ends.

use std::fmt::Write as _;

use serde::Serialize;
use signalbox_proto::{Timestamp, hash};

use super::event::Event;

/// Room for most events.
const EVENT_BYTES: usize = 2 * 1024;
/// Room for the lines before an event.
const HEAD_BYTES: usize = 256;

/// The first line.
#[derive(Serialize)]
struct Head<'a> {
    event_id: &'a str,
    /// By which the vendor knows how far our clock is off.
    sent_at: Timestamp,
}

/// The line before a payload.
#[derive(Serialize)]
struct Item {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Bytes of the payload. Without it a payload would end at its first line end, and data may hold some.
    length: usize,
    content_type: &'static str,
}

/// What a client tells of events that it dropped: none.
#[derive(Serialize)]
struct ClientReport {
    timestamp: Timestamp,
    discarded_events: [(); 0],
}

/// An envelope that brings one event; more than one it may not hold.
pub(super) fn of_event(event: &Event<'_>, now: Timestamp) -> Vec<u8> {
    let mut payload = Vec::with_capacity(EVENT_BYTES);
    write(event, &mut payload);
    let mut envelope = Vec::with_capacity(payload.len() + HEAD_BYTES);
    let head = Head {
        event_id: event.event_id,
        sent_at: now,
    };
    line(&head, &mut envelope);
    item("event", &payload, &mut envelope);
    envelope
}

/// An envelope that brings nothing and is taken like one that brings something: a report of no dropped events. One without
/// any item would be taken without a look at the key.
pub(super) fn of_nothing(now: Timestamp) -> Vec<u8> {
    let report = ClientReport {
        timestamp: now,
        discarded_events: [],
    };
    let mut payload = Vec::new();
    write(&report, &mut payload);
    let mut envelope = b"{}\n".to_vec();
    item("client_report", &payload, &mut envelope);
    envelope
}

/// The id of an event: 32 hexadecimal digits in the form of a random UUID, always the same for the same parts. The vendor
/// discards the second event with an id.
pub(super) fn event_id(delivery: &str, entity: &str) -> String {
    let mut bytes = hash::digest([b"sentry", delivery.as_bytes(), entity.as_bytes()]);
    // The bits that name version 4 and its variant (RFC 9562, section 5.4).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(id, "{byte:02x}").expect("a string takes all");
    }
    id
}

fn item(kind: &'static str, payload: &[u8], envelope: &mut Vec<u8>) {
    let item = Item {
        kind,
        length: payload.len(),
        content_type: "application/json",
    };
    line(&item, envelope);
    envelope.extend_from_slice(payload);
    envelope.push(b'\n');
}

fn line(value: &impl Serialize, envelope: &mut Vec<u8>) {
    write(value, envelope);
    envelope.push(b'\n');
}

fn write(value: &impl Serialize, bytes: &mut Vec<u8>) {
    serde_json::to_writer(bytes, value).expect("texts and numbers are written to memory");
}
