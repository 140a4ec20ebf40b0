use super::*;

#[test]
fn no_entry_means_open() {
    assert_eq!(State::default().phase, Phase::Open);
    assert_eq!(State::default().gate, 0);
}

#[test]
fn the_wait_of_a_probe_doubles_up_to_an_hour() {
    let mut probe = Probe {
        delivery: "d".to_owned(),
        due: Timestamp::default(),
        wait_secs: PROBE_FIRST_SECS,
        failed: 0,
    };
    let mut waits = vec![probe.wait_secs];
    for _ in 0..8 {
        probe.wait_secs = probe.next_wait_secs();
        waits.push(probe.wait_secs);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    assert_eq!(
        Probe {
            wait_secs: u32::MAX,
            ..probe
        }
        .next_wait_secs(),
        PROBE_LAST_SECS
    );
}

#[test]
fn a_probe_of_a_target_that_fails_passes_on_after_a_few_failures_and_its_wait_goes_on() {
    let mut probe = Probe {
        delivery: "d".to_owned(),
        due: at(0),
        wait_secs: 60,
        failed: 0,
    };
    let mut seen = Vec::new();
    for _ in 0..4 {
        probe = probe.after_failure(true, at(9));
        assert_eq!(probe.due, at(9));
        seen.push((probe.is_vacant(), probe.wait_secs, probe.failed));
        if probe.is_vacant() {
            probe.delivery = "e".to_owned();
        }
    }
    assert_eq!(
        seen,
        [(false, 120, 1), (false, 240, 2), (true, 480, 0), (false, 960, 1)]
    );
    let mut refused = probe;
    for _ in 0..8 {
        refused = refused.after_failure(false, at(9));
    }
    assert!(
        !refused.is_vacant(),
        "one that is refused stays the probe: the target refuses us"
    );
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

#[test]
fn a_suspension_soon_after_a_recovery_waits_twice_as_long_and_a_longer_health_is_forgiven() {
    let mut state = State::default();
    assert_eq!(state.next_backoff_secs(60, at(0)), 60);
    let mut waits = Vec::new();
    for _ in 0..8 {
        state.backoff_secs = state.next_backoff_secs(60, at(599));
        state.recovered_at = Some(at(0));
        waits.push(state.backoff_secs);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    assert_eq!(state.next_backoff_secs(60, at(600)), 60);
}

#[test]
fn a_recovery_is_kept_for_as_long_as_it_matters() {
    let before = State {
        phase: Phase::Draining,
        backoff_secs: 120,
        recovered_at: Some(at(0)),
        ..State::default()
    };
    assert!(before.is_half_open(at(599)));
    assert!(
        !before.is_half_open(at(600)),
        "it drains for long: a limit, not a recovery"
    );
    let open = State::default().keeping_recovery_of(&before, at(599));
    assert_eq!((open.backoff_secs, open.recovered_at), (120, Some(at(0))));
    assert!(!open.is_half_open(at(1)), "what waited is out");
    assert_eq!(State::default().keeping_recovery_of(&before, at(600)), State::default());
}
