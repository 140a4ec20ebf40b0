//! Making one thing at a target, once: the moves that all share who find what they have made by a mark.
//!
//! What was asked for and never answered is looked for first. A doubt that is younger than the target may need to show what it
//! has made is waited out. Where it is certain that the thing is not there it is asked for again. **Where nobody can tell, it
//! is asked for once more and no further**: a build that runs twice does less harm than one that never runs, and a target whose
//! answers are always lost is not to get one with each retry. Then a person decides: a replay asks once more again. A target that
//! answered that it fails (5xx, but for the 504 of a proxy that waited in vain) or is elsewhere (3xx, but for the 303 of what is done)
//! is asked again as the retry schedule has it: a 502 mostly says that nobody was there to take it.

pub(crate) mod listed;

use std::{borrow::Cow, time::Duration};

use signalbox_proto::{Delivery, Outcome, Timestamp, refs};

use crate::{
    Request,
    http::{self, Response},
    things::{Known, Lesson, Move},
};

/// How far a target's clock may be from ours: what it calls older than a doubt by more than that is older.
pub(crate) const CLOCKS: Duration = Duration::from_secs(300);

/// What remembers that a delivery was asked for once more without knowledge, and in which generation.
const AGAIN: &str = "again";
/// What remembers that a doubt is about a request to which the target answered that it fails, or is elsewhere.
const FAILED: &str = "failed";

/// One thing that a delivery makes.
#[derive(Clone, Copy)]
pub(crate) struct Making<'a> {
    /// The name of the fact that it becomes.
    pub(crate) name: &'static str,
    pub(crate) delivery: &'a Delivery,
    pub(crate) known: &'a Known<'a>,
    pub(crate) now: Timestamp,
    /// How long a request may be on its way.
    pub(crate) timeout: Duration,
    /// How long after a request has reached it the target may still not show what it has made.
    pub(crate) lag: Duration,
}

/// What a look at the target has shown so far.
pub(crate) enum Seen {
    /// It is there: what is learnt of it, among which is its fact.
    Found(Vec<Lesson>),
    /// It is certainly not there.
    Absent,
    /// Nobody can tell, and why.
    Unclear(&'static str),
    /// This is to be asked first.
    Ask(Cow<'static, str>, Box<http::Request>),
    /// The look itself has ended so.
    End(Outcome),
}

impl Making<'_> {
    /// What comes next. `request` makes it, if it can be made; `told` is what the answer to that says, among which is the fact;
    /// `look` looks for it at the target, where it was asked for at about the time it is given or later.
    pub(crate) fn go_on(
        self,
        request: impl FnOnce() -> Result<http::Request, Outcome>,
        told: impl FnOnce(&Response) -> Result<Vec<Lesson>, Outcome>,
        look: impl FnOnce(Timestamp) -> Seen,
    ) -> Move {
        if self.known.refs.fact(self.name).is_some() {
            return Move::Done(Outcome::Delivered);
        }
        if let Some(response) = self.known.answer(self.name) {
            return match told(response) {
                Ok(lessons) => Move::Learn(lessons),
                Err(_) if self.fails_now(response) => Move::Learn(vec![Lesson::Fact(self.failed(), FAILED.to_owned())]),
                Err(outcome) => Move::Done(outcome),
            };
        }
        let Some(since) = self.known.refs.doubt(self.name) else {
            return match request() {
                Ok(request) => Move::Once(self.name.into(), Request::Http(request)),
                Err(outcome) => Move::Done(outcome),
            };
        };
        match look(since) {
            Seen::Found(lessons) => Move::Learn(lessons),
            Seen::Ask(name, request) => Move::Ask(name, Request::Http(*request)),
            Seen::End(outcome) => Move::Done(outcome),
            Seen::Absent | Seen::Unclear(_) if self.now < self.shown(since) => self.wait(since),
            Seen::Absent => Move::Learn(self.anew()),
            Seen::Unclear(_) if self.known.refs.fact(&self.failed()).is_some() => Move::Learn(self.anew()),
            Seen::Unclear(why) => self.once_more(why),
        }
    }

    fn failed(&self) -> Cow<'static, str> {
        refs::own(&self.delivery.id, FAILED).into()
    }

    /// Whether the doubt is about a request that the target has answered so, and that is not remembered yet.
    fn fails_now(&self, response: &Response) -> bool {
        let fails = matches!(response.status, 300..=399 | 500..=599) && !matches!(response.status, 303 | 504);
        let refs = self.known.refs;
        fails && refs.doubt(self.name).is_some() && refs.fact(&self.failed()).is_none()
    }

    /// Without its doubt it is asked for anew, and the next doubt has a time of its own.
    fn anew(&self) -> Vec<Lesson> {
        vec![Lesson::Refused(self.name.into()), Lesson::Gone(self.failed())]
    }

    /// When the target would show what it was asked for at that time.
    fn shown(&self, since: Timestamp) -> Timestamp {
        since + self.timeout + self.lag
    }

    fn wait(self, since: Timestamp) -> Move {
        let left = self.shown(since).since(self.now);
        Move::Wait {
            reason: "it is not known yet whether the target has done what it was asked for".to_owned(),
            after: Duration::from_secs(left.as_secs() + 1),
        }
    }

    fn once_more(self, why: &str) -> Move {
        let again = refs::own(&self.delivery.id, AGAIN);
        let generation = self.delivery.generation.to_string();
        if self.known.refs.fact(&again) == Some(&*generation) {
            let reason = format!(
                "asked for twice and never answered; whether it was done cannot be seen: {why}. Look there, and replay it if it \
                 was not"
            );
            return Move::Done(Outcome::Reject { reason });
        }
        let mut lessons = self.anew();
        lessons.push(Lesson::Fact(again.into(), generation));
        Move::Learn(lessons)
    }
}

/// An answer that a target might give, for [`crate::Provider::made_up`].
pub(crate) fn might_say(status: u16, body: &'static str) -> Response {
    Response {
        status,
        headers: ::http::HeaderMap::new(),
        body: bytes::Bytes::from_static(body.as_bytes()),
        truncated: false,
    }
}

/// An address to remember beside a thing; nothing where it is none, or longer than can be remembered.
pub(crate) fn address(name: &'static str, url: Option<&str>) -> Option<Lesson> {
    let url = url.filter(|url| url.len() <= refs::VALUE_BYTES_MAX && !url.contains(char::is_control))?;
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    is_web.then(|| Lesson::Fact(name.into(), url.to_owned()))
}

#[cfg(test)]
pub(crate) mod attempts;
#[cfg(test)]
mod tests;
