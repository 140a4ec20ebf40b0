use signalbox_proto::integration::{BATCH_BYTES_MAX, Batch};

use super::*;

fn stored(seq: u64, integration: &str, bytes: usize, at: i64) -> Stored {
    Stored {
        subject: signalbox_proto::subjects::batch(&"acme".parse().expect("a name"), integration),
        seq,
        at: Timestamp::from_secs(at),
        body: vec![0; bytes].into(),
    }
}

fn rule(events_max: u32) -> Rule {
    Rule::By(Batch {
        window_secs: 10,
        events_max,
    })
}

/// What is due of one integration under a rule: first, last, count.
fn due(gathered: &Gathered, rule: Rule, now: i64) -> Option<(u64, u64, u32)> {
    let (due, _) = gathered.due(Timestamp::from_secs(now), |_| rule);
    let found = due.first()?;
    assert_eq!(due.len(), 1);
    Some((found.first, found.last, found.count))
}

fn of(members: &[(u64, usize, i64)]) -> Gathered {
    let mut gathered = Gathered::new();
    for (seq, bytes, at) in members {
        gathered.take(&stored(*seq, "i1", *bytes, *at));
    }
    gathered
}

#[test]
fn a_digest_closes_at_the_first_of_count_bytes_and_window() {
    let few = of(&[(3, 100, 100), (5, 100, 104), (9, 100, 108)]);
    assert_eq!(due(&few, rule(4), 109), None);
    assert_eq!(
        due(&few, rule(4), 110),
        Some((3, 9, 3)),
        "the window of the first is over"
    );
    assert_eq!(due(&few, rule(3), 108), Some((3, 9, 3)), "it has all that it may have");
    assert_eq!(due(&few, rule(2), 108), Some((3, 5, 2)), "the rest is of the next");
    assert_eq!(due(&few, rule(1), 100), Some((3, 3, 1)));
    let late = of(&[(3, 100, 100), (5, 100, 109), (9, 100, 110), (11, 100, 120)]);
    assert_eq!(
        due(&late, rule(9), 300),
        Some((3, 5, 2)),
        "what came behind the window is of the next"
    );
    let third = usize::try_from(BATCH_BYTES_MAX / 3).expect("a size");
    let large = of(&[(3, third, 100), (5, third, 100), (9, third + 8, 100)]);
    assert_eq!(due(&large, rule(100), 100), Some((3, 5, 2)), "one more is too much");
    let full = of(&[(3, third, 100), (5, third, 100), (9, third + 2, 100), (10, 1, 100)]);
    assert_eq!(due(&full, rule(100), 100), Some((3, 9, 3)), "it is full to the byte");
    let huge = of(&[(3, usize::try_from(BATCH_BYTES_MAX).expect("a size") + 1, 100)]);
    assert_eq!(due(&huge, rule(100), 100), Some((3, 3, 1)), "one alone always goes");
}

#[test]
fn what_is_not_gathered_any_more_goes_at_once_and_what_is_deleted_is_given_up() {
    let few = of(&[(3, 100, 100), (5, 100, 104)]);
    assert_eq!(due(&few, Rule::AtOnce, 100), Some((3, 5, 2)));
    assert_eq!(due(&few, Rule::AtOnce, 0), Some((3, 5, 2)), "whatever the clocks say");
    assert_eq!(due(&few, Rule::Wait, 10_000), None);
    let (due, next) = few.due(Timestamp::from_secs(100), |_| Rule::GiveUp);
    assert!(due[0].give_up);
    assert_eq!(next, None);
    assert!(!few.due(Timestamp::from_secs(100), |_| Rule::AtOnce).0[0].give_up);
}

#[test]
fn it_says_when_the_next_is_due() {
    let mut gathered = of(&[(3, 100, 100)]);
    gathered.take(&stored(4, "i2", 100, 95));
    let (due, next) = gathered.due(Timestamp::from_secs(101), |_| rule(10));
    assert_eq!((due.len(), next), (0, Some(Timestamp::from_secs(105))));
    let (due, next) = gathered.due(Timestamp::from_secs(106), |_| rule(10));
    assert_eq!((due.len(), next), (1, Some(Timestamp::from_secs(110))));
    assert_eq!(due[0].integration, "i2");
    let (due, _) = gathered.due(Timestamp::from_secs(200), |_| rule(10));
    let firsts: Vec<u64> = due.iter().map(|due| due.first).collect();
    assert_eq!(firsts, [3, 4], "those that wait longest go first");
}

#[test]
fn what_is_settled_is_forgotten() {
    let mut gathered = of(&[(3, 100, 100), (5, 100, 104), (9, 100, 108)]);
    gathered.settle("i1", 5);
    assert_eq!(due(&gathered, rule(1), 108), Some((9, 9, 1)), "what is left");
    gathered.take(&stored(11, "i2", 100, 108));
    assert_eq!(gathered.next(), 12);
    gathered.settle("i1", 9);
    gathered.settle("i2", 100);
    gathered.settle("i3", 100);
    assert_eq!(gathered.count, 0);
    assert!(gathered.by_integration.is_empty(), "no integration is kept for nothing");
    let mut gathered = of(&[(3, 100, 100)]);
    gathered.clear(20);
    assert_eq!(gathered.count, 0);
    assert_eq!(gathered.next(), 21);
}
