//! The whole role in process, against a real server: its routes and its loop share what they know.
#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;
mod keys;
