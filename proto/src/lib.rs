//! The contract between the services: what travels, under which names, in which bytes.
//!
//! Services never import each other. They meet in the types of this crate and on the subjects that
//! [`subjects`] builds. Inside, messages are MessagePack with named fields ([`wire`]); at the edges,
//! JSON. An event's data stays the raw JSON it arrived as until a provider formats it.
//!
//! This crate decides nothing that needs I/O and imports no other crate of the workspace.

pub mod act;
pub mod bounds;
pub mod dead;
pub mod delivery;
pub mod digest;
pub mod event;
pub mod fingerprint;
pub mod hash;
pub mod health;
pub mod idempotency;
pub mod integration;
pub mod key;
pub mod ledger;
pub mod names;
pub mod org;
pub mod outcome;
pub mod pattern;
pub mod refs;
pub mod refused;
pub mod relay;
pub mod severity;
pub mod state;
pub mod subjects;
pub mod time;
pub mod told;
pub mod totals;
pub mod types;
pub mod wire;

pub use dead::{DeadLetter, DeadReason, Stage};
pub use delivery::Delivery;
pub use event::{Accepted, Event, RawJson};
pub use integration::Integration;
pub use key::{Key, Scope};
pub use names::{EventType, Name};
pub use org::Org;
pub use outcome::{Attempt, Outcome, Record};
pub use severity::Severity;
pub use state::{Phase, State};
pub use subjects::Lane;
pub use time::Timestamp;
