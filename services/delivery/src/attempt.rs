//! One attempt: the requests of a delivery, one after another, and what the last answer means.
//!
//! A step is finished when its provider has looked at the answer and asks for another request. The next attempt goes on
//! behind the finished ones. What a worker that dies has finished in its attempt is not known to the next one: providers
//! whose requests must not be repeated need more than this.

use std::{sync::Arc, time::Duration};

use signalbox_proto::{
    Delivery, Outcome, Timestamp,
    delivery::{Progress, StepDone},
    outcome::{self, RESPONSE_BODY_BYTES_MAX},
};
use signalbox_providers::{AnyTarget, Client, Exchange, Request, Step, entity, http::Response, redact::Redactor};

use crate::{
    pushers::{self, Counting, Pushers},
    things::{self, Remembering, Things},
};

/// Most requests of one attempt: those of a digest at a target that takes events one at a time, and some.
pub(crate) const STEPS_MAX: usize = entity::IN_TURN_MAX + 12;

/// What is kept of the answer to a finished step, in bytes: with all steps a small part of an envelope.
const STEP_BYTES_MAX: usize = 1_024;

/// What an attempt led to.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) outcome: Outcome,
    pub(crate) response_code: Option<u16>,
    pub(crate) response_body: String,
    pub(crate) started: Timestamp,
    pub(crate) took: Duration,
    /// Whether a request was sent. Without one the outcome says nothing about the target.
    pub(crate) asked: bool,
    /// Why it comes again, where nothing has failed: an outcome of retry then.
    pub(crate) waits: Option<Waits>,
    /// What the next attempt goes on from.
    pub(crate) progress: Option<Progress>,
}

/// Why a delivery comes again though nothing has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// For a time of its own: [`Move::Wait`](signalbox_providers::things::Move::Wait).
    Alone,
    /// With all that goes to its target: [`Move::Pause`](signalbox_providers::things::Move::Pause).
    WithAll,
    /// For us: a lease or KV could not be had.
    Hindered,
}

/// What an attempt is made with besides a client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Means<C = Pushers, R = Things> {
    /// For targets that take totals.
    pub(crate) counting: C,
    /// For targets that keep things.
    pub(crate) remembering: R,
}

impl Attempted {
    /// Whether it came to nothing before anything was sent, and is to be tried again: no attempt that its owner is told
    /// of. One that ends there (its text could not be made) is one: its end has a number of its own.
    pub(crate) fn is_none(&self) -> bool {
        !self.asked && matches!(self.outcome, Outcome::Retry { .. })
    }

    /// For how long it waits, where that is certain.
    pub(crate) fn waits_for(&self) -> Option<Duration> {
        match (self.waits?, &self.outcome) {
            (Waits::Alone | Waits::WithAll, Outcome::Retry { after, .. }) => *after,
            _ => None,
        }
    }

    /// Whether its outcome is that of the target: it was asked, and neither has to be waited for nor were we hindered.
    pub(crate) fn is_of_target(&self) -> bool {
        self.asked && self.waits.is_none()
    }

    /// For how long the target asks to be left alone by all.
    pub(crate) fn asks_for(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Retry { after, .. } if self.waits != Some(Waits::Alone) => after,
            _ => None,
        }
    }
}

/// Sends what a delivery asks for, from the first step that is not finished for this revision of its integration. An
/// answer that is no answer (timeout, reset) is an outcome too.
pub(crate) async fn send(
    client: &Client,
    means: &Means<impl Counting, impl Remembering>,
    target: &Arc<dyn AnyTarget>,
    delivery: &Delivery,
    revision: u64,
) -> Attempted {
    if let Some(thing) = target.thing(delivery) {
        return things::send(client, &means.remembering, target, delivery, &thing).await;
    }
    let started = Timestamp::now();
    let clock = tokio::time::Instant::now();
    let mut exchanges = finished_before(delivery, revision);
    // Another version may read a kept answer in another way. Only what is asked anew can say that the target is away.
    if !exchanges.is_empty()
        && let Step::Done(Outcome::Retry { .. } | Outcome::Suspend { .. }) = target.next(delivery, &exchanges, started)
    {
        exchanges.clear();
    }
    let before = exchanges.len();
    let mut finished = before;
    let mut asked = false;
    let mut counted = pushers::is_counted(delivery);
    let mut waits = None;
    let outcome = loop {
        // All requests of an attempt are of one time, which its note tells the next attempt.
        let step = target.next(delivery, &exchanges, started);
        if let Step::Send(_) = &step {
            finished = exchanges.len();
        }
        match step {
            Step::Done(outcome) => break outcome,
            Step::Send(_) if exchanges.len() >= STEPS_MAX => {
                break Outcome::Reject {
                    reason: format!("more than {STEPS_MAX} requests for one delivery"),
                };
            }
            Step::Send(Request::Count(count)) => {
                let pushed = means
                    .counting
                    .push(client, (&**target, revision), delivery, count)
                    .await;
                asked |= pushed.asked;
                counted |= pushed.counted;
                waits = pushed.is_hindered.then_some(Waits::Hindered);
                match pushed.answer {
                    Ok(response) => exchanges.push(Exchange { response }),
                    Err(outcome) => break outcome,
                }
            }
            Step::Send(request) => match client.send(request, target.about().timeout).await {
                Ok(exchange) => {
                    asked = true;
                    exchanges.push(exchange);
                }
                Err(unanswered) => {
                    asked |= unanswered.asked;
                    break unanswered.outcome;
                }
            },
        }
    };
    let took = clock.elapsed();
    let last = exchanges[before..].last();
    let answer = |exchange: &Exchange| text(&exchange.response.body, target.redactor());
    let step = |exchange: &Exchange| StepDone {
        status: exchange.response.status,
        body: cut(answer(exchange)).into_bytes(),
    };
    let progress = Progress {
        revision,
        steps: exchanges[..finished].iter().map(step).collect(),
        counted,
    };
    Attempted {
        response_code: last.map(|exchange| exchange.response.status),
        response_body: last.map(answer).unwrap_or_default(),
        outcome: outcome.map_reason(|reason| outcome::reason(&reason)),
        started,
        took,
        asked,
        waits,
        progress: (counted || finished > 0).then_some(progress),
    }
}

/// What of an answer goes with the delivery to its next attempt.
fn cut(mut answer: String) -> String {
    answer.truncate(answer.floor_char_boundary(STEP_BYTES_MAX));
    answer
}

/// The steps that attempts before this one have finished.
fn finished_before(delivery: &Delivery, revision: u64) -> Vec<Exchange> {
    let progress = delivery.progress.as_ref();
    let valid = progress.filter(|progress| progress.revision == revision);
    let steps = valid.map_or(&[][..], |progress| &progress.steps);
    let exchange = |step: &StepDone| Exchange {
        response: Response {
            status: step.status,
            headers: Default::default(),
            body: step.body.clone().into(),
            truncated: false,
        },
    };
    steps.iter().map(exchange).collect()
}

/// The first bytes of an answer as text. It may repeat our secrets, which nobody is to see.
pub(crate) fn text(body: &[u8], redactor: &Redactor) -> String {
    let cut = &body[..body.len().min(RESPONSE_BODY_BYTES_MAX)];
    let text: String = String::from_utf8_lossy(cut)
        .trim_end_matches(char::REPLACEMENT_CHARACTER)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    redactor.text(&text).into_owned()
}

#[cfg(test)]
pub(crate) mod tests;
