use super::*;

#[test]
fn an_event_is_due_exactly_when_its_time_has_come() {
    for rate in [1, 3, 200, 1_000, 999_983] {
        let pace = Pace { events: 1_000, rate };
        assert_eq!(pace.due(Duration::ZERO), 1);
        for event in 1..1_000 {
            let at = pace.at(event);
            assert!(pace.due(at) > event, "event {event} at {rate} a second");
            assert!(
                pace.due(at.saturating_sub(Duration::from_nanos(2))) <= event,
                "event {event} at {rate} a second"
            );
        }
        assert_eq!(pace.due(Duration::from_secs(3_600)), 1_000);
    }
}

#[test]
fn without_a_rate_all_is_due_at_once() {
    let pace = Pace { events: 7, rate: 0 };
    assert_eq!((pace.due(Duration::ZERO), pace.at(6)), (7, Duration::ZERO));
}
