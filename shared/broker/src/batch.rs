//! Several publishes into one stream that are stored together or not at all.
//!
//! The server's own atomic batches, spoken by hand: each message names its batch and its number, the last one
//! commits (ADR-50 of nats-io/nats-architecture-and-design). The server holds a batch back until then, and
//! forgets one that does not come to its end; one that it was storing when it was killed it completes at its next
//! start. It refuses a batch of which any message id is known already. A batch costs it some 15 ms more than its
//! messages alone would, so it is for callers that need all or nothing, not for throughput.
//!
//! A message may be lost on its way, and so may the answer. Both are met by sending the whole again under a new
//! batch id: had the first one been stored, the message ids tell.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    client::{PublishErrorKind, RequestErrorKind},
    header,
};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    Ack, Broker, Publish, PublishError,
    publisher::{Answer, Verdict, classify},
};

/// Most messages of one batch: the server's bound.
pub const BATCH_MESSAGES_MAX: usize = 1_000;
/// Batches that one process has under way at a time; more wait. A server takes 50 a stream of all processes.
pub const BATCHES_MAX: usize = 8;
/// How long the server may take to answer the first or the last message of a batch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait before a batch is sent again that the server could not take just then.
const AGAIN_WAIT: Duration = Duration::from_millis(100);
/// How often a batch of which the server misses messages is sent again before it is given up.
const INCOMPLETE_MAX: u32 = 3;

/// The stream was not made for batches, this server does not know message ids in them, or the batch has too many.
const NOT_TAKEN: [u64; 3] = [10_174, 10_177, 10_199];
/// A message id is known already.
const REPEAT: u64 = 10_201;
/// Messages of the batch are missing.
const INCOMPLETE: u64 = 10_176;
/// Too many batches are under way.
const CROWDED: [u64; 2] = [10_210, 10_211];

/// Why a batch has not been stored. Whatever the reason, either all of it is stored or nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BatchError {
    /// One of its messages is known by its id already: as a batch they will never be taken.
    #[error("a message of the batch is known already")]
    Repeat,
    /// The stream does not take batches.
    #[error("the stream takes no batches: {description} ({code})")]
    Unsupported {
        /// The server's error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// As a publish alone would fail.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What one try has come to.
enum Tried {
    Stored(u64),
    Refused(BatchError),
    /// Not stored for now, or perhaps stored and not said.
    Again,
    /// Messages are missing.
    Incomplete,
}

impl Broker {
    /// Stores all of these in one stream, in their order and next to each other, or none of them. Each has a
    /// message id of its own.
    ///
    /// After [`PublishError::TimedOut`] they may have been stored; publishing the same again tells.
    pub async fn publish_batch(&self, publishes: &[Publish], deadline: Duration) -> Result<Vec<Ack>, BatchError> {
        if publishes.is_empty() {
            return Ok(Vec::new());
        }
        let storing = async {
            let _place = self.batch_places().acquire().await.map_err(|_| PublishError::Closed)?;
            self.store_batch(publishes, Instant::now() + deadline).await
        };
        let last = match tokio::time::timeout(deadline, storing).await {
            Ok(stored) => stored?,
            Err(_) => return Err(PublishError::TimedOut.into()),
        };
        let first = last + 1 - publishes.len() as u64;
        let ack = |seq| Ack {
            seq,
            duplicate: false,
            value: None,
        };
        Ok((first..=last).map(ack).collect())
    }

    /// Sends the batch until it is stored or refused; answers the sequence of its last message.
    async fn store_batch(&self, publishes: &[Publish], until: Instant) -> Result<u64, BatchError> {
        let mut incomplete = 0;
        loop {
            match self.try_batch(publishes).await {
                Tried::Stored(last) => return Ok(last),
                Tried::Refused(error) => return Err(error),
                Tried::Incomplete if incomplete == INCOMPLETE_MAX => {
                    return Err(BatchError::Unsupported {
                        code: INCOMPLETE,
                        description: "messages of it are missing at each try".into(),
                    });
                }
                Tried::Incomplete => incomplete += 1,
                Tried::Again => {}
            }
            if Instant::now() + AGAIN_WAIT >= until {
                return Err(PublishError::TimedOut.into());
            }
            tokio::time::sleep(AGAIN_WAIT).await;
        }
    }

    async fn try_batch(&self, publishes: &[Publish]) -> Tried {
        let batch = self.unique();
        let Some((last, before)) = publishes.split_last() else {
            return Tried::Again;
        };
        for (index, publish) in before.iter().enumerate() {
            let message = Numbered::new(&batch, index, publish);
            let tried = if index == 0 {
                // Its answer says whether the stream takes batches, before all of it is sent.
                match self.ask(&message, false).await {
                    Ok(answer) if answer.is_empty() => continue,
                    Ok(answer) => read_answer(&answer),
                    Err(tried) => tried,
                }
            } else {
                match self.tell(&message).await {
                    Ok(()) => continue,
                    Err(tried) => tried,
                }
            };
            return tried;
        }
        match self.ask(&Numbered::new(&batch, before.len(), last), true).await {
            Ok(answer) => read_answer(&answer),
            Err(tried) => tried,
        }
    }

    /// Sends a message of a batch of which the server says nothing.
    async fn tell(&self, message: &Numbered<'_>) -> Result<(), Tried> {
        let Publish { subject, body, .. } = message.publish;
        self.client()
            .publish_with_headers(subject.clone(), message.headers(false), body.clone())
            .await
            .map_err(|error| match error.kind() {
                PublishErrorKind::Send => Tried::Refused(PublishError::Closed.into()),
                PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => never(&error),
            })
    }

    /// Sends a message of a batch and waits for the answer, which is empty where there is nothing to say yet.
    async fn ask(&self, message: &Numbered<'_>, commit: bool) -> Result<Bytes, Tried> {
        if !self.is_connected() {
            return Err(Tried::Again);
        }
        let Publish { subject, body, .. } = message.publish;
        let request = async_nats::Request::new()
            .headers(message.headers(commit))
            .payload(body.clone())
            .timeout(Some(ANSWER_TIMEOUT));
        match self.client().send_request(subject.clone(), request).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) => Err(match error.kind() {
                // No leader just now, or an answer that was lost.
                RequestErrorKind::NoResponders | RequestErrorKind::TimedOut | RequestErrorKind::Other => Tried::Again,
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => never(&error),
            }),
        }
    }
}

/// A message with its place in a batch.
struct Numbered<'a> {
    batch: &'a str,
    index: usize,
    publish: &'a Publish,
}

impl<'a> Numbered<'a> {
    fn new(batch: &'a str, index: usize, publish: &'a Publish) -> Self {
        Self { batch, index, publish }
    }

    fn headers(&self, commit: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.publish.id {
            headers.insert(header::NATS_MESSAGE_ID, id.as_str());
        }
        for (name, value) in &self.publish.headers {
            headers.insert(*name, value.as_str());
        }
        headers.insert(header::NATS_BATCH_ID, self.batch);
        headers.insert(header::NATS_BATCH_SEQUENCE, (self.index + 1).to_string());
        if commit {
            headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_FINAL);
        }
        headers
    }
}

/// Sending it again cannot help.
fn never(error: &impl std::fmt::Display) -> Tried {
    Tried::Refused(BatchError::Publish(PublishError::Refused {
        code: 0,
        description: error.to_string(),
    }))
}

fn read_answer(answer: &[u8]) -> Tried {
    let error = match serde_json::from_slice::<Answer<'_>>(answer) {
        Ok(Answer { error: Some(error), .. }) => error,
        Ok(answer) => return Tried::Stored(answer.seq),
        Err(error) => return never(&format_args!("cannot read the server's answer: {error}")),
    };
    match error.err_code {
        REPEAT => Tried::Refused(BatchError::Repeat),
        INCOMPLETE => Tried::Incomplete,
        code if CROWDED.contains(&code) => Tried::Again,
        code if NOT_TAKEN.contains(&code) => Tried::Refused(BatchError::Unsupported {
            code,
            description: error.description.into_owned(),
        }),
        _ => match classify(&error) {
            Verdict::Done(Err(error)) => Tried::Refused(error.into()),
            Verdict::Done(Ok(ack)) => Tried::Stored(ack.seq),
            Verdict::Repeat | Verdict::Crossed => Tried::Again,
        },
    }
}
