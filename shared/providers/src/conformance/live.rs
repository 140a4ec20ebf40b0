//! The conformance events against a real vendor: `make live-test PROVIDER=slack`. Never in CI.
//!
//! `SIGNALBOX_LIVE_CONFIG` and `SIGNALBOX_LIVE_CREDENTIALS` hold config and credentials as JSON. It sends an event of each
//! built-in type, a digest and some hostile events, waits where the vendor asks for it, and fails where one is not taken.
//! What arrives is for eyes: it is to be deleted there afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Outcome, Timestamp, types::BUILT_IN};

use super::hostile;
use crate::{About, AnyTarget, Client, Egress, Exchange, Step, find, things::memory::Memory};

/// Hostile events that are sent.
const HOSTILE: usize = 20;
/// How often one event is sent again where the vendor asks to wait.
const TRIES: usize = 5;
/// How long to wait where the vendor does not say.
const WAIT: Duration = Duration::from_secs(5);
/// Between two events, so that most vendors have no reason to refuse any.
const PAUSE: Duration = Duration::from_secs(1);

fn document(variable: &str) -> Value {
    let text = std::env::var(variable).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{variable} is not JSON"))
}

async fn send(client: &Client, memory: &mut Memory, target: &dyn AnyTarget, delivery: &Delivery) -> Outcome {
    if target.thing(delivery).is_some() {
        return memory.deliver(client, target, delivery).await.outcome;
    }
    let mut so_far = Vec::new();
    loop {
        match target.next(delivery, &so_far, Timestamp::now()) {
            Step::Done(outcome) => return outcome,
            Step::Send(request) => match client.send(request, target.about().timeout).await {
                Ok(exchange) => so_far.push(exchange),
                Err(unanswered) => return unanswered.outcome,
            },
        }
    }
}

/// Sends it until the vendor takes it or says that it will not.
async fn deliver(client: &Client, memory: &mut Memory, target: &dyn AnyTarget, delivery: &Delivery) -> Outcome {
    for _ in 1..TRIES {
        match send(client, memory, target, delivery).await {
            Outcome::Retry { after, reason } => {
                let wait = after.unwrap_or(WAIT);
                eprintln!("  {reason}: again in {} s", wait.as_secs());
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
    send(client, memory, target, delivery).await
}

#[tokio::test]
#[ignore = "sends events to a real vendor: make live-test PROVIDER=name"]
async fn the_real_vendor_takes_every_event() {
    assert!(
        std::env::var_os("CI").is_none(),
        "this is no test for CI: it calls a vendor with somebody's credentials"
    );
    let name = std::env::var("SIGNALBOX_LIVE_PROVIDER").expect("SIGNALBOX_LIVE_PROVIDER names a provider");
    let entry = find(&name).unwrap_or_else(|| panic!("there is no provider {name}: see `signalbox providers`"));
    let about = About {
        integration: "0197c0de-0000-7000-8000-000000000001".to_owned(),
        name: "live-test".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let (config, credentials) = (
        document("SIGNALBOX_LIVE_CONFIG"),
        document("SIGNALBOX_LIVE_CREDENTIALS"),
    );
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    if let Err(wrong) = entry.check(&config, &credentials, &egress) {
        panic!("SIGNALBOX_LIVE_CONFIG and SIGNALBOX_LIVE_CREDENTIALS do not fit {name}: {wrong:?}");
    }
    let target = entry.open(config, credentials, about).expect("it was checked");
    let client = Client::new(egress).expect("a client can be made");
    if let Some(probe) = target.probe(Timestamp::now()) {
        let answer = client.send(probe, target.about().timeout).await;
        let proved = match answer {
            Ok(Exchange { response }) => target.classify(&response, Timestamp::now()),
            Err(unanswered) => unanswered.outcome,
        };
        eprintln!("connection test: {proved:?}");
        assert_eq!(proved, Outcome::Delivered, "the connection test");
    }
    let data = json!({
        "title": "A live test of Signalbox", "message": "It happened", "agent_name": "builder", "success_rate": 0.925,
        "error": "disk full", "reason": "error rate above 2 %", "version": "1.4.2", "subject": "live-test",
        "pr": { "number": 42, "url": "https://example.com/pr/42" }, "logs_url": "https://example.com/logs",
        "acceptance_criteria": ["it works", "it is fast"],
    });
    let built_in = BUILT_IN
        .iter()
        .map(|known| (known.name.to_owned(), hostile::event(known.name, &data)));
    let mut deliveries: Vec<(String, Delivery)> = Vec::new();
    for (index, (what, mut event)) in built_in.enumerate() {
        event.id = format!("live-{}-{index}", Timestamp::now().secs());
        event.time = Some(Timestamp::now());
        deliveries.push((what, hostile::delivery(event, index as u64 + 1)));
    }
    let mut digest = hostile::delivery(hostile::event("alert.created", &data), 1_000);
    digest.events = deliveries
        .iter()
        .map(|(_, delivery)| delivery.event().clone())
        .collect();
    digest.digest = true;
    deliveries.push(("a digest".to_owned(), digest));
    deliveries.extend((0..HOSTILE).map(|index| (format!("hostile event {index}"), hostile::hostile(index))));
    let mut refused = Vec::new();
    let mut memory = Memory::default();
    for (what, delivery) in &deliveries {
        let outcome = deliver(&client, &mut memory, &*target, delivery).await;
        eprintln!("{what}: {outcome:?}");
        if outcome != Outcome::Delivered {
            refused.push(format!("{what}: {outcome:?}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(refused, Vec::<String>::new(), "of {} events", deliveries.len());
}
