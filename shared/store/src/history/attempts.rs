//! The attempts of one delivery, as its row keeps them: the newest so many, each once.

use serde::{Deserialize, Serialize};
use signalbox_proto::{
    Attempt, Timestamp,
    outcome::{Next, OutcomeKind},
};

use super::standing::{Status, precedence};

/// Attempts that a row keeps at most.
pub const ATTEMPTS_MAX: usize = 100;
/// Of these, the newest that keep what the target answered.
pub const BODIES_MAX: usize = 20;

/// One attempt, or an end without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 0, a higher one at each replay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// Which request of the generation, from 1.
    pub attempt: u32,
    /// When it began.
    #[serde(with = "nanos")]
    pub at: Timestamp,
    /// How long it took.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration_ms: u32,
    /// What the answer meant; `None` where no request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeKind>,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<u16>,
    /// The first bytes of the answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response_body: String,
    /// Why it was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What came next.
    pub next: Next,
    /// When it was to be tried again.
    #[serde(default, with = "nanos::option", skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// What tells one entry from another, in the order of a history. Of one number the request comes before what happened
/// to the delivery without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Number(u32, u32, bool);

impl Entry {
    const fn number(&self) -> Number {
        Number(self.generation, self.attempt, self.outcome.is_none())
    }

    /// Which of two reports of one number counts: the one that ended it, then the later one. The rest only makes the
    /// choice the same whichever comes first. What the target said comes last, as it may have been left out of one of
    /// them.
    fn weight(&self) -> impl Ord {
        (
            precedence(self.next),
            self.at,
            Status::from(self.next),
            self.duration_ms,
            self.next_at,
            self.response_code,
            self.outcome.map(|outcome| outcome as u8),
            self.error_message.clone(),
            self.response_body.clone(),
        )
    }
}

impl From<Attempt> for Entry {
    fn from(attempt: Attempt) -> Self {
        Self {
            generation: attempt.generation,
            attempt: attempt.attempt,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            response_code: attempt.response_code,
            response_body: attempt.response_body,
            error_message: attempt.error_message,
            next: attempt.next,
            next_at: attempt.next_at,
        }
    }
}

/// The attempts of one delivery in order.
///
/// Two histories are joined in any order and any number of times with the same result, also where each has left out
/// some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    #[serde(rename = "attempts")]
    entries: Vec<Entry>,
    /// The highest number that was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<Number>,
}

impl From<Entry> for History {
    fn from(entry: Entry) -> Self {
        Self {
            entries: vec![entry],
            left_out: None,
        }
    }
}

impl History {
    /// The attempts that are kept, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The newest attempt that sent a request.
    pub fn last_sent(&self) -> Option<&Entry> {
        self.entries.iter().rfind(|entry| entry.outcome.is_some())
    }

    /// How many requests there were. Where attempts were left out, those of their generation are counted by their
    /// numbers, and those of earlier generations are not.
    pub fn sent(&self) -> u64 {
        let kept = self.entries.iter().filter(|entry| entry.outcome.is_some()).count() as u64;
        kept + self.left_out()
    }

    /// How many attempts of a generation are not kept, as it had more than [`ATTEMPTS_MAX`].
    pub fn left_out(&self) -> u64 {
        self.left_out.map_or(0, |number| u64::from(number.1))
    }

    /// Adds what another knows of the same delivery.
    pub(crate) fn join(&mut self, other: Self) {
        self.left_out = self.left_out.max(other.left_out);
        for entry in other.entries {
            match self.entries.binary_search_by_key(&entry.number(), Entry::number) {
                Ok(at) => {
                    if entry.weight() > self.entries[at].weight() {
                        self.entries[at] = entry;
                    }
                }
                Err(at) => self.entries.insert(at, entry),
            }
        }
        self.bound();
    }

    fn bound(&mut self) {
        let beyond = self.entries.len().saturating_sub(ATTEMPTS_MAX);
        if let Some(last) = self.entries.drain(..beyond).next_back() {
            self.left_out = self.left_out.max(Some(last.number()));
        }
        let without = self.entries.len().saturating_sub(BODIES_MAX);
        for entry in self.entries.iter_mut().take(without) {
            entry.response_body = String::new();
        }
    }
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Times as in all of the database.
mod nanos {
    use serde::{Deserialize, Deserializer, Serializer};
    use signalbox_proto::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.nanos())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_nanos)
    }

    pub(super) mod option {
        use serde::{Deserialize, Deserializer, Serializer};
        use signalbox_proto::Timestamp;

        pub(in super::super) fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_i64(at.nanos()),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_nanos))
        }
    }
}
