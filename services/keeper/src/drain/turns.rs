//! Who drains now, and who is next.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

/// The rest after a drain that failed.
const FAILED_REST: Duration = Duration::from_secs(1);

/// The places of drains. Who never had one comes first, then who had one longest ago.
#[derive(Debug, Default)]
pub(super) struct Turns {
    running: BTreeSet<String>,
    rests: HashMap<String, Rest>,
}

#[derive(Debug)]
struct Rest {
    ended: Instant,
    until: Instant,
}

impl Turns {
    /// Gives the free ones of so many places to some of those that wait.
    pub(super) fn begin<'a>(
        &mut self,
        waiting: impl Iterator<Item = &'a str>,
        places: usize,
        now: Instant,
    ) -> Vec<String> {
        let waiting: BTreeSet<&str> = waiting.collect();
        self.rests.retain(|id, _| waiting.contains(id.as_str()));
        let rested = |id: &&str| self.rests.get(*id).is_none_or(|rest| rest.until <= now);
        let mut next: Vec<&str> = waiting
            .into_iter()
            .filter(|id| !self.running.contains(*id))
            .filter(rested)
            .collect();
        next.sort_by_key(|id| self.rests.get(*id).map(|rest| rest.ended));
        next.truncate(places.saturating_sub(self.running.len()));
        let chosen: Vec<String> = next.into_iter().map(str::to_owned).collect();
        self.running.extend(chosen.iter().cloned());
        chosen
    }

    /// Takes a place back.
    pub(super) fn end(&mut self, id: &str, failed: bool, now: Instant) {
        if self.running.remove(id) {
            let until = if failed { now + FAILED_REST } else { now };
            self.rests.insert(id.to_owned(), Rest { ended: now, until });
        }
    }

    /// When the first rest ends that is not over. One whose rest is over waits for a place, and that rings by itself.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.rests
            .iter()
            .filter(|(id, _)| !self.running.contains(*id))
            .map(|(_, rest)| rest.until)
            .filter(|until| *until > now)
            .min()
    }
}

#[cfg(test)]
mod tests;
