use std::collections::BTreeMap;

use signalbox_proto::{
    Accepted, Event, RawJson, Severity,
    integration::{Flow, RateLimit, Subscription},
};

use super::*;

fn delivery(probe: bool, due: Option<i64>) -> Delivery {
    let org: signalbox_proto::Name = "acme".parse().expect("a name");
    let event = Event {
        id: "1".into(),
        source: Event::default_source(&org),
        org,
        event_type: "tick".parse().expect("a type"),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::of(&1).expect("JSON"),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 7,
        at: Timestamp::from_secs(50),
    };
    let first = Delivery::first(accepted, "i1", &"webhook".parse().expect("a name"), 1, 1);
    Delivery {
        probe,
        due: due.map(Timestamp::from_secs),
        ..first
    }
}

#[test]
fn only_a_probe_that_comes_later_is_stranded() {
    let soon = Timestamp::from_secs(100);
    assert!(is_stranded(&delivery(true, Some(101)), soon));
    assert!(!is_stranded(&delivery(true, Some(100)), soon), "it fires by itself");
    assert!(
        !is_stranded(&delivery(false, Some(101)), soon),
        "a retry keeps its time"
    );
}

#[test]
fn what_goes_on_is_one_hop_further_and_no_probe() {
    let next = onward(&delivery(true, Some(101)));
    assert_eq!(
        (next.hop, next.probe, next.due, next.lane),
        (1, false, None, Lane::Bulk)
    );
}

#[test]
fn what_is_older_than_asked_for_is_dropped() {
    let before = |secs| Some(Timestamp::from_secs(secs));
    assert!(is_dropped(&delivery(false, None), before(51)));
    assert!(!is_dropped(&delivery(false, None), before(50)));
    assert!(!is_dropped(&delivery(false, None), None));
}

/// An integration with this id and limit, if it has one.
fn integration(id: &str, per_minute: Option<u32>) -> Integration {
    let at = Timestamp::from_secs(50);
    let rate_limit = RateLimit {
        per_minute,
        ..RateLimit::default()
    };
    Integration {
        id: id.into(),
        org: "acme".parse().expect("a name"),
        name: id.parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        revision: 1,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: Flow {
            rate_limit: Some(rate_limit),
            ..Flow::default()
        },
        created_at: at,
        updated_at: at,
    }
}

/// A view of integrations that drain, some not before a time.
fn view(draining: &[(&str, Option<u32>, Option<i64>)]) -> View {
    let mut view = View::default();
    for (id, per_minute, not_before) in draining {
        let state = State {
            phase: Phase::Draining,
            not_before: not_before.map(Timestamp::from_secs),
            ..State::default()
        };
        view.integrations.insert((*id).into(), integration(id, *per_minute));
        view.states.insert((*id).into(), state);
    }
    view
}

#[test]
fn what_has_a_pace_is_told_from_what_has_none() {
    let mut view = view(&[
        ("limited", Some(60), None),
        ("free", None, None),
        ("paused", Some(60), None),
    ]);
    view.states.get_mut("paused").expect("it is there").phase = Phase::Paused;
    let now = Timestamp::from_secs(100);
    let look = super::look(&view, |_| true, now);
    let paced: Vec<&str> = look
        .paced
        .iter()
        .map(|(integration, _)| integration.id.as_str())
        .collect();
    assert_eq!(
        (paced, look.others, look.next),
        (vec!["limited"], vec!["free".to_owned()], None)
    );
    let running = super::look(&view, |_| false, now);
    assert!(running.paced.is_empty(), "it is being drained already");
    assert!(terms(&view, "limited").is_some());
    assert!(terms(&view, "free").is_none() && terms(&view, "paused").is_none());
}

#[test]
fn what_a_deleted_integration_holds_is_let_go() {
    let mut view = view(&[
        ("paused", None, None),
        ("suspended", None, None),
        ("draining", None, None),
    ]);
    view.states.get_mut("paused").expect("it is there").phase = Phase::Paused;
    view.states.get_mut("suspended").expect("it is there").phase = Phase::Suspended;
    let now = Timestamp::from_secs(100);
    assert!(super::look(&view, |_| true, now).deleted.is_empty());
    for integration in view.integrations.values_mut() {
        integration.status = Status::Deleted;
    }
    let look = super::look(&view, |_| true, now);
    assert_eq!(
        (look.deleted, look.others),
        (
            vec!["paused".to_owned(), "suspended".to_owned()],
            vec!["draining".to_owned()]
        )
    );
}

#[test]
fn what_its_target_asked_to_leave_alone_waits_for_that_time() {
    let view = view(&[("limited", Some(60), Some(130)), ("free", None, Some(110))]);
    let look = super::look(&view, |_| true, Timestamp::from_secs(100));
    assert!(look.paced.is_empty() && look.others.is_empty());
    assert_eq!(look.next, Some(Duration::from_secs(10)), "the first of them");
    let look = super::look(&view, |_| true, Timestamp::from_secs(110));
    assert_eq!((look.others.len(), look.next), (1, Some(Duration::from_secs(20))));
    let look = super::look(&view, |_| true, Timestamp::from_secs(130));
    assert_eq!((look.paced.len(), look.others.len(), look.next), (1, 1, None));
}

#[test]
fn looks_are_further_apart_the_longer_they_take() {
    let millis = Duration::from_millis;
    assert_eq!(apart(Duration::from_micros(20)), millis(10));
    assert_eq!(apart(millis(5)), millis(100));
    assert_eq!(apart(millis(900)), Duration::from_secs(5));
}
