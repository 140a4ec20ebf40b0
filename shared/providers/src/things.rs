//! Targets that keep things: issues, builds, comments. Asked twice for the same, they make two.
//!
//! A provider of such a target says what a delivery is about ([`Thing`]) and, from what is remembered of it, what to do next
//! ([`Move`]). Whoever delivers lets one delivery at a time at a thing, writes down what is about to be asked for before it
//! asks ([`Move::Once`]), and what came of it after. So a provider always knows one of three things of a creation: its fact
//! (it is done, and this is its id), its doubt (it was asked for, and nobody knows what came of it), or neither (it was never
//! asked for). **In doubt it looks at the target before it asks again**, by a mark that it has left there or an id of its own
//! choice.

use std::{borrow::Cow, time::Duration};

use signalbox_proto::{Delivery, Outcome, Timestamp, hash, refs::Refs};

use crate::{Request, Target, Text, http::Response};

pub mod memory;

/// Moves of one attempt at most: the requests of an issue with all its subtasks, and what is learnt in between.
pub const MOVES_MAX: usize = 160;

/// What a delivery is about, at its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Something of this name that other deliveries are about as well.
    Named(String),
    /// Something of its own, which no other delivery knows.
    Own,
}

impl Thing {
    /// The token under which it is remembered: the same for all deliveries about it.
    pub fn token(&self, delivery: &Delivery) -> String {
        match self {
            Self::Named(name) => hash::parts([b"thing", name.as_bytes()]),
            Self::Own => hash::parts([b"own", delivery.id.as_bytes()]),
        }
    }
}

/// The token under which an integration remembers what is the same for all its things, such as ids of names.
pub fn names_token() -> String {
    hash::parts([&b"names"[..]])
}

/// How a provider whose target keeps things delivers.
pub struct Keeps<P: crate::Provider> {
    /// What a delivery is about.
    pub thing: fn(&Target<P>, &Delivery) -> Thing,
    /// What to do next.
    pub go_on: fn(&Target<P>, &Delivery, &Text, &Known<'_>, Timestamp) -> Move,
}

/// What is known when a provider is asked what to do next.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What is remembered of the thing.
    pub refs: &'a Refs,
    /// What is remembered of all things of the integration: facts alone.
    pub names: &'a Refs,
    /// What the target has answered in this attempt, in its order.
    pub answers: &'a [Answer],
}

impl<'a> Known<'a> {
    /// The last answer to the request of this name in this attempt.
    pub fn answer(&self, name: &str) -> Option<&'a Response> {
        let answer = self.answers.iter().rev().find(|answer| answer.name == name)?;
        Some(&answer.response)
    }
}

/// The answer to a request of a name.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The name that the request had.
    pub name: Cow<'static, str>,
    /// The answer.
    pub response: Response,
}

/// What comes next for a thing.
#[derive(Debug)]
pub enum Move {
    /// Ask this, as often as it may be.
    Ask(Cow<'static, str>, Request),
    /// Ask for what may be done once alone. Its name is that of the fact that it leads to; it is in doubt from before it is
    /// asked for until it is learnt, the target refuses it ([`is_refused`]), or no connection came about. A doubt counts from
    /// its first request: who has looked, found nothing and asks again learns [`Lesson::Refused`] before, so that it counts from
    /// the new one.
    Once(Cow<'static, str>, Request),
    /// Remember these, then ask what comes next.
    Learn(Vec<Lesson>),
    /// Come again so much later, as only then can be told what comes next. Nothing has failed: no step of the retry schedule is
    /// used up, and what else goes to the target does not wait. A provider waits for a certain time, such as the end of a doubt.
    Wait {
        /// What for, in a sentence.
        reason: String,
        /// How long, from now.
        after: Duration,
    },
    /// The target has done what it was asked for, and wants to be left alone for so long before the rest: all that goes to it
    /// waits. No step of the retry schedule is used up; behind each pause there is some progress.
    Pause {
        /// What for, in a sentence.
        reason: String,
        /// How long, from now.
        after: Duration,
    },
    /// This is the outcome.
    Done(Outcome),
}

/// Something to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The thing has this: its doubt is over.
    Fact(Cow<'static, str>, String),
    /// The target has not done it, and nobody waits for it: its doubt is over.
    Refused(Cow<'static, str>),
    /// What was known of the thing is so no more.
    Gone(Cow<'static, str>),
    /// The same for all things of the integration.
    Name(Cow<'static, str>, String),
}

/// Whether a target that answers so has not done what it was asked for (RFC 9110, 15.5). Of all else nobody knows: one that
/// sends us elsewhere may do so because it is done (303), and a proxy says 408 or 5xx also of a request that has reached it.
pub fn is_refused(response: &Response) -> bool {
    matches!(response.status, 400..=499) && response.status != 408
}
