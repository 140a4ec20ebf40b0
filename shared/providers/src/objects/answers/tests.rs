use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};

use super::*;
use crate::objects::double::xml;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn response(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Response {
    Response {
        status,
        headers: HeaderMap::from_iter(headers.iter().map(|(name, value)| {
            let name = ::http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })),
        body: body.to_owned().into(),
        truncated: false,
    }
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered => "",
        Outcome::Retry { reason, .. } | Outcome::Reject { reason } | Outcome::Suspend { reason, .. } => reason,
    }
}

#[test]
fn the_table_is_sorted_and_names_each_code_once() {
    assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
    for (code, _, words) in CODES {
        assert!(code.len() <= CODE_BYTES_MAX && !words.is_empty(), "{code}");
    }
}

#[test]
fn a_reason_holds_nothing_of_the_answer_but_a_known_code() {
    let body = xml("AccessDenied").replace("No.", "a-text-of-the-answer");
    let outcome = by_answer(&response(403, &[], &body), NOW);
    assert_eq!(
        reason(&outcome),
        "these credentials may not write there (403 AccessDenied)"
    );
    let outcome = by_answer(&response(403, &[], &xml("ATextOfTheAnswer")), NOW);
    assert_eq!(reason(&outcome), "the target answered 403 Forbidden");
}

/// Types are chosen by whoever publishes, stand in keys, and are repeated by refusals.
#[test]
fn no_type_makes_a_refusal_a_yes() {
    let body = xml("AccessDenied").replace(
        "No.",
        "not authorized to perform: s3:PutObject on acme/storage.objects.delete/x.jsonl",
    );
    let outcome = by_answer(&response(403, &[], &body), NOW);
    assert!(matches!(outcome, Outcome::Suspend { .. }), "{outcome:?}");
    let body = xml("AccessDenied").replace(
        "No.",
        "x@y does not have storage.objects.delete access to the Google Cloud Storage object.",
    );
    assert_eq!(by_answer(&response(403, &[], &body), NOW), Outcome::Delivered);
    assert_ne!(by_answer(&response(401, &[], &body), NOW), Outcome::Delivered);
}

#[test]
fn what_only_looks_like_an_error_of_a_store_has_no_code() {
    for body in [
        "AccessDenied",
        "<html><Error><Code>PreconditionFailed</Code></Error>",
        "<Code>PreconditionFailed</Code>",
        "<Error><Code>Precondition Failed</Code></Error>",
        "<Error><Code>",
        "",
    ] {
        assert_eq!(code(body.as_bytes()), None, "{body}");
    }
    let bytes = [b"<Error><Code>".as_slice(), &[0xff], b"</Code></Error>"].concat();
    assert_eq!(code(&bytes), None);
    assert_eq!(code(b"\n<Error><Code> SlowDown </Code></Error>"), Some("SlowDown"));
}

#[test]
fn the_region_of_a_bucket_is_told_where_it_is_one() {
    let told = |region: &'static str| {
        let headers = [("x-amz-bucket-region", region)];
        let outcome = by_answer(&response(301, &headers, &xml("PermanentRedirect")), NOW);
        reason(&outcome).to_owned()
    };
    assert!(
        told("eu-west-1").ends_with("the bucket is in eu-west-1)"),
        "{}",
        told("eu-west-1")
    );
    for odd in ["", "<b>", "EU", "a region of more than thirty-two characters"] {
        assert!(told(odd).ends_with("(301 PermanentRedirect)"), "{}", told(odd));
    }
}

#[test]
fn a_store_that_asks_to_be_left_alone_is() {
    for status in [429, 503] {
        let outcome = by_answer(&response(status, &[("retry-after", "7")], &xml("SlowDown")), NOW);
        let Outcome::Retry { after, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}

/// Only [`super::super::Client`] says that an answer is one to a look.
#[test]
fn an_answer_to_a_look_shows_that_the_store_knows_us_and_the_same_answer_to_a_write_does_not() {
    const NONE: &[(&str, &str)] = &[];
    const ETAG: &[(&str, &str)] = &[("etag", "\"1\"")];
    for (status, headers, body, knows) in [
        (404, NONE, xml("NoSuchKey"), true),
        (403, NONE, xml("AccessDenied"), true),
        (200, ETAG, String::new(), true),
        (200, NONE, "<html>".to_owned(), false),
        (404, NONE, String::new(), false),
        (404, NONE, xml("NoSuchBucket"), false),
        (403, NONE, String::new(), false),
        (403, NONE, xml("InvalidAccessKeyId"), false),
        (403, NONE, xml("SignatureDoesNotMatch"), false),
        (503, NONE, xml("SlowDown"), false),
    ] {
        let mut answer = response(status, headers, &body);
        let write = by_answer(&answer, NOW);
        answer.headers.insert(LOOKED, HeaderValue::from_static("1"));
        let look = by_answer(&answer, NOW);
        assert_eq!(look == Outcome::Delivered, knows, "{status} {body}: {look:?}");
        assert_eq!(
            write == Outcome::Delivered,
            status == 200 && knows,
            "{status} {body}: {write:?}"
        );
    }
}

#[test]
fn credentials_that_sign_nothing_are_the_owners_to_mend() {
    assert!(matches!(by_error(&Error::Unsigned), Outcome::Suspend { .. }));
}
