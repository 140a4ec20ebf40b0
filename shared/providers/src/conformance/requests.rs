//! The requests of every provider: what the vendor takes, for any event, the same each time, without secrets in print.

use signalbox_proto::types::BUILT_IN;

use super::{Case, NOW, all, as_http, hostile, in_turn};
use crate::http;

/// Largest request that is made of one delivery, in bytes: what a digest of the largest events may come to.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

fn check(case: &Case, delivery: &signalbox_proto::Delivery) {
    let target = case.target();
    let requests = case.requests(&*target, delivery);
    assert!(!requests.is_empty(), "{}: nothing is sent", case.title());
    for request in &requests {
        let asks = request.method == ::http::Method::GET;
        assert_eq!(request.body.is_empty(), asks, "{}: an empty request", case.title());
        assert!(
            request.body.len() <= BODY_BYTES_MAX,
            "{}: {} bytes",
            case.title(),
            request.body.len()
        );
        assert!(
            asks || request.headers.contains_key("content-type"),
            "{}: a body without a type",
            case.title()
        );
        (case.sample.accepts)(request, delivery);
        let printed = format!("{request:?}");
        for secret in &case.sample.secrets {
            assert!(!printed.contains(secret), "{}: {printed} holds a secret", case.title());
        }
    }
    let again = case.requests(&*target, delivery);
    let both = [&requests, &again].map(|requests| requests.iter().map(shown).collect::<Vec<_>>());
    assert_eq!(both[0], both[1], "{}: the same delivery twice", case.title());
}

/// Everything that goes on the wire, to compare two requests by: head and body.
fn shown(request: &http::Request) -> (String, &[u8]) {
    let mut head = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        head += &format!("{name}: {}\n", value.as_bytes().escape_ascii());
    }
    (head, &request.body)
}

#[test]
fn every_built_in_type_becomes_a_request_that_the_vendor_takes() {
    for case in all() {
        for built_in in BUILT_IN {
            for data in [
                serde_json::json!({}),
                serde_json::json!({
                    "title": "User sign-in", "message": "It happened", "agent_name": "builder", "success_rate": 0.925,
                    "error": "disk full", "reason": "error rate above 2 %", "version": "1.4.2",
                    "spec": { "id": "FEAT-1", "title": "Sign-in", "url": "https://example.com/spec/1", "status": "approved" },
                    "pr": { "number": 42, "url": "https://example.com/pr/42" },
                    "repository": { "owner": "acme", "name": "shop" },
                    "reviewers": ["ann", "bob"], "logs_url": "https://example.com/logs", "latency_ms": 120,
                    "acceptance_criteria": ["it works", "it is fast"], "nested": { "deep": [1, { "x": true }] },
                }),
            ] {
                check(&case, &hostile::delivery(hostile::event(built_in.name, &data), 1));
            }
        }
    }
}

#[test]
fn a_thousand_hostile_events_become_requests_that_the_vendor_takes() {
    let cases = all();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let check_each = |first: usize| {
        for index in (first..hostile::COUNT).step_by(threads) {
            let delivery = hostile::hostile(index);
            for case in in_turn(&cases, index) {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case, &delivery)));
                assert!(result.is_ok(), "{}: hostile event {index}", case.title());
            }
        }
    };
    std::thread::scope(|scope| {
        for first in 0..threads {
            let check_each = &check_each;
            scope.spawn(move || check_each(first));
        }
    });
}

/// The test above shows nothing if these events become harmless.
#[test]
fn the_hostile_events_are_large_and_many() {
    let (mut largest, mut digests) = (0, 0);
    for index in 0..hostile::COUNT {
        let delivery = hostile::hostile(index);
        let longest = delivery
            .events
            .iter()
            .map(|accepted| longest_text(accepted.event.data.as_bytes()));
        largest += usize::from(longest.max() >= Some(70_000));
        digests += usize::from(delivery.events.len() > 20);
    }
    assert!(largest >= 200, "{largest} deliveries with a text of 70,000 characters");
    assert!(digests >= 50, "{digests} long digests");
}

/// Characters of the longest text that data holds.
fn longest_text(data: &[u8]) -> usize {
    fn of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::String(text) => text.chars().count(),
            serde_json::Value::Array(items) => items.iter().map(of).max().unwrap_or_default(),
            serde_json::Value::Object(members) => members.values().map(of).max().unwrap_or_default(),
            _ => 0,
        }
    }
    of(&serde_json::from_slice(data).expect("JSON"))
}

#[test]
fn a_probe_is_the_same_each_time_and_prints_no_secret() {
    for case in all() {
        let target = case.target();
        let (Some(first), Some(second)) = (target.probe(NOW), target.probe(NOW)) else {
            continue;
        };
        let printed = format!("{first:?}");
        assert_eq!(shown(&as_http(first)), shown(&as_http(second)), "{}", case.title());
        for secret in &case.sample.secrets {
            assert!(!printed.contains(secret), "{}: {printed} holds a secret", case.title());
        }
    }
}
