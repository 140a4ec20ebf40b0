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
