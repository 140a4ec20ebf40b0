use serde_json::json;
use signalbox_proto::{Accepted, Delivery, Event, RawJson, Severity, dead::Input};

use super::*;

fn letter(org: &str, integration: &str) -> DeadLetter {
    let org: Name = org.parse().expect("a name");
    let event = Event {
        id: "1".to_owned(),
        source: Event::default_source(&org),
        org,
        event_type: "alert.created".parse().expect("a type"),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: Default::default(),
    };
    let accepted = Accepted {
        event,
        seq: 1,
        at: Timestamp::from_secs(1),
    };
    let delivery = Delivery::first(accepted, integration, &"webhook".parse().expect("a name"), 1, 1);
    DeadLetter::of_delivery(
        Stage::Delivery,
        DeadReason::Rejected,
        "400",
        delivery,
        Timestamp::from_secs(2),
    )
}

fn without_org() -> DeadLetter {
    let input = Input {
        subject: "signalbox.in.Bad".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    DeadLetter::of_input(
        Stage::Ingest,
        DeadReason::Invalid,
        "bad",
        None,
        input,
        Timestamp::from_secs(2),
    )
}

fn matches(filter: &DeadFilter, letter: &DeadLetter) -> bool {
    Matcher::new(filter)
        .expect("a filter")
        .matches(7, Timestamp::from_secs(10), letter)
}

#[test]
fn every_condition_must_hold() {
    let found = letter("acme", "i");
    let all = DeadFilter {
        org: Some("acme".to_owned()),
        ids: vec!["dl_7".to_owned()],
        integration: Some("i".to_owned()),
        provider: Some("webhook".to_owned()),
        stage: Some(Stage::Delivery),
        reason: Some(DeadReason::Rejected),
        fingerprint: Some(found.fingerprint.clone()),
        event_type: Some("alert.created".to_owned()),
        since: Some(Timestamp::from_secs(10)),
        until: Some(Timestamp::from_secs(11)),
    };
    assert!(matches(&all, &found));
    let text = |text: &str| Some(text.to_owned());
    for other in [
        DeadFilter {
            org: text("default"),
            ..all.clone()
        },
        DeadFilter {
            ids: vec!["dl_8".to_owned()],
            ..all.clone()
        },
        DeadFilter {
            integration: text("j"),
            ..all.clone()
        },
        DeadFilter {
            provider: text("slack"),
            ..all.clone()
        },
        DeadFilter {
            stage: Some(Stage::Route),
            ..all.clone()
        },
        DeadFilter {
            reason: Some(DeadReason::Expired),
            ..all.clone()
        },
        DeadFilter {
            fingerprint: text("x"),
            ..all.clone()
        },
        DeadFilter {
            event_type: text("alert.resolved"),
            ..all.clone()
        },
        DeadFilter {
            since: Some(Timestamp::from_secs(11)),
            ..all.clone()
        },
        DeadFilter {
            until: Some(Timestamp::from_secs(10)),
            ..all.clone()
        },
    ] {
        assert!(!matches(&other, &found), "{other:?}");
    }
}

#[test]
fn the_default_org_also_sees_what_named_no_valid_org() {
    let of = |org: &str| DeadFilter {
        org: Some(org.to_owned()),
        ..DeadFilter::default()
    };
    assert!(matches(&of("default"), &without_org()));
    assert!(!matches(&of("acme"), &without_org()));
    let filter = of("default");
    assert_eq!(
        Matcher::new(&filter).expect("a filter").subjects(),
        "signalbox.dead.*.*.*.*"
    );
    let filter = of("acme");
    assert_eq!(
        Matcher::new(&filter).expect("a filter").subjects(),
        "signalbox.dead.*.acme.*.*"
    );
}

#[test]
fn groups_are_counted_up_to_a_bound_and_the_answer_says_so() {
    let like = |fingerprint: &str, first: i64, last: i64| DeadLetter {
        fingerprint: fingerprint.to_owned(),
        first_at: Timestamp::from_secs(first),
        last_at: Timestamp::from_secs(last),
        ..letter("acme", "i")
    };
    let mut groups = Groups::new(2);
    for (seq, letter) in [
        (9, like("a", 8, 9)),
        (8, like("b", 6, 7)),
        (7, like("b", 4, 5)),
        (6, like("c", 2, 3)),
        (5, like("a", 1, 2)),
        (4, like("b", 1, 1)),
    ] {
        groups.add(seq, letter, seq > 7);
    }
    let answer = json!(groups.view(50, |_| "ops".parse().ok()));
    let shown: Vec<(&Value, &Value, &Value)> = answer["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| (&group["fingerprint"], &group["count"], &group["provider"]))
        .collect();
    let (a, b, webhook) = (json!("a"), json!("b"), json!("webhook"));
    assert_eq!(shown, [(&b, &json!(3), &webhook), (&a, &json!(2), &webhook)]);
    assert_eq!(answer["items"][1]["first_at"], json!(Timestamp::from_secs(1)));
    assert_eq!(answer["items"][1]["last_at"], json!(Timestamp::from_secs(9)));
    let b = &answer["items"][0];
    assert_eq!(
        (&b["examples"], &b["settled"]),
        (&json!(["dl_8", "dl_7", "dl_4"]), &json!(1))
    );
    assert_eq!(b["integration"], "ops");
    assert_eq!(answer["truncated"], true);

    let mut groups = Groups::new(2);
    groups.add(2, like("a", 1, 2), false);
    groups.add(1, like("b", 1, 2), false);
    assert!(!groups.view(2, |_| None).truncated);
}

#[test]
fn the_deepest_data_that_is_accepted_can_be_read_from_a_list() {
    const DEPTH: usize = 64;
    let mut deep = letter("acme", "i");
    let text = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    let delivery = deep.delivery.as_mut().expect("a delivery");
    let data: Value = serde_json::from_str(&text).expect("JSON");
    delivery.events[0].event.data = RawJson::of(&data).expect("JSON");
    let answer = json!({ "items": [view::dead_letter(1, &deep, None, None)] });
    let read: Value = serde_json::from_str(&answer.to_string()).expect("within the reader's depth");
    assert_eq!(read["items"][0]["event"]["data"].to_string(), text);
}

#[test]
fn an_id_of_something_else_is_refused() {
    let filter = DeadFilter {
        ids: vec!["dl_1".to_owned(), "17".to_owned()],
        ..DeadFilter::default()
    };
    assert_eq!(
        Matcher::new(&filter).err().and_then(|problem| problem.field).as_deref(),
        Some("ids[1]")
    );
}
