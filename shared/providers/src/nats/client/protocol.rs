//! The protocol of NATS clients, as far as it takes to publish: lines, some with a body behind them.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::Error;

/// Longest line that a server may send, in bytes: what it tells of a cluster is the longest.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Largest message that a server may send, in bytes: acknowledgements have some hundred.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a server says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) headers: bool,
    pub(super) max_payload: usize,
    pub(super) tls_required: bool,
    /// What a key is to sign.
    pub(super) nonce: String,
    /// Whether it is about to leave.
    pub(super) ldm: bool,
}

/// What we say of ourselves, secrets among it: it is not printed.
#[derive(Default, Serialize)]
pub(super) struct Connect<'a> {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) tls_required: bool,
    pub(super) name: &'static str,
    pub(super) lang: &'static str,
    pub(super) version: &'static str,
    pub(super) protocol: u8,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sig: Option<String>,
}

/// What a server sends.
#[derive(Debug)]
pub(super) enum Op {
    Info(Box<Info>),
    Message(Message),
    Ping,
    Pong,
    /// A command was taken.
    Ok,
    /// Something is wrong, in the server's words.
    Error(String),
}

/// A message that a server passes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    /// The block of headers, from its version on; empty where there are none.
    pub(super) headers: Bytes,
    pub(super) body: Bytes,
}

impl Message {
    /// The server's word that nobody listens to what was published.
    pub(super) fn is_no_responders(&self) -> bool {
        self.body.is_empty() && self.headers.starts_with(b"NATS/1.0 503")
    }
}

/// A line that announces a message.
struct Announced {
    subject: String,
    headers_bytes: usize,
    bytes: usize,
}

/// Takes the next thing that a server said out of what was read; `None` where it is not whole yet.
pub(super) fn next(read: &mut BytesMut) -> Result<Option<Op>, Error> {
    let Some(end) = read.windows(2).position(|pair| pair == b"\r\n") else {
        return match read.len() {
            0..=LINE_BYTES_MAX => Ok(None),
            _ => Err(Error::Protocol("a line without an end")),
        };
    };
    if end > LINE_BYTES_MAX {
        return Err(Error::Protocol("a line without an end"));
    }
    let line = std::str::from_utf8(&read[..end]).map_err(|_| Error::Protocol("a line that is no text"))?;
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let rest = rest.trim();
    let op = match verb.to_ascii_uppercase().as_str() {
        "MSG" | "HMSG" => {
            let announced = announced(verb.len() == 4, rest)?;
            return Ok(message(read, end, announced)?.map(Op::Message));
        }
        "INFO" => {
            let info = serde_json::from_str(rest).map_err(|_| Error::Protocol("an INFO that is not JSON"))?;
            Op::Info(Box::new(info))
        }
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        "+OK" => Op::Ok,
        "-ERR" => Op::Error(rest.trim_matches('\'').to_owned()),
        _ => return Err(Error::Protocol("a line of another protocol")),
    };
    read.advance(end + 2);
    Ok(Some(op))
}

/// Reads `subject sid [reply] [header bytes] bytes`.
fn announced(has_headers: bool, line: &str) -> Result<Announced, Error> {
    let wrong = || Error::Protocol("a message without its size");
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut size = || {
        words
            .pop()
            .and_then(|word| word.parse::<usize>().ok())
            .ok_or_else(wrong)
    };
    let bytes = size()?;
    let headers_bytes = if has_headers { size()? } else { 0 };
    if bytes > MESSAGE_BYTES_MAX {
        return Err(Error::Protocol("a message that is larger than any acknowledgement"));
    }
    match words.as_slice() {
        [subject, _sid] | [subject, _sid, _] if headers_bytes <= bytes => Ok(Announced {
            subject: (*subject).to_owned(),
            headers_bytes,
            bytes,
        }),
        _ => Err(wrong()),
    }
}

/// Takes a message out of what was read, where it has come whole.
fn message(read: &mut BytesMut, line_end: usize, announced: Announced) -> Result<Option<Message>, Error> {
    let Announced {
        subject,
        headers_bytes,
        bytes,
    } = announced;
    let begin = line_end + 2;
    if read.len() < begin + bytes + 2 {
        return Ok(None);
    }
    if &read[begin + bytes..begin + bytes + 2] != b"\r\n" {
        return Err(Error::Protocol("a message of another size than announced"));
    }
    read.advance(begin);
    let headers = read.split_to(headers_bytes).freeze();
    let body = read.split_to(bytes - headers_bytes).freeze();
    read.advance(2);
    Ok(Some(Message { subject, headers, body }))
}

#[cfg(test)]
mod tests;
