//! Sequences as gapless ranges.

/// The ranges of these sequences, each gapless and both ends included, in rising order.
///
/// Gapless, because workers share a consumer: what lies between two events that this one saw may
/// have been another's.
pub(crate) fn of(mut seqs: Vec<u64>) -> Vec<(u64, u64)> {
    seqs.sort_unstable();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if seq <= last.saturating_add(1) => *last = seq.max(*last),
            _ => ranges.push((seq, seq)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
