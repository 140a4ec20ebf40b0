use super::*;

#[test]
fn what_is_there_is_not_planned_any_more() {
    for entry in crate::registry() {
        assert_eq!(provider(entry.name), None, "{} has a row and is there", entry.name);
        assert_eq!(canonical(entry.name), entry.name);
    }
}

#[test]
fn the_next_version_stands_first_and_names_are_sorted_within_one() {
    let order: Vec<(&str, &str)> = planned().iter().map(|row| (row.version, row.name)).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(FIELDS.is_sorted(), "{FIELDS:?}");
}

#[test]
fn other_names_lead_to_providers() {
    assert!(crate::find(canonical("newrelic")).is_some());
    assert!(crate::find(canonical("webhooks")).is_some());
    assert_eq!(
        (provider("newrelic"), field("health_check"), field("retry")),
        (None, None, None)
    );
}
