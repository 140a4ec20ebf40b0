//! Acts: bulk work that people ask for, recorded, at a rate, resumable without a second send.
//!
//! An act is an entry of KV STATE. [`queue`] follows the entries, gives each act its turn, and saves how far it
//! came; what an act does is in the module of its kind: [`dead`] for dead letters, [`events`] for events of the past,
//! [`waiting`] for deliveries that wait.
//! A kind reads its stream from the cursor on, part by part, and is asked between any two sends whether it goes on, and
//! whether what it has read is still to be sent ([`held`]).

mod dead;
mod doubts;
mod events;
mod held;
mod ordered;
mod queue;
mod record;
mod room;
mod send;
mod waiting;
mod work;

use signalbox_broker::Error;
use signalbox_proto::act::Kind;

use crate::Keeper;
use work::{Ended, Work};

/// Acts that share a line: they have turns, so that no two of them are at work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Those on dead letters, which may be about the same ones.
    Dead,
    /// Replays of events.
    Events,
    /// Those on deliveries that wait.
    Waiting,
}

/// The line of a kind; `None` for one that only a newer version knows.
fn line_of(kind: &Kind) -> Option<Line> {
    match kind {
        Kind::Replay { .. } | Kind::Discard => Some(Line::Dead),
        Kind::ReplayEvents { .. } => Some(Line::Events),
        Kind::DiscardWaiting | Kind::RetryWaiting => Some(Line::Waiting),
        Kind::Unknown => None,
    }
}

/// Works on an act until it is done or its turn ends.
async fn work_on(work: &mut Work<'_>) -> Result<Ended, Error> {
    match work.act.kind.clone() {
        Kind::Replay { to } => dead::replay(work, to.as_deref()).await,
        Kind::Discard => dead::discard(work).await,
        Kind::ReplayEvents { to } => events::replay(work, &to).await,
        Kind::DiscardWaiting => waiting::discard(work).await,
        Kind::RetryWaiting => waiting::retry(work).await,
        Kind::Unknown => Ok(Ended::Paused),
    }
}

/// Works through the acts that are asked for, and forgets the records of old ones.
pub(crate) async fn run(keeper: Keeper) -> Result<(), Error> {
    tokio::try_join!(
        queue::follow(&keeper, Line::Dead),
        queue::follow(&keeper, Line::Events),
        queue::follow(&keeper, Line::Waiting),
        record::prune(&keeper),
    )
    .map(|_| ())
}
