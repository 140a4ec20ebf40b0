//! The room that refusals have in DEAD, as far as this process knows.
//!
//! Pure. A keeper says at each look how many bytes they may still take. Between two looks each process counts what it
//! files itself, and takes half of that at most, as others file too. Where no keeper has looked for a while, or DEAD
//! has refused one, nobody knows of any room: then inputs are accepted instead.

use signalbox_proto::bounds::Marks;
use tokio::time::Instant;

/// The part of the storage budget that refusals may take before any keeper has looked: one of so many.
const UNKNOWN_PART: u64 = 100;
/// The part of what is left that one process takes between two looks.
const OWN_PART: u64 = 2;

/// What a process has filed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    look: Option<Instant>,
    bytes: u64,
    is_full: bool,
}

/// What is known of the last look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look<'a> {
    /// There was none ever.
    Never,
    /// The last one is too long ago.
    Lapsed,
    /// The last one, and when it became known.
    At(Instant, &'a Marks),
}

impl Room {
    /// Whether a refusal of this many bytes may be filed; it counts then.
    pub(crate) fn take(&mut self, look: Look<'_>, bytes: u64, storage_bytes: u64) -> bool {
        let unknown = storage_bytes / UNKNOWN_PART;
        let (at, left) = match look {
            Look::Never => (None, unknown),
            Look::Lapsed => return false,
            Look::At(_, marks) if marks.refusals_full => return false,
            // One of an earlier version says nothing of bytes.
            Look::At(at, marks) => (Some(at), marks.refusals_left.map_or(unknown, |left| left / OWN_PART)),
        };
        if self.look != at {
            *self = Self {
                look: at,
                ..Self::default()
            };
        }
        let is_room = !self.is_full && self.bytes + bytes <= left;
        if is_room {
            self.bytes += bytes;
        }
        is_room
    }

    /// DEAD has refused one: nothing more is filed until the next look. Says whether that is news.
    pub(crate) fn fill(&mut self) -> bool {
        !std::mem::replace(&mut self.is_full, true)
    }
}

#[cfg(test)]
mod tests;
