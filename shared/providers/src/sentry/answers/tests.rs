use bytes::Bytes;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn response(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Response {
    let headers = headers.iter().map(|(name, value)| {
        let value = ::http::HeaderValue::from_str(value).expect("a header's value");
        (HeaderName::from_static(name), value)
    });
    Response {
        status,
        headers: headers.collect(),
        body: Bytes::from_static(body.as_bytes()),
        truncated: false,
    }
}

#[test]
fn a_429_waits_as_long_as_the_longest_limit_of_our_events() {
    let limits = "x-sentry-rate-limits";
    for (headers, secs) in [
        (&[][..], 60),
        (&[("retry-after", "37")], 37),
        (&[(limits, "120:error:project:quota")], 120),
        (&[(limits, "60::organization, 2700::organization")], 2_700),
        (
            &[(limits, "60:transaction:key, 2700:default;error;security:organization")],
            2_700,
        ),
        (&[(limits, " 60 : error ; session : key , 5:error:key")], 60),
        (&[(limits, "0.2:error:key")], 1),
        (&[(limits, "900000:error:organization")], 6 * 3_600),
        // Not ours: what the standard header says.
        (&[(limits, "2700:transaction:key"), ("retry-after", "37")], 37),
        (&[(limits, "soon:error:key"), ("retry-after", "37")], 37),
        (&[(limits, "2700:transaction;log_item:key")], 60),
        // Ours counts more than the longest of all categories.
        (
            &[(limits, "60:error:key, 2700:transaction:key"), ("retry-after", "2700")],
            60,
        ),
        // In several lines.
        (&[(limits, "60:error:key"), (limits, "90:error:organization")], 90),
    ] {
        match outcome(&response(429, headers, ""), NOW) {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_secs(), secs, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
}

#[test]
fn a_200_that_names_a_limit_of_our_events_is_tried_again_and_one_of_others_is_not() {
    let id = r#"{"id":"0f1e2d3c4b5a49788796a5b4c3d2e1f0"}"#;
    let limits = |value| outcome(&response(200, &[("x-sentry-rate-limits", value)], id), NOW);
    match limits("45:error:key:reached") {
        Outcome::Retry { after, .. } => assert_eq!(after, Some(Duration::from_secs(45))),
        other => panic!("{other:?}"),
    }
    for value in [
        "45:transaction:key",
        "0:error:key",
        "",
        "nonsense",
        "-5:error:key",
        "NaN:error:key",
    ] {
        assert_eq!(limits(value), Outcome::Delivered, "{value}");
    }
}

#[test]
fn a_page_of_a_proxy_is_no_success() {
    for (status, body, delivered) in [
        (200, r#"{"id":"0f1e"}"#, true),
        (200, "", true),
        (200, "{\"id\":\"0f1e\"}\n", true),
        (200, "{}\n", false),
        (200, r#"{"id":""}"#, false),
        (200, r#"["0f1e"]"#, false),
        (202, "", true),
        (200, "<html>sign in</html>", false),
        (200, "ok", false),
    ] {
        let outcome = outcome(&response(status, &[], body), NOW);
        match (delivered, &outcome) {
            (true, Outcome::Delivered) | (false, Outcome::Retry { after: None, .. }) => {}
            _ => panic!("{status} {body}: {outcome:?}"),
        }
    }
}
