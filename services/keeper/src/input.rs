//! Inputs that were rejected, made ready to be sent in again.
//!
//! Pure. An input keeps its identity, or gets one from its dead letter: sent in twice, it is one event,
//! and it is found again among the accepted ones.

use bytes::Bytes;
use signalbox_proto::{Event, Name, act, dead, dead::Input, hash, subjects};

/// What the server counts of a header besides its name and value, and of the block around all of them.
const HEADER_BYTES: usize = 4;
const HEADERS_BYTES: usize = 12;
/// The header that names the act, and its value, a UUID.
const ACT_BYTES: usize = act::HEADER.len() + 36 + HEADER_BYTES;

/// An input as it is sent in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) subject: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// The event that it becomes, if it becomes one.
    identity: Option<Identity>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    org: Name,
    source: String,
    id: String,
}

/// Prepares the input of a dead letter; the error is what its owner is told.
pub(crate) fn again(seq: u64, input: Input) -> Result<Again, String> {
    if !input.subject.starts_with(subjects::INPUT_PREFIX) {
        return Err("this message was found unreadable behind ingest; it cannot be sent in again".into());
    }
    let message_id = header(&input.headers, "nats-msg-id").map(encoded);
    let is_structured = header(&input.headers, "content-type").is_some_and(|value| {
        let media = value.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/cloudevents+json")
    });
    // The server's own headers are not ours to send.
    let mut headers = input.headers;
    headers.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        // It may have been refused in another act.
        !name.starts_with("nats-") && name != act::HEADER
    });
    if header(&headers, "ce-id").is_none() && !is_structured {
        let derived = || hash::parts([b"replayed input", &seq.to_be_bytes()]);
        headers.push(("ce-id".into(), message_id.unwrap_or_else(derived)));
    }
    if let Some((name, _)) = headers.iter().find(|(name, value)| !is_sendable(name, value)) {
        return Err(format!("its header {name:?} cannot be sent again"));
    }
    let bytes = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + HEADER_BYTES)
        .sum::<usize>();
    if HEADERS_BYTES + bytes + ACT_BYTES + input.body.len() > dead::INPUT_BYTES_MAX {
        return Err(format!(
            "with its headers it has more than {} bytes",
            dead::INPUT_BYTES_MAX
        ));
    }
    Ok(Again {
        identity: identity(&input.subject, &headers, is_structured.then_some(&input.body)),
        subject: input.subject,
        headers,
        body: input.body.into(),
    })
}

impl Again {
    /// Whether an accepted event is what became of this input.
    pub(crate) fn became(&self, event: &Event) -> bool {
        self.identity.as_ref().is_some_and(|identity| {
            identity.id == event.id && identity.source == event.source && identity.org == event.org
        })
    }

    /// Whether the input of a later dead letter is this one, rejected again.
    pub(crate) fn is(&self, input: &Input) -> bool {
        let id = |headers: &[(String, String)]| header(headers, "ce-id").map(str::to_owned);
        self.subject == input.subject && self.body == input.body && id(&self.headers) == id(&input.headers)
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Whether the protocol can carry a header: visible ASCII but a colon in its name, no line end in its value.
fn is_sendable(name: &str, value: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    !name.is_empty() && name.bytes().all(visible) && !value.contains(['\r', '\n'])
}

/// Who the event is, as ingest reads it: a `ce-` header before the body before the default.
fn identity(subject: &str, headers: &[(String, String)], structured: Option<&Vec<u8>>) -> Option<Identity> {
    let (org, _) = subjects::read_input(subject).ok()?;
    let body: Option<serde_json::Value> = structured.and_then(|body| serde_json::from_slice(body).ok());
    let of_body = |name: &str| match body.as_ref()?.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    };
    let attribute = |name: &str| match header(headers, &format!("ce-{name}")) {
        Some(value) => decoded(value),
        None => of_body(name),
    };
    let source = attribute("source").unwrap_or_else(|| Event::default_source(&org));
    Some(Identity {
        source,
        id: attribute("id")?,
        org,
    })
}

/// Percent-encodes what a `ce-` header does not carry as it is.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@+=".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The value of a `ce-` header: between double quotes or not, percent-decoded.
fn decoded(value: &str) -> Option<String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = escaped.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
