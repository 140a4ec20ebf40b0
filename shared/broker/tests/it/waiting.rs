//! What waits, counted from subjects.

use std::{collections::BTreeMap, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};
use signalbox_broker::{Broker, hops::Hop, waiting::Waiting};
use signalbox_proto::{Delivery, Lane, Timestamp, subjects};

use crate::harness::{delivery, org, provider, publish, ready_to_deliver};

const INTEGRATIONS: usize = 4;

/// Where one delivery of an integration waits.
#[derive(Clone, Copy, Debug)]
enum At {
    Lane(Lane),
    Schedule,
    Batch,
    /// Behind others of one of some keys.
    Ordered(u8),
    Parked,
}

fn waiting() -> impl Strategy<Value = Vec<(usize, At, i64)>> {
    let lane = proptest::sample::select(Lane::ALL.to_vec());
    let ordered = (0..3_u8).prop_map(At::Ordered);
    let at = prop_oneof![
        lane.prop_map(At::Lane),
        Just(At::Schedule),
        Just(At::Batch),
        ordered,
        Just(At::Parked)
    ];
    proptest::collection::vec((0..INTEGRATIONS, at, 1_000..2_000_i64), 0..30)
}

async fn counts_agree(broker: &Broker, round: usize, waiting: &[(usize, At, i64)]) -> Result<(), TestCaseError> {
    for stream in [
        subjects::PARKED,
        subjects::BATCH,
        subjects::ORDERED,
        &subjects::deliver_stream(&provider()),
    ] {
        broker.purge(stream, None, None).await.unwrap();
    }
    let mut expected: BTreeMap<String, Waiting> = BTreeMap::new();
    let mut firsts: BTreeMap<(String, String), Timestamp> = BTreeMap::new();
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for (number, (integration, at, secs)) in waiting.iter().enumerate() {
        let id = format!("i{integration}");
        let since = Timestamp::from_secs(*secs);
        let hop = Delivery {
            since,
            ..delivery(&format!("{round}-{number}"), &id)
        };
        let entry = expected.entry(id.clone()).or_default();
        (entry.org, entry.integration) = (org().to_string(), id.clone());
        match at {
            At::Lane(lane) => {
                broker.hop(&hop, Hop::Deliver(*lane)).await.unwrap();
                entry.pending += 1;
            }
            At::Schedule => {
                broker
                    .hop(&hop, Hop::Schedule(Timestamp::now() + Duration::from_secs(3_600)))
                    .await
                    .unwrap();
                entry.retrying += 1;
            }
            At::Batch => {
                broker.hop(&hop, Hop::Batch).await.unwrap();
                *groups.entry(id.clone()).or_default() += 1;
                entry.parked += 1;
            }
            At::Ordered(key) => {
                let hop = Delivery {
                    order_key: Some(format!("key{key}")),
                    ..hop
                };
                broker.hop(&hop, Hop::Order).await.unwrap();
                // What is kept of the first of a key is the same delivery again.
                if number % 2 == 0 {
                    let (org, integration) = (org(), hop.integration.as_str());
                    let head = subjects::ordered_head(&provider(), &org, integration, &format!("key{key}"));
                    let last = broker.read_from(subjects::ORDERED, &head, 1, 1).await.unwrap();
                    let last = last.first().map_or(0, |last| last.seq);
                    broker.set_ordered_head(&hop.next_hop(), last).await.unwrap();
                }
                *groups.entry(id.clone()).or_default() += 1;
                entry.parked += 1;
            }
            At::Parked => {
                let gate = broker.close_gate(&id).await.unwrap();
                broker.park(&hop, gate).await.unwrap();
                entry.parked += 1;
            }
        }
        if !matches!(at, At::Parked | At::Batch) {
            entry.provider = provider().to_string();
        }
        // The oldest of what was looked at: the first message of each place.
        let place = match at {
            // Each partition is a place of its own.
            At::Ordered(key) => subjects::order_partition(&format!("key{key}")).to_string(),
            at => format!("{at:?}"),
        };
        firsts.entry((id, place)).or_insert(since);
    }
    for ((id, _), since) in firsts {
        let entry = expected.get_mut(&id).unwrap();
        entry.oldest = Some(entry.oldest.map_or(since, |oldest| oldest.min(since)));
    }
    let look = broker.look_at_waiting().await.unwrap();
    prop_assert!(!look.cut);
    prop_assert_eq!(&look.orphans, &Vec::<String>::new());
    prop_assert!(
        look.integrations
            .is_sorted_by_key(|waiting| std::cmp::Reverse(waiting.total()))
    );
    let found: BTreeMap<String, Waiting> = look
        .integrations
        .into_iter()
        .map(|waiting| (waiting.integration.clone(), waiting))
        .collect();
    for (id, waiting) in &expected {
        let gathered = broker.in_groups(&provider(), &org(), id).await.unwrap();
        prop_assert_eq!(gathered, groups.get(id).copied().unwrap_or_default());
        prop_assert_eq!(broker.in_parked(&org(), id).await.unwrap() + gathered, waiting.parked);
        prop_assert_eq!(broker.in_lanes(&provider(), &org(), id).await.unwrap(), waiting.pending);
    }
    prop_assert_eq!(found, expected);
    Ok(())
}

#[test]
fn all_that_waits_is_counted_where_it_waits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (_server, broker) = runtime.block_on(ready_to_deliver());
    let cases = Cases {
        cases: 25,
        failure_persistence: None,
        ..Cases::default()
    };
    let round = std::cell::Cell::new(0);
    TestRunner::new(cases)
        .run(&waiting(), |waiting| {
            round.set(round.get() + 1);
            runtime.block_on(counts_agree(&broker, round.get(), &waiting))
        })
        .unwrap();
}

#[tokio::test]
async fn what_no_consumer_reads_is_an_orphan() {
    let (_server, broker) = ready_to_deliver().await;
    let orphans = [
        "signalbox.deliver.webhook.express.acme.i1",
        "signalbox.deliver.webhook.live",
        "signalbox.retry.webhook.x",
    ];
    for subject in orphans {
        broker.publisher().publish(publish(subject, None, "x")).await.unwrap();
    }
    let look = broker.look_at_waiting().await.unwrap();
    assert_eq!(
        (look.orphans, look.integrations),
        (orphans.map(str::to_owned).to_vec(), Vec::new())
    );
}
