//! One stream that is recorded: where reading begins, and what it let go of.

use signalbox_broker::{
    Broker, Error, Message,
    events::StreamState,
    follow::{Follower, Start},
};
use signalbox_proto::{Timestamp, subjects};
use signalbox_store::history::{Gap, Move, Position};

/// Messages that are under way to the recorder at most, of a few kilobytes each as a rule, with up to 64 records. Dead
/// letters may have several hundred: of them as few as to any follower.
const OUTCOMES_AHEAD: usize = 128;
/// All subjects of a stream.
const ANY: &str = ">";

/// A stream from the first message on that is not recorded.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    /// As the database has it.
    stored: Option<Position>,
    /// With what is taken but not written yet.
    taken: Position,
    follower: Follower,
}

/// Where a stream is to be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It was never recorded: from its first message on.
    First,
    /// Behind what is recorded.
    GoOn,
    /// It was made anew: from the beginning, and what of it is gone is a gap.
    Anew,
    /// It lost its end, as a server does that loses power, and has given the sequences to other messages or will: from
    /// behind the time of what is recorded.
    Shortened,
}

impl Opening {
    /// What to do, of what is recorded, how the stream stands, and when that message of it was stored which has the
    /// sequence of the last one recorded.
    pub(crate) fn of(stored: Option<&Position>, state: &StreamState, there: Option<Timestamp>) -> Self {
        match stored {
            None => Self::First,
            Some(stored) if stored.incarnation != state.created => Self::Anew,
            Some(stored) if stored.seq > state.last_seq => Self::Shortened,
            Some(stored) if stored.seq > 0 && there.is_some_and(|at| at != stored.at) => Self::Shortened,
            Some(_) => Self::GoOn,
        }
    }
}

impl Stream {
    /// Follows a stream from behind what is recorded of it.
    pub(crate) async fn open(broker: &Broker, name: &'static str, stored: Option<Position>) -> Result<Self, Error> {
        let state = broker.stream_state(name).await?;
        let there = match stored {
            Some(stored) if stored.seq >= state.first_seq && stored.seq <= state.last_seq => {
                let found = broker.read_from(name, ANY, stored.seq, 1).await?;
                found
                    .into_iter()
                    .find(|found| found.seq == stored.seq)
                    .map(|found| found.at)
            }
            _ => None,
        };
        let begin = |seq| Position {
            incarnation: state.created,
            seq,
            at: state.created,
        };
        let opening = Opening::of(stored.as_ref(), &state, there);
        let taken = match (opening, stored) {
            (Opening::GoOn, Some(stored)) => stored,
            (Opening::Shortened, Some(stored)) => {
                let next = broker.first_at(name, ANY, just_behind(stored.at)).await?;
                let seq = next.map_or(state.last_seq, |next| next.saturating_sub(1));
                Position { seq, ..stored }
            }
            (Opening::Anew, _) => begin(0),
            (Opening::First | Opening::GoOn | Opening::Shortened, _) => begin(state.first_seq.saturating_sub(1)),
        };
        match opening {
            Opening::First => tracing::info!(stream = name, seq = taken.seq, "recording begins"),
            Opening::GoOn => tracing::debug!(stream = name, seq = taken.seq, "recording goes on"),
            Opening::Anew | Opening::Shortened => tracing::warn!(
                stream = name,
                seq = taken.seq,
                ?opening,
                "the stream is not the one that was recorded: recording goes on with what it holds"
            ),
        }
        let mut follower = broker
            .follow(name, vec![ANY.to_owned()], Start::After(taken.seq))
            .await?;
        if name == subjects::OUTCOMES {
            follower = follower.ahead(OUTCOMES_AHEAD);
        }
        Ok(Self {
            name,
            stored,
            taken,
            follower,
        })
    }

    /// The next message. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Message {
        self.follower.next().await
    }

    /// Notes that a message was taken. What is missing before it is a gap.
    pub(crate) fn take(&mut self, seq: u64, at: Timestamp) -> Option<Gap> {
        let gap = gap(self.name, &self.taken, seq, at);
        self.taken.seq = seq;
        self.taken.at = at;
        gap
    }

    /// When this stream was made.
    pub(crate) const fn incarnation(&self) -> Timestamp {
        self.taken.incarnation
    }

    /// The step that what is taken stands for.
    pub(crate) fn step(&self) -> Move {
        Move {
            stream: self.name.to_owned(),
            from: self.stored,
            to: self.taken,
        }
    }

    /// Notes that the step was taken. Returns how far the stream is recorded.
    pub(crate) fn written(&mut self) -> Position {
        self.stored = Some(self.taken);
        self.taken
    }
}

fn just_behind(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(1))
}

/// What is missing between a position and the next message.
fn gap(stream: &str, taken: &Position, seq: u64, at: Timestamp) -> Option<Gap> {
    let first_seq = taken.seq.saturating_add(1);
    (seq > first_seq).then(|| Gap {
        stream: stream.to_owned(),
        incarnation: taken.incarnation,
        first_seq,
        last_seq: seq - 1,
        since: taken.at,
        until: at,
    })
}

#[cfg(test)]
mod tests;
