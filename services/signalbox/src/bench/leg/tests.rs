use super::*;

fn workload(scenario: Scenario, fanout: u64, integrations: u64) -> Workload {
    Workload {
        scenario,
        events: 1_000,
        rate: 50,
        fanout,
        integrations,
        payload_bytes: 512,
        rounds: 1,
    }
}

#[test]
fn the_bare_pipeline_makes_as_many_deliveries_at_the_same_rate() {
    let legs = legs(&workload(Scenario::Fanout, 10, 10));
    let [path, bare] = legs.as_slice() else {
        panic!("{legs:?}");
    };
    assert_eq!((path.up, path.pace.events, path.pace.rate), (Some(0), 1_000, 50));
    assert_eq!((bare.up, bare.pace.events, bare.pace.rate), (None, 10_000, 500));
    assert_eq!(path.plan.expected(), bare.plan.expected());
}

#[test]
fn a_target_that_hangs_gets_every_other_event_and_none_before_the_first_round() {
    let legs = legs(&workload(Scenario::Hanging, 1, 1));
    let [beside, _, alone] = legs.as_slice() else {
        panic!("{legs:?}");
    };
    assert_eq!((beside.pace.events, beside.pace.rate), (2_000, 100));
    assert_eq!(beside.plan.expected(), alone.plan.expected());
    let warm_up = beside.warm_up();
    assert_eq!(warm_up.plan.expected(), warm_up.pace.events);
}

#[test]
fn few_integrations_get_as_many_events_as_many() {
    let legs = legs(&workload(Scenario::Routing, 1, 100_000));
    let [many, _, few] = legs.as_slice() else {
        panic!("{legs:?}");
    };
    assert_eq!((many.plan.types, few.plan.types), (100_000, ROUTING_FEW));
    assert_eq!(many.plan.expected(), few.plan.expected());
}
