use std::collections::HashSet;

use super::*;
use crate::wire;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);

fn mark(number: u64) -> Mark {
    Mark(number.to_be_bytes())
}

fn counted(kind: &str, agent: &str) -> Counted {
    Counted {
        kind: kind.to_owned(),
        agent: agent.to_owned(),
    }
}

fn minute(number: u64) -> Timestamp {
    START + std::time::Duration::from_secs(60 * number)
}

fn all(totals: &Totals) -> Vec<(String, String, u64)> {
    let mut rows = Vec::new();
    for (kind, agents) in totals.kinds() {
        rows.extend(agents.map(|(agent, total)| (kind.to_owned(), agent.to_owned(), total)));
    }
    rows
}

#[test]
fn a_delivery_counts_once_and_each_event_of_it() {
    let mut totals = Totals::default();
    let digest = [counted("a", "x"), counted("a", "x"), counted("b", "y")];
    assert!(totals.count(mark(1), &digest, START));
    assert!(!totals.count(mark(1), &digest, minute(3)));
    assert!(totals.count(mark(2), &[counted("a", "y")], START));
    let row = |kind: &str, agent: &str, total| (kind.to_owned(), agent.to_owned(), total);
    assert_eq!(all(&totals), [row("a", "x", 2), row("a", "y", 1), row("b", "y", 1)]);
}

#[test]
fn a_minute_in_which_nothing_is_counted_does_not_pass() {
    let mut totals = Totals::default();
    totals.count(mark(0), &[counted("a", "x")], START);
    // A year later, after an outage, the first that comes again is known.
    for active in 1..REMEMBERED_MINUTES as u64 {
        assert!(totals.count(mark(active), &[counted("a", "x")], minute(500_000 + active)));
        assert!(totals.knows(mark(0)), "after {active} minutes");
    }
    assert!(totals.count(mark(99), &[], minute(600_000)));
    assert!(!totals.knows(mark(0)));
    assert!(totals.knows(mark(1)));
    // A clock that is behind opens no minute of its own.
    let before = totals.minutes.len();
    assert!(totals.count(mark(100), &[], START));
    assert_eq!(totals.minutes.len(), before);
    assert!(totals.knows(mark(100)));
}

#[test]
fn of_too_many_the_oldest_are_forgotten() {
    let mut totals = Totals::default();
    let most = REMEMBERED_MAX as u64;
    for number in 0..=most {
        // Over three minutes: what is forgotten ends in the midst of one.
        totals.remember(mark(number), minute(number * 3 / most));
    }
    assert_eq!(totals.remembered(), REMEMBERED_MAX + 1 - FORGOTTEN);
    assert!(!totals.knows(mark(FORGOTTEN as u64 - 1)));
    assert!(totals.knows(mark(FORGOTTEN as u64)));
    assert!(totals.knows(mark(most)));
    totals.forget(REMEMBERED_MAX * 2);
    assert_eq!(totals.remembered(), 0);
}

#[test]
fn beyond_the_bounds_all_is_counted_under_other_and_nothing_is_lost() {
    let mut totals = Totals::default();
    let mut number = 0;
    let mut count = |totals: &mut Totals, kind: String, agent: String| {
        number += 1;
        assert!(totals.count(mark(number), &[counted(&kind, &agent)], START));
        number
    };
    for agent in 0..2 * PAIRS_MAX {
        count(&mut totals, "a".to_owned(), format!("agent-{agent}"));
    }
    let mut last = 0;
    for kind in 0..2 * KINDS_MAX {
        last = count(&mut totals, format!("kind-{kind:04}"), "agent-0".to_owned());
    }
    let rows = all(&totals);
    assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), last);
    assert!(rows.len() <= PAIRS_MAX + KINDS_MAX + 1, "{}", rows.len());
    let kinds: HashSet<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(kinds.len(), KINDS_MAX + 1);
    let of = |kind: &str, agent: &str| {
        let found = rows.iter().find(|row| row.0 == kind && row.1 == agent);
        found.map(|row| row.2)
    };
    assert_eq!(of("a", OTHER), Some(PAIRS_MAX as u64));
    assert_eq!(of("kind-0000", OTHER), Some(1));
    assert_eq!(of(OTHER, OTHER), Some(KINDS_MAX as u64 + 1));
    // Who was known before the bound was reached goes on by name.
    count(&mut totals, "a".to_owned(), "agent-7".to_owned());
    let rows = all(&totals);
    assert!(rows.contains(&("a".to_owned(), "agent-7".to_owned(), 2)));
}

#[test]
fn at_all_bounds_it_fits_a_message_and_reads_as_it_was_written() {
    let mut totals = Totals::default();
    let name = |number: u64| format!("{number:0>NAME_BYTES_MAX$}");
    for number in 0..4 * PAIRS_MAX as u64 {
        let kind = number % (KINDS_MAX as u64 + 50);
        totals.count(mark(number), &[counted(&name(kind), &name(number))], START);
    }
    for number in 0..REMEMBERED_MAX as u64 {
        totals.remember(mark(number), minute(number / 5_000));
    }
    let bytes = wire::encode(&totals).expect("it can be written");
    // A quarter of what a server has to take at least is an event's.
    assert!(bytes.len() < 2 * crate::event::BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(wire::decode::<Totals>(&bytes).expect("it can be read"), totals);
}
