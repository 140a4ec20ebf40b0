//! What answers mean: those that a vendor documents, and any other.

use signalbox_proto::{Outcome, outcome::OutcomeKind};
use signalbox_providers::{Exchange, Step, http::Response};

use crate::{
    fixture::{self, Answer, Fixture, NOW},
    hostile,
};

/// What an answer to the first request means.
pub(crate) fn outcome(fixture: &Fixture, answer: &Answer) -> Outcome {
    let delivery = hostile::delivery(
        hostile::event("execution.failed", &serde_json::json!({ "error": "disk full" })),
        1,
    );
    let exchange = Exchange {
        response: Response {
            status: answer.status,
            headers: answer
                .headers
                .iter()
                .map(|(name, value)| {
                    let name = name.parse::<http::HeaderName>().expect("a header's name");
                    (name, value.parse::<http::HeaderValue>().expect("a header's value"))
                })
                .collect(),
            body: answer.body.into(),
            truncated: false,
        },
    };
    match fixture.target().next(&delivery, &[exchange], NOW) {
        Step::Done(outcome) => outcome,
        Step::Send(request) => panic!("{}: another request {request:?}", fixture.title()),
    }
}

#[test]
fn every_documented_answer_means_what_the_vendor_says() {
    for fixture in fixture::all() {
        assert!(!fixture.answers.is_empty(), "{} documents no answer", fixture.title());
        for answer in &fixture.answers {
            let outcome = outcome(&fixture, answer);
            assert_eq!(
                outcome.kind(),
                answer.means,
                "{}: {} {:?} means {outcome:?}",
                fixture.title(),
                answer.status,
                answer.body
            );
        }
    }
}

#[test]
fn every_status_has_a_meaning_and_no_reason_holds_a_secret_or_the_answer() {
    const MARK: &str = "a-text-of-the-answer-4711";
    for fixture in fixture::all() {
        for status in 100..=599 {
            let outcome = outcome(&fixture, &fixture::answer(status, MARK, OutcomeKind::Unknown));
            let reason = format!("{outcome:?}");
            assert!(!reason.contains(MARK), "{}: {reason}", fixture.title());
            for secret in &fixture.secrets {
                assert!(!reason.contains(secret), "{}: {reason}", fixture.title());
            }
            let certain = match status {
                429 | 500..=599 => Some(OutcomeKind::Retry),
                401 => Some(OutcomeKind::Suspend),
                413 => Some(OutcomeKind::Reject),
                _ => None,
            };
            if let Some(kind) = certain {
                assert_eq!(outcome.kind(), kind, "{}: {status}", fixture.title());
            }
        }
    }
}

#[test]
fn a_target_that_asks_to_be_left_alone_is() {
    for fixture in fixture::all() {
        let answer = Answer {
            status: 429,
            headers: &[("retry-after", "37")],
            body: "",
            means: OutcomeKind::Retry,
        };
        match outcome(&fixture, &answer) {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_secs(), 37, "{}", fixture.title()),
            other => panic!("{}: {other:?}", fixture.title()),
        }
    }
}
