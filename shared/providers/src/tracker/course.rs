//! One delivery at its issue: what comes next, from what is remembered and what was answered.

use std::{borrow::Cow, time::Duration};

use signalbox_proto::{Delivery, Outcome, Timestamp, hash, refs};

use super::{
    Change, Changing, Did, ELSEWHERE, Job, Looking, Made, Renewed, Said, Tracker, What,
    plan::Plan,
    thing::{self, marker},
};
use crate::{
    Target, Text,
    entity::Part,
    http::Response,
    things::{Known, Lesson, Move},
};

/// The fact that is the id of the issue.
const ISSUE: &str = "issue";
const URL: &str = "url";
const BY: &str = "by";
const ROUND: &str = "round";
const ENDED: &str = "ended";
const STATUS_SEQ: &str = "status-seq";
/// The deliveries that commented last: one that comes again after its end is known by it.
const COMMENTED: &str = "commented";
/// How many of them.
const COMMENTED_MAX: usize = 16;
/// What is remembered of a link. Its address is part of the name, as a hash; an address may be longer than a value.
const LINKED: &str = "yes";
/// The request that asks whether we see issues at all.
const SIGHT: &str = "sight";
/// The first round.
const FIRST: &str = "0";
/// Between the name of a fact or request and the issue that it is about.
const AT: char = '@';
/// Parts what is one delivery's own from its id.
const OWN: char = '/';

/// The name of something about an issue.
pub(super) fn at(name: &str, issue: &str) -> String {
    format!("{name}{AT}{issue}")
}

/// What to do next.
pub(super) fn go_on<T: Tracker>(
    target: &Target<T>,
    delivery: &Delivery,
    text: &Text,
    known: &Known<'_>,
    now: Timestamp,
) -> Move {
    let said = match delivery.is_digest() {
        true => Said::default(),
        false => Said::of(&delivery.event().event),
    };
    let plan = Plan::of(delivery, &said, T::settings(&target.prepared), T::DOES, |status| {
        T::has_state(&target.prepared, status)
    });
    let course = Course {
        target,
        delivery,
        text,
        known,
        now,
        said: &said,
        plan,
    };
    course.next()
}

struct Course<'a, T: Tracker> {
    target: &'a Target<T>,
    delivery: &'a Delivery,
    text: &'a Text,
    known: &'a Known<'a>,
    now: Timestamp,
    said: &'a Said,
    plan: Plan,
}

impl<'a, T: Tracker> Course<'a, T> {
    fn next(&self) -> Move {
        if let Some(lessons) = self.anew() {
            return Move::Learn(lessons);
        }
        if let Some(step) = self.gone() {
            return step;
        }
        let Some(issue) = self.known.refs.fact(ISSUE) else {
            return self.make(ISSUE.into(), &self.job(What::Issue, "", ""));
        };
        // Its state last: where work is done, a workflow may allow no other change. What is refused of it holds up no other.
        let mut came = Outcome::Delivered;
        for part in [Self::subtasks, Self::link, Self::comment, Self::status] {
            match part(self, issue) {
                None => {}
                Some(Move::Done(refused @ Outcome::Reject { .. })) if came == Outcome::Delivered => came = refused,
                Some(Move::Done(Outcome::Reject { .. })) => {}
                Some(next) => return next,
            }
        }
        Move::Done(came)
    }

    fn fact(&self, name: &str) -> Option<&'a str> {
        self.known.refs.fact(name)
    }

    fn seq(&self) -> u64 {
        self.delivery.event().seq
    }

    /// Whether this event stands before that which left its place in a fact, or is itself.
    fn is_behind(&self, fact: &str) -> bool {
        let last = self.fact(fact).and_then(|seq| seq.parse::<u64>().ok());
        last.is_some_and(|last| self.seq() <= last)
    }

    /// Whether this delivery made the issue.
    fn is_maker(&self) -> bool {
        self.fact(BY) == Some(&*self.delivery.id)
    }

    /// An alert that comes again after its end is another one: it gets an issue of its own.
    fn anew(&self) -> Option<Vec<Lesson>> {
        let ended = self.fact(ENDED).is_some() && !self.is_behind(ENDED);
        (self.plan.part == Part::Opens && ended).then(|| self.forget())
    }

    /// What the issue was is forgotten, and the next one has another marker: a search that lags behind would find the old one.
    fn forget(&self) -> Vec<Lesson> {
        let round = self
            .fact(ROUND)
            .and_then(|round| round.parse::<u64>().ok())
            .unwrap_or_default()
            + 1;
        let facts = self.known.refs.facts("").map(|(name, _)| name);
        let of_issue = facts.filter(|name| !name.contains(OWN));
        let mut lessons: Vec<Lesson> = of_issue.map(|name| Lesson::Gone(name.to_owned().into())).collect();
        lessons.push(Lesson::Fact(ROUND.into(), round.to_string()));
        lessons
    }

    /// The target says that there is no such issue.
    fn gone(&self) -> Option<Move> {
        let issue = self.fact(ISSUE)?;
        let end = at("", issue);
        let about_it = |name: &str| name.ends_with(&end);
        let is_gone = self
            .known
            .answers
            .iter()
            .any(|answer| about_it(&answer.name) && T::is_gone(&answer.response));
        if !is_gone {
            return None;
        }
        if let Some(request) = T::sight(self.target, issue) {
            let Some(answer) = self.known.answer(SIGHT) else {
                return Some(Move::Ask(SIGHT.into(), request));
            };
            let sees = T::sees(answer, self.now);
            if sees != Outcome::Delivered {
                return Some(Move::Done(sees));
            }
        }
        if self.is_maker() {
            return Some(Move::Done(Outcome::Reject {
                reason: "the target does not show the issue that this delivery has made: it was deleted since, or our account \
                         may not see it"
                    .to_owned(),
            }));
        }
        Some(Move::Learn(self.forget()))
    }

    fn job(&self, what: What<'a>, part: &str, issue: &'a str) -> Job<'a> {
        let token = thing::by(self.delivery, self.said).token(self.delivery);
        let round = self.fact(ROUND).unwrap_or(FIRST);
        Job {
            what,
            marker: marker(&self.target.about.integration, &token, round, part),
            issue,
            delivery: self.delivery,
            text: self.text,
            said: self.said,
            status: self.plan.status,
        }
    }

    /// Makes what has no fact yet. An issue is looked for in any case, all else where it is in doubt.
    fn make(&self, name: Cow<'static, str>, job: &Job<'_>) -> Move {
        if job.what == What::Issue && self.fact(ELSEWHERE).is_some() {
            if !self.is_maker() {
                return Move::Learn(self.forget());
            }
            return Move::Done(Outcome::Reject {
                reason:
                    "what this delivery has made is not where the config has it made now: look there, and at the config"
                        .to_owned(),
            });
        }
        if let Some(answer) = self.known.answer(&name) {
            return match T::made(self.target, job, answer, self.now) {
                Ok(made) => Move::Learn(self.learnt(name, job.what, made)),
                Err(outcome) => self.not_made(name, job, answer, outcome),
            };
        }
        let is_issue = job.what == What::Issue;
        let doubt = self.known.refs.doubt(&name);
        if doubt.is_some() || is_issue {
            if !T::is_repeatable(job, self.known)
                && let Some(step) = self.look(name.clone(), job, doubt)
            {
                return step;
            }
            let mut lessons = Vec::new();
            if doubt.is_some() {
                lessons.push(Lesson::Refused(name.clone()));
            }
            if is_issue && !self.is_maker() {
                lessons.push(Lesson::Fact(BY.into(), self.delivery.id.clone()));
            }
            if !lessons.is_empty() {
                return Move::Learn(lessons);
            }
        }
        if let Some(step) = T::ready(self.target, job, self.known, self.now) {
            return step;
        }
        Move::Once(name, T::make(self.target, job, self.known))
    }

    /// It was asked for, and the answer is no yes. Only an outcome of retry leaves it in doubt, unless the target says that it
    /// has not begun.
    fn not_made(&self, name: Cow<'static, str>, job: &Job<'_>, answer: &Response, outcome: Outcome) -> Move {
        let comes_again = matches!(outcome, Outcome::Retry { .. });
        let may_be_made = comes_again && !T::is_limited(answer);
        if !may_be_made && self.known.refs.doubt(&name).is_some() {
            return Move::Learn(vec![Lesson::Refused(name)]);
        }
        if comes_again {
            return Move::Done(outcome);
        }
        match T::refused(self.target, job, &name, self.known, self.now) {
            Some(Renewed::Step(step)) => step,
            Some(Renewed::Again) => Move::Once(name, T::make(self.target, job, self.known)),
            None => Move::Done(outcome),
        }
    }

    /// Looks for it at the target; `None` where it is not there.
    fn look(&self, name: Cow<'static, str>, job: &Job<'_>, doubt: Option<Timestamp>) -> Option<Move> {
        let lag = T::lag(job.what) + self.target.about.timeout;
        let wait = doubt.map_or(Duration::ZERO, |since| lag.saturating_sub(self.now.since(since)));
        // What an early look does not find may be there: such an answer counts for no later look.
        let how = if wait.is_zero() { "look" } else { "early look" };
        // By its marker, of which each round has another.
        let asked = at(&format!("{how} {}", job.marker), job.issue);
        let looking = Looking {
            name: &asked,
            since: doubt,
        };
        match T::search(self.target, job, &looking, self.known, self.now) {
            Err(step) => Some(*step),
            Ok(Some(made)) => Some(Move::Learn(self.learnt(name, job.what, made))),
            Ok(None) if !wait.is_zero() => Some(Move::Wait {
                reason: "an answer was lost, and what the target has made of the request may not be found yet"
                    .to_owned(),
                after: wait + Duration::from_secs(1),
            }),
            Ok(None) => None,
        }
    }

    fn subtasks(&self, issue: &'a str) -> Option<Move> {
        if !self.plan.subtasks {
            return None;
        }
        self.said.criteria.iter().find_map(|criterion| {
            let part = hash::parts([b"criterion", criterion.as_bytes()]);
            let name = at(&format!("subtask-{part}"), issue);
            if self.fact(&name).is_some() {
                return None;
            }
            Some(self.make(name.into(), &self.job(What::Subtask(criterion), &part, issue)))
        })
    }

    fn link(&self, issue: &'a str) -> Option<Move> {
        let pr = self.said.pr.as_ref().filter(|_| self.plan.link)?;
        let part = hash::parts([b"link", pr.url.as_bytes()]);
        let name = at(&format!("{}{part}", refs::REPEATABLE), issue);
        if self.fact(&name).is_some() {
            return None;
        }
        Some(match self.change(Change::Link(pr), issue) {
            Did::Next(step) => step,
            Did::Done => Move::Learn(vec![Lesson::Fact(name.into(), LINKED.to_owned())]),
        })
    }

    /// The delivery that made the issue has said all of it there.
    fn comment(&self, issue: &'a str) -> Option<Move> {
        if !self.plan.comment || self.is_maker() {
            return None;
        }
        let name = refs::own(&self.delivery.id, &at("comment", issue));
        if self.fact(&name).is_some() || self.commented().any(|one| one == self.comes()) {
            return None;
        }
        let part = format!("comment{OWN}{}", self.comes());
        Some(self.make(name.into(), &self.job(What::Comment, &part, issue)))
    }

    /// What this delivery is known by after its end; who replays it wants it told again.
    fn comes(&self) -> String {
        format!("{}.{}", self.delivery.id, self.delivery.generation)
    }

    fn commented(&self) -> impl Iterator<Item = &'a str> {
        self.fact(COMMENTED).unwrap_or_default().split(' ')
    }

    /// What was made is a fact.
    fn learnt(&self, name: Cow<'static, str>, what: What<'_>, made: Made) -> Vec<Lesson> {
        let mut lessons = vec![Lesson::Fact(name, made.id)];
        match what {
            What::Issue => lessons.extend(made.url.map(|url| Lesson::Fact(URL.into(), url))),
            What::Comment => {
                // What is a delivery's own is forgotten with its end, and the end may be told again after a crash.
                let mut all: Vec<String> = self.commented().map(str::to_owned).collect();
                all.push(self.comes());
                let kept = all.split_off(all.len().saturating_sub(COMMENTED_MAX));
                lessons.push(Lesson::Fact(COMMENTED.into(), kept.join(" ").trim_start().to_owned()));
            }
            What::Subtask(_) => {}
        }
        lessons
    }

    fn status(&self, issue: &'a str) -> Option<Move> {
        if !self.plan.is_news || self.is_behind(STATUS_SEQ) {
            return None;
        }
        if let Some(status) = self.plan.status
            && let Did::Next(step) = self.change(Change::Status(status), issue)
        {
            return Some(step);
        }
        let seq = self.seq().to_string();
        let mut lessons = vec![Lesson::Fact(STATUS_SEQ.into(), seq.clone())];
        if self.plan.part == Part::Closes {
            lessons.push(Lesson::Fact(ENDED.into(), seq));
        }
        Some(Move::Learn(lessons))
    }

    fn change(&self, change: Change<'_>, issue: &str) -> Did {
        T::change(self.target, &Changing { change, issue }, self.known, self.now)
    }
}
