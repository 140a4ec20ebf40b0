use super::*;

const STEP: Duration = Duration::from_millis(10);

/// An act that sends each so long after the one before, over so many messages of which some go meanwhile. Returns when each
/// was sent and when it was read, and how many were read.
fn sends(
    count: u64,
    each: Duration,
    wait: Duration,
    gone: impl Fn(u64, Duration) -> bool,
) -> (Vec<(u64, Duration, Duration)>, u64) {
    let start = Instant::now();
    let mut now = start;
    let mut held = Held::new(128, now);
    let (mut cursor, mut sent, mut reads) = (0, Vec::new(), 0);
    while cursor < count {
        let most = held.read(now) as u64;
        let read_at = now;
        let is_left = |seq: &u64| !gone(*seq, read_at - start);
        let part: Vec<u64> = (cursor + 1..=count).filter(is_left).take(most as usize).collect();
        if part.is_empty() {
            break;
        }
        reads += part.len() as u64;
        now += STEP;
        let mut used = 0;
        for seq in &part {
            now += wait;
            if held.is_old(now) {
                break;
            }
            now += each;
            if held.is_old(now) {
                break;
            }
            sent.push((*seq, now - start, read_at - start));
            cursor = *seq;
            used += 1;
        }
        held.used(used, part.len());
        assert!(now - start < Duration::from_secs(100_000), "it comes to no end");
    }
    (sent, reads)
}

#[test]
fn nothing_is_sent_that_was_read_too_long_ago() {
    for (each, wait) in [(1_000, 0), (1_000, 2_000), (2, 0), (0, 2_000), (300, 40), (4_900, 0)] {
        let (each, wait) = (Duration::from_millis(each), Duration::from_millis(wait));
        let (sent, _) = sends(600, each, wait, |_, _| false);
        let seqs: Vec<u64> = sent.iter().map(|(seq, ..)| *seq).collect();
        assert_eq!(
            seqs,
            (1..=600).collect::<Vec<u64>>(),
            "each once, in order: {each:?} {wait:?}"
        );
        for (seq, at, read_at) in sent {
            assert!(at - read_at < HELD_MAX, "{seq}: {each:?} {wait:?}");
        }
    }
}

#[test]
fn what_is_gone_for_long_enough_is_not_sent() {
    let gone_at = Duration::from_secs(7);
    let (sent, _) = sends(60, Duration::from_secs(1), Duration::ZERO, |seq, at| {
        seq % 2 == 0 && at >= gone_at
    });
    let late: Vec<_> = sent
        .iter()
        .filter(|(seq, at, _)| seq % 2 == 0 && *at > gone_at + HELD_MAX)
        .collect();
    assert_eq!(late, Vec::<&(u64, Duration, Duration)>::new());
    let odd = sent.iter().filter(|(seq, ..)| seq % 2 == 1).count();
    assert_eq!(odd, 30, "and all others are");
}

#[test]
fn at_a_small_rate_about_as_much_is_read_as_is_sent() {
    let (_, reads) = sends(600, Duration::from_secs(1), Duration::ZERO, |_, _| false);
    assert!(reads < 600 * 2, "{reads}");
    let (_, reads) = sends(60_000, Duration::from_millis(1), Duration::ZERO, |_, _| false);
    assert_eq!(reads, 60_000, "what is sent in time is read once");
}
