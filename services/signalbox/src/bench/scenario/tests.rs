use std::collections::BTreeMap;

use clap::ValueEnum as _;

use super::Promise;

#[test]
fn the_full_size_is_nowhere_below_the_small_one() {
    for promise in Promise::value_variants() {
        for (name, small, full) in promise.sizes() {
            // More time for the same number is the larger size, too.
            let slower = *promise == Promise::Digest && *name == "rate";
            assert!(small <= full || slower, "{} {name}", promise.name());
        }
    }
}

#[test]
fn what_is_given_counts_and_what_a_scenario_does_not_take_is_refused() {
    let numbers = |full, given: &[(&'static str, u64)]| {
        let given: BTreeMap<&'static str, u64> = given.iter().copied().collect();
        Promise::Limit.numbers(full, given)
    };
    assert_eq!(numbers(true, &[]).unwrap()["owed"], 5_000);
    let own = numbers(true, &[("owed", 7)]).unwrap();
    assert_eq!((own["owed"], own["workers"]), (7, 8));
    let error = numbers(false, &[("replay_rate", 7)]).unwrap_err().to_string();
    assert_eq!(
        error,
        "--replay-rate: scenario limit does not take it; it takes --workers, --per-minute, --owed"
    );
}
