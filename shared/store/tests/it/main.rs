//! One suite for both databases: SQLite in a file, and a real PostgreSQL server.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod copies;
mod dialect;
mod event_types;
mod harness;
mod history;
mod integrations;
mod keys;
mod model;
mod opening;
mod orgs;
mod outbox;
mod postgres;
mod samples;
mod take_over;
mod transactions;
