//! Type patterns of subscriptions: which event types an integration wants.
//!
//! Tokens of `A-Z`, `a-z`, `0-9`, `_` and `-` joined by dots, as in a type itself. A token `*` stands
//! for exactly one token, a last token `>` for one or more, as in NATS subjects.

use std::{fmt, str::FromStr};

use crate::{
    EventType,
    names::{TYPE_CHARS_MAX, TYPE_TOKENS_MAX},
};

/// Longest pattern, in characters.
pub const CHARS_MAX: usize = TYPE_CHARS_MAX;
/// Most tokens of a pattern.
pub const TOKENS_MAX: usize = TYPE_TOKENS_MAX;

/// Characters of a refused pattern that its message repeats.
const QUOTED_CHARS_MAX: usize = 160;

/// Why a text is not a pattern; the message says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a type pattern: {reason}")]
pub struct InvalidPattern {
    /// The beginning of the text.
    pub text: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// More than [`CHARS_MAX`] characters.
    #[error("it is longer than {CHARS_MAX} characters")]
    Long,
    /// More than [`TOKENS_MAX`] tokens.
    #[error("it has more than {TOKENS_MAX} tokens")]
    Tokens,
    /// Nothing, or nothing between two dots.
    #[error("a token is empty; use `*` for any one token")]
    Empty,
    /// A `>` before the end.
    #[error("`>` stands for the rest and can only be the last token")]
    Rest,
    /// A wildcard with other characters beside it.
    #[error("`*` and `>` stand for whole tokens, as in `alert.*` or `canary.>`")]
    Part,
    /// A character that types do not have.
    #[error("use tokens of A-Z, a-z, 0-9, _ and -, joined by dots, with `*` for one token and a last `>` for the rest")]
    Character,
}

/// One token of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token<'a> {
    /// The same token.
    Literal(&'a str),
    /// Any one token: `*`.
    One,
    /// One or more tokens to the end: `>`.
    Rest,
}

/// A valid type pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens between the dots, at least one.
    pub fn tokens(&self) -> impl Iterator<Item = Token<'_>> {
        self.0.split('.').map(|token| match token {
            "*" => Token::One,
            ">" => Token::Rest,
            literal => Token::Literal(literal),
        })
    }

    /// Whether the pattern covers a type.
    pub fn matches(&self, event_type: &EventType) -> bool {
        let mut given = event_type.tokens();
        for wanted in self.tokens() {
            match (wanted, given.next()) {
                (_, None) => return false,
                (Token::Rest, Some(_)) => return true,
                (Token::One, Some(_)) => {}
                (Token::Literal(literal), Some(token)) if literal == token => {}
                (Token::Literal(_), Some(_)) => return false,
            }
        }
        given.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        check(text)
            .map(|()| Self(text.into()))
            .map_err(|reason| InvalidPattern {
                text: text.chars().take(QUOTED_CHARS_MAX).collect(),
                reason,
            })
    }
}

fn check(text: &str) -> Result<(), Reason> {
    if text.chars().count() > CHARS_MAX {
        return Err(Reason::Long);
    }
    let tokens = text.split('.').count();
    if tokens > TOKENS_MAX {
        return Err(Reason::Tokens);
    }
    for (index, token) in text.split('.').enumerate() {
        match token {
            "" => return Err(Reason::Empty),
            ">" if index + 1 < tokens => return Err(Reason::Rest),
            "*" | ">" => {}
            _ if token.contains(['*', '>']) => return Err(Reason::Part),
            _ if token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) => {}
            _ => return Err(Reason::Character),
        }
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests;
