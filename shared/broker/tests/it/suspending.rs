//! Suspending an integration from several hands, and how long it is left alone each time.

use std::time::Duration;

use futures::future::join_all;
use signalbox_broker::{
    Broker,
    holding::{Drain, Held, Suspension},
};
use signalbox_proto::{
    Phase, State, Timestamp,
    state::{Cause, PROBE_FIRST_SECS, Probe},
};

use crate::harness::{config, connect_with, delivery, org, ready};

fn failing(probe: &str) -> Suspension<'_> {
    Suspension {
        reason: "its target fails",
        cause: Cause::Failing,
        probe: Some(probe),
        first_secs: PROBE_FIRST_SECS,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

/// Suspends it now; the wait of its probe.
async fn suspend(broker: &Broker, integration: &str, now: Timestamp) -> u32 {
    let state = broker.suspend(integration, failing("d"), now).await.unwrap();
    assert_eq!((state.phase, state.cause), (Phase::Suspended, Cause::Failing));
    let probe = state.probe.unwrap();
    assert_eq!(probe.due, now + Duration::from_secs(probe.wait_secs.into()));
    probe.wait_secs
}

/// Lets what waited go, of which there is nothing.
async fn recover(broker: &Broker, integration: &str, now: Timestamp) -> State {
    let state = broker.recover(integration, now).await.unwrap();
    assert!(state.is_half_open(now));
    broker.open(&org(), integration, now).await.unwrap().unwrap()
}

#[tokio::test]
async fn of_many_workers_that_open_the_breaker_at_once_one_has_the_probe_and_what_they_hold_waits() {
    let (server, first) = ready().await;
    let mut brokers = vec![first];
    for _ in 0..3 {
        brokers.push(connect_with(config(&server.url())).await);
    }
    for round in 0..20 {
        let integration = format!("i{round}");
        let workers: Vec<String> = (0..16).map(|number| format!("d{number}")).collect();
        let opening = workers.iter().enumerate().map(|(number, probe)| {
            let (broker, integration) = (&brokers[number % 4], &integration);
            async move { broker.suspend(integration, failing(probe), at(0)).await.unwrap() }
        });
        let states = join_all(opening).await;
        let chosen = states[0].probe.clone().unwrap().delivery;
        for state in &states {
            assert_eq!(state.phase, Phase::Suspended);
            assert_eq!(state.probe.as_ref().unwrap().delivery, chosen, "round {round}");
        }
        // All but the probe park, also by a view that another's closing of the gate has made old.
        for (number, (state, probe)) in states.iter().zip(&workers).enumerate() {
            if *probe != chosen {
                let parked = brokers[number % 4]
                    .park_behind(&delivery(probe, &integration), state)
                    .await;
                assert_eq!(parked.unwrap(), Held::Parked);
            }
        }
        assert_eq!(brokers[0].in_parked(&org(), &integration).await.unwrap(), 15);
        // A router that still takes it for open is told so where it asks, and one with an old gate parks.
        let stale = State::default();
        let late = delivery("late", &integration);
        assert_eq!(brokers[1].park_behind(&late, &stale).await.unwrap(), Held::Open);
        let old = State {
            phase: Phase::Draining,
            gate: 1,
            ..State::default()
        };
        assert_eq!(brokers[1].park_behind(&late, &old).await.unwrap(), Held::Parked);
    }
}

#[tokio::test]
async fn a_target_that_answers_probes_alone_is_left_alone_twice_as_long_each_time() {
    let (_server, broker) = ready().await;
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let wait = suspend(&broker, "i", now).await;
        waits.push(wait);
        now = now + Duration::from_secs(wait.into());
        recover(&broker, "i", now).await;
        now = now + Duration::from_secs(599);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    now = now + Duration::from_secs(1);
    assert_eq!(suspend(&broker, "i", now).await, 60, "it was well for ten minutes");
}

#[tokio::test]
async fn what_a_probe_had_waited_counts_through_a_slow_drain_and_not_beyond_a_pause() {
    let (_server, broker) = ready().await;
    suspend(&broker, "slow", at(0)).await;
    let probe = Probe {
        delivery: "d".into(),
        due: at(300),
        wait_secs: 240,
        failed: 0,
    };
    let first = broker.state("slow").await.unwrap().value.probe;
    let state = broker
        .set_probe("slow", first.as_ref(), probe.clone(), None)
        .await
        .unwrap();
    assert_eq!(state.reason, "its target fails");
    let state = broker
        .set_probe("slow", Some(&probe), probe.clone(), Some("HTTP 503"))
        .await
        .unwrap();
    assert_eq!(state.reason, "its target fails, its last probe too: HTTP 503");
    recover(&broker, "slow", at(300)).await;
    let held = broker.hold_back("slow", "more comes than goes", at(400)).await.unwrap();
    assert_eq!(held.recovered_at, Some(at(300)));
    assert_eq!(suspend(&broker, "slow", at(500)).await, 480);

    suspend(&broker, "paused", at(0)).await;
    recover(&broker, "paused", at(60)).await;
    broker.pause("paused", "", at(70)).await.unwrap();
    let resumed = broker.resume("paused", Drain::default(), at(80)).await.unwrap();
    assert!(!resumed.is_half_open(at(80)));
    assert_eq!(suspend(&broker, "paused", at(90)).await, 60);

    // Whom a person lets go is believed, with a few requests.
    let resumed = broker.resume("paused", Drain::default(), at(95)).await.unwrap();
    assert!(resumed.is_half_open(at(95)));
    assert_eq!(suspend(&broker, "paused", at(100)).await, 60);
}

#[tokio::test]
async fn one_that_rests_drains_later_and_is_not_written_again_for_each_that_finds_no_place() {
    let (_server, broker) = ready().await;
    let state = broker.rest("i", at(5), "no place", at(0)).await.unwrap();
    assert_eq!((state.phase, state.not_before), (Phase::Draining, Some(at(5))));
    assert_eq!(
        broker.park_behind(&delivery("e1", "i"), &state).await.unwrap(),
        Held::Parked
    );
    let again = broker
        .rest("i", at(5) + Duration::from_millis(900), "no place", at(0))
        .await
        .unwrap();
    assert_eq!(again, state);
    let later = broker.rest("i", at(10), "no place", at(5)).await.unwrap();
    assert_eq!((later.not_before, later.gate), (Some(at(10)), state.gate));
    suspend(&broker, "failing", at(0)).await;
    let kept = broker.rest("failing", at(5), "no place", at(0)).await.unwrap();
    assert_eq!(kept.phase, Phase::Suspended);
}

#[tokio::test]
async fn of_several_who_name_a_probe_one_is_first_and_the_others_learn_which_it_is() {
    let (server, first) = ready().await;
    let other = connect_with(config(&server.url())).await;
    suspend(&first, "i", at(0)).await;
    let known = first.state("i").await.unwrap().value.probe;
    let named = |delivery: &str| Probe {
        delivery: delivery.to_owned(),
        due: at(60),
        wait_secs: 120,
        failed: 0,
    };
    for round in 0..10 {
        let known = if round == 0 {
            known.clone()
        } else {
            first.state("i").await.unwrap().value.probe
        };
        let (one, two) = (named(&format!("a{round}")), named(&format!("b{round}")));
        let (one, two) = tokio::join!(
            first.set_probe("i", known.as_ref(), one, None),
            other.set_probe("i", known.as_ref(), two, None),
        );
        let (one, two) = (one.unwrap().probe, two.unwrap().probe);
        assert_eq!(one, two, "round {round}: both know the same probe");
        assert_ne!(one, known, "round {round}: one of them was named");
    }
    // What was known long ago names nothing.
    let late = first.set_probe("i", known.as_ref(), named("late"), None).await.unwrap();
    assert_ne!(late.probe.unwrap().delivery, "late");
}

#[tokio::test]
async fn what_a_person_asked_for_on_letting_go_holds_through_a_suspension_and_back() {
    let (_server, broker) = ready().await;
    let asked = Drain {
        per_second: Some(7),
        drop_before: Some(at(-60)),
    };
    broker.pause("i", "", at(0)).await.unwrap();
    broker.resume("i", asked, at(10)).await.unwrap();
    suspend(&broker, "i", at(20)).await;
    let back = broker.recover("i", at(80)).await.unwrap();
    assert_eq!(back.phase, Phase::Draining);
    assert_eq!((back.drain_per_second, back.drop_before), (Some(7), Some(at(-60))));
    // Suspended once more while it drains.
    suspend(&broker, "i", at(90)).await;
    let back = broker.recover("i", at(300)).await.unwrap();
    assert_eq!((back.drain_per_second, back.drop_before), (Some(7), Some(at(-60))));
    // Once all is out it means nothing any more.
    let open = broker.open(&org(), "i", at(301)).await.unwrap().unwrap();
    assert_eq!((open.drain_per_second, open.drop_before), (None, None));
}
