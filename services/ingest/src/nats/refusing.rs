//! Refusals on their way to DEAD, with places of their own: a flood of one org takes none from what goes on.

use futures::{StreamExt, stream::FuturesUnordered};
use signalbox_broker::{Message, message::Ticket};

use super::{Done, Held};

/// Refusals under way at a time, and what their inputs hold, in bytes: beyond, nothing is pulled.
const COUNT_MAX: usize = 2_048;
const BYTES_MAX: usize = 16 * 1_024 * 1_024;

#[derive(Default)]
pub(super) struct Refusing {
    held: FuturesUnordered<Held>,
    bytes: usize,
}

impl Refusing {
    /// How many more there may be; none where they hold too much.
    pub(super) fn room(&self) -> usize {
        if self.bytes >= BYTES_MAX {
            return 0;
        }
        COUNT_MAX.saturating_sub(self.held.len())
    }

    pub(super) fn push(&mut self, bytes: usize, held: Held) {
        self.bytes += bytes;
        self.held.push(held);
    }

    /// The next that has come to its end; never, where there is none. Safe to cancel.
    pub(super) async fn next(&mut self) -> (Message, Done) {
        let Some((message, done)) = self.held.next().await else {
            return std::future::pending().await;
        };
        self.bytes = self.bytes.saturating_sub(message.body.len());
        (message, done)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    /// Gives up those that are left.
    pub(super) fn take(&mut self) -> Vec<Ticket> {
        self.bytes = 0;
        std::mem::take(&mut self.held)
            .into_iter()
            .map(|held| held.ticket)
            .collect()
    }
}
