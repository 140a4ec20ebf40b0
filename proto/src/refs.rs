//! What an integration remembers of one thing at its target: the ids that the target gave, and what was begun there and
//! never answered.
//!
//! For targets that must not be asked twice for the same, as each request makes another issue. KV REFS holds one [`Refs`] for
//! each thing; whoever changes it has its lease, and writes on condition of its revision. **A doubt is written before the
//! request that it is about, a fact after its answer.** Whoever finds a doubt without its fact does not know whether the
//! target did it, and looks there before asking again.
//!
//! What is remembered is bounded, and what goes first is what does the least harm ([`FACTS_MAX`], [`Refs::begin`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Most facts of one thing, and most doubts. Of too many facts those go first that are a delivery's own, as it comes no more;
/// then those that begin with [`REPEATABLE`], as what they tell of may be done again; then others. Of each the oldest goes first.
pub const FACTS_MAX: usize = 256;
/// Longest name of a fact, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest value of a fact, in bytes.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// Begins the names of facts of what may be done again without harm, as a link: a target that has it makes no other of it.
pub const REPEATABLE: &str = "link-";

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

/// How dear a fact is, the least dear first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// One delivery's own.
    Own,
    /// What may be done again.
    Repeatable,
    /// What would be made twice: an issue, a subtask.
    Kept,
}

impl Worth {
    fn of(name: &str) -> Self {
        match name {
            own if own.contains(OWN) => Self::Own,
            repeatable if repeatable.starts_with(REPEATABLE) => Self::Repeatable,
            _ => Self::Kept,
        }
    }
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

    /// Something is about to be asked for. False where it was in doubt already: the first time stays.
    ///
    /// Of too many doubts the oldest goes that is a delivery's own, such as that of a comment. Most of these deliveries are dead
    /// by then: at worst somebody replays one, and its comment stands there twice. What would be made twice otherwise, such as a
    /// subtask, stays in doubt; an error where there is nothing else. Who let no doubt go would do more harm: a thing that takes
    /// nothing any more loses everything that happens to it.
    pub fn begin(&mut self, name: &str, now: Timestamp) -> Result<bool, &'static str> {
        if self.doubts.contains_key(name) {
            return Ok(false);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err("the name of a request is too long");
        }
        if self.doubts.len() >= FACTS_MAX {
            let own = self.doubts.iter().filter(|(name, _)| Worth::of(name) == Worth::Own);
            let oldest = own.min_by_key(|(_, since)| **since).map(|(name, _)| name.clone());
            let oldest = oldest.ok_or("too many of its requests were never answered")?;
            self.doubts.remove(&oldest);
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
        self.bound(name);
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

    /// Lets the least dear of too many facts go, but not the one that was just learnt: who has learnt it would do it again.
    fn bound(&mut self, learnt: &str) {
        while self.facts.len() > FACTS_MAX {
            let others = self.facts.iter().filter(|(name, _)| *name != learnt);
            let least = others.min_by_key(|(name, fact)| (Worth::of(name), fact.at));
            let Some(least) = least.map(|(name, _)| name.clone()) else {
                return;
            };
            self.facts.remove(&least);
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
