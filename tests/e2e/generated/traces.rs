//! What is stored: rows of the database, keys of the buckets, messages of the streams. What was refused changes none.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream;
use futures::TryStreamExt as _;
use serde_json::Value;
use signalbox_proto::subjects;

use crate::{
    foreign,
    harness::{Up, eventually, pause},
};

const SOON: Duration = Duration::from_secs(60);
/// Nothing changes by itself within this time where nothing is under way. What is recorded late of what was before is
/// left out: OUTCOMES, and how far it was read.
const QUIET: Duration = Duration::from_secs(2);
const STREAMS: [&str; 6] = [
    subjects::INGEST,
    subjects::EVENTS,
    subjects::PARKED,
    subjects::BATCH,
    subjects::ORDERED,
    subjects::DEAD,
];
const BUCKETS: [&str; 2] = [subjects::CONFIG, subjects::STATE];
/// The table that says how far the streams were recorded.
const POSITIONS: &str = "positions";
/// What is kept in KV STATE of processes, and not of things: it moves by itself.
const OF_PROCESSES: [&str; 2] = ["bounds", "suspect"];

/// All that is stored, each with what tells whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traces(BTreeMap<String, String>);

impl Traces {
    pub(super) async fn of(up: &Up) -> Self {
        let mut all = BTreeMap::new();
        let database = up.data_dir().join("signalbox.db");
        let rows = foreign::run("tables.py", &[database.to_str().expect("a path in UTF-8")], "").await;
        let tables: BTreeMap<String, Vec<Value>> = serde_json::from_str(&rows).expect("tables by name");
        for (table, rows) in tables.into_iter().filter(|(table, _)| table != POSITIONS) {
            for row in rows {
                all.insert(format!("{table}: {row}"), String::new());
            }
        }
        let client = async_nats::connect(up.client().nats_url())
            .await
            .expect("NATS takes a connection");
        let jetstream = jetstream::new(client);
        for bucket in BUCKETS {
            let store = jetstream.get_key_value(bucket).await.expect("a bucket");
            let keys: Vec<String> = store.keys().await.expect("keys").try_collect().await.expect("keys");
            for key in keys {
                if OF_PROCESSES.iter().any(|start| key.starts_with(start)) {
                    continue;
                }
                if let Some(entry) = store.entry(&key).await.expect("an entry") {
                    all.insert(format!("{bucket} {key}"), entry.revision.to_string());
                }
            }
        }
        for name in STREAMS {
            let stream = jetstream.get_stream(name).await.expect("a stream");
            let last = stream.cached_info().state.last_sequence;
            all.insert(format!("last message of {name}"), last.to_string());
        }
        Self(all)
    }

    /// All that is stored, once nothing moves any more.
    pub(super) async fn at_rest(up: &Up) -> Self {
        eventually(SOON, "nothing moves", async || {
            let first = Self::of(up).await;
            pause(QUIET).await;
            let second = Self::of(up).await;
            match first.unlike(&second) {
                same if same.is_empty() => Ok(second),
                moving => Err(format!("{moving:#?}")),
            }
        })
        .await
    }

    /// What is in one and not in the other, or otherwise there.
    pub(super) fn unlike(&self, other: &Self) -> Vec<String> {
        let gone = self.0.iter().filter(|(name, value)| other.0.get(*name) != Some(value));
        let new = other.0.iter().filter(|(name, value)| self.0.get(*name) != Some(value));
        let gone = gone.map(|(name, value)| format!("- {name} {value}"));
        gone.chain(new.map(|(name, value)| format!("+ {name} {value}")))
            .collect()
    }
}
