mod config;

use std::{path::Path, time::Duration};

use serde_json::{Map, Value, json};
use signalbox_proto::RawJson;

use super::*;
use crate::{
    About, Egress,
    conformance::{NOW, as_http, hostile},
    find,
};

const KEY: &str = "0123456789abcdef0123456789abcdefFFFFNRAL";

fn open(config: Value) -> Box<dyn crate::AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "queries".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let entry = find("new_relic").unwrap();
    entry.open(config, json!({ "api_key": KEY }), about).unwrap()
}

fn config() -> Value {
    json!({ "account_id": "1234567", "event_type": "SpecIngestion" })
}

/// All requests of a delivery that New Relic takes.
fn requests(delivery: &Delivery) -> Vec<http::Request> {
    let target = open(config());
    let (mut requests, mut so_far) = (Vec::new(), Vec::new());
    loop {
        match target.next(delivery, &so_far, NOW) {
            Step::Send(request) => requests.push(as_http(request)),
            Step::Done(outcome) => {
                assert_eq!(outcome, Outcome::Delivered);
                return requests;
            }
        }
        so_far.push(Exchange {
            response: answered(200, r#"{"success":true,"uuid":"u"}"#),
        });
    }
}

fn answered(status: u16, body: &'static str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.into(),
        truncated: false,
    }
}

fn events(delivery: &Delivery) -> Vec<Value> {
    let each = requests(delivery).into_iter();
    each.flat_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap())
        .collect()
}

fn one(data: &Value) -> Value {
    events(&hostile::delivery(hostile::event("execution.failed", data), 1)).remove(0)
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let written = json!({
        "method": request.method.as_str(), "url": request.url.as_str(), "headers": headers, "body": body,
    });
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/new_relic/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn samples() -> Vec<(&'static str, Delivery)> {
    let mut failed = hostile::event(
        "execution.failed",
        &json!({
            "agent_id": "agent-7", "agent_name": "builder", "severity": "critical", "success_rate": 0.925, "cached": false,
            "error": { "message": "no space left", "code": 28 }, "affected_agents": ["agent-1", "agent-2"], "limit": 3,
            "note": null,
        }),
    );
    failed.agent_id = Some("agent-7".to_owned());
    failed.execution_id = Some("run-42".to_owned());
    failed.subject = Some("nightly".to_owned());
    failed.severity = signalbox_proto::Severity::Critical;
    failed.metadata.insert("region".to_owned(), "eu-1".to_owned());
    let completed = hostile::event(
        "implementation.completed",
        &json!({
            "spec": { "id": "FEAT-0001", "title": "User Authentication", "status": "implemented" },
            "pr": { "number": 42, "url": "https://example.com/acme/site/pull/42" },
            "acceptance_criteria": [{ "text": "A user can sign in", "done": true }, "A user can sign out"],
        }),
    );
    let mut digest = hostile::delivery(failed.clone(), 1);
    digest.digest = true;
    digest
        .events
        .push(hostile::delivery(completed.clone(), 2).events.remove(0));
    vec![
        ("execution-failed", hostile::delivery(failed, 1)),
        ("implementation-completed", hostile::delivery(completed, 2)),
        (
            "integration-test",
            hostile::delivery(hostile::event("integration.test", &json!({})), 3),
        ),
        ("digest", digest),
    ]
}

#[test]
fn events_are_as_recorded() {
    for (name, delivery) in samples() {
        let requests = requests(&delivery);
        assert_eq!(requests.len(), 1, "{name}");
        golden(name, &requests[0]);
    }
}

#[test]
fn the_probe_sends_no_event() {
    let Some(Request::Http(probe)) = open(config()).probe(NOW) else {
        panic!("there is a probe")
    };
    golden("probe", &probe);
}

#[test]
fn the_answer_to_a_probe_tells_of_the_key_alone() {
    let target = open(config());
    for (status, passes) in [
        (200, true),
        (202, true),
        (400, true),
        (401, false),
        (403, false),
        (404, false),
        (503, false),
    ] {
        let outcome = target.classify(&answered(status, r#"{"success":true,"uuid":"u"}"#), NOW);
        assert_eq!(outcome == Outcome::Delivered, passes, "{status}: {outcome:?}");
    }
}

#[test]
fn data_is_flattened_so_that_a_query_finds_it() {
    let event =
        one(&json!({ "spec": { "id": "FEAT-0001", "owner": { "name": "Ann" } }, "ok": true, "rate": 0.5, "n": 3 }));
    assert_eq!(event["spec_id"], "FEAT-0001");
    assert_eq!(event["spec_owner_name"], "Ann");
    assert_eq!(
        (&event["ok"], &event["rate"], &event["n"]),
        (&json!("true"), &json!(0.5), &json!(3))
    );
    assert_eq!(event["agent_id"], "system");
}

#[test]
fn an_agent_that_nobody_could_read_is_the_system() {
    for agent in ["", " ", "\u{7}\u{1b}", "\n"] {
        let mut event = hostile::event("execution.failed", &json!({}));
        event.agent_id = Some(agent.to_owned());
        assert_eq!(
            events(&hostile::delivery(event, 1))[0]["agent_id"],
            "system",
            "{agent:?}"
        );
    }
}

#[test]
fn what_is_no_object_is_called_data() {
    assert_eq!(one(&json!("a text"))["data"], "a text");
    assert_eq!(one(&json!(4.5))["data"], 4.5);
    assert_eq!(
        one(&json!(["a", 1, null, ["b"], { "c": 2 }]))["data"],
        r#"a, 1, ["b"], {"c":2}"#
    );
    assert_eq!(one(&Value::Null).get("data"), None);
    let mut binary = hostile::event("image.pushed", &json!("AAEC"));
    binary.data_base64 = true;
    binary.datacontenttype = Some("image/png".to_owned());
    let binary = events(&hostile::delivery(binary, 1)).remove(0);
    assert_eq!(
        (&binary["data_content_type"], binary.get("data")),
        (&json!("image/png"), None)
    );
}

#[test]
fn data_cannot_take_the_place_of_what_the_event_says() {
    let event = one(
        &json!({ "event_type": "x", "timestamp": 1, "agent_id": "other", "eventType": "Metric", "severity": "high" }),
    );
    assert_eq!(
        (&event["eventType"], &event["event_type"]),
        (&json!("SpecIngestion"), &json!("execution.failed"))
    );
    assert_eq!(
        (&event["agent_id"], &event["data_agent_id"]),
        (&json!("system"), &json!("other"))
    );
    assert_eq!(
        (&event["data_timestamp"], &event["data_eventType"]),
        (&json!(1), &json!("Metric"))
    );
    assert_eq!(event.get("data_severity"), None, "it says the same");
}

#[test]
fn numbers_that_would_be_cut_are_texts() {
    let mut event = hostile::event("execution.failed", &Value::Null);
    event.data = RawJson::from_checked(r#"{"a":18446744073709551615,"b":9223372036854775807,"c":-1}"#.into());
    let event = events(&hostile::delivery(event, 1)).remove(0);
    assert_eq!(event["a"], "18446744073709551615");
    assert_eq!((&event["b"], &event["c"]), (&json!(i64::MAX), &json!(-1)));
}

#[test]
fn long_texts_are_cut_and_attributes_beyond_the_limit_are_counted() {
    let event = one(&json!({ "error": "é".repeat(70_000), "log": "👩‍👩‍👧‍👦".repeat(3_000) }));
    assert_eq!(event["error"].as_str().unwrap().chars().count(), 4_096);
    let log = event["data_log"].as_str().unwrap();
    assert!(log.encode_utf16().count() <= 4_096 && log.ends_with("👩‍👩‍👧‍👦…"), "{log}");
    let wide: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("field_{n}"), n.into())).collect();
    let wide = one(&wide.into());
    let wide = wide.as_object().unwrap();
    assert_eq!(wide.len(), attributes::ATTRIBUTES_MAX);
    let fields = wide.keys().filter(|name| name.starts_with("field_")).count();
    assert_eq!(wide["attributes_left_out"], 1_000 - fields);
}

#[test]
fn a_time_that_is_refused_is_told_in_another_attribute() {
    for (ago_secs, kept) in [
        (0, true),
        (3_600, true),
        (23 * 3_600, true),
        (25 * 3_600, false),
        (-300, true),
        (-7_200, false),
    ] {
        let mut event = hostile::event("execution.failed", &json!({}));
        let time = Timestamp::from_secs(NOW.secs() - ago_secs);
        event.time = Some(time);
        let event = events(&hostile::delivery(event, 1)).remove(0);
        let (timestamp, other) = (event["timestamp"].as_i64().unwrap(), event.get("event_time").cloned());
        if kept {
            assert_eq!((timestamp, other), (time.millis(), None), "{ago_secs}");
        } else {
            assert_eq!(
                (timestamp, other),
                (NOW.millis(), Some(time.millis().into())),
                "{ago_secs}"
            );
        }
    }
}

#[test]
fn a_digest_that_is_too_large_for_one_request_is_several_and_none_is_lost() {
    let data = json!({ "error": "x".repeat(4_000), "reason": "y".repeat(3_000) });
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &data), 1);
    delivery.digest = true;
    for seq in 2..=500_u64 {
        let mut next = hostile::event("execution.failed", &data);
        next.id = format!("evt-{seq}");
        delivery.events.push(hostile::delivery(next, seq).events.remove(0));
    }
    let requests = requests(&delivery);
    assert!(requests.len() >= 4, "{} requests", requests.len());
    assert!(
        requests
            .iter()
            .all(|request| request.body.len() <= event::BODY_BYTES_MAX)
    );
    let ids: Vec<Value> = events(&delivery)
        .iter()
        .map(|event| event["event_id"].clone())
        .collect();
    assert_eq!(ids, (1..=500).map(|n| json!(format!("evt-{n}"))).collect::<Vec<_>>());
}

#[test]
fn which_events_are_in_a_request_is_the_same_at_any_time() {
    // Of some the attributes are too many, so that another one takes the place of a long one of theirs.
    let many: Map<String, Value> = (0..400)
        .map(|n| (format!("member_{n}"), json!("m".repeat(n))))
        .collect();
    let few = json!({ "log": "l".repeat(4_000), "other": "o".repeat(3_000) });
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &few), 1);
    delivery.digest = true;
    for seq in 2..=400_u64 {
        let data = if seq % 5 == 0 { json!(many) } else { few.clone() };
        let mut next = hostile::event("execution.failed", &data);
        next.id = format!("evt-{seq}");
        delivery.events.push(hostile::delivery(next, seq).events.remove(0));
    }
    let parts = |now: Timestamp| {
        let bodies = (0..).map_while(|index| event::body(&delivery, "Signalbox", now, index));
        let ids = bodies.map(|body| {
            assert!(body.len() <= event::BODY_BYTES_MAX);
            let events: Vec<Value> = serde_json::from_slice(&body).expect("JSON");
            events
                .iter()
                .map(|event| event["event_id"].to_string())
                .collect::<Vec<_>>()
        });
        ids.collect::<Vec<_>>()
    };
    let accepted = delivery.event().time();
    let first = parts(accepted);
    assert!(first.len() > 1, "{} requests", first.len());
    assert_eq!(first.iter().map(Vec::len).sum::<usize>(), 400);
    for hours in [1, 23, 24, 72] {
        assert_eq!(
            parts(accepted + Duration::from_secs(hours * 3_600)),
            first,
            "{hours} h later"
        );
    }
}

#[test]
fn a_refusal_of_the_second_request_is_the_outcome() {
    let mut delivery = hostile::delivery(hostile::event("execution.failed", &json!({})), 1);
    delivery.digest = true;
    let exchange = |status| Exchange {
        response: answered(status, r#"{"success":true,"uuid":"u"}"#),
    };
    let step = open(config()).next(&delivery, &[exchange(200), exchange(503)], NOW);
    assert!(matches!(step, Step::Done(Outcome::Retry { .. })), "{step:?}");
}

#[test]
fn over_the_limit_it_waits_for_the_next_minute() {
    let delivery = hostile::delivery(hostile::event("execution.failed", &json!({})), 1);
    let exchange = Exchange {
        response: answered(429, ""),
    };
    match open(config()).next(&delivery, &[exchange], NOW) {
        Step::Done(Outcome::Retry { after, .. }) => assert_eq!(after, Some(Duration::from_secs(60))),
        step => panic!("{step:?}"),
    }
}
