use std::collections::HashMap;

use super::*;

/// The counters of an org, as the server has them.
#[derive(Default)]
struct Counters(HashMap<i64, i64>);

impl Counters {
    fn add(&mut self, second: i64, count: i64) -> i64 {
        let sum = self.0.entry(second).or_default();
        *sum += count;
        *sum
    }
}

fn publish(tokens: &mut Tokens, counters: &mut Counters, events: i64, per_second: i64, now_ms: i64) -> bool {
    loop {
        match tokens.take(events, per_second, now_ms) {
            Take::Taken => return true,
            Take::Refused => return false,
            Take::Ask { second, count } => {
                let sum = counters.add(second, count);
                tokens.answered(second, count, sum, per_second);
            }
        }
    }
}

#[test]
fn a_second_takes_its_quota_and_no_more() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    for second in 5..8 {
        let taken = (0..900).filter(|n| publish(&mut tokens, &mut counters, 1, 100, second * 1_000 + n));
        assert_eq!(taken.count(), 100, "in second {second}");
    }
}

#[test]
fn many_processes_together_stay_within_a_lease_each() {
    const PROCESSES: usize = 8;
    let mut counters = Counters::default();
    let mut processes = vec![Tokens::default(); PROCESSES];
    let mut by_second: HashMap<i64, i64> = HashMap::new();
    for step in 0..40_000_i64 {
        let now_ms = 1_000_000 + step / 4;
        let process = usize::try_from(step).unwrap() % PROCESSES;
        if publish(&mut processes[process], &mut counters, 1, 200, now_ms) {
            *by_second.entry(now_ms / 1_000).or_default() += 1;
        }
    }
    let lease = 200 / LEASES;
    let most = 200 + lease * i64::try_from(PROCESSES).unwrap();
    for (second, taken) in &by_second {
        assert!((200 - lease * 8..=most).contains(taken), "{taken} in second {second}");
    }
    let all: i64 = by_second.values().sum();
    let seconds = i64::try_from(by_second.len()).unwrap();
    assert!(all <= seconds * 200, "{all} in {seconds} seconds");
    assert!(all >= seconds * 200 * 9 / 10, "{all} in {seconds} seconds");
}

#[test]
fn one_below_the_quota_is_never_refused_however_many_processes_it_publishes_to() {
    const PROCESSES: usize = 4;
    let mut counters = Counters::default();
    let mut processes = vec![Tokens::default(); PROCESSES];
    for n in 0..800_i64 {
        let process = usize::try_from(n).unwrap() % PROCESSES;
        let now_ms = n * 1_000 / 80;
        assert!(publish(&mut processes[process], &mut counters, 1, 100, now_ms), "event {n}");
    }
}

#[test]
fn a_list_goes_whole_or_not_at_all_and_what_was_got_for_it_is_kept() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    assert!(publish(&mut tokens, &mut counters, 60, 100, 1_000));
    assert!(!publish(&mut tokens, &mut counters, 60, 100, 1_010));
    assert!(publish(&mut tokens, &mut counters, 40, 100, 1_020));
    assert!(!publish(&mut tokens, &mut counters, 1, 100, 1_030));
    assert!(publish(&mut tokens, &mut counters, 100, 100, 2_000));
}

#[test]
fn what_is_left_is_good_for_one_more_second_and_for_a_lease_at_most() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    // Asked for 60, got 40, and used none: 40 are in hand.
    assert!(publish(&mut tokens, &mut counters, 60, 100, 1_000));
    assert!(!publish(&mut tokens, &mut counters, 60, 100, 1_001));
    let lease = tokens.lease;
    let taken = (0..900).filter(|n| publish(&mut tokens, &mut counters, 1, 100, 2_000 + n));
    let taken = i64::try_from(taken.count()).unwrap();
    assert!((100..=100 + lease).contains(&taken), "{taken} with a lease of {lease}");
    tokens.held = 5;
    assert!(matches!(tokens.take(1, 100, 9_000), Take::Ask { second: 9, .. }));
    assert_eq!(tokens.held, 0, "what is left of a long time ago is worth nothing");
}

#[test]
fn a_quota_of_one_takes_one() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    assert!(publish(&mut tokens, &mut counters, 1, 1, 1_000));
    assert!(!publish(&mut tokens, &mut counters, 1, 1, 1_999));
    assert!(publish(&mut tokens, &mut counters, 1, 1, 2_000));
}
