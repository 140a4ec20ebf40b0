use signalbox_proto::{
    Name, RawJson, Severity,
    integration::{Status, Subscription},
};

use super::*;

#[test]
fn a_replay_of_an_event_is_the_routers_own_delivery_in_the_acts_generation() {
    let name = |text: &str| text.parse::<Name>().expect("a name");
    let integration = Integration {
        id: "0199c0de-0000-7000-8000-000000000001".into(),
        org: name("acme"),
        name: name("n"),
        provider: name("webhook"),
        revision: 7,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    };
    let event = Event {
        id: "e".into(),
        org: name("acme"),
        event_type: "a.b".parse().expect("a type"),
        source: "/s".into(),
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
        seq: 5,
        at: Timestamp::from_secs(1),
    };
    let live = Delivery::first(accepted.clone(), &integration.id, &integration.provider, 7, 3);
    let now = Timestamp::from_secs(100);
    let next = again(accepted.clone(), &integration, None, ("act", 60_000_000), now);
    assert_eq!(next.id, live.id);
    assert_eq!((next.generation, next.hop, next.lane), (60_000_000, 0, Lane::Bulk));
    assert_eq!((next.since, next.matched), (now, 0), "expiry begins anew");
    assert_eq!(next.replay.as_deref(), Some("act"));
    let later = Timestamp::from_secs(200);
    let repeated = again(accepted, &integration, None, ("act", 60_000_000), later);
    assert_eq!(
        repeated.hop_id(),
        next.hop_id(),
        "a repeat is known by the server as one"
    );
    assert_ne!(repeated.hop_id(), live.hop_id());
}

#[test]
fn what_earlier_work_sent_stays_in_doubt_until_the_cursor_is_behind_it() {
    let sent = BTreeSet::from([3, 7]);
    assert!(reaches_behind(&sent, 6), "stopped before it is counted");
    assert!(!reaches_behind(&sent, 7));
    assert!(!reaches_behind(&BTreeSet::new(), 0));
}
