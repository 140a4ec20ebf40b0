//! How many events an org may publish in a second, over all processes of ingest.
//!
//! Pure. Each second of the clock has one counter for an org, which all processes add to. A process takes a few events
//! at a time from it, a *lease*, so that not each event costs a round trip: the faster an org publishes, the more,
//! up to a tenth of a second's worth. What is left of a lease is good for one more second. So an org gets its quota in
//! each second of the clock and never more than one lease a process beyond; a burst is a second's worth.

/// Leases in a second that is used at full rate.
const LEASES: i64 = 10;
/// A lease used up faster than this doubles, in milliseconds.
const QUICK_MS: i64 = 1_000 / LEASES;
/// A lease that lasts longer than this halves, in milliseconds.
const SLOW_MS: i64 = 5 * QUICK_MS;

/// What a process holds for one org.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// The second that the newest lease was taken from.
    second: i64,
    held: i64,
    /// Whether that second is used up.
    closed: bool,
    lease: i64,
    leased_ms: i64,
}

/// What to do for some events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// They may go.
    Taken,
    /// This many have to be asked for, of this second.
    Ask { second: i64, count: i64 },
    /// They may not.
    Refused,
}

impl Tokens {
    /// Takes what events need, all or none. `now_ms` is the time since 1970.
    pub(crate) fn take(&mut self, events: i64, per_second: i64, now_ms: i64) -> Take {
        let second = now_ms.div_euclid(1_000);
        if second != self.second {
            // Clocks may be set back: a second that is not the next is as old as any.
            let next = second == self.second + 1;
            self.held = if next { self.held.min(self.lease) } else { 0 };
            self.closed = false;
            self.second = second;
        }
        if self.held >= events {
            self.held -= events;
            return Take::Taken;
        }
        if self.closed {
            return Take::Refused;
        }
        self.lease = match now_ms - self.leased_ms {
            ..QUICK_MS => self.lease * 2,
            SLOW_MS.. => self.lease / 2,
            _ => self.lease,
        }
        .clamp(1, (per_second / LEASES).max(1));
        self.leased_ms = now_ms;
        let count = (events - self.held).max(self.lease);
        Take::Ask { second, count }
    }

    /// Takes in what was asked for: `sum` is what the counter says with it.
    pub(crate) fn answered(&mut self, second: i64, count: i64, sum: i64, per_second: i64) {
        let granted = (per_second - (sum - count)).clamp(0, count);
        self.held += granted;
        if second == self.second && granted < count {
            self.closed = true;
        }
    }
}

#[cfg(test)]
mod tests;
