//! Following a stream live, and reading what waits in a queue from a time on.
//!
//! A [`Follower`] is a reader's own ephemeral view: it takes nothing away, passes each message once and in order
//! through lost connections and new leaders, and is forgotten by the server when it is dropped.

use futures::StreamExt;
use signalbox_proto::Timestamp;
use tokio::sync::mpsc;

use crate::{
    Broker, Error, Message, Puller,
    browse::Stored,
    topology::{Consumer, From},
};

/// Messages that are under way to a follower at most. Few, because one may have several hundred kilobytes and
/// nobody says how quickly a reader reads.
const AHEAD: usize = 32;
/// Messages of a queue asked for at a time.
const BATCH: usize = 1_000;

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind what the stream holds now.
    End,
    /// Behind the message with this sequence.
    After(u64),
    /// With the first message stored at or after this time.
    Time(Timestamp),
}

/// The messages of a stream as they come.
#[derive(Debug)]
pub struct Follower {
    /// Taken when it is dropped.
    puller: Option<Puller>,
    ahead: usize,
}

impl Follower {
    /// The same with so many messages under way at most, for a reader that is known to be quick.
    #[must_use]
    pub fn ahead(self, ahead: usize) -> Self {
        let mut follower = self;
        follower.ahead = ahead;
        follower
    }

    /// The next message; waits for as long as none comes.
    ///
    /// Safe to cancel: a message is either returned or still waiting inside.
    pub async fn next(&mut self) -> Message {
        match &mut self.puller {
            Some(puller) => puller.next(self.ahead).await,
            None => std::future::pending().await,
        }
    }

    /// Messages that were there at the start and have not been returned yet.
    pub fn left(&self) -> u64 {
        self.puller.as_ref().map_or(0, Puller::left)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the server forgets the consumer a minute later.
        if let (Some(puller), Ok(runtime)) = (self.puller.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(puller.close()));
        }
    }
}

/// What a consumer that follows finds of each subject at the start, and then what comes, as changes; `complete` once
/// all that was there has been said. The task ends when the receiver is dropped.
pub(crate) async fn last_of_each<T: Send + 'static>(
    broker: &Broker,
    consumer: Consumer,
    changes_max: usize,
    batch: usize,
    read: fn(&Message) -> Option<T>,
    complete: T,
) -> Result<mpsc::Receiver<T>, Error> {
    let mut puller = Puller::open(broker, consumer).await?;
    let (changes, receiver) = mpsc::channel(changes_max);
    tokio::spawn(async move {
        let mut complete = Some(complete);
        loop {
            if puller.left() == 0
                && let Some(complete) = complete.take()
                && changes.send(complete).await.is_err()
            {
                return;
            }
            let message = tokio::select! {
                message = puller.next(batch) => message,
                () = changes.closed() => return,
            };
            if let Some(change) = read(&message)
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

impl Broker {
    /// Follows a stream from a place on. What is stored after this returns is seen.
    pub async fn follow(&self, stream: &str, filters: Vec<String>, start: Start) -> Result<Follower, Error> {
        let from = match start {
            Start::End => From::Seq(self.stream_state(stream).await?.last_seq + 1),
            Start::After(seq) => From::Seq(seq.saturating_add(1)),
            Start::Time(at) => From::Time(at),
        };
        let puller = Puller::open(self, Consumer::follow(self, stream, filters, from)).await?;
        Ok(Follower {
            puller: Some(puller),
            ahead: AHEAD,
        })
    }

    /// Reads what a work queue holds of what was stored at or after a time, one part after another.
    pub async fn scan_queue_since(
        &self,
        stream: &str,
        filter: &str,
        since: Timestamp,
        mut each: impl FnMut(Stored),
    ) -> Result<(), Error> {
        let Some(mut next) = self.first_at(stream, filter, since).await? else {
            return Ok(());
        };
        loop {
            // The server ends a part before `BATCH` where its bytes are many: only an empty one is the end.
            let part = self.read_from(stream, filter, next, BATCH).await?;
            let Some(last) = part.last() else { return Ok(()) };
            next = last.seq + 1;
            part.into_iter().for_each(&mut each);
        }
    }

    /// The sequence of the first message stored at or after a time; `None` where there is none.
    pub async fn first_at(&self, stream: &str, filter: &str, since: Timestamp) -> Result<Option<u64>, Error> {
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
        let request = serde_json::json!({ "start_time": since, "next_by_subj": filter, "batch": 1 });
        self.client()
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{stream}"),
                inbox,
                request.to_string().into(),
            )
            .await
            .map_err(|error| fail(error.to_string()))?;
        let answer = tokio::time::timeout(crate::REQUEST_TIMEOUT, answers.next())
            .await
            .map_err(|_| fail("no answer in time".into()))?
            .ok_or_else(|| fail("the subscription ended".into()))?;
        match answer.status {
            None => {
                let seq = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence"));
                seq.and_then(|seq| seq.as_str().parse().ok())
                    .map(Some)
                    .ok_or_else(|| fail("an answer without a place".into()))
            }
            // 204 ends a batch; 404: there is nothing.
            Some(status) if matches!(status.as_u16(), 204 | 404) => Ok(None),
            Some(status) => Err(fail(format!(
                "{} {}",
                status.as_u16(),
                answer.description.unwrap_or_default()
            ))),
        }
    }
}
