use signalbox_proto::{Accepted, Event, RawJson, Severity};

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
    let before = |secs| State {
        drop_before: Some(Timestamp::from_secs(secs)),
        ..State::default()
    };
    assert!(is_dropped(&delivery(false, None), &before(51)));
    assert!(!is_dropped(&delivery(false, None), &before(50)));
    assert!(!is_dropped(&delivery(false, None), &State::default()));
}
