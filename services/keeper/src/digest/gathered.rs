//! What is known of the members that wait in BATCH, and which digests are due.
//!
//! Pure: of each member its sequence, its size and when it was stored, by integration. An integration is looked at when
//! a member came, when its window is over, and once a second, as its owner may have changed the rule: what each look
//! costs must not grow with all that waits, as there may be twenty of them a second. Bodies are read again when the
//! digest is closed. What acts have removed meanwhile is still known here: a digest then closes a little early, with
//! what is really there.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use signalbox_broker::browse::Stored;
use signalbox_proto::{Integration, Name, Timestamp, delivery, digest::Manifest, integration};

/// Members that are remembered at most. With more, those that come wait unread until some are closed.
pub(super) const MEMBERS_MAX: usize = 1_000_000;

/// How often all integrations are looked at, as their owners may have changed when their members are due.
const RULES_EVERY: Duration = Duration::from_secs(1);

/// When the members of an integration become a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// By what its owner set.
    By(integration::Batch),
    /// As soon as there are any: it gathers nothing any more.
    AtOnce,
    /// Never: it was deleted, and they are given up.
    GiveUp,
    /// Nothing is known of it yet.
    Wait,
}

impl Rule {
    /// The rule of an integration; of one that is not known nothing is decided.
    pub(super) fn of(integration: Option<&Integration>) -> Self {
        use integration::Status;
        let Some(integration) = integration else {
            return Self::Wait;
        };
        match (integration.status, integration.flow.batch) {
            (Status::Deleted, _) => Self::GiveUp,
            (Status::Active, Some(batch)) => Self::By(batch),
            (Status::Active | Status::Inactive | Status::PendingSetup | Status::Unknown, _) => Self::AtOnce,
        }
    }

    fn events_max(self) -> usize {
        let most = match self {
            Self::By(batch) => batch.events_max,
            Self::AtOnce | Self::GiveUp | Self::Wait => integration::BATCH_EVENTS_DEFAULT,
        };
        usize::try_from(most).unwrap_or(usize::MAX).max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    seq: u64,
    bytes: u64,
    at: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    org: Name,
    members: VecDeque<Member>,
    /// What the last look has found, by the rule of then: nothing is due before this time, unless a member comes.
    rests: Option<(Rule, Timestamp)>,
}

/// Members that are to be closed: all between two sequences of one integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) org: Name,
    pub(super) integration: String,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u32,
    /// Whether they are given up instead.
    pub(super) give_up: bool,
}

impl Due {
    /// What fixes them as a digest; `first` is the id of the first member.
    pub(super) fn manifest(&self, first: &str) -> Manifest {
        Manifest {
            id: delivery::digest_id(first, (self.first, self.last)),
            org: self.org.clone(),
            integration: self.integration.clone(),
            first: self.first,
            last: self.last,
            count: self.count,
            sent: false,
            way: None,
        }
    }
}

/// All members that are known to wait.
#[derive(Debug)]
pub(super) struct Gathered {
    by_integration: HashMap<String, Waiting>,
    /// The times that the last looks have found, in their order.
    times: BTreeSet<(Timestamp, String)>,
    /// Integrations that have changed since they were looked at.
    changed: HashSet<String>,
    /// When all of them were last looked at.
    looked: Option<Timestamp>,
    count: usize,
    /// The sequence of BATCH that is to be read next.
    next: u64,
}

impl Gathered {
    pub(super) fn new() -> Self {
        Self {
            by_integration: HashMap::new(),
            times: BTreeSet::new(),
            changed: HashSet::new(),
            looked: None,
            count: 0,
            next: 1,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MEMBERS_MAX
    }

    /// Takes a message of BATCH, in the order of the stream.
    pub(super) fn take(&mut self, stored: &Stored) {
        self.next = stored.seq + 1;
        let mut tokens = stored.subject.split('.').skip(2);
        let (Some(org), Some(integration)) = (tokens.next().and_then(|org| org.parse().ok()), tokens.next()) else {
            tracing::error!(subject = stored.subject, "a message of BATCH is of no integration");
            return;
        };
        let waiting = self.by_integration.entry(integration.to_owned()).or_insert(Waiting {
            org,
            members: VecDeque::new(),
            rests: None,
        });
        waiting.members.push_back(Member {
            seq: stored.seq,
            bytes: stored.body.len() as u64,
            at: stored.at,
        });
        self.count += 1;
        self.change(integration);
    }

    /// What was found of an integration counts no longer.
    fn change(&mut self, integration: &str) {
        if let Some(waiting) = self.by_integration.get_mut(integration)
            && let Some((_, at)) = waiting.rests.take()
        {
            self.times.remove(&(at, integration.to_owned()));
        }
        if !self.changed.contains(integration) {
            self.changed.insert(integration.to_owned());
        }
    }

    /// BATCH is empty up to this sequence: nothing that is known is there.
    pub(super) fn clear(&mut self, last: u64) {
        self.by_integration.clear();
        self.times.clear();
        self.changed.clear();
        self.count = 0;
        self.next = last + 1;
    }

    /// The members of an integration up to a sequence are settled.
    pub(super) fn settle(&mut self, integration: &str, through: u64) {
        let Some(waiting) = self.by_integration.get_mut(integration) else {
            return;
        };
        while waiting.members.front().is_some_and(|member| member.seq <= through) {
            waiting.members.pop_front();
            self.count -= 1;
        }
        let is_empty = waiting.members.is_empty();
        self.change(integration);
        if is_empty {
            self.by_integration.remove(integration);
            self.changed.remove(integration);
        }
    }

    /// What is due now of one integration.
    pub(super) fn due_of(&self, integration: &str, rule: Rule, now: Timestamp) -> Option<Due> {
        match self.by_integration.get(integration)?.next(integration, rule, now) {
            Next::Due(due) => Some(due),
            Next::At(_) | Next::Unknown => None,
        }
    }

    /// What is due now, by the rule of each integration, and when the next will be.
    pub(super) fn due(&mut self, now: Timestamp, rule: impl Fn(&str) -> Rule) -> (Vec<Due>, Option<Timestamp>) {
        let mut due = Vec::new();
        for integration in self.candidates(now) {
            let Some(waiting) = self.by_integration.get_mut(&integration) else {
                continue;
            };
            let rule = rule(&integration);
            if waiting.rests.is_some_and(|(known, at)| known == rule && now < at) {
                continue;
            }
            if let Some((_, at)) = waiting.rests.take() {
                self.times.remove(&(at, integration.clone()));
            }
            match waiting.next(&integration, rule, now) {
                // Where it cannot be closed, it is found again when all are looked at.
                Next::Due(found) => due.push(found),
                Next::At(at) => {
                    waiting.rests = Some((rule, at));
                    self.times.insert((at, integration));
                }
                Next::Unknown => {}
            }
        }
        // Those that wait longest go first.
        due.sort_by_key(|due| due.first);
        (due, self.times.first().map(|(at, _)| *at))
    }

    /// The integrations of which something may be due.
    fn candidates(&mut self, now: Timestamp) -> Vec<String> {
        let changed = std::mem::take(&mut self.changed);
        if self
            .looked
            .is_none_or(|looked| now.since(looked) >= RULES_EVERY || now < looked)
        {
            self.looked = Some(now);
            return self.by_integration.keys().cloned().collect();
        }
        let over = self.times.iter().take_while(|(at, _)| *at <= now);
        let over = over.map(|(_, integration)| integration.clone());
        over.chain(changed).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Due(Due),
    At(Timestamp),
    Unknown,
}

impl Waiting {
    /// The next digest of an integration: the longest row from the first member on that keeps within its bounds and its
    /// window. Due where it can grow no more, or where its window is over.
    ///
    /// What came behind the window is of the next one, however late this is looked at: a digest expires with its oldest
    /// event, and after a long rest of all keepers that would take fresh ones with it.
    fn next(&self, integration: &str, rule: Rule, now: Timestamp) -> Next {
        let (Some(first), false) = (self.members.front(), rule == Rule::Wait) else {
            return Next::Unknown;
        };
        let most = rule.events_max();
        let closes = match rule {
            Rule::By(batch) => Some(first.at + Duration::from_secs(batch.window_secs.into())),
            Rule::AtOnce | Rule::GiveUp | Rule::Wait => None,
        };
        let (mut count, mut bytes, mut last) = (0, 0, first.seq);
        let mut is_full = false;
        for member in &self.members {
            let is_more = count > 0 && bytes + member.bytes > integration::BATCH_BYTES_MAX;
            let is_late = closes.is_some_and(|closes| member.at >= closes);
            is_full = count == most || is_more || is_late;
            if is_full {
                break;
            }
            (count, bytes, last) = (count + 1, bytes + member.bytes, member.seq);
        }
        is_full |= count == most || bytes >= integration::BATCH_BYTES_MAX;
        if let Some(closes) = closes.filter(|closes| !is_full && now < *closes) {
            return Next::At(closes);
        }
        Next::Due(Due {
            org: self.org.clone(),
            integration: integration.to_owned(),
            first: first.seq,
            last,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            give_up: rule == Rule::GiveUp,
        })
    }
}

#[cfg(test)]
mod tests;
