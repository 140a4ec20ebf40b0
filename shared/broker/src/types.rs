//! The event types that orgs registered, in the bucket CONFIG: followed, read, listed.

use std::ops::ControlFlow;

use signalbox_proto::{EventType, Name, subjects, types::Registered, wire};
use tokio::sync::mpsc;

use crate::{
    Broker, Error, Message, follow,
    kv::Entry,
    topology::{Consumer, From},
};

/// Changes that wait for their reader before the watch stops pulling.
const CHANGES_MAX: usize = 256;
/// Entries asked for at a time. Few, because one may hold a schema of 64 KiB.
const BATCH: usize = 64;

/// One change, in the order in which they were made.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A type was registered or changed.
    Registered(Box<Registered>),
    /// A type is registered no more.
    Gone {
        /// The tenant.
        org: Name,
        /// The type's name.
        name: EventType,
    },
    /// All that was there at the start has been said. Said once.
    ///
    /// **Invariant:** no event is accepted before.
    Complete,
}

/// Follows the types of all orgs; the task ends when the receiver is dropped.
pub async fn follow(broker: &Broker) -> Result<mpsc::Receiver<Change>, Error> {
    let consumer = Consumer::follow(broker, &stream(), vec![filter()], From::LastPerSubject);
    follow::last_of_each(broker, consumer, CHANGES_MAX, BATCH, read, Change::Complete).await
}

impl Broker {
    /// A type as CONFIG holds it, read once and not from a watch.
    pub async fn event_type(&self, org: &Name, name: &EventType) -> Result<Option<Entry<Registered>>, Error> {
        self.get(subjects::CONFIG, &key(org, name)).await
    }

    /// The types of all orgs, by org and name. What cannot be read is passed over and logged.
    pub async fn all_event_types(&self) -> Result<Vec<Registered>, Error> {
        let mut found = Vec::new();
        let each = |message: Message| {
            if let Some(Change::Registered(registered)) = read(&message) {
                found.push(*registered);
            }
            ControlFlow::Continue(())
        };
        self.scan(&stream(), vec![filter()], From::LastPerSubject, each).await?;
        found.sort_by(|left, right| (&left.org, &left.name).cmp(&(&right.org, &right.name)));
        Ok(found)
    }
}

fn key(org: &Name, name: &EventType) -> String {
    subjects::type_key(org.as_str(), name.as_str())
}

fn stream() -> String {
    format!("KV_{}", subjects::CONFIG)
}

fn filter() -> String {
    format!("$KV.{}.{}", subjects::CONFIG, subjects::type_key("*", ">"))
}

fn read(message: &Message) -> Option<Change> {
    let key = message.subject.strip_prefix("$KV.")?.split_once('.')?.1;
    if message.body.is_empty() {
        let (org, name) = subjects::read_type_key(key)?;
        return Some(Change::Gone { org, name });
    }
    match wire::decode::<Registered>(&message.body) {
        Ok(registered) => Some(Change::Registered(Box::new(registered))),
        Err(error) => {
            tracing::error!(%error, key, "cannot read an event type; it is left as it was known");
            None
        }
    }
}
