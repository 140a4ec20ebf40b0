//! Grouping of like errors, and cutting of text that others wrote.

use crate::{DeadReason, Stage, hash};

/// The same for errors that differ only in numbers, ids and quoted values.
///
/// Words that hold a digit, and what stands in double quotes, are taken out of the message before it
/// is hashed with the stage, the reason and the integration.
pub fn of(stage: Stage, reason: DeadReason, integration: Option<&str>, message: &str) -> String {
    let shape = shape(message);
    hash::parts([
        stage.as_str().as_bytes(),
        reason.as_str().as_bytes(),
        integration.unwrap_or_default().as_bytes(),
        shape.as_bytes(),
    ])
}

fn shape(message: &str) -> String {
    let mut shape = String::with_capacity(message.len());
    // What stands in double quotes is every second piece.
    for (index, piece) in message.split('"').enumerate() {
        if index > 0 {
            shape.push('"');
        }
        if index % 2 == 0 {
            push_words(&mut shape, piece);
        }
    }
    shape
}

/// Copies a text, each word that holds a digit as `0`: numbers, hexadecimal ids, times.
fn push_words(shape: &mut String, text: &str) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c))
        } else {
            rest.find(is_word)
        };
        let (part, after) = rest.split_at(length.unwrap_or(rest.len()));
        shape.push_str(if part.bytes().any(|byte| byte.is_ascii_digit()) {
            "0"
        } else {
            part
        });
        rest = after;
    }
}

/// Cuts a text to at most `chars_max` characters, the last of them an ellipsis where it was cut.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Cuts a text to at most `bytes_max` bytes of UTF-8, an ellipsis at the end where it was cut.
pub fn cut_bytes(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let (kept, _) = text.split_at(text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8())));
    format!("{kept}…")
}

#[cfg(test)]
mod tests;
