//! Acts in the bucket STATE: listed, numbered, forgotten; and the end of what they read.

use std::{ops::ControlFlow, time::Duration};

use signalbox_proto::{
    Timestamp,
    act::{self, Act},
    subjects, wire,
};

use async_nats::jetstream::kv::PurgeErrorKind;

use crate::{Broker, Error, kv::Entry, topology::From};

/// Times that a generation is drawn again because another drew one meanwhile.
const DRAW_TRIES: usize = 64;
/// The server's code for a stream that has no such message.
const NO_MESSAGE: u64 = 10_037;
/// How long followers of the bucket can see that an act was forgotten.
const FORGOTTEN_TTL: Duration = Duration::from_secs(60);

impl Broker {
    /// All acts, in the order in which they last changed. Those that this version cannot read are left out.
    pub async fn acts(&self) -> Result<Vec<Entry<Act>>, Error> {
        let mut acts = Vec::new();
        self.scan(
            &format!("KV_{}", subjects::STATE),
            vec![format!("$KV.{}.{}", subjects::STATE, subjects::act_key("*"))],
            From::LastPerSubject,
            |message| {
                // What was forgotten leaves an empty message for a moment.
                if !message.body.is_empty() {
                    match wire::decode::<Act>(&message.body) {
                        Ok(value) => acts.push(Entry {
                            value,
                            revision: message.place.seq,
                        }),
                        Err(error) => tracing::error!(%error, key = %message.subject, "cannot read an act"),
                    }
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        Ok(acts)
    }

    /// Draws the generation of a replay that is asked for now: higher than all that were drawn before.
    pub async fn draw_generation(&self, now: Timestamp) -> Result<u32, Error> {
        let key = subjects::generation_key();
        for _ in 0..DRAW_TRIES {
            let last = self.get::<u32>(subjects::STATE, key).await?;
            let (last, revision) = last.map_or((0, 0), |entry| (entry.value, entry.revision));
            let next = act::generation(last, now);
            match self.update(subjects::STATE, key, &next, revision).await {
                Ok(_) => return Ok(next),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { key: key.to_owned() })
    }

    /// The sequence of the next message of a stream on these subjects, from a sequence on, asked of the stream's leader.
    ///
    /// What reads a stream in parts asks any replica, and one that is behind says that there is nothing more: only the
    /// leader knows the end.
    pub async fn next_at_leader(&self, stream: &str, subject: &str, seq: u64) -> Result<Option<u64>, Error> {
        let body = serde_json::json!({ "seq": seq.max(1), "next_by_subj": subject });
        let answer = self.api(&format!("STREAM.MSG.GET.{stream}"), &body).await?;
        match (answer["message"]["seq"].as_u64(), answer["error"]["err_code"].as_u64()) {
            (Some(seq), _) => Ok(Some(seq)),
            (None, Some(NO_MESSAGE)) => Ok(None),
            (None, _) => Err(Error::Request {
                what: format!("messages of {stream}"),
                reason: answer["error"]["description"]
                    .as_str()
                    .unwrap_or("an answer without a message")
                    .to_owned(),
            }),
        }
    }

    /// Forgets an act as it is at this revision; [`Error::Conflict`] where it moved on.
    pub async fn forget_act(&self, id: &str, revision: u64) -> Result<(), Error> {
        let key = subjects::act_key(id);
        let store = self.bucket(subjects::STATE).await?;
        let forgotten = store
            .purge_expect_revision_with_ttl(&key, revision, FORGOTTEN_TTL)
            .await;
        forgotten.map_err(|error| match error.kind() {
            PurgeErrorKind::WrongLastRevision => Error::Conflict { key },
            _ => Error::Kv {
                what: format!("forget {key}"),
                bucket: subjects::STATE,
                reason: error.to_string(),
            },
        })
    }
}
