//! What every worker must know of integrations, followed from the buckets CONFIG and STATE.

use signalbox_proto::{Integration, State, subjects, wire};
use tokio::sync::mpsc;

use crate::{
    Broker, Error, Puller,
    topology::{Consumer, From},
};

/// Changes that wait for their reader before the watch stops pulling.
const CHANGES_MAX: usize = 1_024;
/// Entries asked for at a time.
const BATCH: usize = 1_000;

/// One change, in the order of its bucket.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An integration at a newer revision, or its tombstone.
    Integration(Box<Integration>),
    /// The state of an integration.
    State {
        /// The integration's id.
        integration: String,
        /// The state.
        state: State,
        /// The revision under which it may be replaced.
        revision: u64,
    },
    /// All that was there at the start has been said. Said once.
    ///
    /// **Invariant:** nothing is pulled before.
    Complete,
}

/// Follows both buckets; the task ends when the receiver is dropped.
pub async fn follow(broker: &Broker) -> Result<mpsc::Receiver<Change>, Error> {
    let open = async |bucket: &str, filter: String| {
        let consumer = Consumer::follow(
            broker,
            &format!("KV_{bucket}"),
            vec![format!("$KV.{bucket}.{filter}")],
            From::LastPerSubject,
        );
        Puller::open(broker, consumer).await
    };
    let mut config = open(subjects::CONFIG, subjects::integration_key("*")).await?;
    let mut states = open(subjects::STATE, subjects::state_key("*")).await?;
    let (changes, receiver) = mpsc::channel(CHANGES_MAX);
    tokio::spawn(async move {
        let mut complete = false;
        loop {
            if !complete && config.left() == 0 && states.left() == 0 {
                complete = true;
                if changes.send(Change::Complete).await.is_err() {
                    return;
                }
            }
            let (message, from) = tokio::select! {
                message = config.next(BATCH) => (message, 0),
                message = states.next(BATCH) => (message, 1),
                () = changes.closed() => return,
            };
            let change = if from == 0 {
                read_integration(&message)
            } else {
                read_state(&message)
            };
            if let Some(change) = change
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

fn read_integration(message: &crate::Message) -> Option<Change> {
    if message.body.is_empty() {
        return None;
    }
    match wire::decode::<Integration>(&message.body) {
        Ok(integration) => Some(Change::Integration(Box::new(integration))),
        Err(error) => {
            tracing::error!(%error, key = %message.subject, "cannot read an integration; it is left as it was known");
            None
        }
    }
}

fn read_state(message: &crate::Message) -> Option<Change> {
    let integration = message.subject.rsplit('.').next()?.to_owned();
    // A purged or expired key stands for the default: open.
    let state = if message.body.is_empty() {
        Ok(State::default())
    } else {
        wire::decode(&message.body)
    };
    match state {
        Ok(state) => Some(Change::State {
            integration,
            state,
            revision: message.place.seq,
        }),
        Err(error) => {
            tracing::error!(%error, key = %message.subject, "cannot read a state; it is left as it was known");
            None
        }
    }
}
