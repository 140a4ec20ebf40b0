//! Digests that wait to be closed, in one line a provider, so that one whose stream is silent holds up its own alone.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use signalbox_proto::Name;
use tokio::time::Instant;

use super::close::Work;

/// Digests of one provider that are closed at a time.
pub(super) const AT_ONCE: usize = 32;
/// The pause before a provider whose stream did not answer is tried again, with one digest.
pub(super) const REST: Duration = Duration::from_secs(5);

/// How closing a digest ended, for its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// For a reason that says nothing of the provider's stream.
    Badly,
    /// The stream did not take it in time.
    Unanswered,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Work>,
    running: usize,
    /// Until when nothing is tried; set while its stream does not answer.
    rests: Option<Instant>,
}

impl Line {
    fn is_free(&self, now: Instant) -> bool {
        match self.rests {
            None => self.running < AT_ONCE,
            Some(until) => self.running == 0 && now >= until,
        }
    }
}

/// The lines, and whose digests are in them or being closed: one at a time of each integration.
#[derive(Debug)]
pub(super) struct Lines {
    /// An integration that is not known has a line with others of its kind.
    lines: BTreeMap<Option<Name>, Line>,
    busy: HashSet<String>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            lines: BTreeMap::new(),
            busy: HashSet::new(),
        }
    }

    /// Puts a digest at the end of its line, unless one of its integration is there.
    pub(super) fn push(&mut self, provider: Option<Name>, work: Work) {
        if self.busy.insert(work.integration().to_owned()) {
            self.lines.entry(provider).or_default().waiting.push_back(work);
        }
    }

    /// The next digest that may be closed now.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Option<Name>, Work)> {
        for (provider, line) in &mut self.lines {
            if line.is_free(now)
                && let Some(work) = line.waiting.pop_front()
            {
                line.running += 1;
                return Some((provider.clone(), work));
            }
        }
        None
    }

    /// When a line that rests may be tried again, if anything waits in one.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let resting = self.lines.values();
        let resting = resting.filter(|line| line.running == 0 && !line.waiting.is_empty());
        resting.filter_map(|line| line.rests).min()
    }

    pub(super) fn ended(&mut self, provider: &Option<Name>, integration: &str, ended: Ended, now: Instant) {
        self.busy.remove(integration);
        let Some(line) = self.lines.get_mut(provider) else {
            return;
        };
        line.running = line.running.saturating_sub(1);
        match ended {
            Ended::Well => line.rests = None,
            Ended::Unanswered => line.rests = Some(now + REST),
            Ended::Badly => {}
        }
    }
}

#[cfg(test)]
mod tests;
