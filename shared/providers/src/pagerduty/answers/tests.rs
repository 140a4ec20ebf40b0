use ::http::HeaderMap;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn of(status: u16, retry_after: Option<&str>, body: &'static str) -> Outcome {
    let mut headers = HeaderMap::new();
    if let Some(value) = retry_after {
        headers.insert("retry-after", value.parse().expect("a value"));
    }
    let response = Response {
        status,
        headers,
        body: body.into(),
        truncated: false,
    };
    outcome(&response, NOW)
}

#[test]
fn a_limit_without_a_time_is_waited_out_as_the_vendor_advises() {
    for (retry_after, secs) in [(None, 30), (Some("5"), 5), (Some("soon"), 30)] {
        match of(429, retry_after, "") {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_secs(), secs),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wrong_routing_key_says_what_to_do_and_repeats_nothing() {
    let body = r#"{"status":"invalid event","errors":["Invalid routing key: 4711"]}"#;
    match of(400, None, body) {
        Outcome::Suspend { reason, at_once } => {
            assert!(
                reason.contains("Integration Key") && !reason.contains("4711"),
                "{reason}"
            );
            assert!(!at_once);
        }
        other => panic!("{other:?}"),
    }
}
