//! Times in buckets that grow by a constant factor, so that sums of histograms keep their precision.
//!
//! This is the sketch with logarithmic buckets of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile
//! sketch with relative-error guarantees" (PVLDB 12/12, 2019), over whole milliseconds. The bounds are integers that are
//! made by multiplying, and not by logarithms: the same value is in the same bucket on every machine, as what was added
//! there is taken away there later.

use std::sync::LazyLock;

/// How far a quantile may lie from the true one, as a share of it. Below 25 ms it is exact.
pub const RELATIVE_ERROR: f64 = 0.02;

/// Each bound is this times the one before: `(1 + e) / (1 - e)`.
const GROWTH: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
/// Beyond 99 days all times are in one bucket. No delivery lives so long.
const MS_MAX: u64 = 1 << 33;

/// The greatest value of each bucket. The first one is that of 0.
static BOUNDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bounds = vec![0];
    let mut last = 0_u64;
    while last < MS_MAX {
        last = (last + 1).max((last as f64 * GROWTH) as u64);
        bounds.push(last);
    }
    bounds
});

/// How many times there were in each bucket, in the order of buckets. Differences have counts below zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Vec<(u16, i64)>);

impl Histogram {
    /// Counts a time so often.
    pub(super) fn count(&mut self, ms: u64, times: i64) {
        let bounds = &*BOUNDS;
        let bucket = bounds.partition_point(|bound| *bound < ms).min(bounds.len() - 1);
        self.add(&Self(vec![(bucket as u16, times)]));
    }

    /// Both are in order, so that they are joined in one go: a page adds thousands.
    pub(super) fn add(&mut self, other: &Self) {
        let mut sum = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(&&(one, count)), Some(&&(other, more))) if one == other => {
                    left.next();
                    right.next();
                    (one, count + more)
                }
                (Some(&&(one, count)), Some(&&(other, _))) if one < other => {
                    left.next();
                    (one, count)
                }
                (Some(&&only), None) => {
                    left.next();
                    only
                }
                (_, Some(&&only)) => {
                    right.next();
                    only
                }
                (None, None) => break,
            };
            if next.1 != 0 {
                sum.push(next);
            }
        }
        self.0 = sum;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bucket and count, one after another.
    pub(super) fn flat(&self) -> Vec<i64> {
        let pairs = self.0.iter();
        pairs.flat_map(|(bucket, count)| [i64::from(*bucket), *count]).collect()
    }

    /// What [`Histogram::flat`] has written.
    pub(super) fn of_flat(flat: &[i64]) -> Self {
        let (pairs, _) = flat.as_chunks::<2>();
        let pairs = pairs
            .iter()
            .map(|[bucket, count]| (u16::try_from(*bucket).unwrap_or(u16::MAX), *count));
        Self(pairs.collect())
    }

    /// How many times it holds.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| positive(*count)).sum()
    }

    /// The time in milliseconds that this share of all does not pass, for a share of 0 to 1: the smallest for which this
    /// is so. `None` where there is none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.total() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in &self.0 {
            below += positive(*count);
            if below >= rank {
                return Some(middle(usize::from(*bucket)));
            }
        }
        None
    }
}

/// A count that lies below zero counts what nothing is left of.
fn positive(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// The value of a bucket that is nowhere further from its values than the error allows.
fn middle(bucket: usize) -> f64 {
    let bounds = &*BOUNDS;
    let most = bounds.get(bucket).copied().unwrap_or(MS_MAX);
    let least = bucket
        .checked_sub(1)
        .map_or(0, |before| bounds.get(before).map_or(most, |bound| bound + 1));
    if least >= most {
        return most as f64;
    }
    let (least, most) = (least as f64, most as f64);
    2.0 * least * most / (least + most)
}

#[cfg(test)]
mod tests;
