//! How often an event came in that Signalbox itself had sent out: what ends a loop.
//!
//! A target may be the input of its own org, or a system that sends on to it. So what the provider `nats` sends carries
//! the count in the header `ce-signalboxhops`, which ingest takes into the event's metadata as any other extension
//! attribute, and which grows by one each time. Who publishes events may write it too: that can only end his own events
//! sooner, as the provider writes its own over it, and as what is no count is the limit.

use crate::{Delivery, Event};

/// The extension attribute of CloudEvents that counts, as it stands in an event's metadata.
pub const HOPS: &str = "signalboxhops";
/// The header that carries it.
pub const HOPS_HEADER: &str = "ce-signalboxhops";
/// Most hops of an event that is sent to the input of its own org once more.
pub const HOPS_MAX: u8 = 3;

/// How many hops an event has behind it, at most [`HOPS_MAX`]. What cannot be read as a count is the limit.
pub fn hops(event: &Event) -> u8 {
    let Some(text) = event.metadata.get(HOPS) else {
        return 0;
    };
    let is_count = text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = if is_count { text.parse().ok() } else { None };
    count.unwrap_or(HOPS_MAX).min(HOPS_MAX)
}

/// Whether a count says that an event came in once more than it may: over something that sends on, past the limit.
pub fn is_over(count: &str) -> bool {
    count.parse::<u8>().is_ok_and(|count| count > HOPS_MAX)
}

/// How many hops the events of a delivery have behind them: the most of any of them.
pub fn hops_of(delivery: &Delivery) -> u8 {
    let each = delivery.events.iter().map(|accepted| hops(&accepted.event));
    each.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
