//! What the scenarios are played with: the programs under test as processes, a receiver that does as it is told, and
//! clients that publish, ask and act. One file a noun.

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod mail_server;
pub(crate) mod messages;
// The same server as that of the tests of the store.
#[path = "../../../shared/store/tests/it/postgres/process.rs"]
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod pushgateway;
pub(crate) mod raw_nats;
pub(crate) mod role;
pub(crate) mod seed;
pub(crate) mod server;
pub(crate) mod sites;
pub(crate) mod store;
pub(crate) mod target;
pub(crate) mod transcript;
pub(crate) mod up;
pub(crate) mod vendors;
pub(crate) mod wait;

pub(crate) use client::{Client, Publish};
pub(crate) use load::Load;
pub(crate) use mail_server::{Mail, MailServer};
pub(crate) use pushgateway::Pushgateway;
pub(crate) use role::{Cluster, ROLES};
pub(crate) use seed::Seed;
pub(crate) use target::{Answer, Target};
pub(crate) use up::{Up, on_postgres};
pub(crate) use wait::{eventually, pause};
