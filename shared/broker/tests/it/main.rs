//! The broker against real servers: each test states what must hold, then breaks something.
#![expect(clippy::unwrap_used, reason = "tests")]

mod acks;
mod acts;
mod batch;
mod bounds;
mod browse;
mod callers;
mod connect;
mod digests;
mod directory;
mod erasing;
mod follow;
mod gate;
mod harness;
mod hasten;
mod leases;
mod ledger;
mod limiter;
mod ordered;
mod outcomes;
mod publisher;
mod puller;
mod raw;
mod revisions;
mod schedules;
mod suspects;
mod suspending;
mod topology;
mod types;
mod waiting;
