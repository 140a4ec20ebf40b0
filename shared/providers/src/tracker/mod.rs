//! What all trackers of issues share: which issue an event is about, what is to be done there, and how nothing of it is
//! done twice.
//!
//! A tracker writes its requests and reads its answers ([`Tracker`]); [`keeps`] makes of that how it delivers. Pure, as all
//! providers are: the order of requests follows from what is remembered ([`crate::things`]).
//!
//! **One issue for one thing.** All events of one spec meet at one issue, an alert and what resolves it at another
//! ([`thing`]). Before an issue is made the target is searched for it by a marker that is made of the integration and the
//! thing alone. So an issue is found again after a crash, a lost answer, and where the memory itself was lost. A vendor's
//! search lags behind ([`Tracker::lag`]): what is in doubt for less is waited out and never made again by guess.
//!
//! **Its state is the newest event's.** An event that comes late, by its place in the stream of events, moves nothing back.
//!
//! **Who deletes an issue** lets it be made again by the next event about it: that event tells something new, and a tracker
//! that drops it would lose it. One delivery makes one issue at most, whatever the target shows, and only where the target
//! lets us see issues at all: an account that may create and not read would make a new one each time.
//!
//! Facts of a thing: `issue` (its id), `url`, `by` (the delivery that made it), `status-seq` (the place of the event that set
//! its state), `ended` (of the one that closed it), `commented` (the last deliveries that did), `round` (how many issues there
//! were before), `elsewhere` (the issue is not where they are made now), and of each issue `link-<hash>@<issue>`,
//! `subtask-<hash>@<issue>`.

mod course;
mod mappings;
mod names;
mod plan;
mod said;
mod thing;
mod title;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp};

pub(crate) use self::{
    mappings::{Mappings, States, is_same},
    names::{Names, Told},
    plan::Status,
    said::{PullRequest, Said},
    title::{short, title},
};
use crate::{
    Provider, Request, Target, Text,
    http::Response,
    things::{Keeps, Known, Lesson, Move},
};

/// The fact that is the id of the issue.
const ISSUE: &str = "issue";
/// The fact that the issue of which all others tell is not where issues are made now.
const ELSEWHERE: &str = "elsewhere";

/// Subtasks of one issue at most: with all that is asked for beside them they stay below the moves of one attempt.
pub(crate) const SUBTASKS_MAX: usize = 30;

/// What `config.action` may name at trackers.
pub(crate) const ACTIONS: &[&str] = &["create", "update_status", "comment", "link", "create_subtask"];

/// One thing to do for every event, instead of what follows from its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Make the issue; where it is there already, comment on it.
    Create,
    /// Move it to the state of the event's status.
    UpdateStatus,
    /// Comment on it.
    Comment,
    /// Link the pull request of the event.
    Link,
    /// Make a subtask of each acceptance criterion.
    CreateSubtask,
}

/// What a tracker's config says that all trackers read alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// One action for all events; else what follows from their types.
    pub(crate) action: Option<Action>,
    /// Whether acceptance criteria of new specs become subtasks.
    pub(crate) create_subtasks: bool,
    /// Whether pull requests are linked.
    pub(crate) link_pr: bool,
}

/// What the issues of a target can have, beside a state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Does {
    /// Comments.
    pub(crate) comments: bool,
    /// Links to pull requests.
    pub(crate) links: bool,
    /// Subtasks.
    pub(crate) subtasks: bool,
}

impl Does {
    /// All of it.
    pub(crate) const ALL: Self = Self {
        comments: true,
        links: true,
        subtasks: true,
    };
}

/// What is made, and would be made again by another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// The issue of the thing.
    Issue,
    /// One subtask of it: a cleaned acceptance criterion.
    Subtask(&'a str),
    /// A comment of one delivery.
    Comment,
}

/// Something to make.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// What it is.
    pub(crate) what: What<'a>,
    /// Left on it, so that it is found again: `signalbox-` and 22 characters of `[A-Za-z0-9_-]`.
    pub(crate) marker: String,
    /// The issue that it belongs to; empty where it is the issue.
    pub(crate) issue: &'a str,
    /// The delivery that makes it.
    pub(crate) delivery: &'a Delivery,
    /// What an owner's template says.
    pub(crate) text: &'a Text,
    /// What the event says of specs and pull requests.
    pub(crate) said: &'a Said,
    /// The state that it is to be moved to afterwards, where that is known.
    pub(crate) status: Option<Status>,
}

/// What the target has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Its id, as requests name it: without `/` and `@`.
    pub(crate) id: String,
    /// Where people find it.
    pub(crate) url: Option<String>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking<'a> {
    /// The name of the request that looks, with which those of others begin that look as well.
    pub(crate) name: &'a str,
    /// Since when it is in doubt; `None` where it never was.
    pub(crate) since: Option<Timestamp>,
}

/// What is remembered of names was asked for again.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a request and used at once")]
pub(crate) enum Renewed {
    /// This comes first.
    Step(Move),
    /// It is known anew: what was refused is asked for once more.
    Again,
}

/// A change that may be asked for again: it has the same effect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// The issue is in the state of this status.
    Status(Status),
    /// This pull request is linked to the issue.
    Link(&'a PullRequest),
}

/// A change of an issue, under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changing<'a> {
    /// What is to change.
    pub(crate) change: Change<'a>,
    /// The issue.
    pub(crate) issue: &'a str,
}

impl Changing<'_> {
    /// The name of a request of this change: that of the issue is part of it, so that no answer about another is taken for its.
    pub(crate) fn name(&self, step: &str) -> String {
        course::at(step, self.issue)
    }
}

/// What a change learns of an issue that is not where the config has issues now, as after its owner chose another project: the
/// next step makes another one there.
pub(crate) fn elsewhere() -> Move {
    Move::Learn(vec![
        Lesson::Fact(ELSEWHERE.into(), "yes".to_owned()),
        Lesson::Gone(ISSUE.into()),
    ])
}

/// How far a change is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a request and used at once")]
pub(crate) enum Did {
    /// This comes next; an outcome ends the delivery.
    Next(Move),
    /// It is so.
    Done,
}

/// Looks for what bears the marker by one request: [`Tracker::look`], whose answer [`Tracker::found`] reads.
pub(crate) fn search_once<T: Tracker>(
    target: &Target<T>,
    job: &Job<'_>,
    looking: &Looking<'_>,
    known: &Known<'_>,
    now: Timestamp,
) -> Result<Option<Made>, Box<Move>> {
    match known.answer(looking.name) {
        None => Err(Move::Ask(looking.name.to_owned().into(), T::look(target, job)).into()),
        Some(answer) => T::found(target, job, answer, now).map_err(|outcome| Move::Done(outcome).into()),
    }
}

/// A tracker: its requests, and what its answers mean.
pub(crate) trait Tracker: Provider {
    /// What its issues can have. An event that would leave a comment alone leaves nothing where there are none.
    const DOES: Does = Does::ALL;

    /// For how long what was made may be missing from what [`Self::look`] asks, with the time that a request may still be
    /// under way after we stopped waiting for it. We wait for it for the integration's timeout, which comes before.
    fn lag(what: What<'_>) -> Duration;

    /// What its config says of all that trackers do alike.
    fn settings(prepared: &Self::Prepared) -> Settings;

    /// Whether a status has a state at the target.
    fn has_state(prepared: &Self::Prepared, status: Status) -> bool;

    /// What must be known before something is made, such as ids of names; `None` where all of it is.
    fn ready(_target: &Target<Self>, _job: &Job<'_>, _known: &Known<'_>, _now: Timestamp) -> Option<Move> {
        None
    }

    /// Asks for what bears the marker.
    fn look(target: &Target<Self>, job: &Job<'_>) -> Request;

    /// What bears the marker, by the answer to [`Self::look`]; an error where it does not say.
    fn found(
        target: &Target<Self>,
        job: &Job<'_>,
        response: &Response,
        now: Timestamp,
    ) -> Result<Option<Made>, Outcome>;

    /// Looks for what bears the marker, which has been in doubt since then: the usual way is by one request of this name ([`search_once`]).
    /// What is yet to be asked is an error, and so is an outcome; it is boxed, as it is far larger than what is found.
    fn search(
        target: &Target<Self>,
        job: &Job<'_>,
        looking: &Looking<'_>,
        known: &Known<'_>,
        now: Timestamp,
    ) -> Result<Option<Made>, Box<Move>> {
        search_once::<Self>(target, job, looking, known, now)
    }

    /// Makes it, with its marker.
    fn make(target: &Target<Self>, job: &Job<'_>, known: &Known<'_>) -> Request;

    /// What was made, by the answer to [`Self::make`]; an error where it was not, or the answer does not say. An outcome other
    /// than retry says that it was not.
    fn made(target: &Target<Self>, job: &Job<'_>, response: &Response, now: Timestamp) -> Result<Made, Outcome>;

    /// Whether the target says in words of its own that it takes no more requests now: so it has not begun with this one,
    /// which is in doubt no more.
    fn is_limited(_response: &Response) -> bool {
        false
    }

    /// Whether it does no harm to ask for it once more: in doubt it is asked for again and neither looked for nor waited for.
    fn is_repeatable(_job: &Job<'_>, _known: &Known<'_>) -> bool {
        false
    }

    /// What comes next where the target did not make what was asked for by this name: what is remembered of names may be
    /// outdated. `None` where nothing helps.
    fn refused(
        _target: &Target<Self>,
        _job: &Job<'_>,
        _name: &str,
        _known: &Known<'_>,
        _now: Timestamp,
    ) -> Option<Renewed> {
        None
    }

    /// What comes next of a change, from this attempt's answers to its own requests.
    fn change(target: &Target<Self>, changing: &Changing<'_>, known: &Known<'_>, now: Timestamp) -> Did;

    /// Whether an answer about an issue says, in the vendor's own words, that there is none.
    fn is_gone(response: &Response) -> bool;

    /// Asks whether we see issues at all, or that this one is deleted, where an answer that there is none may mean that we do
    /// not see it.
    fn sight(_target: &Target<Self>, _issue: &str) -> Option<Request> {
        None
    }

    /// What the answer to [`Self::sight`] means: delivered where the issue is gone indeed.
    fn sees(_response: &Response, _now: Timestamp) -> Outcome {
        Outcome::Delivered
    }
}

/// How a tracker delivers.
pub(crate) const fn keeps<T: Tracker>() -> Keeps<T> {
    Keeps {
        thing: |_, delivery| thing::of(delivery),
        go_on: course::go_on::<T>,
    }
}

#[cfg(test)]
pub(crate) mod life;
#[cfg(test)]
mod tests;
