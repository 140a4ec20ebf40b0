//! Reading streams without taking anything from them: dead letters, outcomes, what waits.

use std::ops::ControlFlow;

use async_nats::StatusCode;
use bytes::Bytes;
use futures::StreamExt;
use signalbox_proto::{
    DeadLetter, Timestamp,
    act::{Did, Mark},
    subjects, wire,
};

use crate::{
    Broker, Error, Message, Puller,
    topology::{Consumer, From},
};

/// Messages asked for at a time.
const BATCH: usize = 1_000;
/// Sequences looked at in the first step backwards.
const STEP: u64 = 200;
/// Sequences looked at in one step backwards at most.
const STEP_MAX: u64 = 100_000;
/// How long the server may take for one step.
const STEP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A message read by sequence, not delivered by a consumer.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The subject it is stored under.
    pub subject: String,
    /// Its sequence.
    pub seq: u64,
    /// When it was stored.
    pub at: Timestamp,
    /// Its bytes.
    pub body: Bytes,
}

/// A dead letter with its place and what was done to it since.
#[derive(Clone, Debug)]
pub struct Buried {
    /// Its sequence in DEAD, of which its id is made.
    pub seq: u64,
    /// When it was stored.
    pub at: Timestamp,
    /// The dead letter.
    pub letter: DeadLetter,
    /// When it was replayed.
    pub replayed_at: Option<Timestamp>,
    /// When it was given up.
    pub discarded_at: Option<Timestamp>,
}

/// The id under which users know a dead letter.
pub fn dead_letter_id(seq: u64) -> String {
    format!("dl_{seq}")
}

/// The sequence of a dead letter's id.
pub fn dead_letter_seq(id: &str) -> Option<u64> {
    id.strip_prefix("dl_")?.parse().ok()
}

/// What acts did to dead letters, by sequence.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    done: std::collections::HashMap<u64, (Option<Timestamp>, Option<Timestamp>)>,
}

impl Marks {
    /// Adds what one mark says.
    pub fn add(&mut self, mark: &Mark) {
        for seq in &mark.seqs {
            let entry = self.done.entry(*seq).or_default();
            match mark.did {
                Did::Replayed => entry.0 = Some(mark.at),
                Did::Discarded => entry.1 = Some(mark.at),
                Did::Intend | Did::Withdrawn | Did::Unknown => {}
            }
        }
    }

    /// When a dead letter was replayed and given up.
    pub fn of(&self, seq: u64) -> (Option<Timestamp>, Option<Timestamp>) {
        self.done.get(&seq).copied().unwrap_or_default()
    }

    /// Whether a dead letter is settled: nothing more is to be done to it.
    pub fn is_settled(&self, seq: u64) -> bool {
        let (replayed, discarded) = self.of(seq);
        replayed.is_some() || discarded.is_some()
    }
}

impl Broker {
    /// Reads a stream that is no work queue from a place up to its present end, in order.
    ///
    /// Returns how many messages `each` saw; it may stop early.
    pub async fn scan(
        &self,
        stream: &str,
        filters: Vec<String>,
        from: From,
        mut each: impl FnMut(Message) -> ControlFlow<()>,
    ) -> Result<u64, Error> {
        let mut puller = Puller::open(self, Consumer::follow(self, stream, filters, from)).await?;
        let mut seen = 0;
        while let Some(message) = puller.next_left(BATCH).await {
            seen += 1;
            if each(message).is_break() {
                break;
            }
        }
        puller.close().await;
        Ok(seen)
    }

    /// The next message of any stream, also a work queue, from a sequence on. One request, and the cheapest one there is:
    /// for where as a rule there is none.
    pub async fn next(&self, stream: &str, filter: &str, seq: u64) -> Result<Option<Stored>, Error> {
        let fail = |reason: String| Error::Request {
            what: format!("messages of {stream}"),
            reason,
        };
        let request = serde_json::json!({ "seq": seq.max(1), "next_by_subj": filter });
        let answer = self
            .client()
            .request(format!("$JS.API.DIRECT.GET.{stream}"), request.to_string().into())
            .await
            .map_err(|error| fail(error.to_string()))?;
        match answer.status {
            None => read_stored(&answer)
                .map(Some)
                .ok_or_else(|| fail("an answer without a place".into())),
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(status) => Err(fail(format!(
                "{} {}",
                status.as_u16(),
                answer.description.unwrap_or_default()
            ))),
        }
    }

    /// Reads up to `count` messages of any stream, also a work queue, from a sequence on, by subject.
    pub async fn read_from(&self, stream: &str, filter: &str, seq: u64, count: usize) -> Result<Vec<Stored>, Error> {
        let fail = |reason: String| Error::Request {
            what: format!("messages of {stream}"),
            reason,
        };
        let inbox = self.client().new_inbox();
        let mut answers = self
            .client()
            .subscribe(inbox.clone())
            .await
            .map_err(|error| fail(error.to_string()))?;
        let request = serde_json::json!({ "seq": seq.max(1), "next_by_subj": filter, "batch": count });
        self.client()
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{stream}"),
                inbox,
                Bytes::from(request.to_string()),
            )
            .await
            .map_err(|error| fail(error.to_string()))?;
        let mut stored = Vec::new();
        loop {
            let answer = tokio::time::timeout(STEP_TIMEOUT, answers.next())
                .await
                .map_err(|_| fail("no answer in time".into()))?
                .ok_or_else(|| fail("the subscription ended".into()))?;
            match answer.status {
                None => stored.push(read_stored(&answer).ok_or_else(|| fail("an answer without a place".into()))?),
                // 204 ends a batch; 404: there is nothing.
                Some(status) if status.as_u16() == 204 || status == StatusCode::NOT_FOUND => return Ok(stored),
                Some(status) => {
                    return Err(fail(format!(
                        "{} {}",
                        status.as_u16(),
                        answer.description.unwrap_or_default()
                    )));
                }
            }
            if stored.len() >= count {
                return Ok(stored);
            }
        }
    }

    /// Reads all of a work queue, one part after another.
    pub async fn scan_queue(&self, stream: &str, filter: &str, mut each: impl FnMut(Stored)) -> Result<(), Error> {
        let mut next = 1;
        loop {
            // The server ends a part before `BATCH` where its bytes are many: only an empty one is the end.
            let part = self.read_from(stream, filter, next, BATCH).await?;
            let Some(last) = part.last() else { return Ok(()) };
            next = last.seq + 1;
            part.into_iter().for_each(&mut each);
        }
    }

    /// Reads messages of a stream backwards from `before` (exclusive; `None` for the end), newest
    /// first, until `each` says that it has enough.
    pub async fn read_back(
        &self,
        stream: &str,
        filter: &str,
        before: Option<u64>,
        mut each: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let state = self.stream_state(stream).await?;
        let mut high = before.unwrap_or(u64::MAX).min(state.last_seq + 1);
        let mut step = STEP;
        while high > state.first_seq.max(1) {
            let low = high.saturating_sub(step).max(state.first_seq).max(1);
            let part = self.read_between(stream, filter, low, high).await?;
            // What is rare is looked for in long steps, what is frequent in short ones.
            step = match part.len() {
                0..=9 => (step * 4).min(STEP_MAX),
                10..=199 => step,
                _ => (step / 4).max(1),
            };
            for stored in part.into_iter().rev() {
                if each(stored).is_break() {
                    return Ok(());
                }
            }
            high = low;
        }
        Ok(())
    }

    /// All messages from `low` on, before `high`.
    async fn read_between(&self, stream: &str, filter: &str, low: u64, high: u64) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::new();
        let mut next = low;
        while next < high {
            let count = usize::try_from(high - next).unwrap_or(BATCH).min(BATCH);
            let part = self.read_from(stream, filter, next, count).await?;
            let Some(last) = part.last() else { break };
            next = last.seq + 1;
            found.extend(part.into_iter().filter(|stored| stored.seq < high));
        }
        Ok(found)
    }

    /// All marks that acts have left in DEAD.
    pub async fn marks(&self) -> Result<Marks, Error> {
        let mut marks = Marks::default();
        self.scan(
            subjects::DEAD,
            vec![subjects::DEAD_MARKS.to_owned()],
            From::Seq(1),
            |message| {
                match wire::decode::<Mark>(&message.body) {
                    Ok(mark) => marks.add(&mark),
                    Err(error) => tracing::error!(%error, "cannot read a mark in DEAD"),
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        Ok(marks)
    }

    /// One dead letter; `None` where DEAD has no such message.
    pub async fn dead_letter(&self, seq: u64) -> Result<Option<Buried>, Error> {
        let found = self.next(subjects::DEAD, subjects::DEAD_ALL, seq).await?;
        let Some(stored) = found.filter(|stored| stored.seq == seq) else {
            return Ok(None);
        };
        let (replayed_at, discarded_at) = self.marks().await?.of(seq);
        Ok(Some(Buried {
            seq,
            at: stored.at,
            letter: wire::decode(&stored.body)?,
            replayed_at,
            discarded_at,
        }))
    }
}

fn read_stored(answer: &async_nats::Message) -> Option<Stored> {
    let headers = answer.headers.as_ref()?;
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    Some(Stored {
        subject: header("Nats-Subject")?.to_owned(),
        seq: header("Nats-Sequence")?.parse().ok()?,
        at: header("Nats-Time-Stamp")?.parse().ok()?,
        body: answer.payload.clone(),
    })
}
