use ::http::HeaderMap;
use signalbox_proto::outcome::OutcomeKind;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const NOT_FOUND: &str = r#"{"message":"Alert does not exist","took":0.0,"requestId":"x"}"#;

fn of(status: u16, headers: &[(&'static str, &str)], body: &'static str, asked: Asked) -> Outcome {
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        sent.insert(*name, value.parse().expect("a value"));
    }
    let response = Response {
        status,
        headers: sent,
        body: body.into(),
        truncated: false,
    };
    outcome(&response, asked, NOW)
}

#[test]
fn a_limit_is_waited_out_as_its_headers_say() {
    for (headers, secs) in [
        (vec![], 60),
        (vec![(PERIOD, "1")], 1),
        (vec![(PERIOD, " 60 ")], 60),
        (vec![(PERIOD, "soon")], 60),
        (vec![(PERIOD, "99999999")], RETRY_AFTER_MAX.as_secs()),
        (vec![(PERIOD, "60"), ("retry-after", "5")], 5),
    ] {
        match of(429, &headers, "", Asked::Create) {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_secs(), secs, "{headers:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_not_open_is_closed() {
    assert_eq!(of(404, &[], NOT_FOUND, Asked::Close), Outcome::Delivered);
    // A create has no such answer, and a page that is not Opsgenie's says nothing of alerts.
    for (body, asked) in [
        (NOT_FOUND, Asked::Create),
        ("<html></html>", Asked::Close),
        ("", Asked::Close),
    ] {
        assert_eq!(of(404, &[], body, asked).kind(), OutcomeKind::Suspend);
    }
}

#[test]
fn what_has_to_be_done_is_said_and_the_answer_is_not_repeated() {
    let body = r#"{"code":40301,"message":"use another key than 4711","requestId":"x"}"#;
    let reason = format!("{:?}", of(403, &[], body, Asked::Create));
    assert!(
        reason.contains("create and update") && !reason.contains("4711"),
        "{reason}"
    );
}
