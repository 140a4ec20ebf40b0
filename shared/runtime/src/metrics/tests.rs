use super::*;

#[test]
fn every_kind_is_encoded_with_prefix_labels_and_help() {
    let metrics = Metrics::new();
    metrics.counter("events_accepted", "Events taken").inc_by(2);
    metrics.gauge("in_flight", "Requests under way").set(1.5);
    metrics.histogram("wait_seconds", "Waiting", &[1.0]).observe(0.5);
    metrics
        .counters("attempts", "Attempts", ["provider", "outcome"])
        .with(["webhook", "retry \"x\""])
        .inc();
    metrics.gauges("open", "Open", ["lane"]).with(["live"]).set(3.0);
    metrics
        .histograms("duration_seconds", "Time", ["provider"], SECONDS)
        .with(["webhook"])
        .observe(0.0004);
    metrics
        .table("oldest_seconds", "Age", ["integration"])
        .replace(vec![(["ops".to_owned()], 12.5)]);
    let text = metrics.encode();
    for line in [
        "# HELP signalbox_events_accepted Events taken.",
        "signalbox_events_accepted_total 2",
        "signalbox_in_flight 1.5",
        "signalbox_wait_seconds_bucket{le=\"1.0\"} 1",
        "signalbox_attempts_total{provider=\"webhook\",outcome=\"retry \\\"x\\\"\"} 1",
        "signalbox_open{lane=\"live\"} 3.0",
        "signalbox_duration_seconds_bucket{le=\"0.0005\",provider=\"webhook\"} 1",
        "# TYPE signalbox_oldest_seconds gauge",
        "signalbox_oldest_seconds{integration=\"ops\"} 12.5",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_name_asked_for_twice_is_one_metric() {
    let metrics = Metrics::new();
    let elsewhere = metrics.clone();
    metrics
        .counters("attempts", "Attempts", ["provider"])
        .with(["webhook"])
        .inc();
    elsewhere
        .counters("attempts", "Attempts", ["provider"])
        .with(["webhook"])
        .inc();
    assert_eq!(
        metrics
            .encode()
            .matches("signalbox_attempts_total{provider=\"webhook\"} 2")
            .count(),
        1
    );
}

#[test]
#[should_panic(expected = "metric attempts is of another kind elsewhere")]
fn a_name_cannot_have_two_kinds() {
    let metrics = Metrics::new();
    metrics.counter("attempts", "Attempts");
    metrics.gauge("attempts", "Attempts");
}

#[test]
#[should_panic(expected = "metric attempts has other labels elsewhere")]
fn a_name_cannot_have_two_sets_of_labels() {
    let metrics = Metrics::new();
    metrics.counters("attempts", "Attempts", ["provider"]);
    metrics.counters("attempts", "Attempts", ["org"]);
}

#[test]
fn rows_of_a_table_are_replaced_and_removed_labels_vanish() {
    let metrics = Metrics::new();
    let table = metrics.table("oldest_seconds", "Age", ["integration"]);
    table.replace(vec![(["a".to_owned()], 1.0), (["b".to_owned()], 2.0)]);
    table.replace(vec![(["b".to_owned()], 3.0)]);
    let gauges = metrics.gauges("open", "Open", ["lane"]);
    gauges.with(["live"]).set(1.0);
    assert!(gauges.remove(["live"]));
    assert!(!gauges.remove(["live"]));
    let text = metrics.encode();
    assert!(text.contains("oldest_seconds{integration=\"b\"} 3.0"), "{text}");
    assert!(!text.contains("integration=\"a\"") && !text.contains("lane"), "{text}");
}
