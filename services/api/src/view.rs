//! What answers show, as the types that they are: one module a noun.

mod delivery;
mod event;
mod integration;
mod letter;
mod list;

pub(crate) use delivery::{Delivery, Entry, InFull, Try, entry};
pub(crate) use event::{Event, accepted, accepted_value};
pub(crate) use integration::{
    InFile, Integration, STATUSES, batch, integration, kind, kinds, rate_limit, span_of, spans, spec, status,
};
pub(crate) use letter::{DeadLetter, dead_letter, note};
pub(crate) use list::{Gap, HistoryList, List};
