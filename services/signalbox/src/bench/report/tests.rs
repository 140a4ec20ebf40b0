use super::*;

fn figures(total: f64, lost: u64) -> Figures {
    Figures {
        events: 100,
        delivered: 100 - lost,
        lost,
        duplicates: 1,
        misrouted: 0,
        events_per_s: 1_000.0,
        deliveries_per_s: 1_000.0,
        latency_ms: Latency {
            p50: 1.0,
            p99: 3.0,
            max: 4.0,
        },
        cpu_s_per_1000: Cost {
            signalbox: total / 2.0,
            nats_server: total / 4.0,
            load: total / 4.0,
            total,
        },
        rss_mb: Memory {
            signalbox: 50.0,
            nats_server: 20.0,
            load: 10.0,
        },
    }
}

fn workload(rate: u64) -> Workload {
    let scenario = Scenario::Path;
    Workload {
        scenario,
        events: 100,
        rate,
        fanout: 1,
        integrations: 1,
        payload_bytes: 512,
        rounds: 2,
    }
}

#[test]
fn rounds_add_their_counts_and_give_their_medians() {
    let over = Figures::over(&[figures(0.3, 0), figures(0.1, 2), figures(0.2, 0)]);
    assert_eq!(
        (over.events, over.delivered, over.lost, over.duplicates),
        (300, 298, 2, 3)
    );
    assert!((over.cpu_s_per_1000.total - 0.2).abs() < 1e-9);
    assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-9);
}

#[test]
fn quantiles_are_of_all_arrivals() {
    let latency = Latency::of((1..=1_000).rev().collect());
    assert_eq!(
        latency,
        Latency {
            p50: 0.501,
            p99: 0.991,
            max: 1.0
        }
    );
    assert_eq!(
        Latency::of(vec![7]),
        Latency {
            p50: 0.007,
            p99: 0.007,
            max: 0.007
        }
    );
    assert_eq!(Latency::of(Vec::new()), Latency::default());
}

#[test]
fn a_dear_bare_pipeline_makes_the_ratio_not_count() {
    let check = |rate, cost, counts| {
        let report = Report::new(&workload(rate), figures(0.1, 0), figures(cost, 0), None);
        assert_eq!(report.cpu_ratio_counts, counts, "{cost} at {rate}");
        assert_eq!(report.warnings.is_empty(), counts);
    };
    check(0, 0.045, true);
    check(0, 0.046, false);
    check(1_000, 0.45, true);
    check(1_000, 0.46, false);
    check(200, 0.65, true);
    check(200, 0.66, false);
    check(10, 5.0, true);
}

#[test]
fn the_json_has_the_promised_fields_at_its_top() {
    let workload = Workload {
        scenario: Scenario::Routing,
        integrations: 1_000,
        ..workload(0)
    };
    let report = Report::new(
        &workload,
        figures(0.09, 0),
        figures(0.03, 0),
        Some(Comparison::Few(figures(0.1, 0))),
    );
    let json = serde_json::to_value(&report).unwrap();
    for pointer in [
        "/events",
        "/delivered",
        "/lost",
        "/duplicates",
        "/events_per_s",
        "/latency_ms/p50",
        "/latency_ms/p99",
        "/cpu_s_per_1000/signalbox",
        "/cpu_s_per_1000/nats_server",
        "/cpu_s_per_1000/total",
        "/rss_mb/signalbox",
        "/cpu_ratio",
        "/bare/lost",
        "/bare/cpu_s_per_1000/total",
        "/few/events_per_s",
        "/events_per_s_ratio_to_few",
    ] {
        assert!(
            json.pointer(pointer).is_some_and(serde_json::Value::is_number),
            "{pointer} in {json}"
        );
    }
    assert!((report.cpu_ratio - 3.0).abs() < 1e-9);
    assert!(report.table().contains("CPU ratio 3.00"));
}
