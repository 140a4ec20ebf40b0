use std::time::Duration;

use signalbox_proto::{Phase, State, Timestamp};

use super::asks_until;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

const ASKED_FOR: Option<Duration> = Some(Duration::from_secs(30));

fn in_phase(phase: Phase, not_before_secs: Option<u64>) -> State {
    State {
        phase,
        not_before: not_before_secs.map(|secs| NOW + Duration::from_secs(secs)),
        ..State::default()
    }
}

#[test]
fn a_target_that_names_a_time_asks_all_workers_to_wait() {
    let until = Some(NOW + Duration::from_secs(30));
    assert_eq!(asks_until(ASKED_FOR, None, NOW), until);
    let draining = in_phase(Phase::Draining, None);
    assert_eq!(asks_until(ASKED_FOR, Some(&draining), NOW), until);
    let earlier = in_phase(Phase::Draining, Some(10));
    assert_eq!(asks_until(ASKED_FOR, Some(&earlier), NOW), until);
}

#[test]
fn what_is_known_or_means_nothing_is_not_told_again() {
    let known = in_phase(Phase::Draining, Some(29));
    assert_eq!(asks_until(ASKED_FOR, Some(&known), NOW), None);
    for phase in [Phase::Paused, Phase::Suspended, Phase::Unknown] {
        assert_eq!(asks_until(ASKED_FOR, Some(&in_phase(phase, None)), NOW), None);
    }
    assert_eq!(asks_until(Some(Duration::from_millis(400)), None, NOW), None);
    assert_eq!(asks_until(None, None, NOW), None);
}
