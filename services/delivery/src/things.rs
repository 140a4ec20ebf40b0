//! Attempts at targets that keep things ([`signalbox_providers::things`]).
//!
//! One delivery at a time is at a thing: under a lease, and each write is on condition of the one before, so that who was
//! frozen for longer than its lease asks for nothing. The order of effects is that of [`signalbox_proto::refs`]: the doubt is
//! stored, then the target asked, then the fact stored, then the next request sent. Who dies in between leaves a doubt.

use std::{sync::Arc, time::Duration};

use signalbox_proto::{Delivery, Outcome, Timestamp, outcome, refs::Refs};
use signalbox_providers::{
    AnyTarget, Client, Exchange,
    things::{self, Answer, Known, Lesson, MOVES_MAX, Move, Thing},
};
use tokio::time::Instant;

use crate::attempt::{Attempted, Waits, text};

mod kept;
#[cfg(test)]
pub(crate) use kept::Kept;
pub(crate) use kept::Things;

/// Where things are remembered.
pub(crate) trait Remembering: Sync {
    /// What is remembered of one thing.
    type Book: Book + Send;
    /// That nobody else is at it.
    type Holding: Holding + Send;

    /// Takes a thing of an integration, or says why it cannot be had now.
    fn take(
        &self,
        integration: &str,
        thing: &str,
    ) -> impl Future<Output = Result<(Self::Book, Self::Holding), String>> + Send;
}

/// What is remembered of one thing, for who holds it.
pub(crate) trait Book {
    /// What is remembered of it, and of all things of its integration.
    fn read(&mut self) -> impl Future<Output = Result<(Refs, Refs), String>> + Send;

    /// Writes what is remembered of it; an error where it is another's by now, or nobody knows.
    fn write(&mut self, refs: &Refs) -> impl Future<Output = Result<(), String>> + Send;

    /// Writes what is remembered of all things of its integration, unless another has done so meanwhile.
    fn write_names(&mut self, names: &Refs) -> impl Future<Output = Result<(), String>> + Send;
}

/// That nobody else is at a thing, for now.
pub(crate) trait Holding {
    /// Goes on with a future for as long as that is so; `None` where it is lost.
    fn bound<T: Send>(&mut self, future: impl Future<Output = T> + Send) -> impl Future<Output = Option<T>> + Send;

    /// Lets it go.
    fn release(self) -> impl Future<Output = ()> + Send;
}

/// Delivers to a target that keeps things.
pub(crate) async fn send(
    client: &Client,
    remembering: &impl Remembering,
    target: &Arc<dyn AnyTarget>,
    delivery: &Delivery,
    thing: &Thing,
) -> Attempted {
    let started = Timestamp::now();
    let clock = Instant::now();
    let mut course = Course {
        client,
        target: &**target,
        delivery,
        answers: Vec::new(),
        asked: false,
        waits: None,
    };
    let token = thing.token(delivery);
    let outcome = match remembering.take(&target.about().integration, &token).await {
        Ok((mut book, mut holding)) => {
            let outcome = holding.bound(course.run(&mut book)).await;
            holding.release().await;
            outcome.unwrap_or_else(|| course.hindered("its lease was lost"))
        }
        Err(why) => course.hindered(&why),
    };
    let took = clock.elapsed();
    course.attempted(outcome, started, took)
}

/// One attempt under way.
struct Course<'a> {
    client: &'a Client,
    target: &'a dyn AnyTarget,
    delivery: &'a Delivery,
    answers: Vec<Answer>,
    asked: bool,
    waits: Option<Waits>,
}

impl Course<'_> {
    async fn run(&mut self, book: &mut impl Book) -> Outcome {
        let (mut refs, mut names) = match book.read().await {
            Ok(read) => read,
            Err(why) => return self.hindered(&why),
        };
        let mut stored = refs.clone();
        for _ in 0..MOVES_MAX {
            let known = Known {
                refs: &refs,
                names: &names,
                answers: &self.answers,
            };
            let now = Timestamp::now();
            let (name, request, is_new) = match self.target.go_on(self.delivery, &known, now) {
                Move::Wait { reason, after } => {
                    self.waits = Some(Waits::Alone);
                    let after = Some(after);
                    return self.end(book, refs, &stored, Outcome::Retry { reason, after }).await;
                }
                Move::Pause { reason, after } => {
                    self.waits = Some(Waits::WithAll);
                    let after = Some(after);
                    return self.end(book, refs, &stored, Outcome::Retry { reason, after }).await;
                }
                Move::Done(outcome) => return self.end(book, refs, &stored, outcome).await,
                Move::Learn(lessons) => {
                    let before = names.clone();
                    learn(lessons, &mut refs, &mut names, now);
                    let written = match refs == stored {
                        true => Ok(()),
                        false => book.write(&refs).await,
                    };
                    let named = match names == before {
                        true => Ok(()),
                        false => book.write_names(&names).await,
                    };
                    if let Err(why) = written.and(named) {
                        return self.hindered(&why);
                    }
                    stored.clone_from(&refs);
                    continue;
                }
                Move::Ask(name, request) => (name, request, false),
                Move::Once(name, request) => {
                    let is_first = match refs.begin(&name, now) {
                        Ok(is_first) => is_first,
                        Err(why) => return self.hindered(why),
                    };
                    // Also where it was in doubt before: the write proves that the thing is still ours.
                    if let Err(why) = book.write(&refs).await {
                        return self.hindered(&why);
                    }
                    stored.clone_from(&refs);
                    // A refusal now says nothing of the time before.
                    (name, request, is_first)
                }
            };
            // Who loses the lease meanwhile may have asked.
            let asked_before = std::mem::replace(&mut self.asked, true);
            match self.client.send(request, self.target.about().timeout).await {
                Err(unanswered) => {
                    self.asked = asked_before || unanswered.asked;
                    if is_new && !unanswered.may_have_arrived {
                        refs.refuse(&name);
                        // Where this fails it stays in doubt, as after a crash.
                        if let Err(why) = book.write(&refs).await {
                            tracing::warn!(why, delivery.id = self.delivery.id, "what was not sent stays in doubt");
                        }
                    }
                    return unanswered.outcome;
                }
                Ok(Exchange { response }) => {
                    if is_new && things::is_refused(&response) {
                        refs.refuse(&name);
                    }
                    self.answers.push(Answer { name, response });
                }
            }
        }
        Outcome::Reject {
            reason: format!("more than {MOVES_MAX} steps for one delivery"),
        }
    }

    /// A reason of ours why a delivery was not sent, or no further.
    fn hindered(&mut self, why: &str) -> Outcome {
        self.waits = Some(Waits::Hindered);
        let reason = format!("what is remembered of its thing cannot be had: {why}");
        Outcome::Retry { reason, after: None }
    }

    /// Stores what is not yet. Where that fails, the next attempt finds what it would have found after a crash.
    async fn end(&self, book: &mut impl Book, mut refs: Refs, stored: &Refs, outcome: Outcome) -> Outcome {
        if outcome == Outcome::Delivered {
            refs.end(&self.delivery.id);
        }
        if refs != *stored
            && let Err(why) = book.write(&refs).await
        {
            tracing::warn!(
                why,
                delivery.id = self.delivery.id,
                "the end of an attempt is not remembered"
            );
        }
        outcome
    }

    fn attempted(self, outcome: Outcome, started: Timestamp, took: Duration) -> Attempted {
        let last = self.answers.last();
        Attempted {
            response_code: last.map(|answer| answer.response.status),
            response_body: last
                .map(|answer| text(&answer.response.body, self.target.redactor()))
                .unwrap_or_default(),
            outcome: outcome.map_reason(|reason| outcome::reason(&reason)),
            started,
            took,
            asked: self.asked,
            waits: self.waits,
            progress: None,
        }
    }
}

fn learn(lessons: Vec<Lesson>, refs: &mut Refs, names: &mut Refs, now: Timestamp) {
    for lesson in lessons {
        match lesson {
            Lesson::Fact(name, value) => refs.learn(&name, &value, now),
            Lesson::Refused(name) => refs.refuse(&name),
            Lesson::Gone(name) => refs.forget(&name),
            Lesson::Name(name, value) => names.learn(&name, &value, now),
        }
    }
}

#[cfg(test)]
mod tests;
