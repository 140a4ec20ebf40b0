use serde_json::json;

use super::*;

fn egress() -> Egress {
    Egress {
        allow: vec!["127.0.0.0/8".parse().expect("a range")],
    }
}

fn org() -> Name {
    Name::default_org()
}

fn nothing_stored(_: &Name, _: &Name, _: &str) -> Option<Stored> {
    None
}

/// A valid integration with these fields put over it.
fn given(over: Value) -> Value {
    let mut base = json!({
        "name": "a",
        "provider": "webhook",
        "config": { "url": "https://example.com/hook" },
        "events": ["alert.*"],
    });
    for (name, value) in over.as_object().expect("fields") {
        base[name] = value.clone();
    }
    base
}

pub(super) fn valid(over: Value) -> Spec {
    check(&given(over), &org(), &egress(), &nothing_stored).expect("valid")
}

pub(super) fn complaints(over: Value) -> Vec<String> {
    let errors = check(&given(over), &org(), &egress(), &nothing_stored).expect_err("refused");
    errors.iter().map(FieldError::to_string).collect()
}

#[test]
fn what_is_not_said_has_its_default() {
    let spec = valid(json!({}));
    assert_eq!(
        (spec.org.as_str(), spec.name.as_str(), spec.provider.as_str()),
        ("default", "a", "webhook")
    );
    assert!(spec.enabled);
    assert_eq!(spec.subscription.events, ["alert.*"]);
    assert_eq!(spec.subscription.filter, Filter::default());
    assert_eq!(
        (spec.schedule_secs, spec.expire_after_secs, spec.timeout_secs),
        (None, None, None)
    );
}

#[test]
fn every_field_is_read() {
    let spec = valid(json!({
        "org": "acme",
        "type": "webhook",
        "filter": { "agent_ids": ["agent-7"], "min_severity": "high", "where": "event.data.rate < 0.9" },
        "retry": { "schedule": ["5s", "2m", "6h"] },
        "expire_after": "24h",
        "timeout": "30s",
        "enabled": false,
        "rate_limit": "none",
        "credentials": { "secret": "a secret text" },
    }));
    assert_eq!(spec.org.as_str(), "acme");
    assert!(!spec.enabled);
    assert_eq!(spec.subscription.filter.agent_ids, ["agent-7"]);
    assert_eq!(spec.subscription.filter.min_severity, Some(Severity::High));
    assert_eq!(spec.schedule_secs, Some(vec![5, 120, 21_600]));
    assert_eq!((spec.expire_after_secs, spec.timeout_secs), (Some(86_400), Some(30)));
    assert_eq!(spec.secrets.credentials, json!({ "secret": "a secret text" }));
}

#[test]
fn other_names_of_a_field_are_taken_but_not_beside_it() {
    let mut other = given(json!({ "subscribed_events": ["x"], "event_filters": { "min_severity": "low" } }));
    other.as_object_mut().expect("fields").remove("events");
    let spec = check(&other, &org(), &egress(), &nothing_stored).expect("valid");
    assert_eq!(spec.subscription.events, ["x"]);
    assert_eq!(
        complaints(json!({ "subscribed_events": ["x"], "filter": {}, "event_filters": {} })),
        [
            "subscribed_events: is another name of events: keep one",
            "event_filters: is another name of filter: keep one"
        ]
    );
}

#[test]
fn a_field_that_is_not_known_is_refused_by_name() {
    assert_eq!(
        complaints(json!({ "evnts": [] })),
        ["evnts: is not a field here: did you mean events?"]
    );
    assert_eq!(
        complaints(json!({ "filter": { "min_sevrity": "low" } })),
        ["filter/min_sevrity: is not a field here: did you mean min_severity?"]
    );
    assert!(complaints(json!({ "zzzzzzzzzzzz": 1 }))[0].contains("there are batch, batch_events"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let found = complaints(json!({
        "name": "Not A Name",
        "type": "ticketing",
        "events": ["alert.*", "a..b", 3],
        "filter": { "min_severity": "urgent", "where": "event.data.(" },
        "retry": { "schedule": ["5s", "90", "2d"] },
        "timeout": "61s",
        "expire_after": 60,
        "enabled": "yes",
        "config": { "url": "http://10.0.0.1/", "colour": "red" },
    }));
    let places: Vec<&str> = found.iter().filter_map(|text| text.split(':').next()).collect();
    for place in [
        "name",
        "type",
        "events/1",
        "events/2",
        "filter/min_severity",
        "filter/where",
        "retry/schedule/1",
        "retry/schedule/2",
        "timeout",
        "expire_after",
        "enabled",
    ] {
        assert!(places.contains(&place), "{place} in {found:#?}");
    }
}

#[test]
fn the_provider_checks_its_own_fields_and_the_address() {
    assert!(
        complaints(json!({ "config": { "url": "https://example.com", "colour": "red" } }))[0]
            .starts_with("config/colour:")
    );
    assert!(complaints(json!({ "config": {} }))[0].starts_with("config/url:"));
    assert!(complaints(json!({ "config": { "url": "https://10.0.0.1/" } }))[0].contains("private address"));
    valid(json!({ "config": { "url": "http://127.0.0.1:9/" } }));
    let planned = signalbox_providers::planned::planned().iter();
    let planned = planned.map(|row| (row.name, format!("{} will have it; there are ", row.version)));
    for (name, part) in planned.chain([("pigeon", "there are ".to_owned())]) {
        let complaint = complaints(json!({ "provider": name })).remove(0);
        let whole = format!("\"{name}\" is not a provider of this version: {part}");
        assert!(complaint.contains(&whole), "{complaint}");
    }
    assert_eq!(valid(json!({ "provider": "webhooks" })).provider.as_str(), "webhook");
    let new_relic = json!({
        "provider": "newrelic", "config": { "account_id": "7" }, "credentials": { "api_key": "licence" },
    });
    assert_eq!(valid(new_relic).provider.as_str(), "new_relic");
    assert!(complaints(json!({ "provider": null }))[0].starts_with("provider: is missing: there are "));
}

#[test]
fn the_schedule_is_cut_to_the_retries_that_are_asked_for() {
    assert_eq!(valid(json!({ "retry_count": 3 })).schedule_secs, Some(vec![5, 30, 120]));
    let config = json!({ "url": "https://example.com", "retry_count": 2 });
    assert_eq!(valid(json!({ "config": config })).schedule_secs, Some(vec![5, 30]));
    let retry = json!({ "schedule": ["1s", "2s", "3s"] });
    assert_eq!(
        valid(json!({ "retry": retry, "retry_count": 1 })).schedule_secs,
        Some(vec![1])
    );
    assert_eq!(
        complaints(json!({ "config": config, "retry_count": 2 })),
        ["retry_count: is also in config: keep one"]
    );
    assert!(complaints(json!({ "retry": retry, "retry_count": 4 }))[0].contains("add steps to retry.schedule"));
    assert!(complaints(json!({ "retry_count": 0 }))[0].contains("1 to 20"));
}

#[test]
fn an_integration_without_events_is_refused() {
    for events in [json!(null), json!([])] {
        assert!(complaints(json!({ "events": events }))[0].starts_with("events: is "));
    }
}

#[test]
fn a_mask_stands_for_what_is_stored_and_for_nothing_else() {
    let over = json!({ "credentials": { "secret": "***" } });
    assert_eq!(
        complaints(over.clone()),
        ["credentials/secret: is masked, and nothing is stored that it could stand for: give the value"]
    );
    let stored = |_: &Name, name: &Name, provider: &str| {
        (name.as_str() == "a" && provider == "webhook").then(|| Stored {
            config: json!({}),
            credentials: json!({ "secret": "kept as it was" }),
        })
    };
    let spec = check(&given(over), &org(), &egress(), &stored).expect("valid");
    assert_eq!(spec.secrets.credentials, json!({ "secret": "kept as it was" }));
}

#[test]
fn a_template_is_checked_when_it_is_written() {
    let spec = valid(json!({ "template": { "body": "{\"a\": \"{{ event.data.x }}\"}", "title": null } }));
    let template = spec.template.expect("a template");
    assert_eq!(template.body.as_deref(), Some("{\"a\": \"{{ event.data.x }}\"}"));
    assert_eq!(template.title, None);
    for (given, wanted) in [
        (json!("text"), "template: is a text, not title and body"),
        (
            json!({}),
            "template: is empty: give title, body or both, or leave it out",
        ),
        (json!({ "body": 1 }), "template/body: is a number, not a text"),
        (
            json!({ "boby": "x" }),
            "template/boby: is not a field here: did you mean body?",
        ),
        (
            json!({ "title": "x" }),
            "template/title: webhook has no title: its body is the whole text, write it there",
        ),
        (
            json!({ "body": "\n{% if %}" }),
            "template/body: line 2: unexpected end of block",
        ),
        (
            json!({ "body": "{{ x|uper }}" }),
            "template/body: line 1: there is no filter `uper`: did you mean upper?",
        ),
    ] {
        let found = complaints(json!({ "template": given }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0], wanted);
    }
    let long = complaints(json!({ "template": { "body": "x".repeat(16 * 1024 + 1) } }));
    assert_eq!(long, ["template/body: is longer than 16384 bytes"]);
}

#[test]
fn one_name_stands_for_one_integration() {
    let list = [given(json!({})), given(json!({ "org": "acme" })), given(json!({}))];
    let errors = check_all(&list, &org(), &egress(), &nothing_stored).expect_err("refused");
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].0, errors[0].1.pointer.as_str()), (2, "name"));
}

#[test]
fn no_complaint_repeats_a_secret() {
    let found = complaints(json!({
        "config": { "url": "https://example.com", "headers": { "X": ["hunter2"] } },
        "credentials": { "secret": ["hunter2"], "basic": "hunter2" },
        "retry": "hunter2",
    }));
    assert!(!found.join("\n").contains("hunter2"), "{found:#?}");
}
