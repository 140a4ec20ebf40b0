//! Deliveries of several requests go on behind the last one that is finished.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Publish, Target, Up, vendors};

const SOON: Duration = Duration::from_secs(60);
const ENTITIES: usize = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_at_a_target_with_a_limit_sends_each_of_its_entities_once() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let doors = vendors::doors(&target);
    let door = doors.iter().find(|door| door.name == "pagerduty").expect("a double");
    let mut integration = door.integration(&["alert.*"]);
    integration["batch"] = json!({ "window": "1h", "events_max": ENTITIES });
    integration["retry"] = json!({ "schedule": ["1s", "1s", "1s", "1s"] });
    client.apply(json!([integration])).await;
    let (yes, too_many) = (&door.yes, Answer::status(429).header("Retry-After", "1"));
    // Three attempts: the limit is reached at the third entity, and at the sixth.
    let answers = [yes, yes, &too_many, yes, yes, yes, &too_many, yes];
    target.script_below(&door.path(), answers.into_iter().cloned());
    for entity in 0..ENTITIES {
        let event = Publish::of("alert.created", &json!({ "dedup_key": format!("host-{entity}") }));
        client.publish(event.id(&format!("e-{entity}"))).await;
    }
    let delivered = |ledger: &Value| ledger["delivered"] == ENTITIES;
    let ledger = client.settled(SOON).await;
    assert!(delivered(&ledger), "{ledger}");
    let received = target.received_below(&door.path());
    let mut taken: Vec<String> = received
        .iter()
        .filter(|request| request.taken)
        .map(|request| request.json()["dedup_key"].to_string())
        .collect();
    assert_eq!(received.len() - taken.len(), 2, "the limit was reached twice");
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), ENTITIES, "{taken:?}");
    assert_eq!(received.len(), ENTITIES + 2, "nothing was sent again");
    up.stop().await;
}
