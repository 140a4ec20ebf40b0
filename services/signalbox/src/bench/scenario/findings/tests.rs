use std::collections::BTreeMap;

use super::{super::super::args::Open, *};

fn found() -> Findings {
    let size = Size {
        full: false,
        numbers: BTreeMap::from([("owed", 5)]),
        quota: None,
        open: Open::Pause,
        payload_bytes: 512,
    };
    Findings::new(Promise::Limit, &size)
}

#[test]
fn a_missed_aim_is_told_and_a_broken_promise_is_an_error() {
    let mut found = found();
    found.always("nothing is lost", 0, true);
    assert!(found.is_correct() && found.table().ends_with("verdict met\n"));
    found.aim("fast", 1.23456, false);
    assert!(found.is_correct());
    let table = found.table();
    assert!(
        table.contains("goal fast: 1.24 missed") || table.contains("goal fast: 1.23 missed"),
        "{table}"
    );
    assert!(table.ends_with("verdict missed\n"), "{table}");
    found.always("in order", 3, false);
    assert!(!found.is_correct());
}

#[test]
fn figures_stand_at_the_top_of_the_json() {
    let mut found = found();
    found.figure("lost", 0);
    found.figure("latency_ms", json!({ "p99": 1.5 }));
    found.aim("ratio to nothing", f64::NAN, false);
    let value = serde_json::to_value(&found).unwrap();
    assert_eq!(value["scenario"], "limit");
    assert_eq!(value["size"], json!({ "owed": 5 }));
    assert_eq!((&value["lost"], &value["latency_ms"]["p99"]), (&json!(0), &json!(1.5)));
    assert_eq!(
        (&value["verdict"], &value["goals"][0]["seen"]),
        (&json!("missed"), &Value::Null)
    );
    assert!(found.table().contains("latency ms, p99"));
}
