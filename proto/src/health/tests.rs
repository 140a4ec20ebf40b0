//! When checks are due, under a clock that is given.

use proptest::prelude::*;

use super::*;

fn check(every_secs: u32, next_at: i64) -> Check {
    Check {
        every_secs,
        next_at: Timestamp::from_secs(next_at),
        ..Check::default()
    }
}

fn integration(updated_at: i64) -> Integration {
    serde_json::from_value(serde_json::json!({
        "id": "0199c0de-0000-7000-8000-0000000000aa", "org": "acme", "name": "a", "provider": "slack", "revision": 1,
        "status": "active", "created_at": Timestamp::default(), "updated_at": Timestamp::from_secs(updated_at), "flow": { "health_check_secs": 3600 },
    }))
    .expect("an integration")
}

#[test]
fn what_was_noted_counts_as_long_as_the_interval_is_the_same() {
    let integration = integration(10_000);
    assert_eq!(wanted(&integration), Some(3_600));
    assert_eq!(
        due(Some(&check(3_600, 77)), &integration, 3_600),
        Timestamp::from_secs(77)
    );
    let anew = due(None, &integration, 3_600);
    assert_eq!(due(Some(&check(300, 77)), &integration, 3_600), anew);
    assert!((10_001..=13_600).contains(&anew.secs()), "{anew}");
}

#[test]
fn only_what_is_active_is_checked() {
    let inactive = Integration {
        status: Status::Inactive,
        ..integration(1)
    };
    assert_eq!(wanted(&inactive), None);
}

#[test]
fn many_integrations_are_spread_over_the_interval() {
    let mut quarters = [0; 4];
    for number in 0..1_000 {
        let id = format!("0199c0de-0000-7000-8000-{number:012}");
        quarters[(next(&id, 3_600, Timestamp::from_secs(0)).secs() as usize - 1) / 900] += 1;
    }
    assert!(quarters.iter().all(|count| (200..300).contains(count)), "{quarters:?}");
}

proptest! {
    #[test]
    fn the_next_one_is_behind_and_within_an_interval(id in "[a-f0-9-]{36}", every in HEALTH_CHECK_SECS, after in 0_i64..4_000_000_000) {
        let at = Timestamp::from_secs(after);
        let due = next(&id, every, at);
        prop_assert!(due > at && due.since(at).as_secs() <= u64::from(every));
        // Checks follow each other at the interval, whenever each of them is made.
        prop_assert_eq!(next(&id, every, due).since(due).as_secs(), u64::from(every));
    }
}
