//! When the events of a run are due, and publishing them over NATS, evenly at a rate or as fast as they are
//! acknowledged.
//!
//! Every publish asks for its acknowledgement on one and the same reply subject, which one subscription
//! reads: nothing but their number matters here, since any refusal ends the benchmark.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, bail};
use async_nats::{Client, HeaderMap, Message, Subject, Subscriber};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until};

/// Publishes that wait for their acknowledgement at once.
const UNACKNOWLEDGED_MAX: u64 = 1_024;
/// How long no acknowledgement at all may come.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// When each event of a run is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub events: u64,
    /// Events a second; 0 is all at once.
    pub rate: u64,
}

impl Pace {
    /// How many events are due after this time.
    pub(super) fn due(self, elapsed: Duration) -> u64 {
        if self.rate == 0 {
            return self.events;
        }
        let due = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000 + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.events)
    }

    /// When the event of this number is due.
    pub(super) fn at(self, event: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        // Rounded up, so that the event is due when its time has come.
        let nanos = (u128::from(event) * 1_000_000_000).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A message to publish.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub subject: Subject,
    pub headers: Option<HeaderMap>,
    pub payload: Bytes,
}

/// Publishes to JetStream over one connection.
#[derive(Debug)]
pub(super) struct NatsPublisher {
    client: Client,
    reply: Subject,
    acks: Subscriber,
}

impl NatsPublisher {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(url)
            .await
            .with_context(|| format!("cannot connect to {url}"))?;
        let reply = Subject::from(client.new_inbox());
        let acks = client
            .subscribe(reply.clone())
            .await
            .context("cannot subscribe to acknowledgements")?;
        Ok(Self { client, reply, acks })
    }

    /// Publishes what `make` makes of each event's number, and returns when the last one is acknowledged.
    pub(super) async fn publish(&mut self, pace: Pace, mut make: impl FnMut(u64) -> Outgoing) -> anyhow::Result<()> {
        let began = Instant::now();
        let (mut sent, mut acked) = (0, 0);
        let mut last_ack = began;
        let mut wake = pin!(sleep_until(began));
        loop {
            let may = pace.due(began.elapsed()).min(acked + UNACKNOWLEDGED_MAX);
            while sent < may {
                let Outgoing {
                    subject,
                    headers,
                    payload,
                } = make(sent);
                let reply = self.reply.clone();
                match headers {
                    Some(headers) => {
                        self.client
                            .publish_with_reply_and_headers(subject, reply, headers, payload)
                            .await?;
                    }
                    None => self.client.publish_with_reply(subject, reply, payload).await?,
                }
                sent += 1;
            }
            if acked == pace.events {
                return Ok(());
            }
            let window_free = sent < acked + UNACKNOWLEDGED_MAX && sent < pace.events;
            let ack_due = last_ack.max(began + pace.at(acked)) + ACK_TIMEOUT;
            wake.as_mut()
                .reset(if window_free { began + pace.at(sent) } else { ack_due });
            tokio::select! {
                biased;
                ack = self.acks.next() => {
                    check(ack)?;
                    acked += 1;
                    while let Some(ack) = self.acks.next().now_or_never() {
                        check(ack)?;
                        acked += 1;
                    }
                    last_ack = Instant::now();
                }
                () = &mut wake => {}
            }
            if sent > acked && Instant::now() > ack_due {
                bail!(
                    "no acknowledgement in {} s: {} of {sent} publishes are open",
                    ACK_TIMEOUT.as_secs(),
                    sent - acked
                );
            }
        }
    }
}

/// A publish that was stored is answered with its sequence; anything else ends the benchmark.
fn check(ack: Option<Message>) -> anyhow::Result<()> {
    let ack = ack.context("the connection to nats-server ended")?;
    if let Some(status) = ack.status {
        bail!("a publish was refused with status {status}: no stream takes it");
    }
    if ack.payload.windows(7).any(|window| window == b"\"error\"") {
        bail!("a publish was refused: {}", String::from_utf8_lossy(&ack.payload));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
