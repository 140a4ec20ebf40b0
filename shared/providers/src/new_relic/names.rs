//! Names of attributes, as New Relic takes them and queries can hold them.
//!
//! An event with a wrong one is dropped without a word, so none is sent.

use std::ops::Range;

/// Longest name, in bytes: New Relic counts characters, which are never more.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Before a name that cannot stand alone.
const PREFIX: &str = "data_";
/// What a path may have, so that a prefix and a number find room.
const PATH_BYTES_MAX: usize = NAME_BYTES_MAX - PREFIX.len() - "_254".len();
/// Attributes that are ours or New Relic's. `accountId`, `log` and `hostname` it drops, `appId` must be an integer.
const TAKEN: [&str; 18] = [
    "accountid",
    "agent_id",
    "appid",
    "attributes_left_out",
    "delivery_id",
    "event_id",
    "event_time",
    "event_type",
    "eventtype",
    "execution_id",
    "hostname",
    "log",
    "org",
    "severity",
    "source",
    "subject",
    "timestamp",
    "tone",
];
/// Words of the query language, in their order. In a query such a name needs backticks.
const WORDS: [&str; 39] = [
    "ago",
    "and",
    "as",
    "auto",
    "begin",
    "begintime",
    "compare",
    "day",
    "days",
    "end",
    "endtime",
    "explain",
    "facet",
    "from",
    "hour",
    "hours",
    "in",
    "is",
    "like",
    "limit",
    "minute",
    "minutes",
    "month",
    "months",
    "not",
    "null",
    "offset",
    "or",
    "raw",
    "second",
    "seconds",
    "select",
    "since",
    "timeseries",
    "until",
    "week",
    "weeks",
    "where",
    "with",
];

/// Whether the query language knows this word, in whatever case.
pub(super) fn is_word_of_queries(name: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// The names of the members that lead to a value, joined by `_`: `spec_id` of `{"spec": {"id": …}}`.
#[derive(Default)]
pub(super) struct Path(String);

impl Path {
    /// Where to go back to.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Goes down to a member. Letters, digits and `_` of its name are kept, others become `_`.
    pub(super) fn push(&mut self, member: &str) {
        if !self.0.is_empty() {
            self.0.push('_');
        }
        for c in member.chars() {
            if self.0.len() >= PATH_BYTES_MAX {
                break;
            }
            self.0.push(if c.is_ascii_alphanumeric() { c } else { '_' });
        }
        self.0.truncate(PATH_BYTES_MAX);
        // A member without a name is one too.
        if self.0.is_empty() {
            self.0.push('_');
        }
    }

    /// Whether a name of ours or of New Relic's is the same.
    pub(super) fn is_taken(&self) -> bool {
        TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(&self.0))
    }

    /// Whether it is a name that can stand alone.
    fn stands_alone(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_alphabetic()) && !self.is_taken() && !is_word_of_queries(&self.0)
    }
}

/// The names of one event, where they stand in what is written.
#[derive(Default)]
pub(super) struct Names(Vec<Range<usize>>);

impl Names {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes a name, with quotes and a colon, that nobody else may have.
    pub(super) fn push_own(&mut self, out: &mut Vec<u8>, name: &str) {
        out.extend_from_slice(if self.0.is_empty() { b"\"" } else { b",\"" });
        let begin = out.len();
        out.extend_from_slice(name.as_bytes());
        self.0.push(begin..out.len());
        out.extend_from_slice(b"\":");
    }

    /// Writes the name of what a path leads to: with a prefix where it cannot stand alone, and with a number where another
    /// path led to the same.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, path: &Path) {
        out.extend_from_slice(b",\"");
        let begin = out.len();
        if !path.stands_alone() {
            out.extend_from_slice(PREFIX.as_bytes());
        }
        out.extend_from_slice(path.as_str().as_bytes());
        let end = out.len();
        let mut number = 2;
        while self.has(out, begin) {
            out.truncate(end);
            out.push(b'_');
            out.extend_from_slice(number.to_string().as_bytes());
            // After a few the number of the attribute itself is tried: so many may have one name.
            number = if number < 9 {
                number + 1
            } else {
                number.max(self.0.len()) + 1
            };
        }
        self.0.push(begin..out.len());
        out.extend_from_slice(b"\":");
    }

    /// Whether the name at the end of what is written is there already.
    fn has(&self, out: &[u8], begin: usize) -> bool {
        let name = out.get(begin..);
        self.0.iter().any(|known| out.get(known.clone()) == name)
    }
}

#[cfg(test)]
mod tests;
