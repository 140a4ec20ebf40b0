use ::http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use bytes::Bytes;
use signalbox_proto::outcome::OutcomeKind;

use super::*;

/// A quarter to midnight.
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600 - 900);

fn response(status: u16, body: &str, retry_after: Option<&'static str>) -> Response {
    let headers = retry_after.map(|value| (RETRY_AFTER, HeaderValue::from_static(value)));
    Response {
        status,
        headers: HeaderMap::from_iter(headers),
        body: Bytes::from(body.to_owned()),
        truncated: false,
    }
}

fn waits(body: &str, retry_after: Option<&'static str>) -> u64 {
    match published(&response(429, body, retry_after), NOW) {
        Outcome::Retry { after: Some(after), .. } => after.as_secs(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_limit_is_waited_for_as_long_as_it_lasts() {
    let body = |code: u32| format!(r#"{{"code":{code},"http":429,"error":"limit reached"}}"#);
    assert_eq!(waits(&body(42_901), None), 5);
    assert_eq!(waits(&body(42_908), None), 960, "until a minute after midnight");
    assert_eq!(waits(&body(42_909), None), 60);
    assert_eq!(waits(&body(42_999), None), 5, "a code of tomorrow");
    assert_eq!(waits("", None), 5);
    assert_eq!(waits(&body(42_908), Some("37")), 37, "who says how long is believed");
}

#[test]
fn the_messages_of_a_day_are_asked_for_again_after_six_hours_at_most() {
    let morning = Timestamp::from_secs(1_767_225_600);
    let answer = response(429, r#"{"code":42908,"http":429,"error":"limit reached"}"#, None);
    let Outcome::Retry { after, .. } = published(&answer, morning) else {
        panic!("a limit passes")
    };
    assert_eq!(after, Some(RETRY_AFTER_MAX));
}

#[test]
fn a_code_of_another_status_is_not_ntfys() {
    let answer = response(400, r#"{"code":40101,"http":401,"error":"unauthorized"}"#, None);
    assert_eq!(published(&answer, NOW).kind(), OutcomeKind::Reject);
}

#[test]
fn each_question_has_a_yes_of_its_own() {
    let message = response(200, r#"{"id":"x","time":1,"event":"message","topic":"t"}"#, None);
    let account = response(200, r#"{"username":"phil","role":"user"}"#, None);
    for (asked, yes, other) in [
        (published as fn(&Response, Timestamp) -> Outcome, &message, &account),
        (probed, &account, &message),
    ] {
        assert_eq!(asked(yes, NOW).kind(), OutcomeKind::Delivered);
        for no in [
            other,
            &response(200, "", None),
            &response(200, "<html>", None),
            &response(200, "{}", None),
        ] {
            assert_eq!(asked(no, NOW).kind(), OutcomeKind::Retry, "{:?}", no.body);
        }
    }
}

#[test]
fn an_account_that_is_longer_than_what_is_read_is_one() {
    let cut = Response {
        truncated: true,
        ..response(200, r#"{"username":"phil","role":"user","tokens":[{"tok"#, None)
    };
    assert_eq!(probed(&cut, NOW), Outcome::Delivered);
}
