//! What is remembered of things, in memory alone: for tests of an integration, previews, and whoever delivers nothing.
//!
//! It keeps the rules of the delivery worker: a doubt before a request that may be sent once alone, a fact after its answer.

use std::{borrow::Cow, collections::BTreeMap};

use signalbox_proto::{Delivery, Outcome, Timestamp, refs::Refs};

use super::{Answer, Known, Lesson, MOVES_MAX, Move, is_refused, names_token};
use crate::{AnyTarget, Client, Exchange, Request, http::Response};

/// What is remembered of all things of one integration.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    things: BTreeMap<String, Refs>,
}

/// What came of a delivery.
#[derive(Debug)]
pub struct Came {
    /// Its outcome.
    pub outcome: Outcome,
    /// The status of the last answer, where there was one.
    pub response_code: Option<u16>,
}

/// One attempt under way.
#[derive(Debug)]
pub struct Attempt<'a> {
    memory: &'a mut Memory,
    thing: String,
    answers: Vec<Answer>,
    moves: usize,
}

/// What an attempt does next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is made once a request and used at once: a box would cost more"
)]
pub enum Next {
    /// Send this, and say what was answered ([`Attempt::answered`]).
    Send(Asked, Request),
    /// This is the outcome.
    Done(Outcome),
}

/// What a request is called, and what its refusal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Whether it may be sent once alone, and was not in doubt before: a refusal then says that it was never done.
    pub is_new: bool,
}

impl Memory {
    /// Begins an attempt at a delivery about the thing of this token.
    pub fn attempt(&mut self, thing: String) -> Attempt<'_> {
        Attempt {
            memory: self,
            thing,
            answers: Vec::new(),
            moves: 0,
        }
    }

    /// Delivers at a target that keeps things, one attempt.
    pub async fn deliver(&mut self, client: &Client, target: &dyn AnyTarget, delivery: &Delivery) -> Came {
        let Some(thing) = target.thing(delivery) else {
            let reason = "its target keeps no things".to_owned();
            return Came {
                outcome: Outcome::Reject { reason },
                response_code: None,
            };
        };
        let mut attempt = self.attempt(thing.token(delivery));
        loop {
            match attempt.next(target, delivery, Timestamp::now()) {
                Next::Done(outcome) => return attempt.came(outcome),
                Next::Send(asked, request) => match client.send(request, target.about().timeout).await {
                    Ok(Exchange { response }) => attempt.answered(asked, response),
                    Err(unanswered) => {
                        if !unanswered.may_have_arrived {
                            attempt.not_sent(&asked);
                        }
                        return attempt.came(unanswered.outcome);
                    }
                },
            }
        }
    }

    fn refs(&self, token: &str) -> Refs {
        self.things.get(token).cloned().unwrap_or_default()
    }

    fn at(&mut self, token: &str) -> &mut Refs {
        self.things.entry(token.to_owned()).or_default()
    }
}

impl Attempt<'_> {
    /// What comes next; what is learnt in between is remembered.
    pub fn next(&mut self, target: &dyn AnyTarget, delivery: &Delivery, now: Timestamp) -> Next {
        while self.moves < MOVES_MAX {
            self.moves += 1;
            let (refs, names) = (self.memory.refs(&self.thing), self.memory.refs(&names_token()));
            let known = Known {
                refs: &refs,
                names: &names,
                answers: &self.answers,
            };
            match target.go_on(delivery, &known, now) {
                Move::Ask(name, request) => return Next::Send(Asked { name, is_new: false }, request),
                Move::Once(name, request) => {
                    return match self.refs().begin(&name, now) {
                        Ok(is_new) => Next::Send(Asked { name, is_new }, request),
                        Err(why) => Next::Done(Outcome::Retry {
                            reason: why.to_owned(),
                            after: None,
                        }),
                    };
                }
                Move::Learn(lessons) => lessons.into_iter().for_each(|lesson| self.learn(lesson, now)),
                Move::Wait { reason, after } | Move::Pause { reason, after } => {
                    let after = Some(after);
                    return Next::Done(Outcome::Retry { reason, after });
                }
                Move::Done(outcome) => {
                    if outcome == Outcome::Delivered {
                        self.refs().end(&delivery.id);
                    }
                    return Next::Done(outcome);
                }
            }
        }
        Next::Done(Outcome::Reject {
            reason: format!("more than {MOVES_MAX} steps for one delivery"),
        })
    }

    /// What was answered to a request.
    pub fn answered(&mut self, asked: Asked, response: Response) {
        if asked.is_new && is_refused(&response) {
            self.refs().refuse(&asked.name);
        }
        let Asked { name, .. } = asked;
        self.answers.push(Answer { name, response });
    }

    /// A request found no connection, so that nobody can have done what it asks for.
    pub fn not_sent(&mut self, asked: &Asked) {
        if asked.is_new {
            self.refs().refuse(&asked.name);
        }
    }

    /// What is remembered of its thing.
    pub fn refs(&mut self) -> &mut Refs {
        self.memory.at(&self.thing)
    }

    fn learn(&mut self, lesson: Lesson, now: Timestamp) {
        match lesson {
            Lesson::Fact(name, value) => self.refs().learn(&name, &value, now),
            Lesson::Refused(name) => self.refs().refuse(&name),
            Lesson::Gone(name) => self.refs().forget(&name),
            Lesson::Name(name, value) => self.memory.at(&names_token()).learn(&name, &value, now),
        }
    }

    fn came(&self, outcome: Outcome) -> Came {
        let last = self.answers.last();
        Came {
            outcome,
            response_code: last.map(|answer| answer.response.status),
        }
    }
}

/// The requests of a delivery as if nothing were remembered and the target took each of them, and how it then ends: for
/// previews. What its answers are made of is the provider's ([`crate::Provider::made_up`]).
pub fn rehearse(target: &dyn AnyTarget, delivery: &Delivery, now: Timestamp) -> (Vec<Request>, Outcome) {
    let mut memory = Memory::default();
    let thing = target.thing(delivery).map(|thing| thing.token(delivery));
    let mut attempt = memory.attempt(thing.unwrap_or_default());
    let mut requests = Vec::new();
    loop {
        match attempt.next(target, delivery, now) {
            Next::Done(outcome) => return (requests, outcome),
            Next::Send(asked, request) => {
                attempt.answered(asked, target.made_up(&request));
                requests.push(request);
            }
        }
    }
}

#[cfg(test)]
mod tests;
