use signalbox_proto::{Phase, State, Timestamp, state::Cause};

use super::{Known, Turn, entry};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn state(phase: Phase, cause: Cause, recovered_at: Option<Timestamp>) -> State {
    State {
        phase,
        since: at(5),
        cause,
        recovered_at,
        ..State::default()
    }
}

#[test]
fn suspensions_and_recoveries_by_a_probe_are_told_and_nothing_else() {
    for (phase, cause, recovered_at, told) in [
        (Phase::Suspended, Cause::Refused, None, Some(Turn::Suspended)),
        (Phase::Suspended, Cause::None, None, Some(Turn::Suspended)),
        (Phase::Draining, Cause::Failing, Some(at(5)), Some(Turn::Recovered)),
        // A person let it go.
        (Phase::Draining, Cause::None, Some(at(5)), None),
        // It drains for another reason, not long after it recovered.
        (Phase::Draining, Cause::Slow, Some(at(4)), None),
        (Phase::Paused, Cause::None, None, None),
        (Phase::Open, Cause::None, Some(at(5)), None),
    ] {
        assert_eq!(
            Turn::of(&state(phase, cause, recovered_at)),
            told,
            "{phase:?} {cause:?}"
        );
    }
}

#[test]
fn a_state_that_is_seen_again_is_told_under_the_same_id_and_the_next_suspension_under_another() {
    let known = Known {
        org: "acme".parse().unwrap(),
        name: "oncall".parse().unwrap(),
    };
    let first = state(Phase::Suspended, Cause::Refused, None);
    let probed = State {
        backoff_secs: 120,
        ..first.clone()
    };
    let next = State {
        since: at(6),
        ..first.clone()
    };
    let id = |state: &State| entry(Turn::Suspended, "i", &known, state).id;
    assert_eq!(id(&first), id(&probed));
    assert_ne!(id(&first), id(&next));
    assert_ne!(id(&first), entry(Turn::Recovered, "i", &known, &first).id);
}
