use std::time::Duration;

use ::http::HeaderMap;
use signalbox_proto::outcome::OutcomeKind;

use super::*;
use crate::http;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn answer(status: u16, body: &'static str) -> Outcome {
    let response = Response {
        status,
        headers: HeaderMap::new(),
        body: body.into(),
        truncated: false,
    };
    by_answer(&response, NOW)
}

#[test]
fn a_full_stream_is_named_and_tried_again() {
    let outcome = answer(
        503,
        r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"X","seq":0}"#,
    );
    assert_eq!(outcome.kind(), OutcomeKind::Retry);
    assert_eq!(
        outcome.reason(),
        Some("the stream did not store the message: it may be full (JetStream's error 10077)")
    );
}

#[test]
fn an_error_is_no_success_whatever_its_code() {
    let outcome = answer(200, r#"{"error":{"code":200,"err_code":12345}}"#);
    assert_eq!(outcome.kind(), OutcomeKind::Retry);
    assert_eq!(answer(200, r#"{"error":{}}"#).kind(), OutcomeKind::Retry);
    assert_eq!(
        answer(200, r#"{"stream":"X","seq":1,"error":null}"#),
        Outcome::Delivered
    );
}

#[test]
fn the_codes_are_told_apart_and_each_stands_once() {
    let mut codes: Vec<u32> = REASONS.iter().map(|(code, ..)| *code).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    codes.dedup();
    assert_eq!(codes.len(), REASONS.len());
}

#[test]
fn what_comes_without_an_acknowledgement_has_the_documented_outcome() {
    use OutcomeKind::{Reject, Retry, Suspend};
    let subject = || "events.tick".to_owned();
    for (error, expected) in [
        (Error::Login, Suspend),
        (Error::NoHeaders, Suspend),
        (Error::Forbidden { subject: subject() }, Suspend),
        (Error::ForbiddenInbox, Suspend),
        (Error::NoStream { subject: subject() }, Suspend),
        (Error::Subject { subject: subject() }, Suspend),
        (Error::TooLarge { bytes: 2, bytes_max: 1 }, Reject),
        (Error::Closed, Retry),
        (Error::Protocol("x"), Retry),
        (Error::Busy("x"), Retry),
        (Error::Unknown, Retry),
        (Error::Connection(http::Error::Timeout(Duration::from_secs(1))), Retry),
        (Error::Connection(http::Error::ConnectionRefused), Retry),
        (Error::Connection(http::Error::Egress(http::Refusal::NoHost)), Suspend),
    ] {
        let outcome = by_error(&error);
        assert_eq!(outcome.kind(), expected, "{error}");
        assert!(outcome.reason().is_some_and(|reason| !reason.is_empty()));
    }
}
