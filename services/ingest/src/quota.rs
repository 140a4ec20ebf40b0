//! How many events an org may publish in a second, over all processes of ingest.
//!
//! Pure. The quota is a bucket: it holds a second's worth, fills evenly, and each event takes one out. Each second of
//! the clock has one counter for an org, which all processes add to; with what a second began with and the part of it
//! that has passed, the counter says what is left. A process takes a few events at a time, a *lease*, so that not each
//! event costs a round trip: the faster an org publishes, the more, up to a tenth of a second's worth. What is left of a
//! lease is good for one more second. Who publishes steadily never waits for a counter: the next lease is asked for when
//! half of one is left, and the counters of a new second while what is left of the last one's leases is used.
//!
//! So an org that always publishes too much gets its quota evenly, because what is let through at once is in the way of
//! other orgs, and no process lets more than one lease through beyond. A burst after a silence is a second's worth at
//! least and two at most: what fills the bucket while the clock's second lasts is not cut off before its end.

/// Leases in a second that is used at full rate.
const LEASES: i64 = 10;
/// A lease used up faster than this doubles, in milliseconds.
const QUICK_MS: i64 = SECOND_MS / LEASES;
/// A lease that lasts longer than this halves, in milliseconds.
const SLOW_MS: i64 = 5 * QUICK_MS;
const SECOND_MS: i64 = 1_000;

/// What a process holds for one org, and what it knows of the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// The second that all of this is about.
    second: i64,
    held: i64,
    /// What was in the bucket when the second began; less than nothing where too much was taken before.
    began: i64,
    /// The same of the second before, with all that was taken until then. What others take in the last moment of a
    /// second is seen one second later: without this it would never be.
    began_before: i64,
    /// What the counter of the second said last.
    taken: i64,
    lease: i64,
    leased_ms: i64,
    /// Between the last two leases.
    apart_ms: i64,
}

/// What becomes of some events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// They may go.
    Taken,
    /// What [`Tokens::ask`] says has to be asked first.
    Ask,
    /// They may not.
    Refused,
}

/// What to ask the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What the counter of the second before says.
    Begin {
        /// The second that begins.
        second: i64,
        /// Whether that of the one before it has to be read as well.
        follows: bool,
    },
    /// This many have to be added to the counter of this second.
    Lease {
        /// The second.
        second: i64,
        /// How many.
        count: i64,
    },
}

impl Tokens {
    /// Takes what events need, all or none. `now_ms` is the time since 1970.
    pub(crate) fn take(&mut self, events: i64, per_second: i64, now_ms: i64) -> Take {
        let second = now_ms.div_euclid(SECOND_MS);
        let is_asked = second == self.second;
        let held = match (is_asked, self.second + 1 == second) {
            (true, _) => self.held,
            (false, true) => self.held.min(self.lease),
            (false, false) => 0,
        };
        if held >= events {
            self.held = held - events;
            return Take::Taken;
        }
        // An org at its limit waits for a whole lease: asking for each event as it comes would be a round trip each.
        if is_asked && self.left(per_second, now_ms) < self.wanted(events, per_second, now_ms).1 {
            return Take::Refused;
        }
        Take::Ask
    }

    /// What has to be asked so that these events can go, or, where they can already, ahead of need.
    pub(crate) fn ask(&mut self, events: i64, per_second: i64, now_ms: i64) -> Option<Ask> {
        let second = now_ms.div_euclid(SECOND_MS);
        if second != self.second {
            let follows = self.second + 1 == second;
            return Some(Ask::Begin { second, follows });
        }
        if !self.is_short(events) {
            return None;
        }
        let (lease, count) = self.wanted(events, per_second, now_ms);
        if self.left(per_second, now_ms) < count {
            return None;
        }
        (self.lease, self.apart_ms, self.leased_ms) = (lease, now_ms - self.leased_ms, now_ms);
        Some(Ask::Lease { second, count })
    }

    /// Whether another lease is needed. One that publishes now and then asks for none ahead: it would not be used.
    fn is_short(&self, events: i64) -> bool {
        self.held < events || (self.held <= self.lease / 2 && self.apart_ms < SECOND_MS)
    }

    /// The size of the next lease, and how many have to be asked for.
    fn wanted(&self, events: i64, per_second: i64, now_ms: i64) -> (i64, i64) {
        let lease = match now_ms - self.leased_ms {
            ..QUICK_MS => self.lease * 2,
            SLOW_MS.. => self.lease / 2,
            _ => self.lease,
        };
        let lease = lease.clamp(1, (per_second / LEASES).max(1));
        (lease, (events - self.held).max(lease))
    }

    /// Begins a second: `earlier` and `before` are what the counters of the two seconds before say, the older first.
    pub(crate) fn begin(&mut self, second: i64, [earlier, before]: [i64; 2], per_second: i64) {
        let follows = self.second + 1 == second;
        let bucket = |began: i64, taken: i64| (began + per_second - taken).clamp(-per_second, per_second);
        // Whoever has not followed it takes the bucket for empty a second ago: that errs to the safe side.
        self.began_before = if follows { bucket(self.began_before, earlier) } else { 0 };
        self.began = bucket(self.began_before, before);
        // Clocks may be set back: a second that is not the next is as old as any.
        self.held = if follows { self.held.min(self.lease) } else { 0 };
        self.taken = 0;
        self.second = second;
    }

    /// Takes in what was asked for: `sum` is what the counter says with it. Returns how many of them have to be taken
    /// back, as there were not so many left.
    pub(crate) fn answered(&mut self, count: i64, sum: i64, per_second: i64, now_ms: i64) -> i64 {
        self.taken = sum - count;
        let granted = self.left(per_second, now_ms).clamp(0, count);
        self.held += granted;
        self.taken += granted;
        count - granted
    }

    /// Whether nothing may go just now.
    pub(crate) fn is_used_up(&self, per_second: i64, now_ms: i64) -> bool {
        self.second == now_ms.div_euclid(SECOND_MS)
            && self.held == 0
            && self.left(per_second, now_ms) < self.lease.max(1)
    }

    /// What is in the bucket, as far as it is known.
    fn left(&self, per_second: i64, now_ms: i64) -> i64 {
        let passed_ms = (now_ms - self.second * SECOND_MS).clamp(0, SECOND_MS);
        self.began + per_second * passed_ms / SECOND_MS - self.taken
    }
}

/// What a process has counted of an org, and what it was told: the counters of the last three seconds, for when the
/// server's do not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted([(i64, i64); 3]);

impl Counted {
    /// What a counter said.
    pub(crate) fn told(&mut self, second: i64, sum: i64) {
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == second) {
            *known = sum;
        } else if let Some(oldest) = self
            .0
            .iter_mut()
            .min_by_key(|(known, _)| *known)
            .filter(|(known, _)| *known < second)
        {
            *oldest = (second, sum);
        }
    }

    /// Adds without the server, from what is known.
    pub(crate) fn add(&mut self, second: i64, count: i64) -> i64 {
        let known = self.0.iter().find(|(known, _)| *known == second);
        let sum = known.map_or(0, |(_, sum)| *sum) + count;
        self.told(second, sum);
        sum
    }
}

#[cfg(test)]
mod tests;
