//! The whole system against the world: real processes, a real nats-server, a receiver that misbehaves as told.
//!
//! Each scenario states an invariant, then breaks something. The suite holds the short forms; the long ones are
//! `cargo test -p signalbox-tests --test e2e -- --ignored --nocapture --test-threads 1 soak`. `SIGNALBOX_SOAK_ROUNDS`
//! says how often each breaks its thing, `SIGNALBOX_E2E_SEED` plays a printed seed again.

mod harness;

mod answers;
mod bad_input;
mod breaker;
mod bulk;
mod changes;
mod configuration;
mod connection_tests;
mod control;
mod crashes;
mod database;
mod day_in_the_life;
mod dead_letters;
mod deliveries;
mod demo;
mod digests;
mod discards;
mod drafts;
mod draining;
mod drift;
mod egress;
mod erasure;
mod event_types;
mod fanout;
mod foreign;
mod forms;
mod full;
mod generated;
mod guide;
mod guide_of_api;
mod health_check;
mod history;
mod holding;
mod idempotency;
mod identity;
mod isolation;
mod keys;
mod limits;
mod made_once;
mod mail;
mod master_key;
mod mutual_tls;
mod nats_target;
mod newcomer;
mod oauth2;
mod objects;
mod openapi;
mod order;
mod prometheus;
mod quota;
mod refusing;
mod requests;
mod scenarios;
mod schedules;
mod secrets;
mod shares;
mod starting;
mod stats;
mod steps;
mod tail;
mod templates;
mod tls;
mod trace;
mod trackers;
mod wait;
