use std::time::Duration;

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::{
    About, Step,
    conformance::hostile,
    http::{self, Auth},
    redact::Redactor,
    things::Thing,
};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A target that makes an issue.
struct Issues {
    about: About,
    redactor: Redactor,
    /// Whether it looks for what is in doubt.
    looks: bool,
}

impl Issues {
    fn new(looks: bool) -> Self {
        let about = About {
            integration: "0197".to_owned(),
            name: "issues".parse().expect("a name"),
            org: "acme".parse().expect("a name"),
            brand: "Signalbox".into(),
            timeout: Duration::from_secs(1),
        };
        Self {
            about,
            redactor: Redactor::default(),
            looks,
        }
    }
}

fn request(path: &str) -> Request {
    Request::Http(http::Request {
        method: Method::POST,
        url: format!("https://issues.example.com/{path}").parse().expect("a URL"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        auth: Auth::None,
        identity: None,
    })
}

fn answer(status: u16) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        truncated: false,
    }
}

impl AnyTarget for Issues {
    fn about(&self) -> &About {
        &self.about
    }

    fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn next(&self, _: &Delivery, _: &[Exchange], _: Timestamp) -> Step {
        unreachable!("it keeps things")
    }

    fn thing(&self, _: &Delivery) -> Option<Thing> {
        Some(Thing::Named("it".to_owned()))
    }

    fn go_on(&self, _: &Delivery, known: &Known<'_>, _: Timestamp) -> Move {
        if known.refs.fact("issue").is_some() {
            return Move::Done(Outcome::Delivered);
        }
        if let Some(answer) = known.answer("issue") {
            return match answer.status {
                201 => Move::Learn(vec![Lesson::Fact("issue".into(), "7".to_owned())]),
                status => Move::Done(Outcome::Reject {
                    reason: status.to_string(),
                }),
            };
        }
        if known.refs.doubt("issue").is_some() && self.looks {
            return match known.answer("look") {
                None => Move::Ask("look".into(), request("look")),
                Some(_) => Move::Learn(vec![Lesson::Refused("issue".into())]),
            };
        }
        Move::Once("issue".into(), request("issue"))
    }

    fn probe(&self, _: Timestamp) -> Option<Request> {
        None
    }

    fn classify(&self, _: &Response, _: Timestamp) -> Outcome {
        Outcome::Delivered
    }

    fn made_up(&self, _: &Request) -> Response {
        answer(201)
    }
}

fn delivery() -> Delivery {
    hostile::delivery(hostile::event("spec.created", &json!({})), 1)
}

fn token() -> String {
    Thing::Named("it".to_owned()).token(&delivery())
}

/// What is asked for next.
fn asks(attempt: &mut Attempt<'_>, target: &Issues) -> Asked {
    match attempt.next(target, &delivery(), NOW) {
        Next::Send(asked, _) => asked,
        Next::Done(outcome) => panic!("{outcome:?}"),
    }
}

fn asked(name: &'static str, is_new: bool) -> Asked {
    Asked {
        name: name.into(),
        is_new,
    }
}

#[test]
fn what_had_no_answer_is_in_doubt_in_the_next_attempt() {
    let (target, mut memory) = (Issues::new(true), Memory::default());
    assert_eq!(asks(&mut memory.attempt(token()), &target), asked("issue", true));
    let mut second = memory.attempt(token());
    let look = asks(&mut second, &target);
    assert_eq!(look, asked("look", false));
    second.answered(look, answer(200));
    let issue = asks(&mut second, &target);
    assert_eq!(issue, asked("issue", true));
    second.answered(issue, answer(201));
    assert!(matches!(
        second.next(&target, &delivery(), NOW),
        Next::Done(Outcome::Delivered)
    ));
    // What is known is not asked for.
    assert!(matches!(
        memory.attempt(token()).next(&target, &delivery(), NOW),
        Next::Done(Outcome::Delivered)
    ));
}

#[test]
fn a_refusal_ends_its_own_doubt_and_none_from_before() {
    let (target, mut memory) = (Issues::new(false), Memory::default());
    let mut first = memory.attempt(token());
    let issue = asks(&mut first, &target);
    first.answered(issue, answer(422));
    assert_eq!(first.refs().doubt("issue"), None, "it was refused");

    let mut memory = Memory::default();
    asks(&mut memory.attempt(token()), &target);
    let mut second = memory.attempt(token());
    let issue = asks(&mut second, &target);
    assert_eq!(issue, asked("issue", false));
    second.answered(issue, answer(422));
    assert_eq!(
        second.refs().doubt("issue"),
        Some(NOW),
        "the first may have been carried out"
    );
}

#[test]
fn a_preview_shows_each_request_once_and_how_it_ends() {
    let (requests, outcome) = rehearse(&Issues::new(true), &delivery(), NOW);
    assert_eq!((requests.len(), outcome), (1, Outcome::Delivered));
}
