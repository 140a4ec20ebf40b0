use signalbox_broker::waiting::Waiting;

use super::*;

fn config(integration: u64, org: u64) -> Config {
    Config {
        lease_s: 5,
        drains_max: 1,
        look_every_s: 10,
        waiting_integration_max: integration,
        waiting_org_max: org,
        storage_high_percent: 85,
        sweep_every_s: 30,
        janitor_every_s: 30,
        janitor_high_percent: 90,
        janitor_low_percent: 80,
        ledger_every_s: 0,
    }
}

fn waiting(org: &str, integration: &str, parked: u64) -> Waiting {
    Waiting {
        org: org.into(),
        integration: integration.into(),
        parked,
        ..Waiting::default()
    }
}

fn looked(integrations: &[Waiting]) -> Look {
    Look {
        integrations: integrations.to_vec(),
        ..Look::default()
    }
}

fn size(name: &str, bytes: u64, bytes_max: Option<u64>) -> Size {
    Size {
        name: name.into(),
        bytes,
        bytes_max,
        on_disk: true,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[test]
fn an_org_is_over_its_mark_by_all_its_integrations_and_until_a_tenth_is_gone() {
    let config = config(0, 1_000);
    let look = |a, b| {
        [
            waiting("acme", "a", a),
            waiting("acme", "b", b),
            waiting("other", "c", 900),
        ]
    };
    let judged = |before: &Marks, look: &[Waiting]| judge(before, &looked(look), &Budget::default(), &config).marks;
    let none = judged(&Marks::default(), &look(500, 500));
    assert!(none.is_empty(), "{none:?}");
    let over = judged(&none, &look(500, 501));
    assert_eq!(
        over.orgs,
        [("acme".parse().unwrap(), Over { is: 1_001, mark: 1_000 })].into()
    );
    let still = judged(&over, &look(500, 401));
    assert_eq!(still.orgs.len(), 1);
    let below = judged(&still, &look(500, 400));
    assert!(below.is_empty(), "{below:?}");
}

#[test]
fn integrations_over_their_mark_are_named_the_most_crowded_first() {
    let look = [
        waiting("acme", "a", 11),
        waiting("acme", "b", 30),
        waiting("acme", "c", 10),
    ];
    let Judged { marks, crowded } = judge(&Marks::default(), &looked(&look), &Budget::default(), &config(10, 0));
    let named: Vec<&str> = marks.integrations.iter().map(|one| one.integration.as_str()).collect();
    assert_eq!((named, crowded), (vec!["b", "a"], 2));
    assert!(marks.orgs.is_empty());
}

#[test]
fn what_waits_may_take_what_the_others_leave_of_the_budget() {
    let sizes = |events, parked| {
        [
            size("EVENTS", events, Some(4_000)),
            size("PARKED", parked, None),
            size("DELIVER_SLACK", 100, None),
            size("KV_SIGNALBOX_CONFIG", 5_000, None),
        ]
    };
    let mut history = History::default();
    let judged = |budget: &Budget| {
        judge(&Marks::default(), &Look::default(), budget, &config(0, 0))
            .marks
            .storage
    };
    let budget = history.budget(&sizes(1_000, 7_500), 10_000, at(100));
    assert_eq!(judged(&budget), None);
    let budget = history.budget(&sizes(1_000, 7_600), 10_000, at(110));
    assert_eq!(judged(&budget), Some(Over { is: 7_700, mark: 7_650 }));
    let budget = history.budget(&sizes(4_000, 5_001), 10_000, at(120));
    assert_eq!(judged(&budget), Some(Over { is: 5_101, mark: 5_100 }));
    let budget = history.budget(&sizes(10_000, 1), 10_000, at(130));
    assert_eq!(
        judged(&budget),
        Some(Over { is: 101, mark: 0 }),
        "the others leave nothing"
    );
}

#[test]
fn growth_over_the_last_looks_says_when_a_stream_is_full() {
    let mut history = History::default();
    for look in 0..10 {
        history.budget(
            &[size("DEAD", look * 100, Some(10_000))],
            100_000,
            at(1_000 + 10 * look.cast_signed()),
        );
    }
    let budget = history.budget(&[size("DEAD", 1_000, Some(10_000))], 100_000, at(1_100));
    let dead = budget.shares.iter().find(|share| share.name == "DEAD").unwrap();
    assert_eq!((dead.growth, dead.full_in_secs), (10, Some(900)));
    let budget = history.budget(&[size("DEAD", 0, Some(10_000))], 100_000, at(1_200));
    let dead = budget.shares.iter().find(|share| share.name == "DEAD").unwrap();
    assert_eq!((dead.growth, dead.full_in_secs), (0, None));
}

#[test]
fn a_first_look_tells_no_growth() {
    let budget = History::default().budget(&[size("DEAD", 500, Some(10_000))], 100_000, at(5));
    assert!(
        budget
            .shares
            .iter()
            .all(|share| share.growth == 0 && share.full_in_secs.is_none())
    );
}

#[test]
fn dead_letters_of_refusals_stop_at_half_of_dead() {
    let refused = |bytes, before| {
        let budget = History::default().budget(&[size("DEAD", bytes, Some(1_000))], 100_000, at(5));
        let before = Marks {
            refusals_full: before,
            ..Marks::default()
        };
        judge(&before, &Look::default(), &budget, &config(0, 0))
            .marks
            .refusals_full
    };
    assert!(!refused(500, false));
    assert!(refused(501, false));
    assert!(refused(460, true));
    assert!(!refused(450, true));
}

#[test]
fn a_look_that_was_cut_short_relieves_nobody() {
    let config = config(10, 10);
    let before = judge(
        &Marks::default(),
        &looked(&[waiting("acme", "a", 20), waiting("other", "b", 30)]),
        &Budget::default(),
        &config,
    );
    assert_eq!(before.marks.orgs.len(), 2);
    let mut look = looked(&[waiting("acme", "a", 1)]);
    let relieved = judge(&before.marks, &look, &Budget::default(), &config);
    assert_eq!((relieved.marks.orgs.len(), relieved.crowded), (0, 0));
    look.cut = true;
    let cut = judge(&before.marks, &look, &Budget::default(), &config);
    assert_eq!(cut.marks.orgs, before.marks.orgs);
    assert_eq!(cut.marks.integrations, before.marks.integrations);
}

#[test]
fn all_that_are_crowded_are_counted_and_some_named() {
    let many: Vec<Waiting> = (0..150).map(|n| waiting("acme", &format!("i{n}"), 11)).collect();
    let judged = judge(&Marks::default(), &looked(&many), &Budget::default(), &config(10, 0));
    assert_eq!((judged.marks.integrations.len(), judged.crowded), (CROWDED_MAX, 150));
}

#[test]
fn what_refusals_may_still_take_is_half_of_dead_less_what_it_holds() {
    let left = |bytes| {
        let budget = History::default().budget(&[size("DEAD", bytes, Some(1_000))], 100_000, at(5));
        judge(&Marks::default(), &Look::default(), &budget, &config(0, 0))
            .marks
            .refusals_left
    };
    assert_eq!([left(0), left(120), left(700)], [Some(500), Some(380), Some(0)]);
}
