//! History: what became of every delivery, written by the recorder alone.
//!
//! A [`Batch`] puts records, dead letters and marks together: pure, and the same whichever comes first and however
//! often (`recorded`, `standing`, `attempts`). `Store::record` writes one in a transaction that also moves the
//! recorder's [`Position`]s. Lists are pieces of an index (`deliveries`, `letters`, `ranges`); what is old goes
//! in small transactions (`prune`).
//!
//! **Invariant:** a row says the same in whatever order, how often and in how many batches its records came.

mod apart;
mod attempts;
mod batch;
mod bulk;
mod deliveries;
mod letters;
mod lookups;
mod plans;
mod position;
mod prune;
mod ranges;
mod recorded;
mod rows;
mod standing;
pub mod stats;
mod write;

pub use apart::{Apart, Proof};
pub use attempts::{ATTEMPTS_MAX, BODIES_MAX, Entry, History};
pub use batch::{Batch, Gap, Letter, Marked};
pub use deliveries::{Cursor, DeliveryFilter, DeliveryPage};
pub use letters::{GROUPED_MAX, LetterFilter, LetterGroup, LetterGroups, LetterPage};
pub use plans::Plan;
pub use position::{Move, Position};
pub use prune::{Old, PRUNED_MAX};
pub use recorded::{About, Member, Recorded};
pub use standing::Status;
pub use stats::Figures;
pub use write::Written;

/// Rows of an index that are looked at for one page at most.
pub const LOOKED_AT_MAX: u64 = 2_000;
