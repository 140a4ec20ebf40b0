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
fn due(gathered: &mut Gathered, rule: Rule, now: i64) -> Option<(u64, u64, u32)> {
    gathered.looked = None;
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
    let mut few = of(&[(3, 100, 100), (5, 100, 104), (9, 100, 108)]);
    assert_eq!(due(&mut few, rule(4), 109), None);
    assert_eq!(
        due(&mut few, rule(4), 110),
        Some((3, 9, 3)),
        "the window of the first is over"
    );
    assert_eq!(
        due(&mut few, rule(3), 108),
        Some((3, 9, 3)),
        "it has all that it may have"
    );
    assert_eq!(due(&mut few, rule(2), 108), Some((3, 5, 2)), "the rest is of the next");
    assert_eq!(due(&mut few, rule(1), 100), Some((3, 3, 1)));
    let mut late = of(&[(3, 100, 100), (5, 100, 109), (9, 100, 110), (11, 100, 120)]);
    assert_eq!(
        due(&mut late, rule(9), 300),
        Some((3, 5, 2)),
        "what came behind the window is of the next"
    );
    let third = usize::try_from(BATCH_BYTES_MAX / 3).expect("a size");
    let mut large = of(&[(3, third, 100), (5, third, 100), (9, third + 8, 100)]);
    assert_eq!(due(&mut large, rule(100), 100), Some((3, 5, 2)), "one more is too much");
    let mut full = of(&[(3, third, 100), (5, third, 100), (9, third + 2, 100), (10, 1, 100)]);
    assert_eq!(
        due(&mut full, rule(100), 100),
        Some((3, 9, 3)),
        "it is full to the byte"
    );
    let mut huge = of(&[(3, usize::try_from(BATCH_BYTES_MAX).expect("a size") + 1, 100)]);
    assert_eq!(due(&mut huge, rule(100), 100), Some((3, 3, 1)), "one alone always goes");
}

#[test]
fn what_is_not_gathered_any_more_goes_at_once_and_what_is_deleted_is_given_up() {
    let mut few = of(&[(3, 100, 100), (5, 100, 104)]);
    assert_eq!(due(&mut few, Rule::AtOnce, 100), Some((3, 5, 2)));
    assert_eq!(
        due(&mut few, Rule::AtOnce, 0),
        Some((3, 5, 2)),
        "whatever the clocks say"
    );
    assert_eq!(due(&mut few, Rule::Wait, 10_000), None);
    let (due, next) = few.due(Timestamp::from_secs(100), |_| Rule::GiveUp);
    few.looked = None;
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
    assert_eq!(due(&mut gathered, rule(1), 108), Some((9, 9, 1)), "what is left");
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

#[test]
fn an_integration_is_looked_at_when_something_may_be_due_and_once_a_second() {
    let looks = std::cell::RefCell::new(Vec::new());
    let at = |secs: u64, millis: u64| Timestamp::from_secs(0) + Duration::from_millis(secs * 1_000 + millis);
    let look = |gathered: &mut Gathered, now: Timestamp, ruled: Rule| {
        let (due, next) = gathered.due(now, |integration| {
            looks.borrow_mut().push(integration.to_owned());
            ruled
        });
        let due: Vec<String> = due.into_iter().map(|due| due.integration).collect();
        let mut looked = std::mem::take(&mut *looks.borrow_mut());
        looked.sort();
        (looked, due, next)
    };
    let mut gathered = Gathered::new();
    gathered.take(&stored(1, "a", 10, 100));
    gathered.take(&stored(2, "b", 10, 105));
    let none: Vec<String> = Vec::new();
    let (looked, due, next) = look(&mut gathered, at(106, 0), rule(3));
    assert_eq!((looked.len(), due, next), (2, none.clone(), Some(at(110, 0))));
    assert_eq!(
        look(&mut gathered, at(106, 50), rule(3)),
        (none.clone(), none.clone(), Some(at(110, 0)))
    );
    // A member came.
    gathered.take(&stored(3, "b", 10, 106));
    assert_eq!(look(&mut gathered, at(106, 100), rule(3)).0, ["b"]);
    gathered.take(&stored(4, "b", 10, 106));
    let (looked, due, next) = look(&mut gathered, at(106, 150), rule(3));
    assert_eq!(
        (looked, due, next),
        (vec!["b".into()], vec!["b".into()], Some(at(110, 0)))
    );
    gathered.settle("b", 4);
    assert_eq!(look(&mut gathered, at(106, 200), rule(3)).0, none);
    // Its owner wants it at once: seen within a second.
    assert_eq!(look(&mut gathered, at(106, 900), Rule::AtOnce).1, none);
    assert_eq!(look(&mut gathered, at(107, 0), Rule::AtOnce).1, ["a"]);
    // And what is due and cannot be closed is found again.
    assert_eq!(look(&mut gathered, at(107, 50), Rule::AtOnce).1, none);
    assert_eq!(look(&mut gathered, at(108, 0), Rule::AtOnce).1, ["a"]);
    // The time of a window is enough to be looked at.
    look(&mut gathered, at(109, 500), rule(3));
    assert_eq!(look(&mut gathered, at(109, 990), rule(3)).0, none);
    assert_eq!(look(&mut gathered, at(110, 0), rule(3)).1, ["a"]);
}
