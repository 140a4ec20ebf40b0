use super::*;
use crate::EventType;

#[test]
fn the_table_is_sorted_without_repeats_and_holds_only_types() {
    assert!(BUILT_IN.is_sorted_by(|left, right| left.name < right.name));
    for entry in BUILT_IN {
        entry.name.parse::<EventType>().expect(entry.name);
        assert_eq!(built_in(entry.name), Some(entry));
    }
}

#[test]
fn a_type_says_its_severity_and_any_other_is_low() {
    for (name, severity) in [
        ("system.degraded", Severity::Critical),
        ("execution.failed", Severity::High),
        ("invocation.throttled", Severity::Medium),
        ("execution.completed", Severity::Low),
        ("my.own", Severity::Low),
        ("", Severity::Low),
        ("execution", Severity::Low),
        ("Execution.failed", Severity::Low),
    ] {
        assert_eq!(default_severity(name), severity, "{name}");
    }
}

#[test]
fn what_users_were_promised_is_there() {
    for (family, ends) in [
        ("execution", &["started", "completed", "failed"][..]),
        ("alert", &["created", "resolved"]),
        ("canary", &["started", "promoted", "rolled_back"]),
        ("problem", &["detected", "resolved"]),
        ("experiment", &["started", "completed"]),
        ("proposal", &["created", "approved"]),
        ("system", &["degraded", "recovered"]),
        ("spec", &["created", "approved", "status_changed"]),
        ("implementation", &["started", "completed", "failed"]),
        ("pr", &["created", "merged"]),
        ("validation", &["failed"]),
        ("invocation", &["completed", "failed", "throttled", "denied"]),
        ("build", &["queued", "started", "completed", "failed"]),
        ("deployment", &["started", "completed", "failed"]),
        ("image", &["pushed"]),
        ("integration", &["test", "suspended", "recovered"]),
        ("delivery", &["dead", "failing"]),
        ("signalbox", &["digest"]),
    ] {
        for end in ends {
            let name = format!("{family}.{end}");
            assert!(built_in(&name).is_some(), "{name}");
        }
    }
}
