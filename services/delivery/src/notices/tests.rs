use signalbox_proto::{Accepted, Name, Severity};

use super::*;

fn delivery(source: &str, event_type: &str) -> Delivery {
    let event = Event {
        id: "e".into(),
        org: Name::default_org(),
        event_type: event_type.parse().unwrap(),
        source: source.into(),
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
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 1,
        at: Timestamp::from_secs(0),
    };
    Delivery::first(accepted, "i", &"webhook".parse().unwrap(), 1, 1)
}

fn count(event: &Event) -> u64 {
    event.data.value().unwrap()["count"].as_u64().unwrap()
}

#[test]
fn there_is_one_of_a_kind_in_a_minute_and_the_next_counts_what_was_kept_back() {
    let mut notices = Notices::default();
    let delivery = delivery("/default", "a.b");
    let mut at = |secs| notices.make(Kind::Dead, &delivery, "hook", "400", Timestamp::from_secs(secs));
    assert_eq!(count(&at(0).unwrap()), 1);
    assert!((1..60).all(|secs| at(secs).is_none()));
    assert_eq!(count(&at(60).unwrap()), 60);
}

#[test]
fn kinds_do_not_keep_each_other_back() {
    let mut notices = Notices::default();
    let delivery = delivery("/default", "a.b");
    for kind in [Kind::Dead, Kind::Failing, Kind::Suspended, Kind::Recovered] {
        assert!(
            notices
                .make(kind, &delivery, "hook", "x", Timestamp::from_secs(0))
                .is_some()
        );
    }
}

#[test]
fn a_delivery_of_our_own_event_causes_no_other() {
    let mut notices = Notices::default();
    for event_type in ["delivery.dead", "integration.suspended"] {
        let own = delivery(SOURCE, event_type);
        assert!(
            notices
                .make(Kind::Dead, &own, "hook", "x", Timestamp::from_secs(0))
                .is_none()
        );
    }
    let users = delivery("/default", "delivery.dead");
    assert!(
        notices
            .make(Kind::Dead, &users, "hook", "x", Timestamp::from_secs(0))
            .is_some()
    );
}

#[test]
fn many_that_speak_are_looked_through_seldom_and_the_silent_ones_are_forgotten() {
    let mut notices = Notices::default();
    let mut delivery = delivery("/default", "a.b");
    let mut say = |notices: &mut Notices, number: usize, minute: i64| {
        delivery.integration = format!("i{number}");
        let at = Timestamp::from_secs(minute * 60);
        assert!(notices.make(Kind::Dead, &delivery, "hook", "x", at).is_some());
    };
    for number in 0..=SAID_MAX {
        say(&mut notices, number, 0);
    }
    assert_eq!(notices.sweep_at, 2 * SAID_MAX, "all of them spoke a moment ago");
    for number in SAID_MAX + 1..2 * SAID_MAX {
        say(&mut notices, number, 0);
    }
    assert_eq!(notices.said.len(), 2 * SAID_MAX);
    say(&mut notices, 2 * SAID_MAX, SILENT_MINUTES + 1);
    assert_eq!((notices.said.len(), notices.sweep_at), (1, SAID_MAX));
}

#[test]
fn a_recovery_can_be_left_out() {
    let mut notices = Notices::default();
    let delivery = delivery("/default", "a.b");
    let made =
        [Kind::Dead, Kind::Recovered].map(|kind| notices.make(kind, &delivery, "hook", "x", Timestamp::from_secs(0)));
    let left = without_recovery(made.into_iter().flatten().collect());
    let left: Vec<&str> = left.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(left, ["delivery.dead"]);
}
