use std::collections::BTreeMap;

use proptest::prelude::*;
use signalbox_proto::{
    RawJson, Timestamp,
    integration::{Filter as Wanted, Subscription},
};

use super::*;

fn integration(id: &str, org: &str, events: &[&str]) -> Integration {
    Integration {
        id: id.into(),
        org: org.parse().unwrap(),
        name: "n".parse().unwrap(),
        provider: "webhook".parse().unwrap(),
        revision: 1,
        status: Status::Active,
        subscription: Subscription {
            events: events.iter().map(|text| (*text).to_owned()).collect(),
            filter: Wanted::default(),
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

fn filtered(id: &str, filter: Wanted) -> Integration {
    let mut integration = integration(id, "acme", &[">"]);
    integration.subscription.filter = filter;
    integration
}

fn event(org: &str, event_type: &str) -> Accepted {
    Accepted {
        event: Event {
            id: "e".into(),
            org: org.parse().unwrap(),
            event_type: event_type.parse().unwrap(),
            source: "/s".into(),
            subject: None,
            time: None,
            agent_id: None,
            execution_id: None,
            severity: Severity::Low,
            severity_named: false,
            data: RawJson::of(&serde_json::json!({"rate": 0.5})).unwrap(),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::new(),
        },
        seq: 1,
        at: Timestamp::from_secs(1),
    }
}

fn ids(index: &Index, event: &Accepted) -> Vec<String> {
    let mut out = Vec::new();
    index.matches(event, &mut out);
    out.iter()
        .map(|found| format!("{}{}", found.target.id, if found.result.is_ok() { "" } else { "!" }))
        .collect()
}

fn index(integrations: &[Integration]) -> Index {
    let mut index = Index::new();
    for integration in integrations {
        assert_eq!(index.upsert(integration), []);
    }
    index
}

/// Nothing is left of what was removed.
fn assert_empty(index: &Index) {
    assert!(index.is_empty() && index.by_id.is_empty() && index.orgs.is_empty() && index.providers.is_empty());
    assert!(index.tokens.is_empty() && index.edges.is_empty());
    assert!(index.nodes.values.iter().all(Option::is_none) && index.slots.values.iter().all(Option::is_none));
    assert!(index.token_uses.values.iter().all(Option::is_none));
}

#[test]
fn an_event_finds_what_covers_its_org_and_type_once_and_in_order() {
    let index = index(&[
        integration(
            "c",
            "acme",
            &["execution.failed", "execution.*", ">", "execution.failed"],
        ),
        integration("a", "acme", &["*.failed"]),
        integration("b", "acme", &["execution.>"]),
        integration("d", "acme", &["execution.started", "execution.*.now", "execution"]),
        integration("e", "other", &[">"]),
        integration("f", "acme", &[]),
    ]);
    assert_eq!(index.len(), 6);
    assert_eq!(ids(&index, &event("acme", "execution.failed")), ["a", "b", "c"]);
    assert_eq!(ids(&index, &event("acme", "execution")), ["c", "d"]);
    assert_eq!(ids(&index, &event("acme", "execution.failed.now")), ["b", "c", "d"]);
    assert_eq!(ids(&index, &event("other", "execution.failed")), ["e"]);
    assert_eq!(ids(&index, &event("nobody", "execution.failed")), [""; 0]);
}

#[test]
fn matches_are_appended_after_what_the_caller_has() {
    let index = index(&[integration("a", "acme", &[">"])]);
    let mut out = Vec::new();
    index.matches(&event("acme", "x"), &mut out);
    index.matches(&event("acme", "y"), &mut out);
    assert_eq!(out.len(), 2);
    let target = &out[0].target;
    assert_eq!(
        (
            &*target.id,
            target.provider.as_str(),
            target.org.as_str(),
            target.revision
        ),
        ("a", "webhook", "acme", 1)
    );
}

#[test]
fn only_active_integrations_are_matched() {
    let mut index = index(&[integration("a", "acme", &[">"])]);
    for status in [Status::Inactive, Status::PendingSetup, Status::Deleted, Status::Unknown] {
        let mut changed = integration("a", "acme", &[">"]);
        index.upsert(&changed);
        assert_eq!(index.len(), 1);
        changed.status = status;
        index.upsert(&changed);
        assert_empty(&index);
    }
}

#[test]
fn a_change_replaces_what_was_there() {
    let mut index = index(&[integration("a", "acme", &["x.y"]), integration("b", "acme", &["x.y"])]);
    let mut changed = integration("a", "acme", &["x.z"]);
    changed.revision = 2;
    index.upsert(&changed);
    assert_eq!(ids(&index, &event("acme", "x.y")), ["b"]);
    let mut out = Vec::new();
    index.matches(&event("acme", "x.z"), &mut out);
    assert_eq!(out[0].target.revision, 2);
    assert!(index.remove("a") && !index.remove("a") && index.remove("b"));
    assert_empty(&index);
}

#[test]
fn the_filter_holds_back_other_agents_and_lower_severities() {
    let index = index(&[
        filtered(
            "agents",
            Wanted {
                agent_ids: vec!["one".into(), "two".into()],
                ..Wanted::default()
            },
        ),
        filtered(
            "high",
            Wanted {
                min_severity: Some(Severity::High),
                ..Wanted::default()
            },
        ),
        filtered(
            "low",
            Wanted {
                min_severity: Some(Severity::Low),
                ..Wanted::default()
            },
        ),
    ]);
    let mut given = event("acme", "x");
    assert_eq!(
        ids(&index, &given),
        ["agents", "low"],
        "an event without an agent is not held back"
    );
    given.event.agent_id = Some("two".into());
    given.event.severity = Severity::High;
    assert_eq!(ids(&index, &given), ["agents", "high", "low"]);
    given.event.agent_id = Some("three".into());
    given.event.severity = Severity::Medium;
    assert_eq!(ids(&index, &given), ["low"]);
}

#[test]
fn a_where_matches_or_not_or_errs_and_all_conditions_must_hold() {
    let asking = |id: &str, source: &str| {
        filtered(
            id,
            Wanted {
                condition: Some(source.into()),
                ..Wanted::default()
            },
        )
    };
    let mut held_back = asking("f", "broken (");
    held_back.subscription.filter.min_severity = Some(Severity::Critical);
    let index = index(&[
        asking("a", "event.data.rate < 0.9"),
        asking("b", "event.data.rate > 0.9"),
        asking("c", "event.data.missing > 0.9"),
        asking("d", "event.data.rate + 1"),
        asking("e", "broken ("),
        held_back,
    ]);
    assert_eq!(ids(&index, &event("acme", "x")), ["a", "d!", "e!"]);
    let mut out = Vec::new();
    index.matches(&event("acme", "x"), &mut out);
    assert!(
        matches!(out[2].result, Err(ConditionError::Syntax(_))),
        "{:?}",
        out[2].result
    );
}

#[test]
fn a_match_says_its_key_and_whether_it_goes_as_a_digest() {
    let ordered = |id: &str, order_by: &str| {
        let mut integration = integration(id, "acme", &[">"]);
        integration.flow.order_by = Some(order_by.to_owned());
        integration
    };
    let mut batching = integration("4", "acme", &[">"]);
    batching.flow.batch = Some(signalbox_proto::integration::Batch {
        window_secs: 60,
        events_max: 100,
    });
    let index = index(&[
        ordered("1", "event.data.rate"),
        ordered("2", "event.agent_id"),
        ordered("3", "event.data"),
        batching,
    ]);
    let mut found = Vec::new();
    index.matches(&event("acme", "a.b"), &mut found);
    let told: Vec<(&str, Option<&str>, bool, bool)> = found
        .iter()
        .map(|found| {
            (
                &*found.target.id,
                found.key.as_deref(),
                found.target.batches,
                found.result.is_ok(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("1", Some("number 0.5"), false, true),
            ("2", None, false, true),
            ("3", None, false, false),
            ("4", None, true, true),
        ]
    );
}

#[test]
fn a_stored_pattern_that_is_none_covers_nothing_and_is_answered() {
    let mut index = Index::new();
    let invalid = index.upsert(&integration("a", "acme", &["x.**", "x.y", ""]));
    assert_eq!(
        invalid.iter().map(|error| error.text.as_str()).collect::<Vec<_>>(),
        ["x.**", ""]
    );
    assert_eq!(ids(&index, &event("acme", "x.y")), ["a"]);
    index.remove("a");
    assert_empty(&index);
}

#[test]
fn an_index_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Index>();
}

/// As the documentation says it, token by token.
fn covers(pattern: &[&str], event_type: &[&str]) -> bool {
    match (pattern.split_first(), event_type.split_first()) {
        (None, None) => true,
        (Some((&">", _)), Some(_)) => true,
        (Some((wanted, pattern)), Some((given, event_type))) if *wanted == "*" || wanted == given => {
            covers(pattern, event_type)
        }
        _ => false,
    }
}

fn covered(pattern: &str, event_type: &str) -> bool {
    covers(
        &pattern.split('.').collect::<Vec<_>>(),
        &event_type.split('.').collect::<Vec<_>>(),
    )
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(Box<Integration>),
    Remove(String),
    Event(Box<Accepted>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || "[a-h]";
    let org = || prop::sample::select(vec!["acme", "other"]);
    let pattern = prop_oneof![
        3 => prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "*"]), 1..5).prop_map(|tokens| tokens.join(".")),
        1 => prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 0..4)
            .prop_map(|mut tokens| { tokens.push(">"); tokens.join(".") }),
    ];
    let severity = || prop::sample::select(Severity::ALL.to_vec());
    let filter = (
        prop::collection::vec(prop::sample::select(vec!["one".to_owned(), "two".to_owned()]), 0..2),
        prop::option::of(severity()),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec!["event.type == 'a.b'", "event.data.none", "1 +"]).prop_map(str::to_owned),
        ),
    )
        .prop_map(|(agent_ids, min_severity, condition)| Wanted {
            agent_ids,
            min_severity,
            condition,
        });
    let upsert = (
        id(),
        org(),
        prop::collection::vec(pattern, 0..4),
        filter,
        prop::bool::weighted(0.8),
    )
        .prop_map(|(id, org, events, filter, active)| {
            let mut integration = integration(&id, org, &[]);
            integration.subscription = Subscription { events, filter };
            if !active {
                integration.status = Status::Inactive;
            }
            Step::Upsert(Box::new(integration))
        });
    let event = (
        org(),
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..6),
        prop::option::of(prop::sample::select(vec!["one", "three"])),
        severity(),
    )
        .prop_map(|(org, tokens, agent, severity)| {
            let mut event = event(org, &tokens.join("."));
            event.event.agent_id = agent.map(str::to_owned);
            event.event.severity = severity;
            Step::Event(Box::new(event))
        });
    prop::collection::vec(
        prop_oneof![2 => upsert, 1 => id().prop_map(Step::Remove), 3 => event],
        1..40,
    )
}

fn naive(integrations: &BTreeMap<String, Integration>, given: &Accepted) -> Vec<String> {
    let Event {
        org,
        event_type,
        agent_id,
        severity,
        ..
    } = &given.event;
    let wants = |integration: &&Integration| {
        let Subscription { events, filter } = &integration.subscription;
        integration.status == Status::Active
            && integration.org == *org
            && events.iter().any(|pattern| covered(pattern, event_type.as_str()))
            && agent_id
                .as_ref()
                .is_none_or(|agent| filter.agent_ids.is_empty() || filter.agent_ids.contains(agent))
            && filter.min_severity.is_none_or(|least| *severity >= least)
    };
    integrations
        .values()
        .filter(wants)
        .filter_map(
            |integration| match integration.subscription.filter.condition.as_deref() {
                None => Some(integration.id.clone()),
                Some("event.type == 'a.b'") => (event_type.as_str() == "a.b").then(|| integration.id.clone()),
                Some("event.data.none") => None,
                Some(_) => Some(format!("{}!", integration.id)),
            },
        )
        .collect()
}

proptest! {
    #[test]
    fn the_index_answers_as_a_scan_of_all_integrations(steps in steps()) {
        let (mut index, mut model) = (Index::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Upsert(integration) => {
                    prop_assert_eq!(index.upsert(&integration), []);
                    model.insert(integration.id.clone(), *integration);
                }
                Step::Remove(id) => {
                    let known = model.remove(&id).is_some_and(|gone| gone.status == Status::Active);
                    prop_assert_eq!(index.remove(&id), known);
                }
                Step::Event(event) => prop_assert_eq!(ids(&index, &event), naive(&model, &event)),
            }
            prop_assert_eq!(index.len(), model.values().filter(|one| one.status == Status::Active).count());
        }
        for id in model.keys() {
            index.remove(id);
        }
        assert_empty(&index);
    }

    #[test]
    fn a_pattern_covers_as_the_naive_matcher_says(
        pattern in "([ab*]\\.){0,4}[ab*>]", event_type in "([abc]\\.){0,4}[abc]"
    ) {
        let read: Pattern = pattern.parse().unwrap();
        prop_assert_eq!(read.matches(&event_type.parse().unwrap()), covered(&pattern, &event_type));
    }
}
