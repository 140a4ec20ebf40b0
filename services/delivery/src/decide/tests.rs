use proptest::prelude::*;
use signalbox_proto::{Accepted, Event, Name, RawJson, Severity, integration::Subscription, state::PROBE_FIRST_SECS};

use super::*;

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

pub(crate) fn integration() -> Integration {
    Integration {
        id: "i1".into(),
        org: Name::default_org(),
        name: "hook".parse().unwrap(),
        provider: "webhook".parse().unwrap(),
        revision: 1,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn delivery() -> Delivery {
    let event = Event {
        id: "e1".into(),
        org: Name::default_org(),
        event_type: "a.b".parse().unwrap(),
        source: "/default".into(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: std::collections::BTreeMap::new(),
    };
    Delivery::first(
        Accepted {
            event,
            seq: 1,
            at: at(0),
        },
        "i1",
        &"webhook".parse().unwrap(),
        1,
        1,
    )
}

fn after(outcome: &Outcome, delivery: &Delivery, state: Option<&State>, suspends: bool, now: Timestamp) -> Verdict {
    decide(
        outcome,
        &Facts {
            delivery,
            integration: &integration(),
            state,
            of_target: true,
            waits_for: None,
            suspends,
            opens: None,
            now,
        },
    )
}

fn after_opening(outcome: &Outcome, delivery: &Delivery, state: Option<&State>) -> Verdict {
    let facts = Facts {
        delivery,
        integration: &integration(),
        state,
        of_target: true,
        waits_for: None,
        suspends: false,
        opens: Some("its target fails".into()),
        now: at(0),
    };
    decide(outcome, &facts)
}

/// After nothing was sent.
fn after_nothing(wait: Option<u64>, delivery: &Delivery, state: Option<&State>, now: Timestamp) -> Verdict {
    let facts = Facts {
        delivery,
        integration: &integration(),
        state,
        of_target: false,
        waits_for: None,
        suspends: false,
        opens: None,
        now,
    };
    decide(&retry(wait), &facts)
}

fn retry(after: Option<u64>) -> Outcome {
    Outcome::Retry {
        reason: "busy".into(),
        after: after.map(Duration::from_secs),
    }
}

fn suspended(probe: &str) -> State {
    State {
        phase: Phase::Suspended,
        probe: Some(Probe {
            delivery: probe.into(),
            due: at(60),
            wait_secs: PROBE_FIRST_SECS,
            failed: 0,
        }),
        ..State::default()
    }
}

#[test]
fn each_step_of_the_schedule_is_kept_within_its_jitter_and_then_it_is_exhausted() {
    let schedule = integration();
    for (step, secs) in schedule.schedule().iter().enumerate() {
        let delivery = Delivery {
            retries: u32::try_from(step).unwrap(),
            attempt: 1,
            ..delivery()
        };
        let Verdict::Retry { at: due, counted: true } = after(&retry(None), &delivery, None, false, at(0)) else {
            panic!("step {step}");
        };
        let waited = due.since(at(0)).as_secs_f64();
        let (least, most) = (f64::from(*secs) * 0.8, f64::from(*secs) * 1.2);
        assert!((least..=most).contains(&waited), "step {step}: {waited}");
    }
    let spent = Delivery {
        retries: 8,
        ..delivery()
    };
    assert_eq!(
        after(&retry(None), &spent, None, false, at(0)),
        Verdict::Dead(DeadReason::Exhausted)
    );
}

#[test]
fn retry_after_counts_where_it_is_later_than_the_step() {
    assert_eq!(
        after(&retry(Some(600)), &delivery(), None, false, at(0)),
        Verdict::Retry {
            at: at(600),
            counted: true
        }
    );
    let Verdict::Retry { at: due, .. } = after(&retry(Some(1)), &delivery(), None, false, at(0)) else {
        panic!()
    };
    assert!(due > at(3));
}

#[test]
fn no_try_is_later_than_the_expiry() {
    let expiry = delivery().since + integration().expire_after();
    let now = expiry - Duration::from_secs(1);
    assert_eq!(
        after(&retry(Some(600)), &delivery(), None, false, now),
        Verdict::Retry {
            at: expiry,
            counted: true
        }
    );
    let end = admit(&delivery(), &integration(), None, expiry);
    assert!(matches!(end, Admission::End(DeadReason::Expired, _)));
}

#[test]
fn what_could_not_be_sent_goes_again_soon_and_uses_up_nothing() {
    let spent = Delivery {
        retries: 8,
        ..delivery()
    };
    for delivery in [delivery(), spent] {
        let Verdict::Retry {
            at: due,
            counted: false,
        } = after_nothing(None, &delivery, None, at(0))
        else {
            panic!("{} retries", delivery.retries);
        };
        let waited = due.since(at(0)).as_secs_f64();
        assert!((4.0..=6.0).contains(&waited), "{waited} s");
        let later = Verdict::Retry {
            at: at(60),
            counted: false,
        };
        assert_eq!(after_nothing(Some(60), &delivery, None, at(0)), later);
    }
    let expiry = delivery().since + integration().expire_after();
    let last = Verdict::Retry {
        at: expiry,
        counted: false,
    };
    let now = expiry - Duration::from_secs(1);
    assert_eq!(after_nothing(None, &delivery(), None, now), last);
}

#[test]
fn what_could_not_be_sent_for_long_waits_longer() {
    let waited = |secs: i64| {
        let now = at(secs);
        match after_nothing(None, &delivery(), None, now) {
            Verdict::Retry { at: due, .. } => due.since(now).as_secs_f64(),
            other => panic!("{other:?}"),
        }
    };
    assert!((4.0..=6.0).contains(&waited(50)));
    assert!((48.0..=72.0).contains(&waited(600)));
    assert!((240.0..=360.0).contains(&waited(50_000)));
}

#[test]
fn a_wait_of_its_own_is_as_long_as_it_says_however_old_the_delivery_is() {
    let now = at(50_000);
    let facts = Facts {
        delivery: &delivery(),
        integration: &integration(),
        state: None,
        of_target: false,
        waits_for: Some(Duration::from_secs(31)),
        suspends: false,
        opens: None,
        now,
    };
    let due = Verdict::Retry {
        at: now + Duration::from_secs(31),
        counted: false,
    };
    assert_eq!(decide(&retry(Some(31)), &facts), due);
}

#[test]
fn what_could_not_be_sent_parks_where_its_integration_is_suspended_and_is_no_failed_probe() {
    let state = suspended("another");
    assert_eq!(
        after_nothing(None, &delivery(), Some(&state), at(0)),
        Verdict::Park(state)
    );
    let delivery = Delivery {
        probe: true,
        ..delivery()
    };
    let mut state = State {
        cause: Cause::Failing,
        ..suspended(&delivery.id)
    };
    // One more failure, and another delivery would probe.
    let probe = state.probe.as_mut().expect("a probe");
    probe.failed = signalbox_proto::state::PROBE_FAILED_MAX - 1;
    let Verdict::ProbeAgain { was, next } = after_nothing(None, &delivery, Some(&state), at(70)) else {
        panic!("no probe any more");
    };
    assert_eq!(Some(&was), state.probe.as_ref(), "what the state has to name still");
    assert!((5..=9).contains(&next.due.since(at(70)).as_secs()), "{next:?}");
    assert_eq!(
        next,
        Probe { due: next.due, ..was },
        "neither its wait nor its failures grow"
    );
}

#[test]
fn a_suspend_answer_never_uses_up_the_schedule() {
    let outcome = Outcome::Suspend {
        reason: "401".into(),
        at_once: false,
    };
    let spent = Delivery {
        retries: 8,
        ..delivery()
    };
    assert!(matches!(
        after(&outcome, &spent, None, false, at(0)),
        Verdict::Retry { counted: false, .. }
    ));
    let suspended = Verdict::Suspend {
        cause: Cause::Refused,
        reason: "401".into(),
    };
    assert_eq!(after(&outcome, &spent, None, true, at(0)), suspended);
}

#[test]
fn the_delivery_that_opens_the_breaker_probes_also_where_its_schedule_is_used_up() {
    let spent = Delivery {
        retries: 8,
        ..delivery()
    };
    let opened = Verdict::Suspend {
        cause: Cause::Failing,
        reason: "its target fails".into(),
    };
    for delivery in [delivery(), spent] {
        assert_eq!(after_opening(&retry(None), &delivery, None), opened);
        let draining = State {
            phase: Phase::Draining,
            ..State::default()
        };
        assert_eq!(after_opening(&retry(None), &delivery, Some(&draining)), opened);
    }
    assert_eq!(
        after_opening(&Outcome::Delivered, &delivery(), None),
        Verdict::Delivered
    );
}

#[test]
fn what_fails_while_its_integration_is_suspended_waits_with_the_others_and_uses_up_nothing() {
    let state = suspended("another");
    let refusal = Outcome::Suspend {
        reason: "401".into(),
        at_once: true,
    };
    let spent = Delivery {
        retries: 8,
        ..delivery()
    };
    for outcome in [retry(None), retry(Some(60)), refusal] {
        for delivery in [delivery(), spent.clone()] {
            let verdict = after(&outcome, &delivery, Some(&state), true, at(0));
            assert_eq!(verdict, Verdict::Park(state.clone()));
            assert_eq!(
                after_opening(&outcome, &delivery, Some(&state)),
                Verdict::Park(state.clone())
            );
        }
    }
    let reject = Outcome::Reject { reason: "400".into() };
    assert_eq!(
        after(&reject, &delivery(), Some(&state), false, at(0)),
        Verdict::Dead(DeadReason::Rejected)
    );
}

#[test]
fn a_target_that_never_answers_well_meets_the_whole_schedule_and_each_retry_after() {
    // As a delivery lives: each attempt at the time that the last one led to.
    let asked = [None, Some(60), Some(1), None, Some(21_600), None, Some(3_601), None];
    let mut delivery = delivery();
    let mut now = at(0);
    for (step, asked) in asked.into_iter().enumerate() {
        let Verdict::Retry { at: due, counted: true } = after(&retry(asked), &delivery, None, false, now) else {
            panic!("step {step}");
        };
        let waited = due.since(now).as_secs_f64();
        let secs = f64::from(integration().schedule()[step]);
        let asked = asked.unwrap_or_default() as f64;
        let (least, most) = ((secs * 0.8).max(asked), (secs * 1.2).max(asked));
        assert!((least..=most).contains(&waited), "step {step}: {waited} s");
        delivery.attempt += 1;
        delivery.retries += 1;
        now = due;
    }
    let end = after(&retry(None), &delivery, None, false, now);
    assert_eq!(end, Verdict::Dead(DeadReason::Exhausted));
    assert!(now < delivery.since + integration().expire_after());
}

#[test]
fn the_probe_doubles_its_wait_up_to_an_hour_and_any_other_answer_is_a_verdict_of_its_own() {
    let probe = Delivery {
        probe: true,
        ..delivery()
    };
    let mut state = suspended(&probe.id);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let Verdict::ProbeAgain { next, .. } = after(&retry(None), &probe, Some(&state), false, at(0)) else {
            panic!()
        };
        waits.push(next.wait_secs);
        state.probe = Some(next);
    }
    assert_eq!(waits, [120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    assert_eq!(
        after(&Outcome::Delivered, &probe, Some(&state), false, at(0)),
        Verdict::Delivered
    );
    let reject = Outcome::Reject { reason: "400".into() };
    assert_eq!(
        after(&reject, &probe, Some(&state), false, at(0)),
        Verdict::Dead(DeadReason::Rejected)
    );
}

#[test]
fn the_probe_of_a_target_that_fails_passes_on_after_a_few_failures_and_the_wait_goes_on() {
    let probe = Delivery {
        probe: true,
        ..delivery()
    };
    let mut state = State {
        cause: Cause::Failing,
        ..suspended(&probe.id)
    };
    let mut seen = Vec::new();
    for _ in 0..signalbox_proto::state::PROBE_FAILED_MAX {
        let Verdict::ProbeAgain { was, next } = after(&retry(None), &probe, Some(&state), false, at(0)) else {
            panic!()
        };
        assert_eq!(Some(was), state.probe, "what the state has to name still");
        seen.push((next.is_vacant(), next.wait_secs));
        state.probe = Some(next);
    }
    assert_eq!(seen, [(false, 120), (false, 240), (true, 480)]);
    // From now on it is one of those that wait.
    assert_eq!(
        admit(&probe, &integration(), Some(&state), at(1)),
        Admission::Park(state)
    );
}

#[test]
fn held_integrations_park_all_but_the_chosen_probe() {
    let now = at(1);
    let paused = State {
        phase: Phase::Paused,
        ..State::default()
    };
    assert_eq!(
        admit(&delivery(), &integration(), Some(&paused), now),
        Admission::Park(paused)
    );
    let state = suspended(&delivery().id);
    assert_eq!(
        admit(&delivery(), &integration(), Some(&state), now),
        Admission::Probe(state.clone()),
        "whoever opened died before it was scheduled"
    );
    let probe = Delivery {
        probe: true,
        ..delivery()
    };
    assert_eq!(admit(&probe, &integration(), Some(&state), now), Admission::Go);
    let other = suspended("another");
    assert_eq!(
        admit(&probe, &integration(), Some(&other), now),
        Admission::Park(other.clone())
    );
    let draining = State {
        phase: Phase::Draining,
        ..State::default()
    };
    assert_eq!(admit(&delivery(), &integration(), Some(&draining), now), Admission::Go);
}

#[test]
fn only_a_tombstone_discards() {
    let deleted = Integration {
        status: Status::Deleted,
        ..integration()
    };
    assert!(matches!(
        admit(&delivery(), &deleted, None, at(0)),
        Admission::End(DeadReason::Discarded, _)
    ));
    for status in [Status::Active, Status::Inactive, Status::PendingSetup, Status::Unknown] {
        assert_eq!(
            admit(
                &delivery(),
                &Integration {
                    status,
                    ..integration()
                },
                None,
                at(0)
            ),
            Admission::Go
        );
    }
}

proptest! {
    #[test]
    fn a_retry_is_never_in_the_past_and_repeats_the_same_time(retries in 0_u32..8, attempt in 0_u32..50, asked in 0_u64..30_000) {
        let delivery = Delivery { retries, attempt, ..delivery() };
        let first = after(&retry(Some(asked)), &delivery, None, false, at(10));
        prop_assert_eq!(&first, &after(&retry(Some(asked)), &delivery, None, false, at(10)));
        let Verdict::Retry { at: due, .. } = first else { return Err(TestCaseError::fail("no retry")) };
        prop_assert!(due > at(10) && due.since(at(10)) >= Duration::from_secs(asked));
    }
}
