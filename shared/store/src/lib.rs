//! SQL: the truth about configuration, and the archive of what happened.
//!
//! Every statement of Signalbox is in this crate. The same code runs on SQLite, inside the process, and on
//! PostgreSQL: one text a statement, with parameters `$1`, and columns of the four types that both have (`BIGINT`, `TEXT`,
//! bytes, `DOUBLE PRECISION`). Times are nanoseconds since 1970 in UTC.
//!
//! Configuration is changed through a [`Change`], which is one transaction: the row, what KV is still to be told, and the
//! entry of the audit. History is written by the recorder alone, a batch of records at a time.

pub mod audit;
mod change;
pub mod copies;
pub mod erase;
mod error;
pub mod event_types;
pub mod history;
pub mod integrations;
pub mod keys;
mod meta;
mod migrate;
mod open;
pub mod orgs;
pub mod outbox;
mod sql;
pub mod take_over;

pub use change::Change;
pub use error::Error;
pub use open::{CONFIG_TOML, CONNECTIONS, Config, Kind, Store};
