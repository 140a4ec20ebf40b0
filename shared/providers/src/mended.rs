//! JSON of which only the beginning was read. An answer that repeats a long text may be larger than is taken of it, and what
//! matters of it often stands before that text: a cut answer is closed behind the last thing that can be kept.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::http::Response;

/// A list that a target answered.
#[derive(Debug)]
pub(crate) struct List<T> {
    /// Its items. Of a list that was cut the last one may lack what came late in it.
    pub(crate) items: Vec<T>,
    /// Whether there was more of it.
    pub(crate) cut: bool,
}

/// An answer that is an object of this form, as far as it was read.
pub(crate) fn object<T: DeserializeOwned>(response: &Response) -> Option<T> {
    read(response, b'{')
}

/// An answer that is a list, as far as it was read. Each member of its items may be missing.
pub(crate) fn list<T: DeserializeOwned>(response: &Response) -> Option<List<T>> {
    let items = read(response, b'[')?;
    let cut = response.truncated;
    Some(List { items, cut })
}

fn read<T: DeserializeOwned>(response: &Response, opens: u8) -> Option<T> {
    let body = response.body.trim_ascii_start();
    if body.first() != Some(&opens) {
        return None;
    }
    let body = match response.truncated {
        true => Cow::Owned(mend(body)),
        false => Cow::Borrowed(body),
    };
    serde_json::from_slice(&body).ok()
}

/// Closes JSON that was cut somewhere.
fn mend(cut: &[u8]) -> Vec<u8> {
    let mut open = Vec::new();
    // How much of it can be kept so far, with what is open there.
    let mut kept = 0;
    let mut is_name = false;
    let mut at = 0;
    while let Some(byte) = cut.get(at) {
        let end = match byte {
            b'{' | b'[' => {
                is_name = *byte == b'{';
                open.push(if is_name { b'}' } else { b']' });
                kept = at + 1;
                kept
            }
            b'}' | b']' => {
                open.pop();
                kept = at + 1;
                kept
            }
            b',' => {
                is_name = open.last() == Some(&b'}');
                at + 1
            }
            b':' => {
                is_name = false;
                at + 1
            }
            b'"' => match text_end(cut, at) {
                (end, true) => {
                    if !is_name {
                        kept = end;
                    }
                    end
                }
                (_, false) if is_name => break,
                (end, false) => return closed(cut, end, Some(b'"'), &open),
            },
            byte if byte.is_ascii_whitespace() => at + 1,
            // A number or a word: whole where something follows it.
            _ => match cut.iter().skip(at).position(|byte| b",]} \t\r\n".contains(byte)) {
                Some(length) => {
                    kept = at + length;
                    kept
                }
                None => break,
            },
        };
        at = end;
    }
    closed(cut, kept, None, &open)
}

fn closed(cut: &[u8], kept: usize, quote: Option<u8>, open: &[u8]) -> Vec<u8> {
    let kept = cut.iter().take(kept).copied();
    kept.chain(quote).chain(open.iter().rev().copied()).collect()
}

/// Where a text that begins here ends, behind its quote; or how much of it is whole signs, and that it has no end.
fn text_end(cut: &[u8], begin: usize) -> (usize, bool) {
    let mut at = begin + 1;
    while let Some(byte) = cut.get(at) {
        let length = match byte {
            b'"' => return (at + 1, true),
            b'\\' => escape_length(cut.get(at + 1..).unwrap_or_default()),
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        if at + length > cut.len() {
            break;
        }
        at += length;
    }
    (at, false)
}

/// How long an escape is, by what follows its backslash. Two that stand for one sign are one.
fn escape_length(rest: &[u8]) -> usize {
    match rest {
        [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => 12,
        // The second digit may be missing, and would say it.
        [b'u', b'd' | b'D'] => 12,
        [b'u', ..] => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
