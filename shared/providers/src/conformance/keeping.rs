//! Providers whose targets keep things, driven as the delivery worker drives them, and held to its rules.

use signalbox_proto::{
    Delivery, Outcome, Timestamp,
    outcome::OutcomeKind,
    refs::{NAME_BYTES_MAX, Refs, VALUE_BYTES_MAX},
    types::BUILT_IN,
};

use super::{Case, NOW, all, as_http, hostile};
use crate::{
    AnyTarget, Request, http,
    http::Response,
    things::{Answer, Known, Lesson, MOVES_MAX, Move, is_refused},
};

/// Hostile events whose answers are lost at every place there is.
const LOST_HOSTILE: usize = 60;
/// Requests of a delivery after which one more may be lost: what lies behind is more of the same.
const LOST_MAX: usize = 12;

/// What is remembered of one thing and of its integration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) refs: Refs,
    pub(crate) names: Refs,
}

/// What an attempt came to.
pub(crate) struct Came {
    /// All requests, and whether each may be sent once alone.
    pub(crate) requests: Vec<(bool, http::Request)>,
    /// What each of them is called.
    pub(crate) names: Vec<String>,
    /// `None` where an answer was lost.
    pub(crate) outcome: Option<Outcome>,
}

/// One attempt. `answers` says what is answered to a request; `None` is an answer that is lost.
pub(crate) fn attempt(
    target: &dyn AnyTarget,
    delivery: &Delivery,
    remembered: &mut Remembered,
    now: Timestamp,
    mut answers: impl FnMut(bool, &Request) -> Option<Response>,
) -> Came {
    let mut given: Vec<Answer> = Vec::new();
    let (mut requests, mut called) = (Vec::new(), Vec::new());
    let mut asked_only = 0;
    for _ in 0..MOVES_MAX {
        let Remembered { refs, names } = &mut *remembered;
        let known = Known {
            refs,
            names,
            answers: &given,
        };
        let (name, request, once, is_new) = match target.go_on(delivery, &known, now) {
            Move::Wait { reason, after } | Move::Pause { reason, after } => {
                let after = Some(after);
                return Came {
                    requests,
                    names: called,
                    outcome: Some(Outcome::Retry { reason, after }),
                };
            }
            Move::Done(outcome) => {
                if outcome == Outcome::Delivered {
                    refs.end(&delivery.id);
                }
                return Came {
                    requests,
                    names: called,
                    outcome: Some(outcome),
                };
            }
            Move::Learn(lessons) => {
                assert!(!lessons.is_empty(), "it learns nothing");
                let before = (refs.clone(), names.clone());
                lessons.into_iter().for_each(|lesson| learn(lesson, refs, names, now));
                assert_ne!(before, (refs.clone(), names.clone()), "it learns what it knows");
                continue;
            }
            Move::Ask(name, request) => (name, request, false, false),
            Move::Once(name, request) => {
                assert_eq!(refs.fact(&name), None, "{name} is known and asked for again");
                assert!(
                    refs.doubt(&name).is_none() || asked_only > 0,
                    "{name} is in doubt, and asked for again without a look"
                );
                let is_new = refs.begin(&name, now).expect("few doubts, and a short name");
                (name, request, true, is_new)
            }
        };
        asked_only += usize::from(!once);
        let answer = answers(once, &request);
        requests.push((once, as_http(request)));
        called.push(name.to_string());
        let Some(response) = answer else {
            return Came {
                requests,
                names: called,
                outcome: None,
            };
        };
        if is_new && is_refused(&response) {
            refs.refuse(&name);
        }
        given.push(Answer { name, response });
    }
    panic!("more than {MOVES_MAX} moves for one delivery");
}

fn learn(lesson: Lesson, refs: &mut Refs, names: &mut Refs, now: Timestamp) {
    let check = |name: &str, value: &str| {
        assert!(
            (1..=NAME_BYTES_MAX).contains(&name.len()),
            "a name of {} bytes",
            name.len()
        );
        assert!(value.len() <= VALUE_BYTES_MAX, "{name} has {} bytes", value.len());
    };
    match lesson {
        Lesson::Fact(name, value) => {
            check(&name, &value);
            refs.learn(&name, &value, now);
        }
        Lesson::Refused(name) => refs.refuse(&name),
        Lesson::Gone(name) => refs.forget(&name),
        Lesson::Name(name, value) => {
            check(&name, &value);
            names.learn(&name, &value, now);
        }
    }
}

/// The requests of a delivery whose vendor takes each of them, of which nothing is remembered.
pub(super) fn requests(case: &Case, target: &dyn AnyTarget, delivery: &Delivery) -> Vec<http::Request> {
    let came = attempt(target, delivery, &mut Remembered::default(), NOW, |_, request| {
        let printed = format!("{request:?}");
        for secret in &case.sample.secrets {
            assert!(!printed.contains(secret), "{}: {printed} holds a secret", case.title());
        }
        Some(target.made_up(request))
    });
    let kind = came.outcome.as_ref().map(Outcome::kind);
    assert_eq!(
        kind,
        Some(OutcomeKind::Delivered),
        "{}: {:?}",
        case.title(),
        came.outcome
    );
    came.requests.into_iter().map(|(_, request)| request).collect()
}

/// What this answer to the first request that makes something means; to the first of all, where none does.
pub(super) fn outcome(case: &Case, target: &dyn AnyTarget, delivery: &Delivery, answer: &Response) -> Outcome {
    let all = attempt(target, delivery, &mut Remembered::default(), NOW, |_, request| {
        Some(target.made_up(request))
    });
    let makes = all.requests.iter().any(|(once, _)| *once);
    let mut given = false;
    let came = attempt(target, delivery, &mut Remembered::default(), NOW, |once, request| {
        if !given && (once || !makes) {
            given = true;
            return Some(answer.clone());
        }
        Some(target.made_up(request))
    });
    assert!(given, "{}: nothing was asked for", case.title());
    came.outcome.expect("no answer was lost")
}

/// After each request in turn its answer is lost; the next attempt, long after, finds nothing at the target.
fn lose_each(case: &Case, delivery: &Delivery) {
    let target = case.target();
    for lost in 0..LOST_MAX {
        let mut remembered = Remembered::default();
        let mut count = 0;
        let first = attempt(&*target, delivery, &mut remembered, NOW, |_, request| {
            count += 1;
            (count <= lost).then(|| target.made_up(request))
        });
        if first.outcome.is_some() {
            return;
        }
        let later = NOW + std::time::Duration::from_secs(6 * 3_600);
        let again = attempt(&*target, delivery, &mut remembered, later, |_, request| {
            Some(target.made_up(request))
        });
        assert_eq!(
            again.outcome,
            Some(Outcome::Delivered),
            "{}: request {lost} lost",
            case.title()
        );
    }
}

#[test]
fn what_is_in_doubt_is_looked_for_before_it_is_asked_for_again() {
    let event = |name: &str| {
        hostile::event(
            name,
            &serde_json::json!({
                "message": "It happened", "node_id": "I_1", "number": 7, "issue_number": 7,
                "spec": { "id": "FEAT-1", "title": "Sign-in", "status": "approved" },
                "pr": { "number": 42, "url": "https://example.com/pr/42" },
                "acceptance_criteria": ["it works", "it is fast"],
            }),
        )
    };
    for case in all() {
        let target = case.target();
        for built_in in BUILT_IN {
            let delivery = hostile::delivery(event(built_in.name), 1);
            if target.thing(&delivery).is_some() {
                lose_each(&case, &delivery);
            }
        }
        for index in 0..LOST_HOSTILE {
            let delivery = hostile::hostile(index);
            if target.thing(&delivery).is_some() {
                lose_each(&case, &delivery);
            }
        }
    }
}

#[test]
fn a_thing_has_the_same_name_each_time() {
    for case in all() {
        for index in 0..LOST_HOSTILE {
            let delivery = hostile::hostile(index);
            let named = || case.target().thing(&delivery);
            assert_eq!(named(), named(), "{}: hostile event {index}", case.title());
        }
    }
}
