use bytes::Bytes;
use futures::FutureExt;
use serde_json::{Value, json};
use signalbox_proto::{RawJson, Timestamp, types::Tone};

use super::*;
use crate::input::{Draft, Wrong};

fn org() -> Name {
    "acme".parse().unwrap()
}

fn registered(schema: Option<Value>) -> Registered {
    Registered {
        org: org(),
        name: "deploy.done".parse().unwrap(),
        title: Some("Deployed".to_owned()),
        emoji: None,
        severity: Some(Severity::High),
        tone: Some(Tone::Good),
        schema: schema.map(|schema| RawJson::of(&schema).unwrap()),
        created_at: Timestamp::from_secs(1),
        updated_at: Timestamp::from_secs(2),
        revision: 0,
    }
}

fn types(registered: Registered) -> Types {
    let types = Types::default();
    types.take(Change::Registered(Box::new(registered)));
    types
}

fn event(org: &str, event_type: &str, severity: Option<&str>, data: &'static str) -> Event {
    let draft = Draft {
        severity: severity.map(str::to_owned),
        data: Bytes::from_static(data.as_bytes()),
        ..Draft::default()
    };
    let event_type = event_type.parse().unwrap();
    draft
        .finish(&org.parse().unwrap(), Some(&event_type), || "1".to_owned())
        .unwrap()
}

#[test]
fn a_registered_type_gives_its_looks_and_its_severity_where_the_event_names_none() {
    let types = types(registered(None));
    for (org, event_type, severity, wanted, has_look) in [
        ("acme", "deploy.done", None, Severity::High, true),
        ("acme", "deploy.done", Some("medium"), Severity::Medium, true),
        // An unknown word names no severity.
        ("acme", "deploy.done", Some("apocalyptic"), Severity::High, true),
        ("acme", "deploy.begun", None, Severity::Low, false),
        ("acme", "deploy.done.twice", None, Severity::Low, false),
        ("other", "deploy.done", None, Severity::Low, false),
        ("other", "execution.failed", None, Severity::High, false),
    ] {
        let mut event = event(org, event_type, severity, "{}");
        assert_eq!(types.apply(&mut event), Ok(()));
        assert_eq!(
            (event.severity, event.look.is_some()),
            (wanted, has_look),
            "{org} {event_type} {severity:?}"
        );
        if let Some(look) = event.look {
            assert_eq!(
                (look.title.as_deref(), look.emoji, look.tone),
                (Some("Deployed"), None, Some(Tone::Good))
            );
        }
    }
}

#[test]
fn a_built_in_type_keeps_what_its_registration_does_not_name() {
    let types = types(Registered {
        name: "execution.failed".parse().unwrap(),
        title: None,
        severity: None,
        tone: None,
        ..registered(None)
    });
    let mut event = event("acme", "execution.failed", None, "{}");
    assert_eq!(types.apply(&mut event), Ok(()));
    assert_eq!((event.severity, event.look), (Severity::High, None));
}

#[test]
fn data_that_the_schema_does_not_allow_is_refused_with_its_place() {
    let schema =
        json!({ "type": "object", "properties": { "user": { "properties": { "age": { "type": "integer" } } } } });
    let types = types(registered(Some(schema)));
    for (data, field) in [
        (r#"{"user": {"age": 1}}"#, None),
        ("{}", None),
        (r#"{"user": {"age": "old"}}"#, Some("data/user/age")),
        ("[]", Some("data")),
        ("", Some("data")),
    ] {
        let refused = types.apply(&mut event("acme", "deploy.done", None, data)).err();
        assert_eq!(
            refused.as_ref().and_then(|rejection| rejection.field.as_deref()),
            field,
            "{data}: {refused:?}"
        );
        assert!(refused.is_none_or(|rejection| rejection.kind == Wrong::Invalid));
    }
    let refused = types
        .apply(&mut event("acme", "deploy.done", None, r#"{"user":{"age":"old"}}"#))
        .unwrap_err();
    assert_eq!(refused.to_string(), "data/user/age: value is not of type \"integer\"");
}

#[test]
fn a_change_replaces_what_was_known_and_a_deletion_ends_it() {
    let types = types(registered(Some(json!({ "type": "object" }))));
    let mut one = event("acme", "deploy.done", None, "[]");
    assert!(types.apply(&mut one).is_err());
    types.take(Change::Registered(Box::new(registered(Some(
        json!({ "type": "array" }),
    )))));
    assert_eq!(types.apply(&mut one), Ok(()));
    let (org, name) = (org(), "deploy.done".parse().unwrap());
    types.take(Change::Gone { org, name });
    let mut other = event("acme", "deploy.done", None, "1");
    assert_eq!((types.apply(&mut other), other.look), (Ok(()), None));
    // What was never known may go too.
    types.take(Change::Gone {
        org: "none".parse().unwrap(),
        name: "a".parse().unwrap(),
    });
}

#[test]
fn a_schema_that_does_not_compile_checks_nothing_and_the_rest_of_the_type_holds() {
    let types = types(registered(Some(json!({ "type": "a newer version's" }))));
    let mut event = event("acme", "deploy.done", None, "[]");
    assert_eq!(types.apply(&mut event), Ok(()));
    assert_eq!((event.severity, event.look.is_some()), (Severity::High, true));
}

#[test]
fn nobody_goes_on_before_all_is_known_that_was_there() {
    let types = types(registered(None));
    let clone = types.clone();
    let mut waiting = Box::pin(clone.complete());
    assert_eq!((&mut waiting).now_or_never(), None);
    types.take(Change::Complete);
    assert_eq!((&mut waiting).now_or_never(), Some(()));
    // Who comes later does not wait.
    assert_eq!(types.complete().now_or_never(), Some(()));
}
