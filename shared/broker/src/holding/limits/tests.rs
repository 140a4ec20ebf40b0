use std::time::Duration;

use signalbox_proto::{Phase, State, Timestamp, state::Cause};

use super::{is_later, until_of};

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn in_phase(phase: Phase) -> State {
    State {
        phase,
        gate: 7,
        ..State::default()
    }
}

#[test]
fn an_open_integration_drains_from_then_on_and_not_before_the_time_that_its_target_named() {
    for until in [None, Some(after(30))] {
        let next = until_of(&State::default(), until, "why", NOW).unwrap();
        assert_eq!(
            (next.phase, next.cause, next.not_before),
            (Phase::Draining, Cause::Limit, until)
        );
        assert_eq!((next.reason.as_str(), next.since), ("why", NOW));
    }
}

#[test]
fn a_draining_one_waits_for_the_latest_time_that_was_named() {
    let draining = State {
        drain_per_second: Some(5),
        ..in_phase(Phase::Draining)
    };
    assert_eq!(
        until_of(&draining, None, "why", NOW),
        None,
        "it is taken out by its tokens"
    );
    let next = until_of(&draining, Some(after(30)), "why", NOW).unwrap();
    assert_eq!((next.not_before, next.cause), (Some(after(30)), Cause::Limit));
    assert_eq!((next.gate, next.drain_per_second), (7, Some(5)), "all else stays");
    assert_eq!(until_of(&next, Some(after(10)), "why", NOW), None);
    assert_eq!(
        until_of(&next, Some(after(31)), "why", NOW),
        None,
        "as good as the same"
    );
    let later = until_of(&next, Some(after(32)), "why", NOW).unwrap();
    assert_eq!(later.not_before, Some(after(32)));
    assert!(is_later(after(32), &next) && !is_later(after(31), &next));
}

#[test]
fn one_that_is_held_otherwise_stays_as_it_is() {
    for phase in [Phase::Paused, Phase::Suspended, Phase::Unknown] {
        assert_eq!(until_of(&in_phase(phase), Some(after(30)), "why", NOW), None);
    }
}
