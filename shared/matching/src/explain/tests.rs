use std::collections::BTreeMap;

use proptest::prelude::*;
use signalbox_proto::{
    Event, RawJson, Timestamp,
    integration::{Filter as Wanted, Subscription},
};

use super::*;
use crate::Index;

fn integration(events: &[&str], filter: Wanted) -> Integration {
    Integration {
        id: "i".into(),
        org: "acme".parse().unwrap(),
        name: "n".parse().unwrap(),
        provider: "webhook".parse().unwrap(),
        revision: 1,
        status: Status::Active,
        subscription: Subscription {
            events: events.iter().map(|text| (*text).to_owned()).collect(),
            filter,
        },
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::from_secs(0),
        updated_at: Timestamp::from_secs(0),
    }
}

fn accepted(event_type: &str, agent: Option<&str>, severity: Severity) -> Accepted {
    Accepted {
        event: Event {
            id: "e".into(),
            org: "acme".parse().unwrap(),
            event_type: event_type.parse().unwrap(),
            source: "/s".into(),
            subject: None,
            time: None,
            agent_id: agent.map(str::to_owned),
            execution_id: None,
            severity,
            severity_named: false,
            data: RawJson::of(&serde_json::json!({ "rate": 0.95, "none": null })).unwrap(),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::new(),
        },
        seq: 1,
        at: Timestamp::from_secs(1),
    }
}

fn asking(condition: &str) -> Wanted {
    Wanted {
        condition: Some(condition.into()),
        ..Wanted::default()
    }
}

#[test]
fn the_condition_that_holds_an_event_back_is_named_with_its_values() {
    let event = accepted("canary.promoted", Some("agent-9"), Severity::Low);
    let agents = Wanted {
        agent_ids: vec!["agent-7".into()],
        min_severity: Some(Severity::High),
        condition: Some("broken (".into()),
    };
    let severity = Wanted {
        min_severity: Some(Severity::High),
        ..Wanted::default()
    };
    let condition = |text: &str, how| Verdict::Condition { text: text.into(), how };
    for (filter, expected) in [
        (Wanted::default(), Verdict::Match),
        (
            agents,
            Verdict::Agent {
                wanted: vec!["agent-7".into()],
                is: "agent-9".into(),
            },
        ),
        (
            severity,
            Verdict::Severity {
                least: Severity::High,
                is: Severity::Low,
            },
        ),
        (asking("event.data.rate < 0.99"), Verdict::Match),
        (
            asking("event.data.rate < 0.9"),
            condition("event.data.rate < 0.9", How::False),
        ),
        (
            asking("event.data.success_rate < 0.9"),
            condition(
                "event.data.success_rate < 0.9",
                How::Absent(Some("success_rate".into())),
            ),
        ),
        (
            asking("event.data.none.field == 1"),
            condition("event.data.none.field == 1", How::Absent(None)),
        ),
    ] {
        let given = integration(&["canary.*"], filter.clone());
        assert_eq!(explain(&given, &event), expected, "{filter:?}");
    }
    for text in ["event.data.rate + 1", "broken ("] {
        let verdict = explain(&integration(&[">"], asking(text)), &event);
        assert!(
            matches!(&verdict, Verdict::Error { text: named, .. } if named == text),
            "{verdict:?}"
        );
    }
}

#[test]
fn what_is_not_asked_at_all_says_so_first() {
    let event = accepted("canary.promoted", None, Severity::Low);
    let mut other = integration(&["alert.>", "canary"], asking("broken ("));
    let patterns = vec!["alert.>".to_owned(), "canary".to_owned()];
    assert_eq!(explain(&other, &event), Verdict::Type { patterns });
    other.status = Status::PendingSetup;
    assert_eq!(explain(&other, &event), Verdict::Inactive(Status::PendingSetup));
    other.org = "other".parse().unwrap();
    assert_eq!(explain(&other, &event), Verdict::ForeignOrg);
}

#[test]
fn an_event_without_an_agent_is_not_held_back() {
    let filter = Wanted {
        agent_ids: vec!["agent-7".into()],
        ..Wanted::default()
    };
    let event = accepted("a", None, Severity::Low);
    assert_eq!(explain(&integration(&[">"], filter), &event), Verdict::Match);
}

fn integrations() -> impl Strategy<Value = Integration> {
    let pattern = prop_oneof![
        Just("a.b"),
        Just("a.*"),
        Just("a.>"),
        Just(">"),
        Just("*.b"),
        Just("*"),
        Just("c"),
        Just("x.**")
    ];
    let condition = prop::sample::select(vec![
        "event.type == 'a.b'",
        "event.data.rate < 0.9",
        "event.data.missing > 1",
        "event.data.rate + 1",
        "has(event.agent_id)",
        "event.agent_id == 'one'",
        "1 +",
    ]);
    (
        prop::collection::vec(pattern, 0..3),
        prop::collection::vec(prop::sample::select(vec!["one".to_owned(), "two".to_owned()]), 0..2),
        prop::option::of(prop::sample::select(Severity::ALL.to_vec())),
        prop::option::weighted(0.4, condition),
        prop::sample::select(vec![
            Status::Active,
            Status::Active,
            Status::Active,
            Status::Inactive,
            Status::PendingSetup,
            Status::Deleted,
            Status::Unknown,
        ]),
        prop::sample::select(vec!["acme", "acme", "acme", "other"]),
    )
        .prop_map(|(events, agent_ids, min_severity, condition, status, org)| {
            let filter = Wanted {
                agent_ids,
                min_severity,
                condition: condition.map(str::to_owned),
            };
            let mut given = integration(&events, filter);
            given.status = status;
            given.org = org.parse().unwrap();
            given
        })
}

proptest! {
    /// Match exactly where the index routes, an error exactly where the index has one.
    #[test]
    fn the_explanation_never_differs_from_the_index(
        given in integrations(),
        event_type in prop::sample::select(vec!["a", "a.b", "a.b.c", "b", "c"]),
        agent in prop::option::of(prop::sample::select(vec!["one", "three"])),
        severity in prop::sample::select(Severity::ALL.to_vec()),
    ) {
        let event = accepted(event_type, agent, severity);
        let mut index = Index::new();
        index.upsert(&given);
        let mut matches = Vec::new();
        index.matches(&event, &mut matches);
        let routed = matches.pop().map(|found| found.result);
        match (explain(&given, &event), routed) {
            (Verdict::Match, Some(Ok(()))) => {}
            (Verdict::Error { error, .. }, Some(Err(found))) => prop_assert_eq!(error, found),
            (verdict, None) if !matches!(verdict, Verdict::Match | Verdict::Error { .. }) => {}
            (verdict, routed) => prop_assert!(false, "{verdict:?}, but the index says {routed:?}"),
        }
    }
}
