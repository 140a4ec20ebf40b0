//! A producer that publishes at a steady rate and tries each event again, under the same id, until it is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::MissedTickBehavior,
};

use super::client::{Client, Publish};

/// How long one event may take to be acknowledged, over all tries.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before an event is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Pause between two bursts of publishes.
const TICK: Duration = Duration::from_millis(10);

/// What was published, and when each was acknowledged.
pub(crate) struct Accepted {
    /// Ids in the order of publishing; `<prefix>-<number>`.
    pub(crate) ids: Vec<String>,
    /// When each was acknowledged.
    pub(crate) at: Vec<Instant>,
    /// Publishes that had to be tried again.
    pub(crate) tried_again: usize,
}

/// A running producer.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    publishing: JoinHandle<Accepted>,
}

impl Load {
    /// Begins to publish events of one type of org `default` at a rate, at most `count` of them. Their data is
    /// `{"n": <number>}`; with an id prefix each has an id by `ce-id`, without none.
    pub(crate) fn start(
        client: &Client,
        event_type: &str,
        prefix: Option<&str>,
        per_second: u64,
        count: usize,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, client, event_type, prefix) = (
            stop.clone(),
            client.clone(),
            event_type.to_owned(),
            prefix.map(str::to_owned),
        );
        let publishing = tokio::spawn(async move {
            let began = Instant::now();
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut publishes = JoinSet::new();
            let mut sent = 0_usize;
            while sent < count && !asked.load(Ordering::Relaxed) {
                tick.tick().await;
                let due = (began.elapsed().as_millis() as u64 * per_second / 1_000) as usize;
                while sent < due.min(count) {
                    let mut publish = Publish::of(&event_type, &json!({ "n": sent }));
                    let id = prefix.as_ref().map(|prefix| format!("{prefix}-{sent}"));
                    if let Some(id) = &id {
                        publish = publish.id(id);
                    }
                    publishes.spawn(accept(client.clone(), publish, id.unwrap_or_default(), sent));
                    sent += 1;
                }
            }
            let mut all: Vec<(usize, String, Instant, usize)> = publishes.join_all().await;
            all.sort_by_key(|(number, ..)| *number);
            Accepted {
                tried_again: all.iter().map(|(_, _, _, again)| again).sum(),
                at: all.iter().map(|(_, _, at, _)| *at).collect(),
                ids: all.into_iter().map(|(_, id, _, _)| id).collect(),
            }
        });
        Self { stop, publishing }
    }

    /// Waits until all are acknowledged.
    pub(crate) async fn finish(self) -> Accepted {
        self.publishing.await.expect("the producer does not panic")
    }

    /// Publishes no more, and waits until all that were published are acknowledged.
    pub(crate) async fn stop(self) -> Accepted {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }
}

async fn accept(client: Client, publish: Publish, id: String, number: usize) -> (usize, String, Instant, usize) {
    let began = Instant::now();
    let mut again = 0;
    loop {
        match client.try_publish(publish.clone()).await {
            Ok(()) => return (number, id, Instant::now(), again),
            Err(error) if began.elapsed() > ACCEPT_TIMEOUT => panic!("event {number} is not acknowledged: {error}"),
            Err(_) => {
                again += 1;
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

impl Accepted {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// How many were acknowledged within a time.
    pub(crate) fn within(&self, from: Instant, to: Instant) -> usize {
        self.at.iter().filter(|at| **at >= from && **at <= to).count()
    }
}
