//! Parking against opening, and the changes of an integration's state.

use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};
use signalbox_broker::{
    Broker, Error,
    holding::{Drain, Held, Suspension},
    hops::{Hop, Parked},
    topology::Consumer,
};
use signalbox_proto::{
    Delivery, Lane, Phase, State, Timestamp,
    state::{Cause, PROBE_FIRST_SECS, Probe},
    subjects, wire,
};

use crate::harness::{
    Cluster, config, connect_with, delivery, eventually, open, org, provider, ready, ready_to_deliver, soon,
};

fn refused() -> Suspension<'static> {
    Suspension {
        reason: "401",
        cause: Cause::Refused,
        probe: None,
        first_secs: PROBE_FIRST_SECS,
    }
}

/// Of one integration: deliveries by id, with the stream that holds each.
async fn places(broker: &Broker, integration: &str) -> BTreeMap<String, Vec<&'static str>> {
    let mut places: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    let parked = subjects::parked(&org(), integration);
    let lanes = subjects::deliver_of(&provider(), &org(), integration);
    let deliver = subjects::deliver_stream(&provider());
    for (stream, filter, place) in [(subjects::PARKED, parked, "parked"), (deliver.as_str(), lanes, "lane")] {
        let each = |stored: signalbox_broker::browse::Stored| {
            places
                .entry(wire::decode_delivery(&stored.body).unwrap().id)
                .or_default()
                .push(place);
        };
        broker.scan_queue(stream, &filter, each).await.unwrap();
    }
    places
}

/// As a router does: by a view of its own, which may be old.
async fn route(broker: &Broker, delivery: &Delivery, view: &State) {
    loop {
        match broker.park_behind(delivery, view).await {
            Ok(Held::Parked) => return,
            Ok(Held::Open) => {
                broker.hop(delivery, Hop::Deliver(Lane::Live)).await.unwrap();
                return;
            }
            // Overtaken too often: the message comes again.
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// As a keeper does: takes out what waits while the integration drains, and opens when nothing is left.
async fn keep(broker: &Broker, integration: &str) {
    if broker.state(integration).await.unwrap().value.phase != Phase::Draining {
        return;
    }
    let mut puller = open(broker, Consumer::unpark(&org(), integration)).await.unwrap();
    let waiting = broker.in_parked(&org(), integration).await.unwrap();
    for _ in 0..waiting {
        let Ok(message) = tokio::time::timeout(std::time::Duration::from_millis(200), puller.next(10)).await else {
            break;
        };
        let delivery = wire::decode_delivery(&message.body).unwrap().next_hop();
        broker.hop(&delivery, Hop::Deliver(Lane::Bulk)).await.unwrap();
        message.confirm(broker).await.unwrap();
    }
    for message in puller.stop().await {
        message.nak(broker).await.unwrap();
    }
    broker.open(&org(), integration, Timestamp::now()).await.unwrap();
}

async fn change(broker: &Broker, integration: &str, number: usize) {
    let now = Timestamp::now();
    let changed = match number % 5 {
        0 => broker.pause(integration, "by hand", now).await,
        1 => broker.resume(integration, Drain::default(), now).await,
        2 => broker.suspend(integration, refused(), now).await,
        3 => broker.recover(integration, now).await,
        _ => broker.hold_back(integration, "too many", now).await,
    };
    if let Err(error) = changed {
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }
}

/// One round: routers with views of any age, changes by several hands and keepers, all at once.
async fn race(broker: &Broker, integration: &str, round: usize) {
    const DELIVERIES: usize = 40;
    let views = tokio::sync::Mutex::new(vec![State::default()]);
    let deliveries: Vec<Delivery> = (0..DELIVERIES)
        .map(|number| delivery(&format!("{round}-{number}"), integration))
        .collect();
    let ids: HashSet<String> = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
    let routing = join_all(deliveries.chunks(10).enumerate().map(|(router, deliveries)| {
        let views = &views;
        async move {
            for (number, delivery) in deliveries.iter().enumerate() {
                let view = {
                    let mut views = views.lock().await;
                    views.push(broker.state(integration).await.unwrap().value);
                    let age = (router * 3 + number) % 4;
                    views[views.len().saturating_sub(1 + age)].clone()
                };
                // A view that says open is a race that the design allows: what it routes goes live.
                route(broker, delivery, &view).await;
            }
        }
    }));
    let changing = join_all((0..2).map(|hand| async move {
        for number in 0..12 {
            change(broker, integration, number * (hand + 1) + round + hand).await;
        }
    }));
    let keeping = join_all((0..2).map(|_| async {
        for _ in 0..6 {
            keep(broker, integration).await;
        }
    }));
    tokio::join!(routing, changing, keeping);

    let places = places(broker, integration).await;
    let state = broker.state(integration).await.unwrap().value;
    let known: HashSet<String> = places.keys().cloned().collect();
    let lost: Vec<_> = ids.difference(&known).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for (id, places) in &places {
        assert_eq!(places.len(), 1, "{id} is in {places:?}");
        if places[0] == "parked" {
            assert_ne!(state.phase, Phase::Open, "{id} is stranded in PARKED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parking_and_opening_never_both_succeed_and_nothing_is_stranded() {
    let (_server, broker) = ready_to_deliver().await;
    for round in 0..4 {
        join_all((0..6).map(|number| {
            let broker = broker.clone();
            async move { race(&broker, &format!("r{round}-i{number}"), round * 7 + number).await }
        }))
        .await;
    }
}

async fn one_of_a_park_and_an_opening_wins(broker: &Broker, rounds: usize) {
    for round in 0..rounds {
        let integration = format!("i{round}");
        let closed = broker.close_gate(&integration).await.unwrap();
        let hop = delivery("e1", &integration);
        let (parked, opened) = tokio::join!(broker.park(&hop, closed), async {
            for _ in 0..round % 4 {
                tokio::task::yield_now().await;
            }
            broker.open_gate(&org(), &integration).await
        });
        assert_ne!(parked.unwrap() == Parked::Yes, opened.unwrap(), "exactly one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_park_and_an_opening_at_once_one_wins() {
    let (_server, broker) = ready().await;
    one_of_a_park_and_an_opening_wins(&broker, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_park_and_an_opening_at_once_one_wins_on_three_servers_too() {
    let cluster = Cluster::start().await;
    let mut config = config(&cluster.url());
    config.replicas = 3;
    let broker = connect_with(config).await;
    eventually("a cluster with streams", async || broker.ensure_streams().await.ok()).await;
    one_of_a_park_and_an_opening_wins(&broker, 60).await;

    // Parks of one gate at once are not taken for stale.
    let gate = broker.close_gate("many").await.unwrap();
    let hops: Vec<Delivery> = (0..20).map(|number| delivery(&number.to_string(), "many")).collect();
    let parked = soon("parks", join_all(hops.iter().map(|hop| broker.park(hop, gate)))).await;
    assert!(parked.into_iter().all(|parked| parked.unwrap() == Parked::Yes));
    assert!(!broker.open_gate(&org(), "many").await.unwrap());
}

#[tokio::test]
async fn a_gate_that_moved_without_its_state_is_closed_anew_by_the_next_park() {
    let (_server, broker) = ready().await;
    let now = Timestamp::now();
    for (number, phase) in [Phase::Paused, Phase::Draining, Phase::Suspended]
        .into_iter()
        .enumerate()
    {
        for opened in [false, true] {
            let id = format!("i{number}-{opened}");
            let state = match phase {
                Phase::Paused => broker.pause(&id, "", now).await.unwrap(),
                Phase::Suspended => broker.suspend(&id, refused(), now).await.unwrap(),
                Phase::Draining | Phase::Open | Phase::Unknown => broker.hold_back(&id, "", now).await.unwrap(),
            };
            assert_eq!(state.phase, phase);
            // Someone changed the gate and stopped before the state said so.
            if opened {
                assert!(broker.open_gate(&org(), &id).await.unwrap());
            } else {
                broker.close_gate(&id).await.unwrap();
            }
            assert_eq!(
                broker.park_behind(&delivery("e1", &id), &state).await.unwrap(),
                Held::Parked
            );
            let healed = broker.state(&id).await.unwrap().value;
            assert!(healed.gate > state.gate);
            assert_eq!(
                State {
                    gate: 0,
                    ..healed.clone()
                },
                State { gate: 0, ..state }
            );
            assert_eq!(
                broker.park_behind(&delivery("e2", &id), &healed).await.unwrap(),
                Held::Parked
            );
            assert_eq!(broker.state(&id).await.unwrap().value, healed);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Pause,
    Resume,
    Suspend,
    Recover,
    HoldBack,
    SetProbe,
    Open,
    /// With the view of so many states ago.
    Park(usize),
    /// What a keeper does to what waits.
    TakeOut,
    /// What a crash between the two effects of a change leaves.
    MoveGate,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => Just(Act::Pause),
        2 => Just(Act::Resume),
        1 => Just(Act::Suspend),
        1 => Just(Act::Recover),
        1 => Just(Act::HoldBack),
        1 => Just(Act::SetProbe),
        3 => Just(Act::Open),
        3 => (0..3_usize).prop_map(Act::Park),
        2 => Just(Act::TakeOut),
        1 => Just(Act::MoveGate),
    ];
    proptest::collection::vec(act, 1..25)
}

/// What holding means, without gates, revisions and races.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    phase: Phase,
    probe: bool,
    parked: u64,
}

impl Model {
    fn go(&mut self, phase: Phase) {
        self.phase = phase;
        self.probe = false;
    }

    /// Applies an act; for a park, whether it was held.
    fn apply(&mut self, act: &Act, view_is_open: bool) -> Option<bool> {
        match (act, self.phase) {
            (Act::Pause, Phase::Open | Phase::Suspended | Phase::Draining) => self.go(Phase::Paused),
            (Act::Resume, Phase::Paused | Phase::Suspended | Phase::Draining) => self.go(Phase::Draining),
            (Act::Suspend, Phase::Open | Phase::Draining) => self.go(Phase::Suspended),
            (Act::Recover, Phase::Suspended) | (Act::HoldBack, Phase::Open) => self.go(Phase::Draining),
            (Act::SetProbe, Phase::Suspended) => self.probe = true,
            (Act::Open, Phase::Draining) if self.parked == 0 => self.go(Phase::Open),
            (Act::TakeOut, _) => self.parked = 0,
            (Act::Park(_), phase) => {
                let held = !view_is_open && phase != Phase::Open;
                self.parked += u64::from(held);
                return Some(held);
            }
            _ => {}
        }
        None
    }
}

async fn agrees_with_the_model(broker: &Broker, integration: &str, acts: &[Act]) -> Result<(), TestCaseError> {
    let now = Timestamp::now();
    let mut model = Model::default();
    let mut views = vec![State::default()];
    for (number, act) in acts.iter().enumerate() {
        let mut view = State::default();
        let mut held = None;
        match act {
            Act::Pause => drop(broker.pause(integration, "", now).await.unwrap()),
            Act::Resume => drop(broker.resume(integration, Drain::default(), now).await.unwrap()),
            Act::Suspend => drop(broker.suspend(integration, refused(), now).await.unwrap()),
            Act::Recover => drop(broker.recover(integration, now).await.unwrap()),
            Act::HoldBack => drop(broker.hold_back(integration, "", now).await.unwrap()),
            Act::SetProbe => {
                let probe = Probe {
                    delivery: "d".into(),
                    due: now,
                    wait_secs: 60,
                    failed: 0,
                };
                let known = broker.state(integration).await.unwrap().value.probe;
                drop(
                    broker
                        .set_probe(integration, known.as_ref(), probe, None)
                        .await
                        .unwrap(),
                );
            }
            Act::Open => {
                let opened = broker.open(&org(), integration, now).await.unwrap().is_some();
                prop_assert_eq!(opened, model.phase == Phase::Draining && model.parked == 0);
            }
            Act::Park(age) => {
                view = views[views.len().saturating_sub(1 + age)].clone();
                let hop = delivery(&number.to_string(), integration);
                held = Some(broker.park_behind(&hop, &view).await.unwrap() == Held::Parked);
            }
            Act::TakeOut => {
                broker
                    .purge(subjects::PARKED, Some(&subjects::parked(&org(), integration)), None)
                    .await
                    .unwrap();
            }
            Act::MoveGate => drop(broker.close_gate(integration).await.unwrap()),
        }
        let expected = model.apply(act, view.phase == Phase::Open);
        prop_assert_eq!(held, expected, "act {} of {:?}", number, acts);
        let state = broker.state(integration).await.unwrap().value;
        let is = Model {
            phase: state.phase,
            probe: state.probe.is_some(),
            parked: broker.in_parked(&org(), integration).await.unwrap(),
        };
        prop_assert_eq!(&is, &model, "after act {} of {:?}", number, acts);
        prop_assert_eq!(state.gate == 0, state.phase == Phase::Open);
        views.push(state);
    }
    Ok(())
}

#[test]
fn holding_agrees_with_a_naive_model() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (_server, broker) = runtime.block_on(ready());
    let cases = Cases {
        cases: 60,
        failure_persistence: None,
        ..Cases::default()
    };
    let number = std::cell::Cell::new(0);
    TestRunner::new(cases)
        .run(&acts(), |acts| {
            number.set(number.get() + 1);
            runtime.block_on(agrees_with_the_model(&broker, &format!("i{}", number.get()), &acts))
        })
        .unwrap();
}
