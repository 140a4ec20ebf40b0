//! What answers mean: those that a vendor documents, and any other.

use serde_json::json;
use signalbox_proto::{Outcome, outcome::OutcomeKind};

use super::{Answer, Case, NOW, all, answer, hostile, keeping};
use crate::{Exchange, Step, prometheus};

/// A status that means something else to one provider than to all others.
pub(crate) struct Differs {
    pub(crate) provider: &'static str,
    pub(crate) status: u16,
    pub(crate) means: OutcomeKind,
    /// Printed where it does not hold.
    pub(crate) why: &'static str,
}

/// All of them, each stated by its provider.
const DIFFERS: [Differs; 1] = [prometheus::conformance::TOO_LARGE];

/// What an answer to the first request means; at a target that keeps things, to the first that makes something.
pub(crate) fn outcome(case: &Case, answer: &Answer) -> Outcome {
    let event = hostile::event("execution.failed", &json!({ "error": "disk full" }));
    let target = case.target();
    let delivery = hostile::delivery(event, 1);
    if target.thing(&delivery).is_some() {
        return keeping::outcome(case, &*target, &delivery, &answer.response());
    }
    let exchange = Exchange {
        response: answer.response(),
    };
    match target.next(&delivery, &[exchange], NOW) {
        Step::Done(outcome) => outcome,
        Step::Send(request) => panic!("{}: another request {request:?}", case.title()),
    }
}

#[test]
fn every_documented_answer_means_what_the_vendor_says() {
    for case in all() {
        assert!(!case.sample.answers.is_empty(), "{} documents no answer", case.title());
        for answer in &case.sample.answers {
            let outcome = outcome(&case, answer);
            assert_eq!(
                outcome.kind(),
                answer.means,
                "{}: {} {:?} means {outcome:?}",
                case.title(),
                answer.status,
                answer.body
            );
        }
    }
}

#[test]
fn every_status_has_a_meaning_and_no_reason_holds_a_secret_or_the_answer() {
    const MARK: &str = "a-text-of-the-answer-4711";
    for case in all() {
        let speaks_http = case.speaks_http();
        for status in 100..=599 {
            let outcome = outcome(&case, &answer(status, MARK, OutcomeKind::Unknown));
            let reason = format!("{outcome:?}");
            assert!(!reason.contains(MARK), "{}: {reason}", case.title());
            for secret in &case.sample.secrets {
                assert!(!reason.contains(secret), "{}: {reason}", case.title());
            }
            let own = DIFFERS
                .iter()
                .find(|own| own.provider == case.entry.name && own.status == status);
            if let Some(own) = own {
                assert_eq!(outcome.kind(), own.means, "{}: {status}: {}", case.title(), own.why);
                continue;
            }
            let certain = match status {
                _ if !speaks_http => None,
                429 | 500..=599 => Some(OutcomeKind::Retry),
                401 => Some(OutcomeKind::Suspend),
                413 => Some(OutcomeKind::Reject),
                _ => None,
            };
            if let Some(kind) = certain {
                assert_eq!(outcome.kind(), kind, "{}: {status}", case.title());
            }
        }
    }
}

#[test]
fn who_differs_from_all_others_documents_it() {
    for Differs {
        provider,
        status,
        means,
        ..
    } in DIFFERS
    {
        let cases: Vec<Case> = all().into_iter().filter(|case| case.entry.name == provider).collect();
        assert!(!cases.is_empty(), "there is no {provider}");
        for case in cases {
            let documents = |answer: &Answer| answer.status == status && answer.means == means;
            assert!(case.sample.answers.iter().any(documents), "{}: {status}", case.title());
        }
    }
}

#[test]
fn a_target_that_asks_to_be_left_alone_is() {
    for case in all().into_iter().filter(Case::speaks_http) {
        let answer = Answer {
            status: 429,
            headers: &[("retry-after", "37")],
            body: "",
            means: OutcomeKind::Retry,
        };
        match outcome(&case, &answer) {
            Outcome::Retry { after: Some(after), .. } => assert_eq!(after.as_secs(), 37, "{}", case.title()),
            other => panic!("{}: {other:?}", case.title()),
        }
    }
}
