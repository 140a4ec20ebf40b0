use serde_json::json;
use signalbox_proto::{Timestamp, integration::Subscription};

use super::*;

const ID: &str = "0190b8a0-0000-7000-8000-000000000001";

fn spec(name: &str) -> Spec {
    Spec {
        org: Name::default_org(),
        name: name.parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        enabled: true,
        subscription: Subscription {
            events: vec![">".to_owned()],
            ..Subscription::default()
        },
        config: json!({ "url": "https://example.com" }),
        secrets: Secrets {
            config: json!({}),
            credentials: json!({ "secret": "s" }),
        },
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
    }
}

fn stored(spec: &Spec, id: &str) -> Arc<Integration> {
    Arc::new(integration(spec, None, id, Timestamp::from_secs(1)).expect("an integration"))
}

fn same_secrets(_: &Integration) -> Option<Secrets> {
    Some(spec("any").secrets)
}

fn actions(specs: Vec<Spec>, present: &[Arc<Integration>], prune: bool) -> Vec<(Action, String, Vec<&'static str>)> {
    plan(specs, present, &same_secrets, prune)
        .into_iter()
        .map(|change| (change.action, change.name.to_string(), change.fields))
        .collect()
}

#[test]
fn what_is_missing_is_created_and_what_is_alike_stays() {
    let present = [stored(&spec("a"), ID)];
    assert_eq!(
        actions(vec![spec("a"), spec("b")], &present, false),
        [
            (Action::None, "a".to_owned(), vec![]),
            (Action::Create, "b".to_owned(), vec![])
        ]
    );
}

#[test]
fn every_difference_is_named() {
    let present = [stored(&spec("a"), ID)];
    let mut other = spec("a");
    other.enabled = false;
    other.config = json!({ "url": "https://example.org" });
    other.secrets.credentials = json!({});
    other.subscription.events = vec!["x".to_owned()];
    other.subscription.filter.condition = Some("true".to_owned());
    other.schedule_secs = Some(vec![1]);
    other.expire_after_secs = Some(1);
    other.timeout_secs = Some(1);
    other.template = Some(signalbox_proto::integration::Template::default());
    assert_eq!(
        actions(vec![other], &present, false),
        [(
            Action::Update,
            "a".to_owned(),
            vec![
                "config",
                "credentials",
                "enabled",
                "events",
                "filter",
                "retry",
                "expire_after",
                "timeout",
                "template"
            ]
        )]
    );
}

#[test]
fn secrets_that_do_not_open_are_written_anew() {
    let changes = plan(vec![spec("a")], &[stored(&spec("a"), ID)], &|_| None, false);
    assert_eq!(changes[0].fields, ["config", "credentials"]);
}

#[test]
fn another_provider_is_a_replacement() {
    let mut old = spec("a");
    old.provider = "slack".parse().expect("a name");
    assert_eq!(
        actions(vec![spec("a")], &[stored(&old, ID)], false),
        [(Action::Replace, "a".to_owned(), vec!["provider"])]
    );
}

#[test]
fn only_pruning_deletes() {
    let present = [
        stored(&spec("a"), ID),
        stored(&spec("b"), "0190b8a0-0000-7000-8000-000000000002"),
    ];
    assert_eq!(actions(vec![spec("a")], &present, false).len(), 1);
    assert_eq!(
        actions(vec![spec("a")], &present, true),
        [
            (Action::None, "a".to_owned(), vec![]),
            (Action::Delete, "b".to_owned(), vec![])
        ]
    );
    assert_eq!(actions(vec![], &present, true).len(), 2);
}

#[test]
fn an_interrupted_replacement_is_finished_by_the_next_plan() {
    let mut old = spec("a");
    old.provider = "slack".parse().expect("a name");
    let present = [
        stored(&spec("a"), "0190b8a0-0000-7000-8000-000000000009"),
        stored(&old, ID),
    ];
    let changes = plan(vec![spec("a")], &present, &same_secrets, false);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].action, Action::None);
    assert_eq!(
        (
            changes[1].action,
            changes[1].current.as_ref().map(|gone| gone.id.as_str())
        ),
        (Action::Delete, Some(ID))
    );
}

#[test]
fn the_next_revision_keeps_id_and_birth() {
    let first = integration(&spec("a"), None, ID, Timestamp::from_secs(1)).expect("an integration");
    let second = integration(&spec("a"), Some(&first), ID, Timestamp::from_secs(2)).expect("an integration");
    assert_eq!((first.revision, second.revision), (1, 2));
    assert_eq!(
        (second.created_at, second.updated_at),
        (Timestamp::from_secs(1), Timestamp::from_secs(2))
    );
}
