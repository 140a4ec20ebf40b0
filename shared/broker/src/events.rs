//! Accepted events, read back from EVENTS.

use signalbox_proto::{Accepted, Event, subjects, wire};

use crate::{Broker, Error, Message, topology::is_missing};

/// nats-server `errors.json`: there is no message of this sequence.
const SEQUENCE_NOT_FOUND: u64 = 10_043;
/// What the server's stores say of a message that is gone; it comes under the code of every failed removal.
const GONE: [&str; 3] = ["no message found", "deleted message", "stream store EOF"];

impl Message {
    /// The event that a message of EVENTS holds.
    pub fn accepted(&self) -> Result<Accepted, wire::Error> {
        let event: Event = wire::decode(&self.body)?;
        Ok(Accepted {
            event,
            seq: self.place.seq,
            at: self.place.at,
        })
    }
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Messages in it.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first sequence still there.
    pub first_seq: u64,
    /// The last sequence given.
    pub last_seq: u64,
    /// What it may take, in bytes; `None` without a limit.
    pub bytes_max: Option<u64>,
    /// When it was made: the incarnation by which its sequences are told from a successor's.
    pub created: signalbox_proto::Timestamp,
}

impl Broker {
    /// How a stream stands that has to be there.
    pub async fn stream_state(&self, name: &str) -> Result<StreamState, Error> {
        let state = self.stream_state_if_any(name).await?;
        state.ok_or_else(|| Error::Request {
            what: format!("stream {name}"),
            reason: "there is none of this name".to_owned(),
        })
    }

    /// How a stream stands; `None` where there is none of this name.
    pub async fn stream_state_if_any(&self, name: &str) -> Result<Option<StreamState>, Error> {
        let stream = match self.jetstream().get_stream(name).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => {
                return Err(Error::Request {
                    what: format!("stream {name}"),
                    reason: error.to_string(),
                });
            }
        };
        let info = stream.cached_info();
        Ok(Some(StreamState {
            messages: info.state.messages,
            bytes: info.state.bytes,
            first_seq: info.state.first_sequence,
            last_seq: info.state.last_sequence,
            bytes_max: u64::try_from(info.config.max_bytes).ok().filter(|bytes| *bytes > 0),
            created: info.created.into(),
        }))
    }

    /// Removes messages of a stream: all of a subject, or all before a sequence.
    pub async fn purge(&self, stream: &str, subject: Option<&str>, before: Option<u64>) -> Result<u64, Error> {
        let mut body = serde_json::Map::new();
        if let Some(subject) = subject {
            body.insert("filter".into(), subject.into());
        }
        if let Some(before) = before {
            body.insert("seq".into(), before.into());
        }
        let answer = self
            .api(&format!("STREAM.PURGE.{stream}"), &serde_json::Value::Object(body))
            .await?;
        if let Some(error) = answer.get("error") {
            let reason = error["description"].as_str().unwrap_or_default().to_owned();
            return Err(Error::Request {
                what: format!("purge of {stream}"),
                reason,
            });
        }
        Ok(answer["purged"].as_u64().unwrap_or_default())
    }

    /// Removes one message of a stream. One that is gone already is no error.
    pub async fn remove(&self, stream: &str, seq: u64) -> Result<(), Error> {
        self.remove_as(stream, seq, true).await
    }

    /// The same, and its bytes on disk are written over.
    pub async fn erase(&self, stream: &str, seq: u64) -> Result<(), Error> {
        self.remove_as(stream, seq, false).await
    }

    async fn remove_as(&self, stream: &str, seq: u64, no_erase: bool) -> Result<(), Error> {
        let body = serde_json::json!({ "seq": seq, "no_erase": no_erase });
        let answer = self.api(&format!("STREAM.MSG.DELETE.{stream}"), &body).await?;
        let Some(error) = answer.get("error") else {
            return Ok(());
        };
        let reason = error["description"].as_str().unwrap_or_default();
        let gone = error["err_code"] == SEQUENCE_NOT_FOUND || GONE.iter().any(|word| reason.contains(word));
        if gone {
            return Ok(());
        }
        Err(Error::Request {
            what: format!("removal of message {seq} of {stream}"),
            reason: reason.to_owned(),
        })
    }

    /// Lets go of accepted events before this sequence.
    pub async fn purge_events(&self, before: u64) -> Result<u64, Error> {
        self.purge(subjects::EVENTS, None, Some(before)).await
    }
}
