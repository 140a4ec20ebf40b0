//! API keys and orgs as the bucket CONFIG holds them: who may call, followed by all that answer requests.

use std::ops::ControlFlow;

use signalbox_proto::{Key, Name, Org, subjects, wire};
use tokio::sync::mpsc;

use crate::{
    Broker, Error, Message, follow,
    topology::{Consumer, From},
};

/// Changes that wait for their reader before the watch stops pulling.
const CHANGES_MAX: usize = 1_024;
/// Entries asked for at a time.
const BATCH: usize = 1_000;

/// One change, in the order in which they were made.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A key was made or changed; a revoked one too.
    Key {
        /// The SHA-256 of its text, as 64 hexadecimal digits.
        hash: String,
        /// The key.
        key: Box<Key>,
    },
    /// A key is not kept any more.
    KeyGone {
        /// The SHA-256 of its text.
        hash: String,
    },
    /// An org was made or changed.
    Org(Org),
    /// An org is not kept any more.
    OrgGone(Name),
    /// All that was there at the start has been said. Said once.
    ///
    /// **Invariant:** nobody is refused as unknown before.
    Complete,
}

/// Follows the keys and orgs; the task ends when the receiver is dropped.
pub async fn follow(broker: &Broker) -> Result<mpsc::Receiver<Change>, Error> {
    let consumer = Consumer::follow(broker, &stream(), filters(), From::LastPerSubject);
    follow::last_of_each(broker, consumer, CHANGES_MAX, BATCH, read, Change::Complete).await
}

impl Broker {
    /// The keys and orgs that CONFIG holds now, read once and not from a watch. What cannot be read is passed over and
    /// logged.
    pub async fn callers(&self) -> Result<Vec<Change>, Error> {
        let mut found = Vec::new();
        let each = |message: Message| {
            let change = read(&message);
            found.extend(change.filter(|change| matches!(change, Change::Key { .. } | Change::Org(_))));
            ControlFlow::Continue(())
        };
        self.scan(&stream(), filters(), From::LastPerSubject, each).await?;
        Ok(found)
    }
}

fn stream() -> String {
    format!("KV_{}", subjects::CONFIG)
}

fn filters() -> Vec<String> {
    [subjects::key_key("*"), subjects::org_key("*")]
        .into_iter()
        .map(|key| format!("$KV.{}.{key}", subjects::CONFIG))
        .collect()
}

fn read(message: &Message) -> Option<Change> {
    let key = message.subject.strip_prefix("$KV.")?.split_once('.')?.1;
    match subjects::read_key_key(key) {
        Some(hash) => read_key(hash, message),
        None => read_org(subjects::read_org_key(key)?, message),
    }
}

fn read_key(hash: &str, message: &Message) -> Option<Change> {
    let hash = hash.to_owned();
    if message.body.is_empty() {
        return Some(Change::KeyGone { hash });
    }
    match wire::decode::<Key>(&message.body) {
        Ok(key) => Some(Change::Key {
            hash,
            key: Box::new(key),
        }),
        Err(error) => {
            // A key that nobody can judge opens nothing, whatever was known of it: it may have been revoked.
            tracing::error!(%error, seq = message.place.seq, "cannot read an API key; it is refused");
            Some(Change::KeyGone { hash })
        }
    }
}

fn read_org(name: Name, message: &Message) -> Option<Change> {
    if message.body.is_empty() {
        return Some(Change::OrgGone(name));
    }
    match wire::decode::<Org>(&message.body) {
        Ok(org) => Some(Change::Org(org)),
        Err(error) => {
            tracing::error!(%error, org = %name, "cannot read an org; it is left as it was known");
            None
        }
    }
}
