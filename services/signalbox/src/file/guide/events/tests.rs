use std::collections::BTreeSet;

use super::*;

#[test]
fn every_built_in_type_has_one_old_name() {
    let mut seen = BTreeSet::new();
    for known in BUILT_IN {
        let old = known.name.replace('.', "_");
        assert_eq!(translate(&old).as_deref(), Ok(known.name));
        assert!(seen.insert(old), "{} shares its old name", known.name);
    }
    assert_eq!(translate("canary_rolled_back").as_deref(), Ok("canary.rolled_back"));
    assert_eq!(translate("spec_status_changed").as_deref(), Ok("spec.status_changed"));
}

#[test]
fn types_and_patterns_are_taken_as_they_are() {
    for name in [
        "canary.rolled_back",
        "my_team.shipped_it",
        "alert.*",
        ">",
        "tick",
        "build.>",
    ] {
        assert_eq!(translate(name).as_deref(), Ok(name));
    }
}

#[test]
fn an_unknown_name_is_told_with_those_that_would_be_right() {
    for (name, right) in [
        (
            "spec_accepted",
            "there are spec_approved, spec_created, spec_status_changed (other",
        ),
        ("implmentation_failed", "did you mean implementation_failed? (other"),
        (
            "zebra_crossed_the_road_at_noon",
            "there are alert_created, alert_resolved, build_completed,",
        ),
    ] {
        let message = translate(name).expect_err(name);
        assert!(message.contains(right), "{message}");
    }
}
