//! A mail as it is sent: headers and two alternatives, the text first.
//!
//! Nothing that an event brings can become a header, another part, or the end of the message. Texts are one line before they
//! come here; what is not plain ASCII, or looks like an encoded word, is encoded (RFC 2047); each alternative is in
//! quoted-printable or base64, in which the boundary between them cannot stand. All lines are short and end in CRLF.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lettre::message::{
    Body, Mailbox, Message, MultiPart, SinglePart,
    header::{ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue},
};
use signalbox_proto::Timestamp;
use time::OffsetDateTime;

use super::message::Page;
use crate::display::text;

/// Characters of a header's line that holds an encoded word (RFC 2047, section 2); others are held to the same.
const LINE_CHARS_MAX: usize = 76;
/// Longest word of a subject that is sent as it is.
const WORD_CHARS_MAX: usize = 60;
/// Around the base64 of an encoded word.
const ENCODED: (&str, &str) = ("=?utf-8?B?", "?=");
/// One more byte in so many that is no ASCII, and base64 is shorter than quoted-printable.
const BASE64_FROM: usize = 6;
const SUBJECT: HeaderName = HeaderName::new_from_ascii_str("Subject");
const MESSAGE_ID: HeaderName = HeaderName::new_from_ascii_str("Message-ID");
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// Whom a mail is from and to, and what makes it one of its own.
pub(super) struct Head<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) to: Vec<&'a Mailbox>,
    /// The delivery's id: letters, digits, `-` and `_`.
    pub(super) id: &'a str,
    pub(super) date: Timestamp,
}

/// Writes a mail. The same head and page make the same bytes.
pub(super) fn write(head: Head<'_>, page: Page) -> Bytes {
    let id = token(head.id);
    let domain = head.from.email.domain();
    let mut builder = Message::builder().from(head.from.clone());
    for mailbox in head.to {
        builder = builder.to(mailbox.clone());
    }
    // Such a boundary is no quoted-printable (RFC 2045, section 6.7) and no base64.
    let boundary = format!("=_signalbox_{}", id.get(..40).unwrap_or(&id));
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(part(ContentType::TEXT_PLAIN, page.text))
        .singlepart(part(ContentType::TEXT_HTML, page.html));
    let message = builder
        .raw_header(HeaderValue::dangerous_new_pre_encoded(
            SUBJECT,
            page.subject.clone(),
            unstructured(&page.subject, SUBJECT.len() + 2),
        ))
        .header(Date::new(date(head.date)))
        .raw_header(plain(MESSAGE_ID, format!("<{id}@{domain}>")))
        // RFC 3834: no answer of a machine is to come back.
        .raw_header(plain(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .multipart(parts);
    message.expect("a sender and a recipient are there").formatted().into()
}

fn plain(name: HeaderName, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
}

/// Ids are tokens; should one not be, it becomes one.
fn token(id: &str) -> String {
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// Dates of mails begin in 1970, as far as their writer is concerned.
fn date(at: Timestamp) -> SystemTime {
    let at = at.max(Timestamp::from_secs(0));
    SystemTime::from(OffsetDateTime::from(at))
}

fn part(content_type: ContentType, text: String) -> SinglePart {
    let odd = text.bytes().filter(|byte| !byte.is_ascii()).count();
    let encoding = if odd * BASE64_FROM > text.len() {
        ContentTransferEncoding::Base64
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    let body = Body::new_with_encoding(text, encoding).expect("both encodings take every text");
    SinglePart::builder().header(content_type).body(body)
}

/// The value of a header that is free text, one line, behind a name of so many characters: folded, and encoded where it
/// must be.
fn unstructured(text: &str, name_chars: usize) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        // Else a reader would decode what somebody wrote into an event.
        && !text.contains("=?")
        && text.split(' ').all(|word| !word.is_empty() && word.len() <= WORD_CHARS_MAX);
    if is_plain {
        folded(text, name_chars)
    } else {
        encoded(text, name_chars)
    }
}

fn folded(text: &str, name_chars: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut used = name_chars;
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            if used + 1 + word.len() > LINE_CHARS_MAX {
                out.push_str("\r\n");
                used = 0;
            }
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += word.len();
    }
    out
}

/// Encoded words, each of whole characters as they are seen.
fn encoded(text: &str, name_chars: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (open, close) = ENCODED;
    let mut rest = text;
    let mut used = name_chars;
    while !rest.is_empty() {
        let room = (LINE_CHARS_MAX - used - open.len() - close.len()) / 4 * 3;
        let (word, behind) = rest.split_at(beginning(rest, room));
        if !out.is_empty() {
            out.push_str("\r\n ");
        }
        out.push_str(open);
        STANDARD.encode_string(word, &mut out);
        out.push_str(close);
        rest = behind;
        // The space that a folded line begins with.
        used = 1;
    }
    out
}

/// How many bytes of a text's beginning fit, at least one character; a sign that is made of several is not parted if it
/// fits.
fn beginning(text: &str, bytes_max: usize) -> usize {
    if text.len() <= bytes_max {
        return text.len();
    }
    let whole = text.floor_char_boundary(bytes_max);
    match text::border(text, whole) {
        0 => whole,
        border => border,
    }
}

#[cfg(test)]
mod tests;
