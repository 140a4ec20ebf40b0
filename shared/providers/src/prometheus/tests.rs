use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{
    Name,
    totals::{KINDS_MAX, Mark, PAIRS_MAX, Totals},
};

use super::*;
use crate::{Egress, Step, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
const GATEWAY: &str = "https://push.example.com";
const PASSWORD: &str = "s3cret-password";

fn event(id: u64, event_type: &str, agent: Option<&str>) -> Accepted {
    serde_json::from_value(json!({
        "event": {
            "id": format!("evt-{id}"), "org": "acme", "type": event_type, "source": "/acme", "agent_id": agent,
            "time": "2025-12-31T23:59:58Z",
        },
        "seq": id,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn delivery(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "prometheus".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.digest = events.len() > 1;
    delivery.events = events;
    delivery
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "metrics".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

/// As a worker does it: by the registry.
fn count(config: &Value, credentials: &Value, delivery: &Delivery) -> Count {
    let entry = find("prometheus").expect("built in");
    let target = entry.open(config.clone(), credentials.clone(), about());
    match target.expect("a target").next(delivery, &[], NOW) {
        Step::Send(Request::Count(count)) => count,
        other => panic!("no count: {other:?}"),
    }
}

/// What is pushed after these deliveries, with nothing before.
fn pushed(config: &Value, credentials: &Value, deliveries: &[Delivery]) -> http::Request {
    let mut totals = Totals::default();
    let mut last = None;
    for delivery in deliveries {
        let count = count(config, credentials, delivery);
        totals.count(Mark::of(delivery), &count.events, NOW);
        last = Some(count.push);
    }
    last.expect("a delivery").request(&totals)
}

/// Compares a request with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, request: &http::Request) {
    let mut written = format!("{} {}\n", request.method, request.url);
    if let Auth::Authorization(value) = &request.auth {
        written += &format!("authorization: {}\n", value.to_str().expect("ASCII"));
    }
    for (name, value) in &request.headers {
        written += &format!("{name}: {}\n", value.to_str().expect("ASCII"));
    }
    written += &format!("\n{}", std::str::from_utf8(&request.body).expect("UTF-8"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/prometheus/golden/{name}.txt"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn plain() -> Value {
    json!({ "pushgateway_url": GATEWAY })
}

#[test]
fn totals_are_pushed_as_recorded() {
    let deliveries = [
        delivery(vec![event(1, "alert.created", Some("builder"))]),
        delivery(vec![event(2, "alert.resolved", Some("builder"))]),
        delivery(vec![event(3, "alert.created", None)]),
        delivery(vec![event(4, "shop.order-paid", Some("tills \"5\" \\ 6\nback"))]),
        // Counted already.
        delivery(vec![event(1, "alert.created", Some("builder"))]),
        delivery(vec![
            event(5, "alert.created", Some("builder")),
            event(6, "alert.created", Some("builder")),
            event(7, "execution.failed", Some("\u{202e}")),
        ]),
    ];
    golden("totals", &pushed(&plain(), &json!({}), &deliveries));
    let config = json!({ "pushgateway_url": "https://example.com/push", "job": "day/night", "metric_prefix": "acme" });
    let credentials = json!({ "basic": { "username": "signalbox", "password": PASSWORD } });
    golden("options", &pushed(&config, &credentials, &deliveries[..1]));
}

#[test]
fn a_probe_asks_for_the_status_and_pushes_nothing() {
    let entry = find("prometheus").expect("built in");
    let config = json!({ "pushgateway_url": "https://example.com/push/" });
    let target = entry.open(config, json!({ "bearer": " s3cret\n" }), about());
    match target.expect("a target").probe(NOW) {
        Some(Request::Http(request)) => golden("probe", &request),
        other => panic!("{other:?}"),
    }
}

/// A gateway refuses a name that has another help elsewhere, and a proxy what is too large.
#[test]
fn a_push_at_all_bounds_is_below_what_proxies_take() {
    let mut totals = Totals::default();
    let config = json!({ "pushgateway_url": GATEWAY, "metric_prefix": "p".repeat(PREFIX_BYTES_MAX) });
    let mut push = None;
    for number in 0..2 * PAIRS_MAX as u64 {
        let event_type = format!("{:0>128}", number % (2 * KINDS_MAX as u64));
        // What is escaped is twice as long.
        let agent = format!("{number}{}", "\\".repeat(200));
        let delivery = delivery(vec![event(number, &event_type, Some(&agent))]);
        let count = count(&config, &json!({}), &delivery);
        totals.count(Mark::of(&delivery), &count.events, NOW);
        push = Some(count.push);
    }
    let body = push.expect("a push").request(&totals).body;
    assert!(body.len() < 1024 * 1024, "{} bytes", body.len());
    let text = std::str::from_utf8(&body).expect("UTF-8");
    assert!(text.lines().count() >= PAIRS_MAX, "{}", text.lines().count());
}

#[test]
fn types_that_differ_in_a_sign_alone_are_one_counter() {
    let deliveries = ["a.b-c", "a-b.c", "a_b_c"].map(|name| delivery(vec![event(name.len() as u64, name, None)]));
    let kinds: Vec<String> = deliveries
        .iter()
        .map(|delivery| count(&plain(), &json!({}), delivery).events.swap_remove(0).kind)
        .collect();
    assert_eq!(kinds, ["a_b_c"; 3]);
}

fn refused(config: &Value, credentials: &Value, egress: &Egress) -> Vec<String> {
    let checked = find("prometheus").expect("built in").check(config, credentials, egress);
    let errors = checked.err().unwrap_or_default();
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut config = plain();
        config[name] = value;
        (config, json!({}))
    };
    let gateway = |url: &str| (json!({ "pushgateway_url": url }), json!({}));
    let proved = |credentials: Value| (plain(), credentials);
    let basic = json!({ "username": "a", "password": PASSWORD });
    for ((config, credentials), pointer) in [
        ((json!({}), json!({})), "config/pushgateway_url"),
        (gateway(""), "config/pushgateway_url"),
        (gateway("push.example.com"), "config/pushgateway_url"),
        (gateway("ftp://push.example.com"), "config/pushgateway_url"),
        (gateway("http://push.example.com:9091"), "config/pushgateway_url"),
        (gateway("https://a:b@push.example.com"), "config/pushgateway_url"),
        (gateway("https://push.example.com/metrics"), "config/pushgateway_url"),
        (
            gateway("https://push.example.com/metrics/job/x"),
            "config/pushgateway_url",
        ),
        (gateway("https://push.example.com?a=b"), "config/pushgateway_url"),
        (with("job", json!(" ")), "config/job"),
        (with("job", json!("a\nb")), "config/job"),
        (with("job", json!("a".repeat(101))), "config/job"),
        (with("metric_prefix", json!("")), "config/metric_prefix"),
        (with("metric_prefix", json!("a.b")), "config/metric_prefix"),
        (with("metric_prefix", json!("a:b")), "config/metric_prefix"),
        (with("metric_prefix", json!("7up")), "config/metric_prefix"),
        (with("metric_prefix", json!("__a")), "config/metric_prefix"),
        (with("metric_prefix", json!("_a")), "config/metric_prefix"),
        (with("metric_prefix", json!("pushgateway")), "config/metric_prefix"),
        (with("metric_prefix", json!("go_app")), "config/metric_prefix"),
        (with("metric_prefix", json!("a".repeat(65))), "config/metric_prefix"),
        (with("instance", json!("a")), "config/instance"),
        (proved(json!({ "bearer": "" })), "credentials/bearer"),
        (proved(json!({ "bearer": "a\nb" })), "credentials/bearer"),
        (proved(json!({ "bearer": "a", "basic": basic })), "credentials/bearer"),
        (
            proved(json!({ "basic": { "username": "a:b", "password": PASSWORD } })),
            "credentials/basic/username",
        ),
        (
            proved(json!({ "basic": { "username": "a" } })),
            "credentials/basic/password",
        ),
    ] {
        let wrong = refused(&config, &credentials, &Egress::default());
        assert_eq!(wrong, [pointer], "{config} {credentials}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let config = json!({ "pushgateway_url": "x", "job": "", "metric_prefix": "-" });
    let wrong = refused(&config, &json!({ "bearer": "" }), &Egress::default());
    let expected = [
        "config/pushgateway_url",
        "config/job",
        "config/metric_prefix",
        "credentials/bearer",
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn a_gateway_by_plain_http_must_lie_where_the_operator_allows_it() {
    let open = Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    };
    let config = json!({ "pushgateway_url": "http://127.0.0.1:9091" });
    assert_eq!(refused(&config, &json!({}), &open), [""; 0]);
    assert_eq!(
        refused(&config, &json!({}), &Egress::default()),
        ["config/pushgateway_url"]
    );
}

#[test]
fn no_secret_is_printed() {
    let credentials = json!({ "basic": { "username": "signalbox", "password": PASSWORD } });
    let one = delivery(vec![event(1, "alert.created", None)]);
    let count = count(&plain(), &credentials, &one);
    let request = pushed(&plain(), &credentials, std::slice::from_ref(&one));
    let printed = format!("{count:?} {request:?}");
    assert!(printed.contains("push.example.com"), "{printed}");
    let config: Config = serde_json::from_value(plain()).expect("a config");
    let given: Credentials = serde_json::from_value(credentials).expect("credentials");
    let mut printed = format!("{printed} {given:?}");
    let prepared = Prometheus::prepare(config, given).map_err(|_| "refused");
    printed += &format!("{prepared:?}");
    let coded = "c2lnbmFsYm94OnMzY3JldC1wYXNzd29yZA";
    assert!(!printed.contains(PASSWORD) && !printed.contains(coded), "{printed}");
}
