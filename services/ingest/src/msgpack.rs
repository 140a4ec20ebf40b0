//! MessagePack, written as JSON.
//!
//! Source: msgpack/msgpack, `spec.md`. What JSON cannot hold is refused and named: extension types, numbers that
//! are none, keys that are no text. Bytes become base64 text.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use signalbox_proto::event::DEPTH_MAX;

use crate::{
    batch::{self, BATCH_EVENTS_MAX},
    input::{Rejection, Wrong},
};

/// Levels around the data of an event: a list of events, and an event.
const OUTER_LEVELS: usize = 2;
/// Characters that are shown of a key that is no text.
const SHOWN_CHARS_MAX: usize = 64;

/// A body of MessagePack, as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// One value that is no array.
    One(Bytes),
    /// The elements of an array.
    List(Vec<Result<Bytes, Rejection>>),
}

/// Whether a media type is that of MessagePack: the registered name, and those that were used before it.
pub(crate) fn is_msgpack(media: &str) -> bool {
    matches!(
        media,
        "application/msgpack" | "application/vnd.msgpack" | "application/x-msgpack"
    )
}

/// One value as JSON of at most so many bytes. `field` is what a rejection calls it.
pub(crate) fn to_json(bytes: &[u8], field: &str, json_bytes_max: usize) -> Result<Bytes, Rejection> {
    let mut reader = Reader::new(bytes, json_bytes_max);
    if !field.is_empty() {
        reader.path.push(Step::Root(field));
    }
    let json = reader.next()?;
    reader.end()?;
    json
}

/// A whole body: one event, or an array of them, each as JSON of at most so many bytes.
pub(crate) fn read(bytes: &[u8], json_bytes_max: usize) -> Result<Body, Rejection> {
    let mut reader = Reader::new(bytes, json_bytes_max);
    let Some(count) = reader.array_length()? else {
        return to_json(bytes, "", json_bytes_max).map(Body::One);
    };
    if count > BATCH_EVENTS_MAX {
        return Err(batch::too_many());
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(reader.next()?);
    }
    reader.end()?;
    Ok(Body::List(elements))
}

/// A step on the way from the whole to what is being read.
enum Step<'a> {
    Root(&'a str),
    Key(&'a str),
    Index(usize),
}

struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    json: Vec<u8>,
    json_bytes_max: usize,
    path: Vec<Step<'a>>,
    /// The first thing wrong with the value that is being read. What follows is read, so that the next value's
    /// begin is known, and not written.
    fault: Option<Rejection>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], json_bytes_max: usize) -> Self {
        Self {
            rest: bytes,
            length: bytes.len(),
            json: Vec::new(),
            json_bytes_max,
            path: Vec::new(),
            fault: None,
        }
    }

    /// The next value. The outer error is one behind which nothing can be read.
    fn next(&mut self) -> Result<Result<Bytes, Rejection>, Rejection> {
        self.value(DEPTH_MAX + OUTER_LEVELS)?;
        let json = std::mem::take(&mut self.json);
        Ok(match self.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(json.into()),
        })
    }

    fn end(&self) -> Result<(), Rejection> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(Rejection::malformed(format!(
                "{more} bytes follow the MessagePack value"
            ))),
        }
    }

    /// The length of the array that begins here, if one does.
    fn array_length(&mut self) -> Result<Option<usize>, Rejection> {
        let length = match self.rest.first() {
            Some(marker @ 0x90..=0x9f) => {
                let length = usize::from(marker & 0x0f);
                self.take(1)?;
                length
            }
            Some(0xdc) => {
                self.take(1)?;
                self.length(2)?
            }
            Some(0xdd) => {
                self.take(1)?;
                self.length(4)?
            }
            _ => return Ok(None),
        };
        Ok(Some(length))
    }

    fn value(&mut self, levels: usize) -> Result<(), Rejection> {
        let [marker] = self.fixed()?;
        match marker {
            0x00..=0x7f => self.write_number(marker),
            0x80..=0x8f => return self.map(usize::from(marker & 0x0f), levels),
            0x90..=0x9f => return self.array(usize::from(marker & 0x0f), levels),
            0xa0..=0xbf => {
                let text = self.take(usize::from(marker & 0x1f))?;
                self.write_text(text);
            }
            0xc0 => self.write(b"null"),
            0xc1 => {
                let at = self.length - self.rest.len() - 1;
                return Err(Rejection::malformed(format!(
                    "the body is not MessagePack: byte {at} is 0xc1"
                )));
            }
            0xc2 => self.write(b"false"),
            0xc3 => self.write(b"true"),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                let bytes = self.take(length)?;
                self.write_text(STANDARD.encode(bytes).as_bytes());
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (marker - 0xc7))?;
                self.extension(length)?;
            }
            0xca => {
                let value = f32::from_be_bytes(self.fixed()?);
                self.write_float(value.is_finite(), &value);
            }
            0xcb => {
                let value = f64::from_be_bytes(self.fixed()?);
                self.write_float(value.is_finite(), &value);
            }
            0xcc => {
                let [value] = self.fixed()?;
                self.write_number(value);
            }
            0xcd => {
                let value = u16::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xce => {
                let value = u32::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xcf => {
                let value = u64::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xd0 => {
                let value = i8::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xd1 => {
                let value = i16::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xd2 => {
                let value = i32::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xd3 => {
                let value = i64::from_be_bytes(self.fixed()?);
                self.write_number(value);
            }
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                let text = self.take(length)?;
                self.write_text(text);
            }
            0xdc | 0xdd => {
                let length = self.length(if marker == 0xdc { 2 } else { 4 })?;
                return self.array(length, levels);
            }
            0xde | 0xdf => {
                let length = self.length(if marker == 0xde { 2 } else { 4 })?;
                return self.map(length, levels);
            }
            0xe0..=0xff => self.write_number(i8::from_be_bytes([marker])),
        }
        Ok(())
    }

    fn array(&mut self, length: usize, levels: usize) -> Result<(), Rejection> {
        let levels = self.deeper(levels)?;
        self.write(b"[");
        for index in 0..length {
            if index > 0 {
                self.write(b",");
            }
            self.path.push(Step::Index(index));
            self.value(levels)?;
            self.path.pop();
        }
        self.write(b"]");
        Ok(())
    }

    fn map(&mut self, length: usize, levels: usize) -> Result<(), Rejection> {
        let levels = self.deeper(levels)?;
        self.write(b"{");
        for index in 0..length {
            if index > 0 {
                self.write(b",");
            }
            let key = self.key(levels)?;
            self.write(b":");
            self.path.push(Step::Key(key));
            self.value(levels)?;
            self.path.pop();
        }
        self.write(b"}");
        Ok(())
    }

    /// Reads and writes a key; one that is no text is a fault.
    fn key(&mut self, levels: usize) -> Result<&'a str, Rejection> {
        let before = self.rest;
        let start = self.json.len();
        self.value(levels)?;
        if let Some(0xa0..=0xbf | 0xd9..=0xdb) = before.first() {
            let read = before.len() - self.rest.len();
            let header = match before.first() {
                Some(0xd9) => 2,
                Some(0xda) => 3,
                Some(0xdb) => 5,
                _ => 1,
            };
            let text = before.get(header..read).unwrap_or_default();
            return Ok(std::str::from_utf8(text).unwrap_or_default());
        }
        if self.fault.is_none() {
            let written = self.json.get(start..).unwrap_or_default();
            let shown: String = String::from_utf8_lossy(written).chars().take(SHOWN_CHARS_MAX).collect();
            self.refuse(format!(
                "a map has the key {shown}, which is no text; JSON has no such keys"
            ));
        }
        Ok("")
    }

    fn extension(&mut self, length: usize) -> Result<(), Rejection> {
        let [kind] = self.fixed()?;
        let kind = i8::from_be_bytes([kind]);
        self.take(length)?;
        self.refuse(match kind {
            -1 => {
                "a MessagePack timestamp is not taken; send an RFC 3339 text, such as \"2026-01-02T03:04:05Z\"".into()
            }
            _ => format!("MessagePack extension type {kind} is not taken; send text, a number or bytes"),
        });
        Ok(())
    }

    fn write_float(&mut self, is_finite: bool, value: &impl serde::Serialize) {
        if is_finite {
            self.write_json(value);
        } else {
            self.refuse("a number is infinite or none (NaN); JSON has no such numbers".into());
        }
    }

    fn write_number(&mut self, value: impl serde::Serialize) {
        self.write_json(&value);
    }

    fn write_text(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.write_json(text),
            Err(_) => self.refuse("a text is not UTF-8; send bytes as the type bin".into()),
        }
    }

    fn write_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        if self.fault.is_some() {
            return;
        }
        if let Err(error) = serde_json::to_writer(&mut self.json, value) {
            self.refuse(error.to_string());
        }
        self.check_size();
    }

    fn write(&mut self, json: &[u8]) {
        if self.fault.is_none() {
            self.json.extend_from_slice(json);
            self.check_size();
        }
    }

    fn check_size(&mut self) {
        if self.json.len() > self.json_bytes_max {
            self.json.clear();
            self.fault = Some(Rejection {
                field: None,
                message: format!("as JSON the event has more than {} bytes", self.json_bytes_max),
                kind: Wrong::TooLarge,
            });
        }
    }

    /// Notes what is wrong here, unless something is already.
    fn refuse(&mut self, message: String) {
        if self.fault.is_some() {
            return;
        }
        self.json.clear();
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => field.push_str(&format!("[{index}]")),
                Step::Root(name) | Step::Key(name) => {
                    if !field.is_empty() {
                        field.push('.');
                    }
                    field.extend(name.chars().take(SHOWN_CHARS_MAX));
                }
            }
        }
        self.fault = Some(Rejection {
            field: (!field.is_empty()).then_some(field),
            message,
            kind: Wrong::Invalid,
        });
    }

    fn deeper(&self, levels: usize) -> Result<usize, Rejection> {
        levels
            .checked_sub(1)
            .ok_or_else(|| Rejection::invalid("data", format!("the data is nested deeper than {DEPTH_MAX} levels")))
    }

    /// A length of so many bytes: 1, 2 or 4.
    fn length(&mut self, bytes: usize) -> Result<usize, Rejection> {
        let bytes = self.take(bytes)?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Rejection> {
        let (fixed, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*fixed)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Rejection> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn cut_off() -> Rejection {
    Rejection::malformed("the body is not MessagePack: it ends within a value")
}

#[cfg(test)]
mod tests;
