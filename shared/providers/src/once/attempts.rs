//! Attempts at a target that keeps things, as a worker makes them, with a vendor that is a function.

use signalbox_proto::{Delivery, Outcome, Timestamp, refs::Refs};

use crate::{
    AnyTarget,
    conformance::as_http,
    http::{self, Response},
    things::{self, Answer, Known, Lesson, MOVES_MAX, Move},
};

/// One thing, and what is remembered of it.
pub(crate) struct Attempts {
    pub(crate) target: Box<dyn AnyTarget>,
    pub(crate) delivery: Delivery,
    pub(crate) refs: Refs,
    pub(crate) names: Refs,
    pub(crate) now: Timestamp,
    /// The requests of all attempts, those that make something with a `!` before their name.
    pub(crate) asked: Vec<(String, http::Request)>,
}

impl Attempts {
    pub(crate) fn at(target: Box<dyn AnyTarget>, delivery: Delivery, now: Timestamp) -> Self {
        Self {
            target,
            delivery,
            refs: Refs::default(),
            names: Refs::default(),
            now,
            asked: Vec::new(),
        }
    }

    /// One attempt. `vendor` answers a request, or does not; then the attempt ends, as one that ran out of time.
    pub(crate) fn attempt(&mut self, mut vendor: impl FnMut(&http::Request) -> Option<Response>) -> Outcome {
        let mut answers = Vec::new();
        for _ in 0..MOVES_MAX {
            let known = Known {
                refs: &self.refs,
                names: &self.names,
                answers: &answers,
            };
            let (name, request, is_new) = match self.target.go_on(&self.delivery, &known, self.now) {
                Move::Done(outcome) => {
                    if outcome == Outcome::Delivered {
                        self.refs.end(&self.delivery.id);
                    }
                    return outcome;
                }
                Move::Learn(lessons) => {
                    assert!(!lessons.is_empty(), "nothing is learnt");
                    for lesson in lessons {
                        match lesson {
                            Lesson::Fact(name, value) => self.refs.learn(&name, &value, self.now),
                            Lesson::Refused(name) => self.refs.refuse(&name),
                            Lesson::Gone(name) => self.refs.forget(&name),
                            Lesson::Name(name, value) => self.names.learn(&name, &value, self.now),
                        }
                    }
                    continue;
                }
                Move::Ask(name, request) => {
                    let request = as_http(request);
                    self.asked.push((name.to_string(), request.clone()));
                    (name, request, false)
                }
                Move::Once(name, request) => {
                    let is_new = self.refs.begin(&name, self.now).unwrap();
                    let request = as_http(request);
                    self.asked.push((format!("!{name}"), request.clone()));
                    (name, request, is_new)
                }
            };
            let Some(response) = vendor(&request) else {
                return Outcome::Retry {
                    reason: "no complete answer".to_owned(),
                    after: None,
                };
            };
            if is_new && things::is_refused(&response) {
                self.refs.refuse(&name);
            }
            answers.push(Answer { name, response });
        }
        panic!("more than {MOVES_MAX} moves");
    }

    /// The names of all requests so far.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.asked.iter().map(|(name, _)| &**name).collect()
    }

    /// How often something was asked for that may be done once.
    pub(crate) fn made(&self) -> usize {
        self.asked.iter().filter(|(name, _)| name.starts_with('!')).count()
    }
}

/// An answer without headers; of a long body what a client reads of it.
pub(crate) fn answered(status: u16, body: &str) -> Response {
    let head = body.as_bytes().get(..http::BODY_BYTES_MAX);
    Response {
        status,
        headers: ::http::HeaderMap::new(),
        body: bytes::Bytes::copy_from_slice(head.unwrap_or(body.as_bytes())),
        truncated: head.is_some() && body.len() > http::BODY_BYTES_MAX,
    }
}
