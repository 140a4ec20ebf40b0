//! Which queues hold anything: most hold nothing, and are not asked.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use signalbox_broker::{Broker, Error as BrokerError};
use signalbox_proto::{Name, subjects};
use tokio::sync::Mutex;

use super::ALL;
use crate::Shared;

/// How long a stream may take to say how much it holds: one without a leader says nothing.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The providers that have a stream, and how much each queue holds.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) providers: Vec<Name>,
    messages: HashMap<String, u64>,
}

impl Look {
    /// How many messages a stream holds; `None` where it did not say.
    pub(crate) fn messages(&self, stream: &str) -> Option<u64> {
        self.messages.get(stream).copied()
    }
}

/// The last look at all queues, for all who waited for it: who asks later needs another, or would pass by what has come
/// since.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<Option<(Instant, Arc<Look>)>>);

impl Queues {
    /// What the queues hold.
    pub(crate) async fn look(&self, shared: &Shared) -> Arc<Look> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((began, look)) = &*last
            && *began >= asked
        {
            return look.clone();
        }
        let began = Instant::now();
        let providers = shared.directory.providers();
        let own = [subjects::ORDERED, subjects::BATCH, subjects::PARKED].map(str::to_owned);
        let streams = providers.iter().map(subjects::deliver_stream).chain(own);
        let states = streams.map(async |stream| {
            let messages = tokio::time::timeout(LOOK_MAX, messages(&shared.broker, &stream)).await;
            (stream, messages.ok().and_then(Result::ok))
        });
        let messages = join_all(states).await;
        let look = Arc::new(Look {
            providers,
            messages: messages
                .into_iter()
                .filter_map(|(stream, messages)| Some((stream, messages?)))
                .collect(),
        });
        *last = Some((began, look.clone()));
        look
    }
}

/// How many messages a queue holds. Most hold none, and that is asked first: it costs a quarter of the other question.
async fn messages(broker: &Broker, stream: &str) -> Result<u64, BrokerError> {
    match broker.next(stream, ALL, 1).await {
        Ok(None) => Ok(0),
        // Where there is no such stream nobody answers: the one that knows says so.
        Ok(Some(_)) | Err(_) => Ok(broker
            .stream_state_if_any(stream)
            .await?
            .map_or(0, |state| state.messages)),
    }
}
