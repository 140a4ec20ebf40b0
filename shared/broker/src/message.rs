//! A message of a stream, with its place there and the ways to settle it.

use std::{ops::Deref, time::Duration};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use signalbox_proto::Timestamp;

use crate::{Broker, Error};

/// A message as a consumer delivered it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it is stored under.
    pub subject: Subject,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// Its bytes.
    pub body: Bytes,
    ticket: Ticket,
}

/// What the acknowledgement subject says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its sequence in the stream.
    pub seq: u64,
    /// How often it was delivered, this time included.
    pub delivered: u64,
    /// Its number among all that the consumer has sent.
    pub consumer_seq: u64,
    /// When the stream stored it, by the server's clock.
    pub at: Timestamp,
    /// How many messages of the consumer come after it.
    pub pending: u64,
}

/// Enough of a message to settle it, without its bytes.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its place in the stream.
    pub place: Place,
    reply: Subject,
}

impl Deref for Message {
    type Target = Ticket;

    fn deref(&self) -> &Ticket {
        &self.ticket
    }
}

impl Message {
    pub(crate) fn read(message: async_nats::Message) -> Option<Self> {
        let reply = message.reply?;
        let place = read_place(&reply)?;
        Some(Self {
            subject: message.subject,
            headers: message.headers,
            body: message.payload,
            ticket: Ticket { place, reply },
        })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// All headers in a stable order, for a dead letter.
    pub fn header_list(&self) -> Vec<(String, String)> {
        let mut list: Vec<(String, String)> = self
            .headers
            .iter()
            .flat_map(HeaderMap::iter)
            .flat_map(|(name, values)| {
                values
                    .iter()
                    .map(move |value| (name.to_string(), value.as_str().to_owned()))
            })
            .collect();
        list.sort();
        list
    }

    /// Enough of it to settle it.
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    /// What is left of it once its bytes are not needed any more.
    pub fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

impl Ticket {
    /// Acknowledges without waiting: enough where a lost one only repeats an idempotent publish.
    pub async fn ack(&self, broker: &Broker) -> Result<(), Error> {
        self.settle(broker, Bytes::from_static(b"+ACK")).await
    }

    /// Acknowledges and waits until the server knows. As acknowledgements on one connection keep
    /// their order, this confirms those written before it too.
    ///
    /// A request, because `double_ack` takes "no responders" for success.
    pub async fn confirm(&self, broker: &Broker) -> Result<(), Error> {
        broker
            .client()
            .request(self.reply.clone(), Bytes::from_static(b"+ACK"))
            .await
            .map(|_| ())
            .map_err(|error| Error::Request {
                what: "acknowledgement".into(),
                reason: error.to_string(),
            })
    }

    /// Hands back what has not begun.
    pub async fn nak(&self, broker: &Broker) -> Result<(), Error> {
        self.settle(broker, Bytes::from_static(b"-NAK")).await
    }

    /// Hands back what has not begun, to be delivered again after a while.
    pub async fn nak_after(&self, broker: &Broker, wait: Duration) -> Result<(), Error> {
        self.settle(broker, Bytes::from(format!("-NAK {{\"delay\": {}}}", wait.as_nanos())))
            .await
    }

    /// Tells the server that it is still being worked on.
    pub async fn in_progress(&self, broker: &Broker) -> Result<(), Error> {
        self.settle(broker, Bytes::from_static(b"+WPI")).await
    }

    async fn settle(&self, broker: &Broker, word: Bytes) -> Result<(), Error> {
        broker
            .client()
            .publish(self.reply.clone(), word)
            .await
            .map_err(|error| Error::Connection {
                reason: error.to_string(),
            })
    }
}

/// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>` and its
/// newer form with domain and account before the stream (and a token at the end).
fn read_place(reply: &str) -> Option<Place> {
    let mut tokens = [""; 12];
    let mut count = 0;
    for token in reply.strip_prefix("$JS.ACK.")?.split('.').take(tokens.len()) {
        tokens[count] = token;
        count += 1;
    }
    let at = match count {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    Some(Place {
        delivered: tokens.get(at)?.parse().ok()?,
        seq: tokens.get(at + 1)?.parse().ok()?,
        consumer_seq: tokens.get(at + 2)?.parse().ok()?,
        at: Timestamp::from_nanos(tokens.get(at + 3)?.parse().ok()?),
        pending: tokens.get(at + 4)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
