use std::collections::HashMap;

use super::*;

/// The counters of an org, as the server has them, and how often they were asked.
#[derive(Default)]
struct Counters {
    sums: HashMap<i64, i64>,
    asked: usize,
}

impl Counters {
    fn add(&mut self, second: i64, count: i64) -> i64 {
        self.asked += 1;
        let sum = self.sums.entry(second).or_default();
        *sum += count;
        *sum
    }
}

/// Asks what has to be asked, with answers that come at once.
fn ask(tokens: &mut Tokens, counters: &mut Counters, events: i64, per_second: i64, now_ms: i64) {
    while let Some(ask) = tokens.ask(events, per_second, now_ms) {
        answer(tokens, counters, ask, per_second, now_ms);
    }
}

fn answer(tokens: &mut Tokens, counters: &mut Counters, ask: Ask, per_second: i64, now_ms: i64) {
    match ask {
        Ask::Begin { second, follows } => {
            let earlier = if follows { counters.add(second - 2, 0) } else { 0 };
            let before = [earlier, counters.add(second - 1, 0)];
            tokens.begin(second, before, per_second);
        }
        Ask::Lease { second, count } => {
            let sum = counters.add(second, count);
            let back = tokens.answered(count, sum, per_second, now_ms);
            if back > 0 {
                counters.add(second, -back);
            }
        }
    }
}

fn publish(tokens: &mut Tokens, counters: &mut Counters, events: i64, per_second: i64, now_ms: i64) -> bool {
    loop {
        match tokens.take(events, per_second, now_ms) {
            Take::Taken => {
                ask(tokens, counters, 0, per_second, now_ms);
                return true;
            }
            Take::Refused => return false,
            Take::Ask => ask(tokens, counters, events, per_second, now_ms),
        }
    }
}

#[test]
fn one_who_always_publishes_too_much_gets_the_quota_evenly_behind_one_burst() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    let mut by_tenth = [0_i64; 100];
    for now_ms in 0..10_000 {
        for _ in 0..2 {
            let taken = publish(&mut tokens, &mut counters, 1, 500, 7_000_000 + now_ms);
            by_tenth[usize::try_from(now_ms / 100).unwrap()] += i64::from(taken);
        }
    }
    let all: i64 = by_tenth.iter().sum();
    assert!((5_400..=5_500).contains(&all), "{all} in ten seconds");
    // Once the burst is over.
    for (tenth, taken) in by_tenth.iter().enumerate().skip(20) {
        assert!((0..=100).contains(taken), "{taken} in tenth {tenth}");
    }
    assert!(counters.asked < 300, "{} round trips", counters.asked);
}

#[test]
fn many_processes_together_stay_within_a_lease_each() {
    const PROCESSES: usize = 8;
    const QUOTA: i64 = 200;
    let mut counters = Counters::default();
    let mut processes = vec![Tokens::default(); PROCESSES];
    let mut by_second = [0_i64; 20];
    for step in 0..80_000_i64 {
        let now_ms = 1_000_000 + step / 4;
        let process = usize::try_from(step).unwrap() % PROCESSES;
        let taken = publish(&mut processes[process], &mut counters, 1, QUOTA, now_ms);
        by_second[usize::try_from(step / 4_000).unwrap()] += i64::from(taken);
    }
    let leases = QUOTA / LEASES * 8;
    let mut all = 0;
    for (second, taken) in by_second.iter().enumerate() {
        all += taken;
        let most = QUOTA * (i64::try_from(second).unwrap() + 2) + leases;
        assert!(all <= most, "{all} until second {second}");
    }
    assert!(all >= QUOTA * 20 * 9 / 10, "{all} in 20 seconds");
}

#[test]
fn one_below_the_quota_is_never_refused_however_many_processes_it_publishes_to() {
    const PROCESSES: usize = 4;
    let mut counters = Counters::default();
    let mut processes = vec![Tokens::default(); PROCESSES];
    for n in 0..1_600_i64 {
        let process = usize::try_from(n).unwrap() % PROCESSES;
        let now_ms = 50_000 + n * 1_000 / 80;
        assert!(
            publish(&mut processes[process], &mut counters, 1, 100, now_ms),
            "event {n}"
        );
    }
}

#[test]
fn a_list_goes_whole_or_not_at_all() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    assert!(publish(&mut tokens, &mut counters, 60, 100, 100_000));
    assert!(!publish(&mut tokens, &mut counters, 60, 100, 100_010));
    assert!(publish(&mut tokens, &mut counters, 40, 100, 100_020));
    assert!(!publish(&mut tokens, &mut counters, 60, 100, 100_500));
    assert!(publish(&mut tokens, &mut counters, 60, 100, 100_630));
    assert_eq!(
        counters.sums[&100],
        160 + tokens.held,
        "what was refused is not counted"
    );
}

#[test]
fn a_list_of_a_seconds_worth_goes_every_second() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    for second in 100..110 {
        assert!(
            publish(&mut tokens, &mut counters, 50, 50, second * 1_000 + 300),
            "in second {second}"
        );
    }
}

#[test]
fn what_another_process_took_meanwhile_is_found_out_and_given_back() {
    let (mut one, mut other, mut counters) = (Tokens::default(), Tokens::default(), Counters::default());
    assert!(publish(&mut one, &mut counters, 10, 100, 100_000));
    assert!(publish(&mut other, &mut counters, 85, 100, 100_001));
    assert!(!publish(&mut one, &mut counters, 50, 100, 100_002));
    assert_eq!(counters.sums[&100], 100, "what was left is held, no more");
    assert_eq!(one.held, 5);
    assert!(publish(&mut one, &mut counters, 5, 100, 100_003));
}

#[test]
fn what_is_held_of_a_long_time_ago_is_worth_nothing() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    assert!(publish(&mut tokens, &mut counters, 1, 100, 100_000));
    tokens.held = 5;
    assert_eq!(tokens.take(1, 100, 109_000), Take::Ask);
    let begin = Ask::Begin {
        second: 109,
        follows: false,
    };
    assert_eq!(tokens.ask(1, 100, 109_000), Some(begin));
    tokens.begin(109, [0, 0], 100);
    assert_eq!(tokens.held, 0);
}

#[test]
fn the_bucket_is_used_up_until_a_lease_is_in_it_again() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    assert!(!tokens.is_used_up(100, 100_000));
    while publish(&mut tokens, &mut counters, 1, 100, 100_000) {}
    assert!(tokens.is_used_up(100, 100_001));
    assert!(!tokens.is_used_up(100, 100_200));
    assert!(!tokens.is_used_up(100, 101_000), "of another second nothing is known");
}

#[test]
fn what_others_take_in_the_last_moment_of_a_second_is_seen_in_the_end() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    let mut taken = 0;
    for now_ms in 100_000..120_000 {
        taken += i64::from(publish(&mut tokens, &mut counters, 1, 100, now_ms));
        // After this process has read the counter, another one still adds to it.
        if now_ms % 1_000 == 5 {
            counters.add(now_ms / 1_000 - 1, 20);
            taken += 20;
        }
    }
    assert!(taken <= 100 * 21 + 2 * 20, "{taken} in 20 seconds");
}

#[test]
fn after_a_silence_a_burst_is_two_seconds_worth_at_most() {
    for offset_ms in [0, 500, 999] {
        let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
        let begin = 100_000 + offset_ms;
        let burst = (begin..begin + 200).flat_map(|now_ms| [now_ms; 5]);
        let taken = burst.filter(|now_ms| publish(&mut tokens, &mut counters, 1, 100, *now_ms));
        let taken = taken.count();
        assert!((100..=220).contains(&taken), "{taken} from {offset_ms} ms on");
    }
}

#[test]
fn a_quota_of_one_takes_one_a_second() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    for second in 100..105 {
        assert!(publish(&mut tokens, &mut counters, 1, 1, second * 1_000));
        assert!(!publish(&mut tokens, &mut counters, 1, 1, second * 1_000 + 500));
    }
}

#[test]
fn one_that_publishes_steadily_does_not_wait_for_counters_that_answer_slowly() {
    const SLOW_MS: i64 = 40;
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    let mut asked: Option<(i64, Ask)> = None;
    let mut waited = 0;
    for now_ms in 100_000..130_000 {
        if let Some((_, ask)) = asked.take_if(|(due, _)| *due <= now_ms) {
            answer(&mut tokens, &mut counters, ask, 1_000, now_ms);
            asked = tokens.ask(0, 1_000, now_ms).map(|ask| (now_ms + SLOW_MS, ask));
        }
        if now_ms % 10 != 0 {
            continue;
        }
        let take = tokens.take(1, 1_000, now_ms);
        assert_ne!(take, Take::Refused, "at {now_ms}");
        // The first second finds out how much it publishes.
        waited += i32::from(take == Take::Ask && now_ms >= 101_000);
        let events = i64::from(take == Take::Ask);
        if asked.is_none() {
            asked = tokens.ask(events, 1_000, now_ms).map(|ask| (now_ms + SLOW_MS, ask));
        }
    }
    assert_eq!(waited, 0);
    assert!(counters.asked < 30 * 15, "{} round trips in 30 seconds", counters.asked);
}

#[test]
fn one_that_publishes_now_and_then_asks_for_nothing_ahead() {
    let (mut tokens, mut counters) = (Tokens::default(), Counters::default());
    for minute in 1..=10 {
        assert!(publish(&mut tokens, &mut counters, 1, 1_000, 60_000 * minute));
    }
    assert_eq!(counters.asked, 20, "each time what the second before says, and one");
}

#[test]
fn a_process_that_counts_alone_keeps_the_quota() {
    let (mut tokens, mut counted) = (Tokens::default(), Counted::default());
    let mut taken = 0;
    // Told once, and then nothing more: half of the second's quota was another process's.
    counted.told(100, 50);
    for now_ms in 100_000..110_000 {
        loop {
            match tokens.take(1, 100, now_ms) {
                Take::Taken => taken += 1,
                Take::Refused => break,
                Take::Ask => match tokens.ask(1, 100, now_ms) {
                    Some(Ask::Begin { second, follows }) => {
                        let earlier = if follows { counted.add(second - 2, 0) } else { 0 };
                        tokens.begin(second, [earlier, counted.add(second - 1, 0)], 100);
                    }
                    Some(Ask::Lease { second, count }) => {
                        let sum = counted.add(second, count);
                        let back = tokens.answered(count, sum, 100, now_ms);
                        counted.add(second, -back);
                    }
                    None => break,
                },
            }
        }
    }
    assert!((900..=1_060).contains(&taken), "{taken} in ten seconds");
}
