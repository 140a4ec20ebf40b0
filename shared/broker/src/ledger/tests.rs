use signalbox_proto::{Accepted, DeadReason, RawJson, Severity, Stage, dead::Input};

use super::*;

fn org() -> Name {
    "acme".parse().expect("a name")
}

fn accepted(seq: u64, id: &str) -> Accepted {
    let event = Event {
        id: id.into(),
        org: org(),
        event_type: "tick".parse().expect("a type"),
        source: "/acme".into(),
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
    Accepted {
        event,
        seq,
        at: Timestamp::from_secs(1),
    }
}

fn delivery(seq: u64, id: &str, integration: &str, matched: u32) -> Delivery {
    let provider = "webhook".parse().expect("a name");
    Delivery::first(accepted(seq, id), integration, &provider, 1, matched)
}

fn deliver(rows: &mut Rows, delivery: &Delivery) {
    rows.owe_all(delivery);
    rows.end(&delivery.id, delivery.generation, Final::Delivered);
}

fn check(rows: &Rows, seq: u64, id: &str) -> Report {
    let mut report = Report::default();
    let identity = || Some(identity_of(&org(), "/acme", id));
    let even = judge(rows, seq, identity, &mut report, &mut Vec::new());
    assert_eq!(even, report.is_even(), "{report:?}");
    let sum = report.delivered + report.dead + report.expired + report.discarded + report.moving + report.missing;
    if report.deliveries > 0 {
        assert_eq!(sum, report.deliveries, "{report:?}");
    }
    report
}

#[test]
fn an_event_that_stopped_the_router_is_dead_until_a_person_discards_it() {
    let (mut rows, mut dead) = (Rows::default(), Dead::default());
    let input = Input {
        subject: "signalbox.event.0.acme.tick".into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let now = Timestamp::from_secs(2);
    let letter = DeadLetter::of_input(Stage::Route, DeadReason::Poison, "twice", None, input, now);
    assert_eq!(check(&rows, 7, "a").missing, 1);
    read_letter(&mut rows, &mut dead, 40, letter.clone());
    assert_eq!(
        check(&rows, 7, "a").missing,
        1,
        "a letter that names no event ends none"
    );
    read_letter(&mut rows, &mut dead, 41, letter.of_event(7));
    let report = check(&rows, 7, "a");
    assert_eq!((report.dead, report.missing), (1, 0));
    let mark = Mark {
        act: "a".into(),
        did: Did::Discarded,
        seqs: vec![40, 41],
        to: None,
        generation: 0,
        at: now,
    };
    read_mark(&mut rows, &dead, &mark);
    let report = check(&rows, 7, "a");
    assert_eq!((report.discarded, report.dead, report.missing), (1, 0, 0));
}

#[test]
fn an_event_accepted_twice_is_settled_by_the_deliveries_of_the_other() {
    let identity = identity_of(&org(), "/acme", "a");
    let mut rows = Rows::closely(HashSet::from([identity.clone()]));
    deliver(&mut rows, &delivery(7, "a", "i1", 2));
    deliver(&mut rows, &delivery(7, "a", "i2", 2));
    let report = check(&rows, 9, "a");
    assert_eq!((report.missing, report.deliveries), (0, 0), "{report:?}");
    assert_eq!(check(&rows, 10, "b").missing, 1, "another event is not");
    // Of the repeat, one integration took its own: it was made in between.
    let mut rows = Rows::closely(HashSet::from([identity.clone()]));
    deliver(&mut rows, &delivery(7, "a", "i1", 1));
    deliver(&mut rows, &delivery(9, "a", "i2", 2));
    assert_eq!(check(&rows, 9, "a").missing, 0);
    // Nothing of it is known anywhere.
    let rows = Rows::closely(HashSet::from([identity]));
    assert_eq!(check(&rows, 9, "a").missing, 1);
}

#[test]
fn a_replay_to_another_integration_hides_no_loss() {
    let mut rows = Rows::default();
    deliver(&mut rows, &delivery(7, "a", "i1", 2));
    let elsewhere = Delivery {
        generation: 1,
        ..delivery(7, "a", "i9", 2)
    };
    deliver(&mut rows, &elsewhere);
    let report = check(&rows, 7, "a");
    assert_eq!((report.missing, report.delivered, report.deliveries), (1, 2, 3));
    // The one that was missing is there, and replayed to its own.
    let own = delivery(7, "a", "i2", 2);
    rows.owe_all(&own);
    rows.end(&own.id, 0, Final::Dead);
    deliver(&mut rows, &Delivery { generation: 1, ..own });
    let report = check(&rows, 7, "a");
    assert_eq!((report.missing, report.delivered, report.deliveries), (0, 3, 3));
}

#[test]
fn a_delivery_that_was_tried_and_is_nowhere_is_missing() {
    let mut rows = Rows::default();
    rows.owe_all(&delivery(7, "a", "i1", 1));
    assert_eq!(check(&rows, 7, "a").missing, 1);
    rows.move_on(&delivery(7, "a", "i1", 1));
    assert_eq!(check(&rows, 7, "a").moving, 1);
}
