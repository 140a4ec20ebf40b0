//! Issues that are not where they were made: in another team, or in the archive.

use super::*;

#[test]
fn an_issue_in_the_archive_is_made_again_once() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    let pr = json!({ "pr": { "number": 42, "url": "https://github.com/org/repo/pull/42" } });
    let events = [
        of("spec.created", "FEAT-1", 1),
        of("spec.approved", "FEAT-1", 2),
        of("implementation.started", "FEAT-1", 3),
        of_data("pr.created", "FEAT-1", 4, &pr),
    ];
    for (place, delivery) in events.iter().enumerate() {
        let (_, outcome) = deliver(&mut workspace, &mut remembered, config(), delivery);
        assert_eq!(outcome, Outcome::Delivered, "{place}");
        assert_eq!((workspace.whole().len(), workspace.issues.len()), (1, place + 1));
        workspace.archive();
    }
}

#[test]
fn an_issue_that_a_person_moved_to_another_team_takes_the_states_of_that() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.created", "FEAT-1", 1),
    );
    workspace
        .issues
        .values_mut()
        .for_each(|issue| issue.is_elsewhere = true);
    // It has no such state: no other event suffers.
    let approved = of("spec.approved", "FEAT-1", 2);
    let (asked, outcome) = deliver(&mut workspace, &mut remembered, config(), &approved);
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("Todo") && reason.contains("Shelf, done"), "{reason}");
    assert_eq!(asked, ["SignalboxMove", "SignalboxPlace"]);
    // One of the same name is taken.
    let merged = of("pr.merged", "FEAT-1", 3);
    let (asked, outcome) = deliver(&mut workspace, &mut remembered, config(), &merged);
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(asked, ["SignalboxMove", "SignalboxPlace", "SignalboxMove"]);
    assert_eq!(workspace.has().issues, ["done"]);
}

#[test]
fn who_has_lost_all_memory_does_not_go_on_in_the_archive() {
    let mut workspace = Workspace::default();
    let created = of("spec.created", "FEAT-1", 1);
    deliver(&mut workspace, &mut Remembered::default(), config(), &created);
    workspace.archive();
    for (event_type, seq) in [("spec.approved", 2), ("implementation.started", 3)] {
        let next = of(event_type, "FEAT-1", seq);
        let (_, outcome) = deliver(&mut workspace, &mut Remembered::default(), config(), &next);
        assert_eq!(outcome, Outcome::Delivered, "{event_type}");
        assert_eq!(
            (workspace.whole().len(), workspace.issues.len()),
            (1, 2),
            "{event_type}"
        );
    }
}
