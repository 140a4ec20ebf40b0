//! Rate limits in a worker: each request takes a token, and what a target asks of one worker is told
//! to all.
//!
//! **Rule:** one attempt takes one token, because each of the providers sends one request for it. A
//! provider that sends several takes the others where they are sent, in [`crate::attempt::send`],
//! before each request but the first; what it has finished by then is kept in `Delivery::steps`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use signalbox_broker::{
    Error as BrokerError,
    holding::limits::is_later,
    limiter::{Leased, Limiter},
};
use signalbox_proto::{Delivery, Phase, State, Timestamp, integration::RateLimit};
use tokio::time::Instant;

use super::Worker;
use crate::{
    filing::{self, Done, Job},
    limits::{self, ASKED_MIN, Limits, WAIT_MAX},
};

/// Why an integration is held back that is over its limit.
const OVER: &str = "over its rate limit";
/// Why one is held back whose tokens cannot be counted.
const UNCOUNTED: &str = "the counters of its rate limit do not answer";
/// Why one is held back whose target asks for it.
const ASKED: &str = "its target asked to wait, with Retry-After";

/// How long tokens may take to be given back when the worker stops.
const GIVE_BACK_MAX: Duration = Duration::from_secs(2);

/// The tokens of a worker: who waits for one, and the questions under way.
pub(super) struct Tokens {
    limiter: Limiter,
    limits: Limits<(u64, Job)>,
    pub(super) questions: FuturesUnordered<BoxFuture<'static, Told>>,
    /// What messages have brought along and not used: theirs for as long as they may come again.
    brought: HashMap<u64, Token>,
    /// What this worker has taken for messages and not used yet: it knows of no other place.
    taken: HashMap<u64, Token>,
}

/// A token, and the time that it is for.
struct Token {
    integration: String,
    limit: RateLimit,
    at: Timestamp,
}

/// What a question was answered with.
pub(super) struct Told {
    integration: String,
    answer: Answer,
}

enum Answer {
    Leased(Result<Leased, BrokerError>),
    Held(Result<State, BrokerError>),
    GivenBack,
}

impl Tokens {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            limits: Limits::default(),
            questions: FuturesUnordered::new(),
            brought: HashMap::new(),
            taken: HashMap::new(),
        }
    }

    /// When the next token that was taken is due, or the next question.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.limits.next_due()?;
        Some(Instant::now() + due.since(Timestamp::now()))
    }

    /// The messages that wait for tokens, when the worker stops.
    pub(super) fn drain(&mut self) -> Vec<u64> {
        let mut keys = Vec::new();
        for (slot, (key, job)) in self.limits.drain() {
            if let Some(slot) = slot {
                self.take(key, &job, slot);
            }
            keys.push(key);
        }
        keys
    }

    /// Notes a token that a message has brought along, or that no request was sent for.
    pub(super) fn bring(&mut self, key: u64, job: &Job, at: Timestamp) {
        if let Some(token) = token(job, at) {
            self.brought.entry(key).or_insert(token);
        }
    }

    fn take(&mut self, key: u64, job: &Job, at: Timestamp) {
        let token = token(job, at);
        // It may wait for a second one, where its integration had to be read first.
        if let Some(first) = token.and_then(|token| self.taken.insert(key, token)) {
            self.refund(first);
        }
    }

    /// A request is sent for a message: of two tokens that it has, the one that was brought is too old to be used.
    pub(super) fn uses(&mut self, key: u64) {
        if self.taken.remove(&key).is_none() {
            self.brought.remove(&key);
        }
    }

    /// A message is done with, or handed back. What was not used is given back, once its message cannot come again
    /// with it; a crash before that loses a token, and never makes two of one.
    pub(super) fn let_go(&mut self, key: u64, finished: bool) {
        let brought = self.brought.remove(&key).filter(|_| finished);
        for token in self.taken.remove(&key).into_iter().chain(brought) {
            self.refund(token);
        }
    }

    fn refund(&self, token: Token) {
        let limiter = self.limiter.clone();
        self.questions.push(Box::pin(async move {
            let Token { integration, limit, at } = token;
            limiter.refund(&integration, &limit, at, Timestamp::now()).await;
            Told {
                integration,
                answer: Answer::GivenBack,
            }
        }));
    }

    /// Waits a moment for what is being given back, when the worker stops.
    pub(super) async fn finish(&mut self) {
        let all = async { while self.questions.next().await.is_some() {} };
        if tokio::time::timeout(GIVE_BACK_MAX, all).await.is_err() {
            tracing::debug!("tokens of rate limits are not given back; they count as used");
        }
    }
}

fn token(job: &Job, at: Timestamp) -> Option<Token> {
    let limit = job.known.limit?;
    Some(Token {
        integration: job.delivery.integration.clone(),
        limit,
        at,
    })
}

impl Job {
    /// Whether it may be sent only once a token was taken for it.
    pub(super) fn lacks_token(&self, now: Timestamp) -> bool {
        self.known.limit.is_some() && !limits::is_paid(self.delivery.paid, now)
    }
}

impl Worker {
    /// Lets a delivery wait for its token.
    pub(super) fn wait_for_token(&mut self, key: u64, job: Job) {
        let integration = job.delivery.integration.clone();
        let limit = job.known.limit.unwrap_or_default();
        self.tokens.limits.wait(&integration, &limit, (key, job));
        self.ask_for_tokens(integration);
    }

    fn ask_for_tokens(&mut self, integration: String) {
        let Some((limit, want)) = self.tokens.limits.ask(&integration, Timestamp::now()) else {
            return;
        };
        let limiter = self.tokens.limiter.clone();
        self.tokens.questions.push(Box::pin(async move {
            let leased = limiter
                .take(&integration, &limit, want, WAIT_MAX, Timestamp::now())
                .await;
            Told {
                integration,
                answer: Answer::Leased(leased),
            }
        }));
    }

    /// Takes an answer: what has a token goes, at its time; the rest leaves where none is due soon.
    pub(super) fn told(&mut self, told: Told) {
        let Told { integration, answer } = told;
        let now = Timestamp::now();
        match answer {
            Answer::Leased(Ok(leased)) => {
                let granted = self
                    .tokens
                    .limits
                    .granted(&integration, &leased.slots, leased.again, now);
                for (slot, (key, job)) in granted.go {
                    self.go_paid(key, &job, slot);
                }
                self.give_back(integration.clone(), leased, granted.left);
                if granted.over {
                    self.hold_back(integration, OVER, now);
                } else {
                    self.ask_for_tokens(integration);
                }
            }
            // Nothing is sent without a token, and nothing waits for long in a worker. The limiter has told why.
            Answer::Leased(Err(error)) => {
                tracing::debug!(%error, integration.id = integration, "no tokens of a rate limit can be had; what waits is parked");
                self.tokens.limits.answered(&integration);
                self.hold_back(integration, UNCOUNTED, now);
            }
            Answer::Held(Ok(state)) => {
                self.targets.tell(integration.clone(), state.clone(), Instant::now());
                self.leave(&integration, &state, now);
            }
            Answer::Held(Err(error)) => {
                tracing::warn!(%error, integration.id = integration, "an integration over its limit could not be held back; it is tried again");
                self.tokens.limits.rest(&integration, now);
            }
            Answer::GivenBack => {}
        }
    }

    /// Sends what waited for its token to be due, and asks where that makes sense again.
    pub(super) fn tokens_due(&mut self) {
        let now = Timestamp::now();
        let due = self.tokens.limits.due(now);
        for (slot, (key, job)) in due.go {
            self.go_paid(key, &job, slot);
        }
        for integration in due.ask {
            self.ask_for_tokens(integration);
        }
        for integration in due.late {
            self.hold_back(integration, UNCOUNTED, now);
        }
    }

    /// Begins a delivery that has a token of this time.
    fn go_paid(&mut self, key: u64, job: &Job, slot: Timestamp) {
        self.tokens.take(key, job, slot);
        self.go(key, job, slot);
    }

    /// Begins a delivery anew that lacks no token any more: meanwhile its integration may have been held.
    fn go(&mut self, key: u64, job: &Job, paid: Timestamp) {
        let delivery = Arc::new(Delivery {
            paid: Some(paid),
            ..Delivery::clone(&job.delivery)
        });
        if self.full {
            self.stalled.push((key, delivery));
        } else {
            self.begin(key, delivery, true);
        }
    }

    /// Gives tokens back that came when nothing waited for them any more.
    fn give_back(&mut self, integration: String, leased: Leased, count: usize) {
        if count == 0 {
            return;
        }
        let limiter = self.tokens.limiter.clone();
        self.tokens.questions.push(Box::pin(async move {
            limiter.give_back(&integration, &leased, count).await;
            Told {
                integration,
                answer: Answer::GivenBack,
            }
        }));
    }

    /// Holds an integration back, and parks what waits for its tokens behind that.
    fn hold_back(&mut self, integration: String, reason: &'static str, now: Timestamp) {
        if let Some(state) = self.targets.state(&integration).cloned() {
            return self.leave(&integration, &state, now);
        }
        let broker = self.broker.clone();
        self.tokens.questions.push(Box::pin(async move {
            let held = broker.hold_until(&integration, None, reason, now).await;
            Told {
                integration,
                answer: Answer::Held(held),
            }
        }));
    }

    /// Parks all that waits for a token, in order. A probe goes: it is the one request that a target
    /// which refuses us gets.
    fn leave(&mut self, integration: &str, state: &State, now: Timestamp) {
        for (key, job) in self.tokens.limits.leave(integration) {
            if job.delivery.probe && state.phase == Phase::Suspended {
                self.go(key, &job, now);
            } else {
                self.metrics.parked.inc();
                self.file(key, integration, filing::park(self.broker.clone(), job, state.clone()));
            }
        }
    }

    /// Tells all workers what a target asks for with `Retry-After`, beside the filing of the verdict:
    /// that is never held up or undone by it.
    pub(super) fn obeying(
        &self,
        integration: &str,
        asks_for: Option<Duration>,
        now: Timestamp,
        filing: impl Future<Output = Result<Done, BrokerError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<Done, BrokerError>> {
        let Some(until) = asks_until(asks_for, self.targets.state(integration), now) else {
            return filing.boxed();
        };
        let (broker, integration) = (self.broker.clone(), integration.to_owned());
        let hold = async move { broker.hold_until(&integration, Some(until), ASKED, now).await };
        async move {
            let (filed, held) = tokio::join!(filing, hold);
            if let Err(error) = &held {
                tracing::warn!(%error, "the other workers could not be told to leave a target alone");
            }
            filed.map(|done| Done {
                state: done.state.or(held.ok()),
                ..done
            })
        }
        .boxed()
    }
}

/// Until when a target asks to be left alone, where that is worth telling and not known yet.
fn asks_until(asks_for: Option<Duration>, state: Option<&State>, now: Timestamp) -> Option<Timestamp> {
    let after = asks_for.filter(|after| *after >= ASKED_MIN)?;
    let until = now + after;
    let worth = match state.map(|state| (state.phase, state)) {
        None | Some((Phase::Open, _)) => true,
        Some((Phase::Draining, state)) => is_later(until, state),
        Some((Phase::Paused | Phase::Suspended | Phase::Unknown, _)) => false,
    };
    worth.then_some(until)
}

#[cfg(test)]
mod tests;
