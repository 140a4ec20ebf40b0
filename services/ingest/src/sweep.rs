//! Inputs that the client library cannot read.
//!
//! INGEST takes whatever bytes a producer gives as subject and headers. Where some of them are
//! delivered the library drops its connection, and as nothing acknowledges them they would come again
//! for ever. So inputs are pulled over a connection of their own, and after each time it was lost, and
//! at the start, INGEST is searched for such messages, which are kept as dead letters and removed.
//!
//! **Invariant:** DEAD has the dead letter before the message is removed.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use signalbox_broker::{Broker, Error, raw::Raw};
use signalbox_proto::{DeadReason, Timestamp, subjects};
use signalbox_runtime::Shutdown;
use tokio::sync::watch;

use crate::{
    Metrics,
    letter::{self, Original},
    orgs::Orgs,
};

/// Messages that a sweep looks at behind the last one that could not be read.
const AHEAD: usize = 2_000;
/// How long a sweep may keep inputs waiting.
const SWEEP_MAX: Duration = Duration::from_secs(10);
/// The wait before a sweep that did not come to its end goes on.
const PAUSE: Duration = Duration::from_secs(2);
/// The header of a dead letter that holds the original block of headers.
const RAW_HEADERS: &str = "raw-headers-base64";

pub(crate) struct Sweeper {
    pub(crate) broker: Broker,
    pub(crate) orgs: Orgs,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
    /// Changes when the connection that inputs are pulled over is a new one.
    pub(crate) connections: watch::Receiver<u64>,
    /// Whether inputs may be asked for.
    pub(crate) swept: watch::Sender<bool>,
    pub(crate) incarnation: Timestamp,
    /// All before this sequence can be read, or is gone. It never needs to be looked at again.
    pub(crate) next: u64,
}

impl Sweeper {
    /// Sweeps until the process is asked to stop.
    ///
    /// Inputs go on after a sweep that failed too: most of them can be read, and where one cannot, the
    /// connection is lost again no sooner than it is delivered again.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        loop {
            self.connections.mark_unchanged();
            self.swept.send_replace(false);
            let swept = tokio::select! {
                () = shutdown.requested() => return,
                swept = tokio::time::timeout(SWEEP_MAX, self.sweep()) => swept,
            };
            let complete = match swept {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::warn!(%error, seq = self.next, "cannot look for inputs that cannot be read; trying again");
                    false
                }
                Err(_) => false,
            };
            self.swept.send_replace(true);
            tokio::select! {
                () = shutdown.requested() => return,
                changed = self.connections.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(PAUSE), if !complete => {}
            }
        }
    }

    /// Goes on from where the last sweep ended. May be dropped at any point: `next` says how far it came.
    async fn sweep(&mut self) -> Result<(), Error> {
        let created = self.broker.stream_state(subjects::INGEST).await?.created;
        if created != self.incarnation {
            self.incarnation = created;
            self.next = 1;
        }
        let mut left = AHEAD;
        while left > 0
            && let Some(raw) = self.broker.read_raw(subjects::INGEST, self.next).await?
        {
            left -= 1;
            let seq = raw.seq;
            if let Some(fault) = raw.fault() {
                let why = format!("NATS clients cannot read this message: {fault}");
                let original = original(raw, self.incarnation);
                letter::file(&self.broker, &self.orgs, original, DeadReason::Invalid, &why).await?;
                self.broker.remove(subjects::INGEST, seq).await?;
                self.metrics.rejected.inc();
                left = AHEAD;
            }
            self.next = seq + 1;
        }
        Ok(())
    }
}

fn original(raw: Raw, incarnation: Timestamp) -> Original {
    let mut headers = raw.header_list();
    if !raw.headers.is_empty() {
        headers.push((RAW_HEADERS.to_owned(), STANDARD.encode(&raw.headers)));
    }
    Original {
        subject: raw.subject,
        headers,
        body: raw.body,
        seq: raw.seq,
        index: None,
        at: raw.at,
        incarnation,
    }
}
