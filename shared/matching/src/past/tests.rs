use std::collections::BTreeMap;

use signalbox_proto::{
    Event, RawJson, Severity, Timestamp,
    integration::{Filter, Subscription},
};

use super::*;

fn integration(status: Status) -> Integration {
    Integration {
        id: "0199c0de-0000-7000-8000-000000000001".into(),
        org: "acme".parse().expect("a name"),
        name: "n".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        revision: 1,
        status,
        subscription: Subscription {
            events: vec!["order.*".into()],
            filter: Filter {
                condition: Some("event.data.rate < 0.9".into()),
                ..Filter::default()
            },
        },
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn event(org: &str, event_type: &str, at: i64, data: &serde_json::Value) -> Accepted {
    Accepted {
        event: Event {
            id: "e".into(),
            org: org.parse().expect("a name"),
            event_type: event_type.parse().expect("a type"),
            source: "/s".into(),
            subject: None,
            time: None,
            agent_id: None,
            execution_id: None,
            severity: Severity::Low,
            severity_named: false,
            data: RawJson::of(data).expect("JSON"),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::new(),
        },
        seq: 1,
        at: Timestamp::from_secs(at),
    }
}

fn filter() -> EventFilter {
    EventFilter {
        org: "acme".parse().expect("a name"),
        since: Timestamp::from_secs(10),
        until: Some(Timestamp::from_secs(20)),
        event_type: Some("order.>".into()),
        ignore_subscription: false,
    }
}

#[test]
fn a_replay_sends_what_was_asked_for_and_its_integration_selects() {
    let low = serde_json::json!({ "rate": 0.5 });
    for status in [Status::Active, Status::Inactive, Status::PendingSetup] {
        let (filter, integration) = (filter(), integration(status));
        let past = Past::new(&filter, &integration).expect("a pattern");
        for (org, event_type, at, expected) in [
            ("acme", "order.placed", 10, Choice::Send(None)),
            ("acme", "order.placed", 19, Choice::Send(None)),
            ("acme", "order.placed", 9, Choice::Beside),
            ("acme", "order.placed", 20, Choice::Beside),
            ("other", "order.placed", 15, Choice::Beside),
            ("acme", "bill.due", 15, Choice::Beside),
            ("acme", "order.placed.twice", 15, Choice::Unselected),
        ] {
            let choice = past.choose(&event(org, event_type, at, &low));
            assert_eq!(choice, expected, "{org} {event_type} {at} {status:?}");
        }
        let high = serde_json::json!({ "rate": 0.95 });
        assert_eq!(
            past.choose(&event("acme", "order.placed", 15, &high)),
            Choice::Unselected
        );
    }
}

#[test]
fn a_where_without_an_answer_is_told_and_one_that_is_ignored_is_not_asked() {
    let odd = event("acme", "order.placed", 15, &serde_json::json!({ "rate": "much" }));
    let (asking, integration) = (filter(), integration(Status::Active));
    let past = Past::new(&asking, &integration).expect("a pattern");
    assert!(matches!(past.choose(&odd), Choice::Unanswered(_)));
    let ignoring = EventFilter {
        ignore_subscription: true,
        ..filter()
    };
    let past = Past::new(&ignoring, &integration).expect("a pattern");
    assert_eq!(past.choose(&odd), Choice::Send(None));
    let beside = event("acme", "bill.due", 15, &serde_json::json!({}));
    assert_eq!(past.choose(&beside), Choice::Beside, "the type narrows all the same");
}

#[test]
fn a_replay_keeps_the_key_of_an_order_also_where_the_subscription_is_ignored() {
    let mut ordered = integration(Status::Active);
    ordered.flow.order_by = Some("event.data.rate".to_owned());
    for ignore_subscription in [false, true] {
        let asked = EventFilter {
            ignore_subscription,
            ..filter()
        };
        let past = Past::new(&asked, &ordered).expect("a pattern");
        let of = |data| past.choose(&event("acme", "order.placed", 15, &data));
        assert_eq!(
            of(serde_json::json!({ "rate": 0.5 })),
            Choice::Send(Some("number 0.5".into()))
        );
        if ignore_subscription {
            assert_eq!(of(serde_json::json!({})), Choice::Send(None));
            assert!(matches!(of(serde_json::json!({ "rate": [] })), Choice::Unanswered(_)));
        }
    }
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let wrong = EventFilter {
        event_type: Some("order..>".into()),
        ..filter()
    };
    assert!(Past::new(&wrong, &integration(Status::Active)).is_err());
}
