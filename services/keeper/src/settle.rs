//! Settling deliveries without a worker: ending them, the record first, then whatever held them, or
//! sending them on.

use std::time::Duration;

use signalbox_broker::{
    Ack, Broker, Error, Message, Publish,
    browse::Stored,
    hops::{self, Hop},
    outcomes,
};
use signalbox_proto::{
    DeadLetter, DeadReason, Delivery, Record, Stage, Timestamp,
    dead::Input,
    ledger::Final,
    outcome::{Attempt, Batch, Next},
    subjects, wire,
};

use crate::Keeper;

/// How long a provider's stream may take to acknowledge a hop: one without a leader holds up nothing
/// but its own deliveries.
pub(crate) const HOP_DEADLINE: Duration = Duration::from_secs(10);

/// Takes a hop and waits until the stream has it, or until the deadline. It may be repeated then.
pub(crate) async fn hop(keeper: &Keeper, delivery: &Delivery, hop: Hop) -> Result<Ack, Error> {
    let publish = hops::publish_of(delivery, hop)?;
    let subject = publish.subject.to_string();
    let sent = keeper.broker.publisher().publish_within(publish, HOP_DEADLINE).await;
    sent.map_err(|source| Error::Publish { subject, source })
}

/// An error with its reasons, in one line.
pub(crate) fn why(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Ends a delivery with a dead letter and its record.
pub(crate) async fn end(keeper: &Keeper, delivery: &Delivery, reason: DeadReason, why: &str) -> Result<(), Error> {
    let now = Timestamp::now();
    let next = delivery.next_hop();
    let id = next.hop_id();
    let letter = DeadLetter::of_delivery(Stage::Delivery, reason, why, next, now);
    keeper.broker.bury(&letter, &id).await?;
    record(keeper, &[ended(delivery, reason.ledger(), why, now)]).await
}

/// The record of a delivery that ended without a request.
pub(crate) fn ended(delivery: &Delivery, state: Final, why: &str, now: Timestamp) -> Attempt {
    Attempt {
        error_message: Some(why.to_owned()),
        ..Attempt::unasked(delivery, Next::Final(state), now)
    }
}

/// Stores records in OUTCOMES and waits for it.
pub(crate) async fn record(keeper: &Keeper, attempts: &[Attempt]) -> Result<(), Error> {
    let mut records = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        records.push(outcomes::encode(&Record::Attempt(attempt.clone()))?);
    }
    let subject = subjects::outcome("keeper", &keeper.process.instance);
    let publish = Publish {
        subject: subject.clone().into(),
        id: None,
        headers: Vec::new(),
        body: wire::encode(&Batch { records })?.into(),
    };
    keeper
        .broker
        .publisher()
        .publish(publish)
        .await
        .map(|_| ())
        .map_err(|source| Error::Publish { subject, source })
}

/// Files a message that cannot be read, with its bytes.
pub(crate) async fn bury_unread(broker: &Broker, stream: &str, message: &Message, why: &str) -> Result<(), Error> {
    let stored = Stored {
        subject: message.subject.to_string(),
        seq: message.place.seq,
        at: message.place.at,
        body: message.body.clone(),
    };
    bury_stored(broker, stream, &stored, why).await
}

/// Files a stored message that cannot be read, with its bytes.
pub(crate) async fn bury_stored(broker: &Broker, stream: &str, stored: &Stored, why: &str) -> Result<(), Error> {
    let org = stored.subject.split('.').nth(2).and_then(|org| org.parse().ok());
    let input = Input {
        subject: stored.subject.clone(),
        headers: Vec::new(),
        body: stored.body.to_vec(),
    };
    let why = format!("this delivery cannot be read: {why}");
    let letter = DeadLetter::of_input(Stage::Delivery, DeadReason::Invalid, &why, org, input, stored.at);
    broker
        .bury(&letter, &Broker::dead_id(stream, stored.seq, "invalid"))
        .await
        .map(|_| ())
}
