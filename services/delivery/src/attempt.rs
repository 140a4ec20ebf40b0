//! One attempt: the requests of a delivery, one after another, and what the last answer means.

use std::{sync::Arc, time::Duration};

use signalbox_proto::{
    Delivery, Outcome, Timestamp,
    delivery::StepDone,
    outcome::{self, RESPONSE_BODY_BYTES_MAX},
};
use signalbox_providers::{AnyTarget, Client, Exchange, Request, Step, entity, redact::Redactor};

use crate::pushers::{self, Counting};

/// Most requests of one attempt: those of a digest at a target that takes events one at a time, and some.
pub(crate) const STEPS_MAX: usize = entity::IN_TURN_MAX + 12;

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
    /// Steps that are finished and need not be repeated.
    pub(crate) steps: Vec<StepDone>,
}

impl Attempted {
    /// Whether it came to nothing before anything was sent, and is to be tried again: no attempt that its owner is told
    /// of. One that ends there (its text could not be made) is one: its end has a number of its own.
    pub(crate) fn is_none(&self) -> bool {
        !self.asked && matches!(self.outcome, Outcome::Retry { .. })
    }
}

/// Sends what a delivery asks for. An answer that is no answer (timeout, reset) is an outcome too.
pub(crate) async fn send(
    client: &Client,
    counting: &impl Counting,
    target: &Arc<dyn AnyTarget>,
    delivery: &Delivery,
) -> Attempted {
    let started = Timestamp::now();
    let clock = tokio::time::Instant::now();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut asked = false;
    let mut counted = pushers::is_counted(delivery);
    let outcome = loop {
        match target.next(delivery, &exchanges, Timestamp::now()) {
            Step::Done(outcome) => break outcome,
            Step::Send(_) if exchanges.len() >= STEPS_MAX => {
                break Outcome::Reject {
                    reason: format!("more than {STEPS_MAX} requests for one delivery"),
                };
            }
            Step::Send(Request::Count(count)) => {
                let pushed = counting.push(client, &**target, delivery, count).await;
                asked |= pushed.asked;
                counted |= pushed.counted;
                match pushed.answer {
                    Ok(response) => exchanges.push(Exchange { response }),
                    Err(outcome) => break outcome,
                }
            }
            Step::Send(request) => {
                asked = true;
                match client.send(request, target.about().timeout).await {
                    Ok(exchange) => exchanges.push(exchange),
                    Err(outcome) => break outcome,
                }
            }
        }
    };
    let took = clock.elapsed();
    let last = exchanges.last();
    let answer = |exchange: &Exchange| text(&exchange.response.body, target.redactor());
    Attempted {
        response_code: last.map(|exchange| exchange.response.status),
        response_body: last.map(answer).unwrap_or_default(),
        outcome: outcome.map_reason(|reason| outcome::reason(&reason)),
        started,
        took,
        asked,
        // What was counted is not counted again by the next attempt.
        steps: counted.then(pushers::counted_step).into_iter().collect(),
    }
}

/// The first bytes of an answer as text. It may repeat our secrets, which nobody is to see.
fn text(body: &[u8], redactor: &Redactor) -> String {
    let cut = &body[..body.len().min(RESPONSE_BODY_BYTES_MAX)];
    let text: String = String::from_utf8_lossy(cut)
        .trim_end_matches(char::REPLACEMENT_CHARACTER)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    redactor.text(&text).into_owned()
}

#[cfg(test)]
mod tests;
