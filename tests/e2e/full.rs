//! Streams that are full: what is accepted is kept, what is not is refused, and no target is called again for it.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Cluster, Publish, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(60);
/// Longer than the wait between two tries of whoever met a full stream.
const SOME_TRIES: Duration = Duration::from_secs(6);

/// A stream that takes a certain number of messages and no more, for a while.
pub(crate) struct Bounded {
    jetstream: jetstream::Context,
    before: stream::Config,
}

impl Bounded {
    pub(crate) async fn at(client: &Client, name: &str, messages: u64) -> Self {
        let nats = async_nats::connect(client.nats_url())
            .await
            .expect("NATS takes a connection");
        let jetstream = jetstream::new(nats);
        let stream = jetstream.get_stream(name).await.expect("the stream is there");
        let before = stream.cached_info().config.clone();
        let max_messages = i64::try_from(messages).expect("a small number");
        jetstream
            .update_stream(stream::Config {
                max_messages,
                ..before.clone()
            })
            .await
            .expect("the stream can be changed");
        Self { jetstream, before }
    }

    pub(crate) async fn lift(self) {
        let changed = self.jetstream.update_stream(self.before).await;
        changed.expect("the stream can be changed");
    }
}

async fn to_one_target(client: &Client, target: &Target, path: &str) {
    let name = path.trim_start_matches('/');
    let config = json!({ "url": target.url(path) });
    let wanted = json!([{ "name": name, "provider": "webhook", "events": [">"], "config": config }]);
    client.apply(wanted).await;
}

fn tick(id: &str) -> Publish {
    Publish::of("tick", &json!({ "of": id })).id(id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_events_is_full_http_says_when_to_come_again_and_inputs_over_nats_wait() {
    const INPUTS: usize = 20;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    to_one_target(client, &target, "/all").await;
    client.publish(tick("first")).await;
    target.wait_for_events("/all", 1, SOON).await;
    let full = Bounded::at(client, "EVENTS", 1).await;
    let body = json!({ "type": "tick", "id": "over-http" }).to_string();
    let answer = client.post_event("", &[], body.clone().into_bytes()).await;
    assert_eq!(answer.problem(503), "unavailable");
    assert_ne!(answer.header("retry-after"), "", "{}", answer.text());
    for number in 0..INPUTS {
        client.publish(tick(&format!("e-{number}"))).await;
    }
    pause(SOME_TRIES).await;
    assert_eq!(client.messages("INGEST").await, Ok(INPUTS as u64), "inputs wait");
    assert_eq!(client.messages("EVENTS").await, Ok(1));
    full.lift().await;
    target.wait_for_events("/all", 1 + INPUTS, SOON).await;
    client.post_event("", &[], body.into_bytes()).await.ok();
    target.wait_for_events("/all", 2 + INPUTS, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 2 + INPUTS, "{ledger}");
    assert_eq!(target.repeats("/all"), 0);
    assert_eq!(client.dead_letters("").await, Vec::<Value>::new());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_ingest_is_full_producers_are_refused_and_what_was_taken_arrives() {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    to_one_target(&client, &target, "/all").await;
    cluster.role("ingest").kill().await;
    let full = Bounded::at(&client, "INGEST", 5).await;
    let mut taken = 0;
    for number in 0..10 {
        match client.try_publish(tick(&format!("e-{number}"))).await {
            Ok(()) => taken += 1,
            Err(error) => assert!(error.contains("maximum messages"), "{error}"),
        }
    }
    assert_eq!(taken, 5);
    cluster.role("ingest").restart().await;
    target.wait_for_events("/all", 5, SOON).await;
    eventually(SOON, "there is room again", async || {
        client.try_publish(tick("later")).await
    })
    .await;
    target.wait_for_events("/all", 6, SOON).await;
    full.lift().await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 6, "{ledger}");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_dead_is_full_no_target_is_called_again_to_file_its_refusal() {
    const EVENTS: usize = 10;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let config = json!({ "url": target.url("/refuses") });
    // What is told about dead letters is not for it.
    let wanted = json!([{ "name": "refuses", "provider": "webhook", "events": ["tick"], "config": config }]);
    client.apply(wanted).await;
    target.script("/refuses", [Answer::status(422)]);
    // One dead letter of ingest fills it.
    client
        .publish(Publish::to("signalbox.in.default.tick", "no JSON"))
        .await;
    eventually(SOON, "the bad input is a dead letter", async || {
        match client.messages("DEAD").await? {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    let full = Bounded::at(client, "DEAD", 1).await;
    for number in 0..EVENTS {
        client.publish(tick(&format!("e-{number}"))).await;
    }
    client
        .publish(Publish::to("signalbox.in.default.tick", "no JSON either"))
        .await;
    target.wait_for_events("/refuses", EVENTS, SOON).await;
    pause(SOME_TRIES).await;
    assert_eq!(client.messages("DEAD").await, Ok(1));
    assert_eq!(client.messages("INGEST").await, Ok(1), "the bad input waits");
    assert_eq!(target.repeats("/refuses"), 0, "while DEAD is full");
    full.lift().await;
    eventually(SOON, "all refusals are filed", async || {
        match client.dead_letters("?limit=200").await.len() {
            12 => Ok(()),
            other => Err(format!("{other} dead letters")),
        }
    })
    .await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["dead"], EVENTS, "{ledger}");
    assert_eq!((target.count("/refuses"), target.repeats("/refuses")), (EVENTS, 0));
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_outcomes_is_full_no_request_starts_and_none_is_made_twice() {
    const EVENTS: usize = 200;
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    to_one_target(client, &target, "/all").await;
    client.publish(tick("first")).await;
    target.wait_for_events("/all", 1, SOON).await;
    client.settled(SOON).await;
    let full = Bounded::at(
        client,
        "OUTCOMES",
        client.messages("OUTCOMES").await.expect("it can be asked"),
    )
    .await;
    let publish = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            client.publish(tick(&format!("e-{number}"))).await;
        }
    };
    publish(0..EVENTS / 2).await;
    pause(SOME_TRIES).await;
    // Those that were under way when the refusal was first met; on a busy machine, all of the first half.
    let called = target.count("/all");
    publish(EVENTS / 2..EVENTS).await;
    pause(SOME_TRIES).await;
    assert_eq!(target.count("/all"), called, "no request starts while OUTCOMES refuses");
    full.lift().await;
    target.wait_for_events("/all", 1 + EVENTS, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 1 + EVENTS, "{ledger}");
    assert_eq!(target.repeats("/all"), 0);
    up.stop().await;
}
