//! Up to where a stream is recorded.

use signalbox_broker::events::StreamState;
use signalbox_proto::Timestamp;
use signalbox_store::history::Position;

/// Where the recorded part of a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The last sequence that is recorded; 0 where nothing of the stream is.
    pub(crate) seq: u64,
    /// What is not recorded was stored then, or after.
    pub(crate) since: Timestamp,
    /// The last sequence that the stream had then.
    last: u64,
}

impl Edge {
    /// Of what the recorder says, and how the stream stands.
    pub(crate) fn of(position: Option<&Position>, state: &StreamState) -> Self {
        let last = state.last_seq;
        match position {
            Some(position) if position.incarnation == state.created && position.seq <= last => Self {
                seq: position.seq,
                since: position.at,
                last,
            },
            // It lost its end, and gives the sequences to other messages: the recorder will go on by time.
            Some(position) if position.incarnation == state.created => Self {
                seq: 0,
                since: position.at,
                last,
            },
            // It was made anew, or never recorded.
            Some(_) | None => Self {
                seq: 0,
                since: Timestamp::MIN,
                last,
            },
        }
    }

    /// Where nothing is recorded, and what was stored before a time is not asked for.
    pub(crate) const fn of_nothing(since: Timestamp) -> Self {
        Self {
            seq: 0,
            since,
            last: u64::MAX,
        }
    }

    /// The same; where nothing of the stream is recorded, what was stored before a time is not asked for.
    pub(crate) fn or_since(self, since: Timestamp) -> Self {
        Self {
            since: self.since.max(since),
            ..self
        }
    }

    /// The same where all up to a sequence was read meanwhile.
    pub(crate) fn moved_to(self, seq: u64) -> Self {
        Self {
            seq: self.seq.max(seq),
            last: self.last.max(seq),
            ..self
        }
    }

    /// How many messages were not recorded yet, at most.
    pub(crate) const fn behind(&self) -> u64 {
        self.last.saturating_sub(self.seq)
    }

    /// Whether a message is recorded.
    pub(crate) fn covers(&self, seq: u64, at: Timestamp) -> bool {
        seq <= self.seq || at < self.since
    }
}

#[cfg(test)]
mod tests;
