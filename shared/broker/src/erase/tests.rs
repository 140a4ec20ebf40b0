use signalbox_proto::{Timestamp, ledger::Final, outcome::Next};

use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn event(id: &str) -> EventRef {
    EventRef {
        id: id.to_owned(),
        source: "/acme".to_owned(),
        event_type: "tick".parse().expect("a type"),
        seq: 1,
        accepted_at: Timestamp::default(),
        matched: 1,
    }
}

fn attempt(org: &str, ids: &[&str]) -> Record {
    Record::Attempt(Attempt {
        delivery: ids.concat(),
        generation: 0,
        attempt: 1,
        org: name(org),
        provider: name("webhook"),
        integration: "i".to_owned(),
        events: ids.iter().map(|id| event(id)).collect(),
        at: Timestamp::default(),
        duration_ms: 1,
        outcome: None,
        response_code: Some(200),
        response_body: "what it answered".to_owned(),
        error_message: Some("why".to_owned()),
        next: Next::Final(Final::Delivered),
        next_at: None,
    })
}

fn body(records: &[Record]) -> Vec<u8> {
    let records = records
        .iter()
        .map(|record| ByteBuf::from(wire::encode(record).expect("written")));
    wire::encode(&Batch {
        records: records.collect(),
    })
    .expect("written")
}

fn left(what: &What, records: &[Record]) -> Option<(Vec<Record>, u64)> {
    let (rest, gone) = without(what, &body(records)).expect("read")?;
    let rest = rest.map(|rest| wire::decode_records(&rest).expect("read").0);
    Some((rest.unwrap_or_default(), gone))
}

#[test]
fn records_of_other_orgs_stay_as_they_are() {
    let what = What::Org(name("acme"));
    let others = [attempt("other", &["a"]), Record::NoRoute(vec![(1, 2)])];
    assert_eq!(left(&what, &others), None, "nothing is rewritten for nothing");
    let [other, unrouted] = others;
    let mixed = [
        attempt("acme", &["a"]),
        other.clone(),
        unrouted.clone(),
        attempt("acme", &["b"]),
    ];
    assert_eq!(left(&what, &mixed), Some((vec![other, unrouted], 2)));
    assert_eq!(left(&what, &[attempt("acme", &["a"])]), Some((Vec::new(), 1)));
}

#[test]
fn an_event_leaves_the_digests_that_it_is_in_and_takes_what_was_answered_with_it() {
    let what = What::Event {
        org: name("acme"),
        source: "/acme".to_owned(),
        id: "b".to_owned(),
    };
    assert_eq!(left(&what, &[attempt("other", &["b"]), attempt("acme", &["a"])]), None);
    let (rest, gone) = left(&what, &[attempt("acme", &["a", "b"]), attempt("acme", &["b"])]).expect("it is in both");
    assert_eq!(gone, 2);
    let [Record::Attempt(digest)] = &rest[..] else {
        panic!("{rest:?}")
    };
    assert_eq!(digest.events, [event("a")]);
    assert_eq!((digest.response_body.as_str(), &digest.error_message), ("", &None));
    assert_eq!(digest.next, Next::Final(Final::Delivered));
}
