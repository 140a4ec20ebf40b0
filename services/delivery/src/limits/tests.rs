use std::time::Duration;

use signalbox_proto::{Timestamp, integration::RateLimit};

use super::{Due, Limits, is_paid, lease_max};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn after(millis: u64) -> Timestamp {
    NOW + Duration::from_millis(millis)
}

fn minute(limit: u32) -> RateLimit {
    RateLimit {
        per_minute: Some(limit),
        ..RateLimit::default()
    }
}

fn due(go: &[(Timestamp, u32)], ask: &[&str], late: &[&str]) -> Due<u32> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Due {
        go: go.to_vec(),
        ask: names(ask),
        late: names(late),
    }
}

fn now<T>(go: Vec<(Timestamp, T)>) -> Vec<T> {
    go.into_iter().map(|(_, delivery)| delivery).collect()
}

/// So many that wait for tokens of `i`, numbered.
fn waiting(count: u32) -> Limits<u32> {
    let mut limits = Limits::default();
    for number in 0..count {
        limits.wait("i", &minute(600), number);
    }
    limits
}

#[test]
fn a_few_tokens_are_asked_for_at_a_time_and_no_more_than_deliveries_wait() {
    for (limit, most) in [(1, 1), (60, 1), (480, 2), (6_000, 25), (1_000_000, 64)] {
        assert_eq!(lease_max(&minute(limit)), most, "{limit} a minute");
    }
    let hourly = RateLimit {
        per_hour: Some(1_000),
        ..RateLimit::default()
    };
    assert_eq!(lease_max(&hourly), 1);
    assert_eq!(waiting(5).ask("i", NOW), Some((minute(600), 2)));
    assert_eq!(waiting(1).ask("i", NOW), Some((minute(600), 1)));
    assert_eq!(waiting(1).ask("other", NOW), None);
}

#[test]
fn one_question_is_under_way_for_an_integration_and_another_begins_when_it_is_answered() {
    let mut limits = waiting(3);
    assert!(limits.ask("i", NOW).is_some());
    assert_eq!(limits.ask("i", NOW), None);
    limits.wait("i", &minute(600), 3);
    assert_eq!(limits.ask("i", NOW), None);
    let granted = limits.granted("i", &[NOW, NOW], None, NOW);
    assert_eq!((now(granted.go), granted.over), (vec![0, 1], false));
    assert_eq!(limits.ask("i", NOW), Some((minute(600), 2)));
    let granted = limits.granted("i", &[NOW, NOW], None, NOW);
    assert_eq!(now(granted.go), [2, 3]);
    assert_eq!(limits.ask("i", NOW), None, "nothing waits");
    assert!(limits.queues.is_empty(), "nothing is kept of it");
}

#[test]
fn what_is_due_within_a_moment_waits_for_its_time_in_order() {
    let mut limits = waiting(3);
    limits.ask("i", NOW);
    let granted = limits.granted("i", &[NOW, after(300)], Some(after(900)), NOW);
    assert_eq!((now(granted.go), granted.over), (vec![0], false));
    assert_eq!(limits.ask("i", NOW), None, "the next token is not due yet");
    assert_eq!(limits.next_due(), Some(after(300)));
    assert_eq!(limits.due(after(299)), due(&[], &[], &[]));
    assert_eq!(limits.due(after(300)), due(&[(after(300), 1)], &[], &[]));
    assert_eq!(limits.due(after(900)), due(&[], &["i"], &[]));
    assert_eq!(limits.ask("i", NOW), Some((minute(600), 1)));
    assert_eq!(limits.leave("i"), [2]);
    assert_eq!(limits.next_due(), None);
}

#[test]
fn what_has_no_token_within_a_moment_leaves_with_all_behind_it_in_order() {
    let mut limits = waiting(4);
    limits.ask("i", NOW);
    let granted = limits.granted("i", &[NOW], Some(after(1_001)), NOW);
    assert_eq!((now(granted.go), granted.over), (vec![0], true));
    // What comes while the integration is being held back asks for nothing.
    limits.wait("i", &minute(600), 4);
    assert_eq!(limits.ask("i", NOW), None);
    assert_eq!(limits.leave("i"), [1, 2, 3, 4]);
    assert_eq!(limits.ask("i", NOW), None);
    limits.wait("i", &minute(600), 5);
    assert!(limits.ask("i", NOW).is_some(), "what comes then asks anew");
}

#[test]
fn a_question_without_an_answer_is_asked_again_a_little_later() {
    let mut limits = waiting(2);
    limits.ask("i", NOW);
    limits.answered("i");
    limits.rest("i", NOW);
    assert_eq!(limits.ask("i", NOW), None);
    assert_eq!(limits.due(after(999)), due(&[], &[], &[]));
    assert_eq!(limits.due(after(1_000)), due(&[], &["i"], &[]));
    assert!(limits.ask("i", NOW).is_some());
}

#[test]
fn what_nobody_counts_leaves_after_a_moment_and_tokens_that_come_late_are_left() {
    let mut limits = waiting(2);
    limits.ask("i", NOW);
    assert_eq!(limits.due(after(999)), due(&[], &[], &[]));
    assert_eq!(limits.due(after(1_000)), due(&[], &[], &["i"]));
    assert_eq!(
        limits.ask("i", after(1_000)),
        None,
        "nothing more is asked while it is held back"
    );
    assert_eq!(limits.leave("i"), [0, 1]);
    assert_eq!(limits.granted("i", &[NOW, NOW], None, after(3_000)).left, 2);
    limits.wait("i", &minute(600), 2);
    let granted = limits.granted("i", &[NOW, NOW], None, after(3_000));
    assert_eq!(
        (granted.go, granted.left),
        (vec![(NOW, 2)], 1),
        "what came meanwhile uses one of them"
    );
}

#[test]
fn an_answer_in_time_leaves_no_timer() {
    let mut limits = waiting(1);
    limits.ask("i", NOW);
    limits.granted("i", &[NOW], None, NOW);
    assert_eq!(limits.next_due(), None);
}

#[test]
fn integrations_wait_beside_each_other() {
    let mut limits = waiting(1);
    limits.wait("j", &minute(60), 10);
    assert!(limits.ask("i", NOW).is_some() && limits.ask("j", NOW).is_some());
    assert!(limits.granted("i", &[], Some(after(5_000)), NOW).over);
    assert_eq!(limits.granted("j", &[NOW], None, NOW).go, [(NOW, 10)]);
    assert_eq!(limits.leave("i"), [0]);
}

#[test]
fn a_worker_that_stops_hands_back_all_that_waits() {
    let mut limits = waiting(3);
    limits.ask("i", NOW);
    limits.granted("i", &[after(100)], Some(after(200)), NOW);
    limits.wait("j", &minute(60), 10);
    let mut all = limits.drain();
    all.sort_unstable_by_key(|(_, delivery)| *delivery);
    assert_eq!(all, [(Some(after(100)), 0), (None, 1), (None, 2), (None, 10)]);
    assert_eq!((limits.next_due(), limits.ask("i", NOW)), (None, None));
}

#[test]
fn a_token_that_was_taken_counts_for_half_a_minute_of_its_own_minute() {
    let begin = Timestamp::from_secs(NOW.secs().div_euclid(60) * 60);
    let at = |secs: u64| begin + Duration::from_secs(secs);
    assert!(!is_paid(None, at(0)));
    assert!(is_paid(Some(at(0)), at(0)) && is_paid(Some(at(0)), at(29)));
    assert!(!is_paid(Some(at(0)), at(30)));
    // The next minute has tokens of its own.
    assert!(is_paid(Some(at(59)), at(60)));
    assert!(!is_paid(Some(at(58)), at(60)));
    // A clock that is a little behind is no reason to pay twice.
    assert!(is_paid(Some(at(31)), at(30)));
}
