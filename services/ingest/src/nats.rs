//! The loop of one partition of INGEST.
//!
//! **Invariant:** the event (or the dead letter) is acknowledged by its stream before the input is.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use signalbox_broker::{Ack, Broker, Error, Message, Publish, PublishError, Puller, Receipt, hops::TRACEPARENT, suspects::{self, Suspicion}, topology::Consumer};
use signalbox_proto::{DeadLetter, DeadReason, Event, Stage, Timestamp, dead::Input, hash, subjects};
use signalbox_runtime::{
    Process,
    health::ComponentHandle,
    telemetry::{Attribute, Hop, Kind, TraceContext},
};

use crate::{Config, Metrics, input::{self, Headers, Rejection}};

/// The wait before an input is looked at again when a stream has no room.
const FULL_RETRY: Duration = Duration::from_secs(2);

pub(crate) struct Partition {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Metrics,
    pub(crate) health: ComponentHandle,
    /// When INGEST was made: tells its sequences from those of a stream made anew.
    pub(crate) incarnation: Timestamp,
    pub(crate) number: u32,
}

/// What an input became, on its way to a stream.
enum Hopping {
    Event { receipt: Receipt, message: Message },
    Dead { done: std::pin::Pin<Box<dyn Future<Output = Result<Ack, Error>> + Send>>, message: Message },
}

enum Hopped {
    Event(Result<Ack, PublishError>, Message),
    Dead(Result<Ack, Error>, Message),
}

impl Hopping {
    async fn done(self) -> Hopped {
        match self {
            Self::Event { receipt, message } => Hopped::Event(receipt.await, message),
            Self::Dead { done, message } => Hopped::Dead(done.await, message),
        }
    }
}

impl Headers for Message {
    fn get(&self, name: &str) -> Option<&str> {
        // NATS keeps the case of header names; producers write them in any.
        self.headers
            .as_ref()?
            .iter()
            .find(|(header, _)| AsRef::<str>::as_ref(*header).eq_ignore_ascii_case(name))
            .and_then(|(_, values)| values.first())
            .map(AsRef::as_ref)
    }

    fn all(&self) -> Vec<(String, String)> {
        self.header_list().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
    }
}

impl Partition {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let mut puller = Puller::open(&self.broker, Consumer::ingest(self.number, self.broker.config().partitions)).await?;
        let mut hopping = FuturesUnordered::new();
        self.health.ready();
        loop {
            let free = self.config.in_flight_max - hopping.len();
            tokio::select! {
                biased;
                () = self.process.shutdown.requested() => break,
                Some(done) = hopping.next(), if !hopping.is_empty() => self.settle(done).await,
                message = puller.next(free) => {
                    if suspects::is_suspect(&message) {
                        while let Some(done) = hopping.next().await {
                            self.settle(done).await;
                        }
                        self.take_suspect(message).await?;
                    } else {
                        hopping.push(self.take(message).await.done());
                    }
                }
            }
        }
        while let Some(done) = hopping.next().await {
            self.settle(done).await;
        }
        for message in puller.stop().await {
            message.nak(&self.broker).await?;
        }
        self.broker.flush().await
    }

    /// Begins the hop of an input to EVENTS or DEAD.
    async fn take(&self, message: Message) -> Hopping {
        match self.read(&message) {
            Ok(publish) => {
                let receipt = self.broker.publisher().send(publish, None).await;
                Hopping::Event { receipt, message }
            }
            Err(rejection) => self.bury(message, DeadReason::Invalid, rejection.to_string()),
        }
    }

    async fn take_suspect(&self, message: Message) -> Result<(), Error> {
        let hopping = match self.broker.suspect(subjects::INGEST, &message).await? {
            Suspicion::None | Suspicion::Suspect => self.take(message.clone()).await,
            Suspicion::Poison => {
                self.bury(message.clone(), DeadReason::Poison, "handling this input stopped a worker twice".into())
            }
        };
        let done = hopping.done().await;
        self.broker.clear_suspect(subjects::INGEST, &message).await?;
        self.settle(done).await;
        Ok(())
    }

    fn read(&self, message: &Message) -> Result<Publish, Rejection> {
        let start = self.process.tracer.is_enabled().then(Timestamp::now);
        let given = subjects::given_input(&message.subject);
        let (org, event_type, draft) = input::read_message(&given, message, message.body.clone())?;
        let mut event = draft.finish(&org, Some(&event_type), || self.derived_id(message))?;
        if let Some(start) = start {
            self.trace(&mut event, start);
        }
        let publish = self.broker.event_publish(&event).map_err(|error| Rejection::malformed(error.to_string()))?;
        if publish.body.len() > self.config.event_bytes_max {
            return Err(Rejection::too_large(publish.body.len(), self.config.event_bytes_max));
        }
        Ok(publish)
    }

    /// The id of an event that has none: from its place, and so the same on every redelivery.
    fn derived_id(&self, message: &Message) -> String {
        hash::parts([
            &self.incarnation.nanos().to_be_bytes(),
            &message.place.seq.to_be_bytes(),
            // The index in a batch.
            &0_u32.to_be_bytes(),
        ])
    }

    fn trace(&self, event: &mut Event, start: Timestamp) {
        let parent = event.metadata.get(TRACEPARENT).and_then(|text| TraceContext::parse(text));
        let context = self.process.tracer.child_context(parent);
        if let Some(context) = &context {
            event.metadata.insert(TRACEPARENT.into(), context.to_string());
        }
        self.process.tracer.hop(Hop {
            name: "ingest",
            kind: Kind::Consumer,
            parent: parent.as_ref(),
            context: context.as_ref(),
            start_nanos: start.nanos(),
            end_nanos: Timestamp::now().nanos(),
            attributes: &[("event.id", Attribute::Text(&event.id)), ("event.type", Attribute::Text(event.event_type.as_str()))],
            error: None,
        });
    }

    fn bury(&self, message: Message, reason: DeadReason, why: String) -> Hopping {
        let given = subjects::given_input(&message.subject);
        let org = signalbox_proto::subjects::read_input(&given).ok().map(|(org, _)| org);
        tracing::info!(nats.subject = %given, reason = %why, "an input is no event; it is kept as a dead letter");
        let input = Input { subject: given, headers: message.header_list(), body: message.body.to_vec() };
        let letter = DeadLetter::of_input(Stage::Ingest, reason, &why, org, input, message.place.at);
        let stream = format!("{}@{}", subjects::INGEST, self.incarnation.nanos());
        let id = Broker::dead_id(&stream, message.place.seq, reason.as_str());
        let broker = self.broker.clone();
        Hopping::Dead { done: Box::pin(async move { broker.bury(&letter, &id).await }), message }
    }

    async fn settle(&self, done: Hopped) {
        let settled = match done {
            Hopped::Event(Ok(ack), message) => {
                self.metrics.events.inc();
                if ack.duplicate {
                    self.metrics.repeats.inc();
                }
                self.health.ready();
                message.ack(&self.broker).await
            }
            Hopped::Event(Err(PublishError::Refused { code, description }), message) => {
                // Not for want of room: EVENTS will never take this one.
                let why = format!("the stream of events refuses it: {description} ({code})");
                match self.bury(message, DeadReason::Invalid, why).done().await {
                    Hopped::Dead(Ok(_), message) => {
                        self.metrics.rejected.inc();
                        message.ack(&self.broker).await
                    }
                    Hopped::Dead(Err(_), message) | Hopped::Event(_, message) => message.nak_after(&self.broker, FULL_RETRY).await,
                }
            }
            Hopped::Event(Err(error), message) => {
                self.health.not_ready(format!("EVENTS does not take events: {error}"));
                message.nak_after(&self.broker, FULL_RETRY).await
            }
            Hopped::Dead(Ok(_), message) => {
                self.metrics.rejected.inc();
                message.ack(&self.broker).await
            }
            Hopped::Dead(Err(error), message) => {
                self.health.not_ready(format!("DEAD does not take dead letters: {error}"));
                message.nak_after(&self.broker, FULL_RETRY).await
            }
        };
        if let Err(error) = settled {
            // The input comes again after its wait; its event is known by its id then.
            tracing::debug!(%error, "an acknowledgement could not be written");
        }
    }
}
