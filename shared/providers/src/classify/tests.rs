use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use signalbox_proto::outcome::OutcomeKind;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(784_111_777); // 1994-11-06 08:49:37

fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (::http::HeaderName::from_static(name), HeaderValue::from_static(value)));
    Response {
        status,
        headers: headers.collect::<HeaderMap>(),
        body: Bytes::new(),
        truncated: false,
    }
}

#[test]
fn every_status_has_the_documented_meaning() {
    for status in 0..=999 {
        let expected = match status {
            200..=299 => OutcomeKind::Delivered,
            401 | 403 | 404 | 410 | 300..=399 => OutcomeKind::Suspend,
            408 | 425 | 429 => OutcomeKind::Retry,
            400..=499 => OutcomeKind::Reject,
            _ => OutcomeKind::Retry,
        };
        let outcome = by_status(&answer(status, &[]), NOW);
        assert_eq!(outcome.kind(), expected, "{status}");
        let at_once = matches!(outcome, Outcome::Suspend { at_once: true, .. });
        assert_eq!(at_once, status == 410, "{status}");
    }
}

#[test]
fn retry_after_is_obeyed_up_to_six_hours() {
    let after = |value| match by_status(&answer(503, &[("retry-after", value)]), NOW) {
        Outcome::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after("90"), Some(Duration::from_secs(90)));
    assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(after("21600"), Some(RETRY_AFTER_MAX));
    assert_eq!(after("21601"), Some(RETRY_AFTER_MAX));
    assert_eq!(after("Sun, 06 Nov 2094 08:50:07 GMT"), Some(RETRY_AFTER_MAX));
    assert_eq!(after("later"), None);
}

#[test]
fn reasons_say_what_was_answered() {
    assert_eq!(
        by_status(&answer(422, &[]), NOW).reason(),
        Some("the target answered 422 Unprocessable Entity")
    );
    assert_eq!(
        by_status(&answer(599, &[]), NOW).reason(),
        Some("the target answered 599")
    );
    assert_eq!(
        by_status(&answer(101, &[]), NOW).reason(),
        Some("the target answered 101, which is no final status")
    );
}

#[test]
fn a_redirect_names_where_it_pointed_without_secrets() {
    let reason = |location| {
        let outcome = by_status(&answer(302, &[("location", location)]), NOW);
        outcome.reason().map(str::to_owned).expect("a reason")
    };
    assert_eq!(
        reason("https://ada:hush@b.example:8443/login?token=hush#hush"),
        "the target answered 302 Found and pointed to https://b.example:8443/login"
    );
    assert!(reason("//ada:hush@b.example/x").ends_with("pointed to //b.example/x"));
    assert!(reason("/login?token=hush").ends_with("pointed to /login"));
    assert!(reason("mailto:hush@b.example").ends_with("pointed to a mailto: address"));
    assert_eq!(
        by_status(&answer(304, &[]), NOW).reason(),
        Some("the target answered 304 Not Modified")
    );
}

#[test]
fn what_may_pass_is_tried_again_and_what_we_refuse_suspends() {
    let kind = |error: Error| by_error(&error).kind();
    assert_eq!(kind(Error::Timeout(Duration::from_secs(15))), OutcomeKind::Retry);
    assert_eq!(
        kind(Error::ConnectTimeout(std::time::Duration::from_secs(5))),
        OutcomeKind::Retry
    );
    assert_eq!(kind(Error::ConnectionRefused), OutcomeKind::Retry);
    assert_eq!(kind(Error::ConnectionReset), OutcomeKind::Retry);
    let refused = crate::Egress::default().check_url(&"https://10.0.0.1/".parse().expect("a URL"));
    assert_eq!(kind(Error::Egress(refused.expect_err("private"))), OutcomeKind::Suspend);
}
