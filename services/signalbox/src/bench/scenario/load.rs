//! Publishing the events of a scenario over NATS, as a producer does.

use anyhow::Context as _;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use signalbox_proto::{EventType, Name, subjects};

use super::{
    super::{
        publisher::{NatsPublisher, Outgoing, Pace},
        tally::ID_CHARS,
    },
    witness::Witness,
};

/// A producer.
#[derive(Debug)]
pub(super) struct Load {
    publisher: NatsPublisher,
    witness: Witness,
    data: Bytes,
}

impl Load {
    /// Connects to a server; `data` is the data of every event, as JSON.
    pub(super) async fn connect(url: &str, witness: Witness, data: &str) -> anyhow::Result<Self> {
        Ok(Self {
            publisher: NatsPublisher::connect(url).await?,
            witness,
            data: Bytes::copy_from_slice(data.as_bytes()),
        })
    }

    /// Publishes a run to org `default`, each event of the type that its number has, and returns when the last one is
    /// acknowledged.
    pub(super) async fn publish(
        &mut self,
        run: u32,
        pace: Pace,
        type_of: impl Fn(u64) -> String,
    ) -> anyhow::Result<()> {
        let data = self.data.clone();
        self.publish_as("default", run, pace, type_of, move |_| data.clone())
            .await
    }

    /// The same with an org, and with data that depends on the event's number.
    pub(super) async fn publish_as(
        &mut self,
        org: &str,
        run: u32,
        pace: Pace,
        type_of: impl Fn(u64) -> String,
        data_of: impl Fn(u64) -> Bytes,
    ) -> anyhow::Result<()> {
        let org: Name = org.parse().context("an org of the benchmark")?;
        let witness = &self.witness;
        let make = |event: u64| {
            let mut id = String::with_capacity(ID_CHARS);
            witness.write_id(run, event, &mut id);
            let mut headers = HeaderMap::new();
            headers.insert("ce-id", id);
            let event_type: EventType = type_of(event).parse().expect("a type of the benchmark");
            Outgoing {
                subject: Subject::from(subjects::input(&org, &event_type)),
                headers: Some(headers),
                payload: data_of(event),
            }
        };
        self.publisher.publish(pace, make).await
    }
}
