//! Whether DEAD has a dead letter already, of an input that comes again.
//!
//! What was refused and comes again, as the process died before it acknowledged it, must not be accepted now: it would
//! be an event and a refused input. DEAD knows the ids of the last two minutes by itself; for older ones it is read,
//! once for all that ask at a time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use signalbox_broker::{Broker, Error};
use signalbox_proto::{Name, Stage, Timestamp, subjects};
use tokio::sync::oneshot;

/// Looks for dead letters of inputs. Clones share what is asked.
#[derive(Clone)]
pub(crate) struct Letters {
    broker: Broker,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    questions: Vec<Question>,
    is_reading: bool,
}

struct Question {
    id: String,
    since: Timestamp,
    answer: oneshot::Sender<bool>,
}

impl Letters {
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            asked: Arc::default(),
        }
    }

    /// Whether DEAD has the letter of this id. `since` is when its input was stored.
    pub(crate) async fn has(&self, org: Option<&Name>, id: &str, since: Timestamp) -> Result<bool, Error> {
        let subject = subjects::dead(Stage::Ingest, org, None, None);
        if self.broker.knows_letter(subject, id).await? {
            return Ok(true);
        }
        let answer = self.ask(id, since);
        answer.await.map_err(|_| Error::Request {
            what: "dead letters of inputs".into(),
            reason: "they could not be read".into(),
        })
    }

    fn ask(&self, id: &str, since: Timestamp) -> oneshot::Receiver<bool> {
        let (answer, asked) = oneshot::channel();
        let mut all = self.asked();
        all.questions.push(Question {
            id: id.to_owned(),
            since,
            answer,
        });
        if !std::mem::replace(&mut all.is_reading, true) {
            tokio::spawn(self.clone().read());
        }
        asked
    }

    async fn read(self) {
        loop {
            let questions = {
                let mut all = self.asked();
                let questions = std::mem::take(&mut all.questions);
                all.is_reading = !questions.is_empty();
                questions
            };
            let Some(since) = questions.iter().map(|question| question.since).min() else {
                return;
            };
            let ids: BTreeSet<String> = questions.iter().map(|question| question.id.clone()).collect();
            let filter = subjects::dead_filter(Some(Stage::Ingest), None, None, None);
            match self.broker.search_forgotten(subjects::DEAD, filter, &ids, since).await {
                Ok(found) => {
                    for Question { id, answer, .. } in questions {
                        if answer.send(found.contains(&id)).is_err() {
                            tracing::debug!(letter = %id, "nobody waits for whether an input was refused any more");
                        }
                    }
                }
                // Who waits sees it, and its input comes again.
                Err(error) => tracing::warn!(%error, "cannot look for dead letters of inputs that come again"),
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("no holder of the lock panics")
    }
}
