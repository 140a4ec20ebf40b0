use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[test]
fn a_probe_is_missing_a_minute_after_the_suspension_and_lost_a_while_after_it_was_due() {
    let mut state = State {
        phase: Phase::Suspended,
        since: at(0),
        ..State::default()
    };
    assert_eq!(due(&state, at(59)), None);
    assert_eq!(due(&state, at(60)), Some((60, at(60))));
    state.backoff_secs = 120;
    assert_eq!(
        due(&state, at(119)),
        None,
        "suspended again soon after it had recovered"
    );
    assert_eq!(due(&state, at(120)), Some((120, at(120))));
    state.probe = Some(Probe {
        delivery: "d".into(),
        due: at(100),
        wait_secs: 240,
        failed: 0,
    });
    assert_eq!(due(&state, at(189)), None);
    assert_eq!(due(&state, at(190)), Some((240, at(190))));
}

#[test]
fn where_a_probe_passed_on_another_is_chosen_at_once_for_the_time_that_was_reached() {
    let probe = Probe {
        delivery: "d".into(),
        due: at(0),
        wait_secs: 240,
        failed: signalbox_proto::state::PROBE_FAILED_MAX - 1,
    };
    let state = State {
        phase: Phase::Suspended,
        probe: Some(probe.after_failure(true, at(480))),
        ..State::default()
    };
    assert_eq!(due(&state, at(1)), Some((480, at(480))));
}
