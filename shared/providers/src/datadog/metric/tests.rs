use serde_json::{Value as Json, json};
use signalbox_proto::{RawJson, delivery::Note, outcome::OutcomeKind};

use super::*;
use crate::conformance::{NOW, hostile};

fn names() -> Names {
    Names::below("spec_ingestion")
}

fn series(delivery: &Delivery, names: &Names, now: Timestamp) -> Vec<Json> {
    let mut all = Vec::new();
    while let Some(body) = body(delivery, names, &["env:test".to_owned()], now, all.len()) {
        assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
        all.push(serde_json::from_slice::<Json>(&body).unwrap());
        assert!(all.len() < 100);
    }
    all.iter()
        .flat_map(|body| body["series"].as_array().unwrap().clone())
        .collect()
}

fn one(event_type: &str, data: &Json) -> Vec<(String, f64)> {
    let delivery = hostile::delivery(hostile::event(event_type, data), 1);
    let read = |one: &Json| {
        (
            one["metric"].as_str().unwrap().to_owned(),
            one["points"][0]["value"].as_f64().unwrap(),
        )
    };
    series(&delivery, &names(), NOW).iter().map(read).collect()
}

fn count(name: &str, value: f64) -> (String, f64) {
    (format!("spec_ingestion.{name}"), value)
}

#[test]
fn an_event_counts_by_its_tone() {
    assert_eq!(one("execution.started", &json!({})), [count("processed", 1.0)]);
    assert_eq!(
        one("execution.completed", &json!({})),
        [count("processed", 1.0), count("success", 1.0)]
    );
    assert_eq!(
        one("execution.failed", &json!({})),
        [count("processed", 1.0), count("failure", 1.0)]
    );
}

#[test]
fn a_duration_is_a_gauge() {
    let done = one("implementation.completed", &json!({ "duration_ms": 61_500 }));
    assert_eq!(done.last(), Some(&count("duration", 61.5)));
}

#[test]
fn one_name_is_one_count() {
    let delivery = hostile::delivery(hostile::event("execution.failed", &json!({ "duration": 1 })), 1);
    let series = series(&delivery, &Names::One("platform.event".to_owned()), NOW);
    assert_eq!(
        series,
        [json!({
            "metric": "platform.event", "type": 1, "interval": 1,
            "points": [{ "timestamp": NOW.secs(), "value": 1 }],
            "tags": ["event_type:execution.failed", "agent_id:system", "env:test"],
        })]
    );
}

#[test]
fn a_digest_is_added_up_by_type_and_agent_as_datadog_tells_them_apart() {
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &json!({ "duration": 1 })), 1);
    delivery.digest = true;
    for (event_type, agent, secs) in [
        ("execution.failed", None, Some(2)),
        ("execution.failed", Some("Agent 7"), None),
        ("execution.failed", Some("agent_7"), Some(4)),
        ("execution.completed", Some("agent_7"), None),
    ] {
        let mut event = hostile::event(event_type, &json!({ "duration": secs }));
        event.agent_id = agent.map(str::to_owned);
        delivery.events.push(hostile::delivery(event, 2).events.remove(0));
    }
    let series = series(&delivery, &names(), NOW);
    let find = |name: &str, event_type: &str, agent: &str| {
        let tags = [format!("event_type:{event_type}"), format!("agent_id:{agent}")];
        let is_it = |one: &&Json| {
            one["metric"] == format!("spec_ingestion.{name}") && one["tags"][0] == tags[0] && one["tags"][1] == tags[1]
        };
        let found: Vec<&Json> = series.iter().filter(is_it).collect();
        assert!(found.len() <= 1, "two points in one second: {found:?}");
        found.first().map(|one| one["points"][0]["value"].as_f64().unwrap())
    };
    assert_eq!(find("processed", "execution.failed", "system"), Some(2.0));
    assert_eq!(find("failure", "execution.failed", "system"), Some(2.0));
    assert_eq!(find("duration", "execution.failed", "system"), Some(1.5), "the mean");
    assert_eq!(find("processed", "execution.failed", "agent_7"), Some(2.0));
    assert_eq!(find("duration", "execution.failed", "agent_7"), Some(4.0));
    assert_eq!(find("success", "execution.completed", "agent_7"), Some(1.0));
    assert_eq!(find("failure", "execution.completed", "agent_7"), None);
}

#[test]
fn a_repeated_attempt_replaces_the_points_of_the_first() {
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &json!({})), 1);
    let at = |delivery: &Delivery, now: Timestamp| {
        series(delivery, &names(), now)[0]["points"][0]["timestamp"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(at(&delivery, NOW), NOW.secs());
    delivery.note(Note {
        at: NOW,
        outcome: OutcomeKind::Retry,
        response_code: Some(503),
        error_message: None,
    });
    for (later_secs, first) in [(0, true), (30, true), (3_000, true), (3_001, false), (86_400, false)] {
        let now = Timestamp::from_secs(NOW.secs() + later_secs);
        let expected = if first { NOW } else { now };
        assert_eq!(at(&delivery, now), expected.secs(), "{later_secs} s later");
    }
    // Clocks of two workers differ: a point may be ahead, but not so far that it is dropped.
    for (ahead_secs, first) in [(60, true), (480, true), (481, false)] {
        let now = Timestamp::from_secs(NOW.secs() - ahead_secs);
        let expected = if first { NOW } else { now };
        assert_eq!(at(&delivery, now), expected.secs(), "{ahead_secs} s ahead");
    }
}

#[test]
fn attempts_over_hours_write_the_second_that_the_last_one_wrote_where_it_is_still_taken() {
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &json!({})), 1);
    let mut written = Vec::new();
    for minutes in [0, 40, 80, 100, 129, 140, 300] {
        let now = Timestamp::from_secs(NOW.secs() + minutes * 60);
        let point = series(&delivery, &names(), now)[0]["points"][0]["timestamp"].clone();
        written.push((point.as_i64().unwrap() - NOW.secs()) / 60);
        delivery.note(Note {
            at: now,
            outcome: OutcomeKind::Retry,
            response_code: Some(503),
            error_message: None,
        });
    }
    assert_eq!(written, [0, 0, 80, 80, 80, 140, 300]);
}

#[test]
fn each_request_of_each_attempt_writes_the_same_points() {
    let mut delivery = of_many_agents();
    let bodies = |delivery: &Delivery, now| -> Vec<Vec<u8>> {
        (0..)
            .map_while(|index| body(delivery, &names(), &[], now, index))
            .collect()
    };
    let first = bodies(&delivery, NOW);
    assert!(first.len() > 2, "{} requests", first.len());
    for attempt in 1..4 {
        delivery.note(Note {
            at: Timestamp::from_secs(NOW.secs() + attempt * 60 - 60),
            outcome: OutcomeKind::Retry,
            response_code: Some(503),
            error_message: None,
        });
        let now = Timestamp::from_secs(NOW.secs() + attempt * 60);
        assert!(bodies(&delivery, now) == first, "attempt {attempt} writes other points");
    }
}

#[test]
fn the_age_of_an_event_changes_nothing_so_that_none_is_dropped() {
    for ago_secs in [-86_400, 0, 7_200] {
        let mut event = hostile::event("execution.failed", &json!({}));
        event.time = Some(Timestamp::from_secs(NOW.secs() - ago_secs));
        let series = series(&hostile::delivery(event, 1), &names(), NOW);
        assert_eq!(series[0]["points"][0]["timestamp"], NOW.secs(), "{ago_secs} s ago");
    }
}

/// A digest that is several requests.
fn of_many_agents() -> Delivery {
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &json!({})), 1);
    delivery.digest = true;
    delivery.events.clear();
    for seq in 0..1_000_u64 {
        let mut event = hostile::event("execution.failed", &Json::Null);
        event.data = RawJson::from_checked(r#"{"duration_ms":1}"#.into());
        event.agent_id = Some(format!("agent-{seq}-{}", "日".repeat(180)));
        delivery.events.push(hostile::delivery(event, seq).events.remove(0));
    }
    delivery
}

#[test]
fn a_digest_of_many_agents_is_several_requests_and_none_is_lost() {
    let delivery = of_many_agents();
    assert!(
        body(&delivery, &names(), &[], NOW, 2).is_some(),
        "three requests at least"
    );
    let series = series(&delivery, &names(), NOW);
    for name in ["processed", "failure", "duration"] {
        let count = series
            .iter()
            .filter(|one| one["metric"] == format!("spec_ingestion.{name}"))
            .count();
        assert_eq!(count, 1_000, "{name}");
    }
}
