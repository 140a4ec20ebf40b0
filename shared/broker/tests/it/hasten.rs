//! Schedules that are made to fire now.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use signalbox_broker::{
    Broker, Puller,
    hasten::{FIRES_SOON, Hastened},
    hops::Hop,
    topology::Consumer,
};
use signalbox_proto::{Delivery, Lane, Timestamp, subjects, wire};

use crate::harness::{
    Cluster, LOOK, SOON, config, delivery, eventually, messages, open, org, provider, ready_to_deliver, soon,
};

async fn retry_lane(broker: &Broker) -> Puller {
    open(broker, Consumer::lane(&provider(), Lane::Retry)).await.unwrap()
}

/// Schedules a delivery and makes it fire at once.
async fn hasten(broker: &Broker, scheduled: &Delivery) -> Option<Hastened> {
    let stored = broker.schedule_of(&provider(), &org(), &scheduled.id).await.unwrap()?;
    Some(broker.hasten(&stored, scheduled, Timestamp::now()).await.unwrap())
}

async fn assert_empty(broker: &Broker) {
    let stream = subjects::deliver_stream(&provider());
    eventually("an empty stream", async || {
        (messages(broker, &stream).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hastened_schedule_fires_at_once_and_once_as_the_same_hop() {
    let (_server, broker) = ready_to_deliver().await;
    let mut puller = retry_lane(&broker).await;
    let scheduled = delivery("e1", "i1").next_hop();
    let hour = Timestamp::now() + Duration::from_secs(3_600);
    broker.hop(&scheduled, Hop::Schedule(hour)).await.unwrap();
    let stored = broker
        .schedule_of(&provider(), &org(), &scheduled.id)
        .await
        .unwrap()
        .expect("it waits");
    let now = Timestamp::now();
    assert_eq!(broker.hasten(&stored, &scheduled, now).await.unwrap(), Hastened::Yes);
    // Asked for again, as after an answer that was lost: the condition does not hold any more.
    assert_eq!(broker.hasten(&stored, &scheduled, now).await.unwrap(), Hastened::Gone);
    let message = soon("the delivery", puller.next(10)).await;
    assert!(Timestamp::now().since(now) < Duration::from_secs(2));
    let fired = wire::decode_delivery(&message.body).unwrap();
    assert_eq!(fired.hop_id(), scheduled.hop_id());
    assert_eq!(fired.due, Some(now));
    message.confirm(&broker).await.unwrap();
    assert_empty(&broker).await;
    assert_eq!(broker.hasten(&stored, &scheduled, now).await.unwrap(), Hastened::Gone);
    assert_eq!(hasten(&broker, &scheduled).await, None, "nothing waits any more");
}

#[tokio::test]
async fn what_fires_by_itself_in_a_moment_is_left_to_it() {
    let (_server, broker) = ready_to_deliver().await;
    let now = Timestamp::now();
    let scheduled = |wait| Delivery {
        due: Some(now + wait),
        ..delivery("e1", "i1").next_hop()
    };
    let soon = scheduled(FIRES_SOON);
    broker
        .hop(&soon, Hop::Schedule(now + Duration::from_secs(60)))
        .await
        .unwrap();
    let stored = broker.schedule_of(&provider(), &org(), &soon.id).await.unwrap();
    let stored = stored.expect("it waits");
    assert_eq!(broker.hasten(&stored, &soon, now).await.unwrap(), Hastened::Soon);
    let later = scheduled(FIRES_SOON + Duration::from_millis(1));
    assert_eq!(broker.hasten(&stored, &later, now).await.unwrap(), Hastened::Yes);
}

#[tokio::test]
async fn what_took_the_place_of_a_schedule_is_left_alone() {
    let (_server, broker) = ready_to_deliver().await;
    let hour = Timestamp::now() + Duration::from_secs(3_600);
    let first = delivery("e1", "i1").next_hop();
    broker.hop(&first, Hop::Schedule(hour)).await.unwrap();
    let stored = broker
        .schedule_of(&provider(), &org(), &first.id)
        .await
        .unwrap()
        .expect("it waits");
    let second = first.next_hop();
    broker.hop(&second, Hop::Schedule(hour)).await.unwrap();
    assert_eq!(
        broker.hasten(&stored, &first, Timestamp::now()).await.unwrap(),
        Hastened::Gone
    );
    let left = broker
        .schedule_of(&provider(), &org(), &first.id)
        .await
        .unwrap()
        .expect("it waits");
    assert_eq!(wire::decode_delivery(&left.body).unwrap(), second);
}

/// Schedules that do not say when they are due are hastened at every moment from before they are due until after they were fired. Returns
/// how often each of them was handed out.
async fn race(broker: &Broker, races: u64) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut puller = retry_lane(broker).await;
    let begun = Timestamp::now() + Duration::from_secs(1);
    let mut due = Vec::new();
    for number in 0..races {
        let scheduled = delivery(&number.to_string(), "i1").next_hop();
        let at = begun + Duration::from_millis(number * 5);
        broker.hop(&scheduled, Hop::Schedule(at)).await.unwrap();
        due.push((number, scheduled, at));
    }
    let hastened: Vec<Option<Hastened>> = stream::iter(due)
        .map(|(number, scheduled, at)| {
            let broker = broker.clone();
            async move {
                // The server fires within about 250 ms of the time: from 100 ms before to 400 ms after.
                let moment = at + Duration::from_millis(number * 37 % 500);
                let wait = moment.since(Timestamp::now() + Duration::from_millis(100));
                tokio::time::sleep(wait).await;
                hasten(&broker, &scheduled).await
            }
        })
        .buffer_unordered(races as usize)
        .collect()
        .await;
    let count = |is: Option<Hastened>| hastened.iter().filter(|hastened| **hastened == is).count();
    eprintln!(
        "{} hastened, {} refused by the server, {} gone before",
        count(Some(Hastened::Yes)),
        count(Some(Hastened::Gone)),
        count(None)
    );
    assert!(count(Some(Hastened::Yes)) > 0, "some were in time");
    let mut fired: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    // What is confirmed leaves the other servers a moment later: that the stream is empty is waited for as well.
    let mut last = Instant::now();
    while (fired.len() as u64) < races || messages(broker, &subjects::deliver_stream(&provider())).await > 0 {
        let Ok(message) = tokio::time::timeout(LOOK, puller.next(100)).await else {
            let left = messages(broker, &subjects::deliver_stream(&provider())).await;
            let came = fired.len();
            assert!(last.elapsed() < SOON, "{came} of {races} came, the stream holds {left}");
            continue;
        };
        last = Instant::now();
        let one = wire::decode_delivery(&message.body).unwrap();
        *fired
            .entry(one.id.clone())
            .or_default()
            .entry(one.hop_id())
            .or_default() += 1;
        message.confirm(broker).await.unwrap();
    }
    fired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_schedule_that_fires_and_one_that_replaces_it_just_then_one_goes() {
    let (_server, broker) = ready_to_deliver().await;
    for fired in race(&broker, 600).await.into_values() {
        assert_eq!(fired.into_values().sum::<usize>(), 1, "none is lost, none comes twice");
    }
}

/// Where what has fired is still on its way to the other servers, both may go; as one hop, which a worker knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_servers_none_is_lost_and_what_comes_twice_is_the_same_hop() {
    let cluster = Cluster::start().await;
    let mut config = config(&cluster.url());
    config.replicas = 3;
    let broker = Broker::connect(config, "hasten").await.unwrap();
    eventually("a cluster with streams", async || broker.ensure_streams().await.ok()).await;
    eventually("a provider's stream", async || {
        broker.ensure_provider(&provider()).await.ok()
    })
    .await;
    let fired = race(&broker, 600).await;
    let twice = fired.values().filter(|hops| hops.values().sum::<usize>() > 1).count();
    eprintln!("{twice} came twice");
    assert!(fired.values().all(|hops| hops.len() == 1), "no chain forks");
    assert!(twice <= 6, "rare even so: {twice}");
}
