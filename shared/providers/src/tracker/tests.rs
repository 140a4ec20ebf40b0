use serde_json::{Value, json};
use signalbox_proto::{Delivery, types::PAIRS};

use super::{plan::Plan, *};
use crate::{conformance::hostile, things::Thing};

fn delivery(event_type: &str, data: &Value) -> Delivery {
    hostile::delivery(hostile::event(event_type, data), 7)
}

fn named(event_type: &str, subject: Option<&str>, agent: Option<&str>, data: &Value) -> Thing {
    let mut delivery = delivery(event_type, data);
    delivery.events[0].event.subject = subject.map(str::to_owned);
    delivery.events[0].event.agent_id = agent.map(str::to_owned);
    thing::of(&delivery)
}

#[test]
fn all_events_of_one_spec_are_about_one_issue() {
    let spec = json!({ "spec": { "id": "FEAT-1" } });
    let first = named("spec.created", None, None, &spec);
    assert_eq!(first, Thing::Named("spec/FEAT-1".to_owned()));
    for event_type in [
        "spec.approved",
        "implementation.failed",
        "pr.merged",
        "validation.failed",
        "my.own",
    ] {
        assert_eq!(
            named(event_type, Some("other"), Some("agent-7"), &spec),
            first,
            "{event_type}"
        );
    }
    let none = json!({});
    for event_type in ["spec.created", "implementation.started", "pr.created"] {
        assert_eq!(
            named(event_type, Some("FEAT-1"), None, &none),
            first,
            "{event_type} by its subject"
        );
    }
    assert_eq!(
        named("pr.created", None, None, &json!({ "dedup_key": "FEAT-1" })),
        first
    );
    assert_ne!(
        named("pr.created", None, Some("FEAT-1"), &none),
        first,
        "an agent is no spec"
    );
    assert_eq!(
        named("spec.created", None, None, &json!({ "spec": { "id": 7 } })),
        Thing::Named("spec/7".to_owned())
    );
}

#[test]
fn what_resolves_an_alert_is_about_its_issue() {
    for (opens, closes) in PAIRS {
        for subject in [Some("db-1"), None] {
            let of = |event_type| named(event_type, subject, None, &json!({}));
            assert_eq!(of(opens), of(closes));
            assert_ne!(of(opens), Thing::Own, "{opens} without a name is closed too");
        }
    }
    let of = |event_type| named(event_type, Some("db-1"), None, &json!({}));
    assert_ne!(of("execution.failed"), of("execution.completed"));
    assert_eq!(named("execution.failed", None, None, &json!({})), Thing::Own);
    assert_ne!(named("execution.failed", None, Some("agent-7"), &json!({})), Thing::Own);
}

#[test]
fn a_digest_is_a_thing_of_its_own() {
    let mut digest = delivery("spec.created", &json!({ "spec": { "id": "FEAT-1" } }));
    digest.digest = true;
    assert_eq!(thing::of(&digest), Thing::Own);
}

fn plan(event_type: &str, data: &Value, action: Option<Action>) -> Plan {
    let delivery = delivery(event_type, data);
    let said = Said::of(&delivery.event().event);
    let settings = Settings {
        action,
        create_subtasks: true,
        link_pr: true,
    };
    let has_state = |status| matches!(status, Status::Approved | Status::Implemented);
    Plan::of(&delivery, &said, settings, Does::ALL, has_state)
}

#[test]
fn every_event_leaves_something_behind() {
    let spec = |status: &str| json!({ "spec": { "id": "FEAT-1", "status": status } });
    let pr = json!({ "spec": { "id": "FEAT-1" }, "pr": { "number": 42, "url": "https://example.com/42" } });
    let criteria = json!({ "spec": { "id": "FEAT-1" }, "acceptance_criteria": ["it works"] });
    let none = json!({});
    // The type, its data, and whether it makes subtasks, links, comments, and where it moves the issue.
    for (event_type, data, wanted) in [
        ("spec.created", &none, (false, false, true, None)),
        ("spec.created", &criteria, (true, false, false, None)),
        ("spec.approved", &none, (false, false, false, Some(Status::Approved))),
        (
            "spec.approved",
            &spec("Implemented"),
            (false, false, false, Some(Status::Implemented)),
        ),
        ("spec.status_changed", &spec("review"), (false, false, true, None)),
        ("spec.status_changed", &spec("done"), (false, false, true, None)),
        ("implementation.started", &none, (false, false, true, None)),
        ("implementation.started", &criteria, (false, false, true, None)),
        (
            "implementation.completed",
            &pr,
            (false, true, false, Some(Status::Implemented)),
        ),
        ("implementation.failed", &none, (false, false, true, None)),
        ("pr.created", &pr, (false, true, false, None)),
        ("pr.created", &none, (false, false, true, None)),
        ("pr.merged", &none, (false, false, false, Some(Status::Implemented))),
        ("alert.created", &none, (false, false, true, None)),
        ("alert.resolved", &none, (false, false, true, Some(Status::Implemented))),
        // It tells of the spec, and closes no alert.
        ("alert.resolved", &criteria, (false, false, true, None)),
        ("execution.failed", &none, (false, false, true, None)),
    ] {
        let plan = plan(event_type, data, None);
        assert_eq!(
            (plan.subtasks, plan.link, plan.comment, plan.status),
            wanted,
            "{event_type} {data}"
        );
    }
}

#[test]
fn an_action_is_done_for_every_event_and_else_a_comment() {
    let data = json!({
        "spec": { "id": "FEAT-1", "status": "approved" }, "acceptance_criteria": ["it works"],
        "pr": { "url": "https://example.com/42" },
    });
    for (action, wanted) in [
        (Action::Create, (false, false, true, None)),
        (Action::UpdateStatus, (false, false, false, Some(Status::Approved))),
        (Action::Comment, (false, false, true, None)),
        (Action::Link, (false, true, false, None)),
        (Action::CreateSubtask, (true, false, false, None)),
    ] {
        let shown = |plan: Plan| (plan.subtasks, plan.link, plan.comment, plan.status);
        assert_eq!(
            shown(plan("execution.failed", &data, Some(action))),
            wanted,
            "{action:?}"
        );
        let without = plan("execution.failed", &json!({}), Some(action));
        assert_eq!(shown(without), (false, false, true, None), "{action:?} of nothing");
    }
}

#[test]
fn what_issues_cannot_have_is_not_planned() {
    let delivery = delivery(
        "pr.created",
        &json!({ "spec": { "id": "FEAT-1" }, "acceptance_criteria": ["it works"], "pr": { "url": "https://example.com/42" } }),
    );
    let said = Said::of(&delivery.event().event);
    let settings = Settings {
        action: None,
        create_subtasks: true,
        link_pr: true,
    };
    let does = Does {
        comments: false,
        links: false,
        subtasks: false,
    };
    let plan = Plan::of(&delivery, &said, settings, does, |_| true);
    assert_eq!(
        (plan.subtasks, plan.link, plan.comment, plan.status),
        (false, false, false, None)
    );
}

#[test]
fn data_is_read_tidily_or_not_at_all() {
    let said = |data: &Value| Said::of(&hostile::event("spec.created", data));
    let many: Vec<String> = (0..40).map(|index| format!("criterion {index}")).collect();
    let read = said(&json!({ "acceptance_criteria": many }));
    assert_eq!((read.criteria.len(), read.criteria_more), (SUBTASKS_MAX, 10));
    let read = said(&json!({ "acceptance_criteria": ["a", " a ", "", null, 7, { "title": "b" }, { "x": 1 }, ["c"]] }));
    assert_eq!(read.criteria, ["a", "7", "b"]);
    let read = said(&json!({ "spec": { "acceptance_criteria": ["inside"] } }));
    assert_eq!(read.criteria, ["inside"]);
    for pr in [
        json!(42),
        json!({ "url": "javascript:alert(1)" }),
        json!({ "url": 7 }),
        json!([]),
    ] {
        assert_eq!(said(&json!({ "pr": pr })).pr, None, "{pr}");
    }
    let read = said(&json!({ "pr": { "url": "https://example.com/42", "number": "#42" } }));
    assert_eq!(read.pr.and_then(|pr| pr.number).as_deref(), Some("#42"));
    assert_eq!(said(&json!("text")), Said::default());
    assert_eq!(said(&json!({ "spec": "FEAT-1" })).spec_id.as_deref(), Some("FEAT-1"));
}
