//! Messages as their bytes, for those that the client library cannot read.
//!
//! The server stores whatever bytes a producer gives as subject and headers. The library drops its
//! connection when one of some kinds is delivered to it, and so never gets past it. The JetStream API
//! answers with any message as JSON, which comes through.

use std::str::FromStr;

use async_nats::{HeaderName, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use crate::{Broker, Error};

/// What a block of headers begins with.
const VERSION: &str = "NATS/1.0";
/// The server's code where no message is at a sequence or behind it.
const NO_MESSAGE: u64 = 10_037;

/// A message of a stream, nothing in it interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The subject it is stored under. The server puts U+FFFD for what is not UTF-8.
    pub subject: String,
    /// Its sequence.
    pub seq: u64,
    /// When it was stored.
    pub at: Timestamp,
    /// The block of headers, version line included; empty where it has none.
    pub headers: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Raw {
    /// Why the client library would drop its connection when this is delivered; `None` where it would not.
    ///
    /// This repeats what async-nats 0.51 asks of `MSG` and `HMSG` in `connection.rs`. A subject that truly
    /// has U+FFFD is taken for one that is not UTF-8: the server's answer does not tell them apart.
    pub fn fault(&self) -> Option<&'static str> {
        if self.subject.contains(char::REPLACEMENT_CHARACTER) {
            return Some("the subject is not UTF-8");
        }
        if self.headers.is_empty() {
            return None;
        }
        if self.subject.contains(char::is_whitespace) {
            return Some("the subject has white space");
        }
        let Ok(text) = std::str::from_utf8(&self.headers) else {
            return Some("the headers are not UTF-8");
        };
        let mut lines = text.lines().peekable();
        let Some(version) = lines.next().and_then(|line| line.strip_prefix(VERSION)) else {
            return Some("the headers do not begin with NATS/1.0");
        };
        let status = version.trim().split(' ').next().unwrap_or_default();
        if !status.is_empty() && StatusCode::from_str(status).is_err() {
            return Some("the status in the first line of the headers is no status");
        }
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            let Some((name, _)) = line.split_once(':') else {
                return Some("a line of the headers has no colon");
            };
            if HeaderName::from_str(name).is_err() {
                return Some("a header's name has characters that none may have");
            }
            // A value goes on over lines that begin with white space.
            while lines.next_if(|line| line.starts_with(char::is_whitespace)).is_some() {}
        }
        None
    }

    /// The headers that can be read as such, what is not UTF-8 in their values replaced.
    pub fn header_list(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.headers);
        text.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| HeaderName::from_str(name).is_ok())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    }
}

impl Broker {
    /// The first message of a stream at this sequence or behind it, whatever its bytes; `None` where
    /// there is none.
    pub async fn read_raw(&self, stream: &str, seq: u64) -> Result<Option<Raw>, Error> {
        let subject = format!("STREAM.MSG.GET.{stream}");
        let request = json!({ "seq": seq.max(1), "next_by_subj": ">" });
        let answer = self.api(&subject, &request).await?;
        if answer["error"]["err_code"] == NO_MESSAGE {
            return Ok(None);
        }
        let fail = |reason: &str| Error::Request {
            what: subject.clone(),
            reason: reason.to_owned(),
        };
        if let Some(error) = answer.get("error") {
            return Err(fail(error["description"].as_str().unwrap_or_default()));
        }
        let raw = read(&answer["message"]).ok_or_else(|| fail("the answer holds no message"))?;
        Ok(Some(raw))
    }
}

/// The message in the server's answer.
fn read(message: &Value) -> Option<Raw> {
    let bytes = |field: &str| match &message[field] {
        Value::Null => Some(Vec::new()),
        value => STANDARD.decode(value.as_str()?).ok(),
    };
    Some(Raw {
        subject: message["subject"].as_str()?.to_owned(),
        seq: message["seq"].as_u64()?,
        at: message["time"].as_str()?.parse().ok()?,
        headers: bytes("hdrs")?,
        body: bytes("data")?,
    })
}
