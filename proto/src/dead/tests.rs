use super::*;
use crate::{delivery::Note, ledger::Final, outcome::OutcomeKind};

fn delivery() -> Delivery {
    let json = serde_json::json!({
        "id": "d", "org": "acme", "provider": "webhook", "integration": "0199", "revision": 1, "since": 5,
        "events": [{ "event": { "id": "1", "org": "acme", "type": "a.b", "source": "/acme" }, "seq": 1, "at": 5 }],
    });
    crate::wire::decode_delivery(&crate::wire::encode(&json).expect("bytes")).expect("a delivery")
}

#[test]
fn it_spans_from_the_first_attempt_to_the_last() {
    let now = Timestamp::from_secs(90);
    let untried = DeadLetter::of_delivery(Stage::Route, DeadReason::Invalid, "no", delivery(), now);
    assert_eq!((untried.first_at, untried.last_at), (now, now));
    let mut tried = delivery();
    for second in [10, 20, 30] {
        tried.note(Note {
            at: Timestamp::from_secs(second),
            outcome: OutcomeKind::Retry,
            response_code: None,
            error_message: None,
        });
    }
    let dead = DeadLetter::of_delivery(Stage::Delivery, DeadReason::Exhausted, "no", tried.clone(), now);
    assert_eq!(
        (dead.first_at, dead.last_at),
        (Timestamp::from_secs(10), Timestamp::from_secs(30))
    );
    assert_eq!(
        (dead.org.as_ref().map(Name::as_str), dead.delivery.as_deref()),
        (Some("acme"), Some(&tried))
    );
}

#[test]
fn messages_and_originals_are_cut_to_their_bounds() {
    let long = "ä".repeat(10_000);
    let input = Input {
        subject: "signalbox.in.x".to_owned(),
        headers: Vec::new(),
        body: vec![7; INPUT_BYTES_MAX + 1],
    };
    let dead = DeadLetter::of_input(
        Stage::Ingest,
        DeadReason::Invalid,
        &long,
        None,
        input,
        Timestamp::default(),
    );
    assert_eq!(dead.input.expect("the original").body.len(), INPUT_BYTES_MAX);
    assert_eq!(dead.message.chars().count(), crate::outcome::REASON_CHARS_MAX);
    let dead = DeadLetter::of_delivery(
        Stage::Delivery,
        DeadReason::Rejected,
        &long,
        delivery(),
        Timestamp::default(),
    );
    assert_eq!(dead.message.chars().count(), crate::outcome::REASON_CHARS_MAX);
}

#[test]
fn a_reason_stands_for_one_end_in_the_ledger() {
    for reason in DeadReason::ALL {
        let expected = match reason.as_str() {
            "expired" => Final::Expired,
            "discarded" => Final::Discarded,
            _ => Final::Dead,
        };
        assert_eq!(reason.ledger(), expected, "{}", reason.as_str());
    }
}
