use serde_json::{Value, json};

use super::*;
use crate::conformance::hostile;

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "ci".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    }
}

fn payload(told: &Told<'_>) -> Value {
    serde_json::from_str(&told.payload).unwrap()
}

#[test]
fn a_build_is_told_the_data_as_it_was_published() {
    let mut event = hostile::event("deployment.started", &json!({ "version": "1.4.2", "n": 1.10 }));
    event.agent_id = Some(" agent-7\n".to_owned());
    let delivery = hostile::delivery(event, 1);
    let about = about();
    let told = Told::of(&delivery, &about, 1_000);
    assert_eq!((told.event_type, &*told.agent_id), ("deployment.started", "agent-7"));
    assert_eq!(told.payload.as_bytes(), delivery.event().event.data.as_bytes());
}

#[test]
fn data_without_room_is_told_by_what_it_says() {
    let data = json!({ "title": "Latency", "message": "x".repeat(5_000), "more": "y".repeat(5_000) });
    let delivery = hostile::delivery(hostile::event("alert.created", &data), 1);
    let about = about();
    let told = Told::of(&delivery, &about, 3_000);
    let payload = payload(&told);
    assert!(payload["not_shown"].as_str().unwrap().contains("bytes"), "{payload}");
    assert_eq!(
        (&payload["title"], &payload["headline"]),
        (&json!("Alert Created"), &json!("Latency"))
    );
    assert!(told.payload.len() < 3_000);
}

#[test]
fn a_digest_lists_its_events_and_counts_those_without_room() {
    let mut delivery = hostile::delivery(hostile::event("alert.created", &json!({ "a": 1 })), 1);
    delivery.digest = true;
    let first = delivery.event().clone();
    delivery.events.resize(100, first);
    let about = about();
    let whole = payload(&Told::of(&delivery, &about, 65_000));
    assert_eq!(
        (&whole["event_count"], &whole["events"][99]["data"]),
        (&json!(100), &json!({ "a": 1 }))
    );
    let told = Told::of(&delivery, &about, 2_000);
    let cut = payload(&told);
    let listed = cut["events"].as_array().unwrap().len();
    assert!(listed > 0 && told.payload.len() <= 2_000, "{}", told.payload.len());
    assert_eq!(cut["events_more"], json!(100 - listed));
    assert_eq!(cut["events"][0].get("data"), None);
}

#[test]
fn no_event_makes_more_than_there_is_room_for() {
    let about = about();
    for index in 0..200 {
        let delivery = hostile::hostile(index);
        let told = Told::of(&delivery, &about, 65_000);
        let bytes = told.event_type.len() + told.agent_id.len() + told.payload.len();
        assert!(bytes <= 65_000, "{index}: {bytes}");
        assert!(
            payload(&told) != Value::Null || delivery.event().event.data.as_bytes() == b"null",
            "{index}"
        );
    }
}
