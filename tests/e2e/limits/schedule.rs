//! When the tokens of a limit are due, written down a second time from what the documents say.

use std::{collections::BTreeMap, time::Duration};

/// A span that a limit counts in.
#[derive(Clone, Copy)]
pub(super) enum Span {
    Minute,
    Hour,
}

impl Span {
    pub(super) fn secs(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// How far into its span a time since 1970 is.
    pub(super) fn offset(self, at: Duration) -> Duration {
        let secs = at.as_secs() % self.secs();
        Duration::new(secs, at.subsec_nanos())
    }
}

/// How many tokens are due so far into a span: a burst at its begin, then one at a time.
pub(super) fn due_by(span: Span, limit: u32, offset: Duration) -> u64 {
    let burst = match span {
        Span::Minute => limit.div_ceil(60),
        Span::Hour => limit.div_ceil(10),
    };
    let steps = offset.as_secs_f64() * f64::from(limit) / span.secs() as f64;
    (u64::from(burst) + steps as u64).min(limit.into())
}

/// Times since 1970, by the begin of their span, as how far into it each is.
pub(super) fn spans_of(span: Span, times: impl Iterator<Item = Duration>) -> BTreeMap<Duration, Vec<Duration>> {
    let mut spans: BTreeMap<Duration, Vec<Duration>> = BTreeMap::new();
    for at in times {
        let offset = span.offset(at);
        spans.entry(at - offset).or_default().push(offset);
    }
    spans.values_mut().for_each(|offsets| offsets.sort());
    spans
}
