//! What a draft says of events.

use axum::body::Bytes;
use serde_json::json;
use signalbox_proto::integration::Filter;

use super::*;

fn stored(seq: u64, event: Value) -> Stored {
    let mut whole = json!({ "id": format!("e-{seq}"), "org": "acme", "source": "/acme" });
    for (field, value) in event.as_object().expect("fields") {
        whole[field] = value.clone();
    }
    let event: Event = serde_json::from_value(whole).expect("an event");
    Stored {
        subject: String::new(),
        seq,
        at: Timestamp::from_secs(seq as i64),
        body: Bytes::from(wire::encode(&event).expect("it is encoded")),
    }
}

fn asked(subscription: Subscription, events: Vec<Value>) -> Answer {
    let org: Name = "acme".parse().expect("a name");
    let events = events.into_iter().enumerate().rev();
    let stored: Vec<Stored> = events.map(|(number, event)| stored(number as u64 + 1, event)).collect();
    answer(&draft(&org, subscription), &stored, false)
}

fn on(events: &[&str], condition: Option<&str>) -> Subscription {
    Subscription {
        events: events.iter().map(|&pattern| pattern.to_owned()).collect(),
        filter: Filter {
            condition: condition.map(str::to_owned),
            ..Filter::default()
        },
    }
}

#[test]
fn each_event_says_whether_it_matches_and_if_not_why() {
    let events = vec![
        json!({ "type": "alert.created", "data": { "rate": 0.5 } }),
        json!({ "type": "alert.created", "data": { "rate": 0.95 } }),
        json!({ "type": "alert.created", "data": {} }),
        json!({ "type": "alert.created", "data": { "rate": "half" } }),
        json!({ "type": "pr.merged", "data": {} }),
    ];
    let answer = asked(on(&["alert.*"], Some("event.data.rate < 0.9")), events);
    assert_eq!((answer.looked_at, answer.matched, answer.errors), (5, 1, 1));
    assert_eq!(answer.reasons, BTreeMap::from([("type", 1), ("where", 3)]));
    assert_eq!(
        (answer.since, answer.until),
        (Some(Timestamp::from_secs(1)), Some(Timestamp::from_secs(5)))
    );
    let told: Vec<_> = answer
        .items
        .iter()
        .map(|item| (item.id.as_str(), item.reason, item.near))
        .collect();
    assert_eq!(
        told,
        [
            ("e-5", Some("type"), false),
            ("e-4", Some("where"), true),
            ("e-3", Some("where"), true),
            ("e-2", Some("where"), true),
            ("e-1", None, true),
        ]
    );
    let why = |index: usize| answer.items[index].why.clone().unwrap_or_default();
    assert!(
        why(0).contains("no pattern covers pr.merged: it has alert.*"),
        "{}",
        why(0)
    );
    assert!(why(1).contains("has no answer"), "{}", why(1));
    assert!(why(2).contains("event.data.rate"), "{}", why(2));
    assert!(why(3).contains("is false (event.data.rate is 0.95)"), "{}", why(3));
    assert_eq!(answer.items[4].why, None);
}

#[test]
fn what_cannot_be_read_is_passed_by() {
    let org: Name = "acme".parse().expect("a name");
    let broken = Stored {
        body: Bytes::from_static(b"\xc1"),
        ..stored(1, json!({ "type": "a.b" }))
    };
    let answer = answer(&draft(&org, on(&[">"], None)), &[broken], true);
    assert_eq!((answer.looked_at, answer.truncated, answer.since), (0, true, None));
}
