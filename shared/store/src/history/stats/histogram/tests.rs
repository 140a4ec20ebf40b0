//! Quantiles are where they are said to be.

use proptest::prelude::*;

use super::{BOUNDS, Histogram, MS_MAX, RELATIVE_ERROR};

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.count(*value, 1);
    }
    histogram
}

/// The same by sorting all values.
fn exact(values: &[u64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted[rank - 1] as f64
}

#[test]
fn buckets_are_few_and_what_is_short_has_one_each() {
    assert!(BOUNDS.len() < 600, "{}", BOUNDS.len());
    assert!(BOUNDS.is_sorted());
    assert_eq!(BOUNDS[..26], (0..26).collect::<Vec<u64>>());
}

#[test]
fn an_empty_one_has_no_quantile_and_one_value_is_every_quantile() {
    assert_eq!(Histogram::default().quantile(0.5), None);
    for share in [0.0, 0.5, 0.99, 1.0] {
        assert_eq!(of(&[7]).quantile(share), Some(7.0));
    }
}

#[test]
fn what_was_taken_away_again_leaves_nothing() {
    let mut histogram = of(&[3, 900, 900]);
    histogram.count(900, -2);
    histogram.count(3, -1);
    assert_eq!(histogram, Histogram::default());
    assert!(histogram.flat().is_empty());
    // More than there was, as a row before it was removed: nobody sees a count below zero.
    histogram.count(5, -1);
    histogram.count(8, 2);
    assert_eq!((histogram.total(), histogram.quantile(0.01)), (2, Some(8.0)));
}

#[test]
fn a_time_beyond_all_is_counted() {
    let histogram = of(&[u64::MAX]);
    let found = histogram.quantile(0.5).unwrap();
    assert!(found >= MS_MAX as f64 * (1.0 - RELATIVE_ERROR), "{found}");
}

proptest! {
    #[test]
    fn a_quantile_is_as_near_as_promised(
        values in prop::collection::vec(prop_oneof![0_u64..50, 0_u64..5_000, 0..MS_MAX], 1..300),
        share in 0.0..=1.0_f64,
    ) {
        let (is, true_one) = (of(&values).quantile(share).unwrap(), exact(&values, share));
        prop_assert!((is - true_one).abs() <= true_one * RELATIVE_ERROR + 1e-9, "{is} for {true_one}");
        if true_one < 25.0 {
            prop_assert_eq!(is, true_one);
        }
    }

    #[test]
    fn a_sum_is_the_histogram_of_all(one in prop::collection::vec(0..MS_MAX, 0..50), other in prop::collection::vec(0..MS_MAX, 0..50)) {
        let mut sum = of(&one);
        sum.add(&Histogram::of_flat(&of(&other).flat()));
        prop_assert_eq!(sum, of(&[one, other].concat()));
    }
}
