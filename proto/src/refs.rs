//! What an integration remembers of one thing at its target: the ids that the target gave, and what was begun there and
//! never answered.
//!
//! For targets that must not be asked twice for the same, as each request makes another issue. KV REFS holds one [`Refs`] for
//! each thing; whoever changes it has its lease, and writes on condition of its revision. **A doubt is written before the
//! request that it is about, a fact after its answer.** Whoever finds a doubt without its fact does not know whether the
//! target did it, and looks there before asking again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Most facts of one thing, of which deliveries' own go first, and most doubts, of which none goes.
pub const FACTS_MAX: usize = 256;
/// Longest name of a fact, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest value of a fact, in bytes.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// Between the id of a delivery and the name of what is its own alone; no other name has it.
const OWN: char = '/';

/// All that is remembered of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refs {
    /// By name.
    #[serde(default)]
    facts: BTreeMap<String, Fact>,
    /// What was begun and has no answer, by the name of the fact that it would be, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    doubts: BTreeMap<String, Timestamp>,
}

/// Something that the target has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fact {
    value: String,
    at: Timestamp,
}

/// The name of what one delivery has done and no other asks for, such as a comment.
pub fn own(delivery: &str, name: &str) -> String {
    format!("{delivery}{OWN}{name}")
}

impl Refs {
    /// What is known under a name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(|fact| &*fact.value)
    }

    /// All facts whose names begin so, by name.
    pub fn facts<'r>(&'r self, beginning: &'r str) -> impl Iterator<Item = (&'r str, &'r str)> {
        self.facts
            .range(beginning.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(beginning))
            .map(|(name, fact)| (&**name, &*fact.value))
    }

    /// Since when it is not known whether the target did this; `None` where it is known, or was never begun.
    pub fn doubt(&self, name: &str) -> Option<Timestamp> {
        self.doubts.get(name).copied()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.doubts.is_empty()
    }

    /// Something is about to be asked for. False where it was in doubt already: the first time stays. An error where there
    /// are too many doubts, of which none may be forgotten.
    pub fn begin(&mut self, name: &str, now: Timestamp) -> Result<bool, &'static str> {
        if self.doubts.contains_key(name) {
            return Ok(false);
        }
        if self.doubts.len() >= FACTS_MAX {
            return Err("too many of its requests were never answered");
        }
        if name.len() > NAME_BYTES_MAX {
            return Err("the name of a request is too long");
        }
        self.doubts.insert(name.to_owned(), now);
        Ok(true)
    }

    /// The target has said so: it is in doubt no more. Of a longer value the first [`VALUE_BYTES_MAX`] are kept.
    pub fn learn(&mut self, name: &str, value: &str, now: Timestamp) {
        self.doubts.remove(name);
        let mut value = value.to_owned();
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
        let fact = Fact { value, at: now };
        self.facts.insert(name.to_owned(), fact);
        self.bound();
    }

    /// The target has not done it, and will not.
    pub fn refuse(&mut self, name: &str) {
        self.doubts.remove(name);
    }

    /// What was known is so no more, as an issue that somebody has removed.
    pub fn forget(&mut self, name: &str) {
        self.facts.remove(name);
        self.doubts.remove(name);
    }

    /// Lets the oldest of too many facts go, deliveries' own before all others.
    fn bound(&mut self) {
        while self.facts.len() > FACTS_MAX {
            let oldest = self
                .facts
                .iter()
                .min_by_key(|(name, fact)| (!name.contains(OWN), fact.at));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.facts.remove(&oldest);
        }
    }

    /// A delivery has arrived: what is its own alone is forgotten. False where there was nothing.
    pub fn end(&mut self, delivery: &str) -> bool {
        let before = self.facts.len() + self.doubts.len();
        let is_own = |name: &String| name.strip_prefix(delivery).is_some_and(|rest| rest.starts_with(OWN));
        self.facts.retain(|name, _| !is_own(name));
        self.doubts.retain(|name, _| !is_own(name));
        before > self.facts.len() + self.doubts.len()
    }
}

#[cfg(test)]
mod tests;
