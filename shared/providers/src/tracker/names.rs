//! Names of a config, and the ids that a target has for them: asked for once, by one request for all, and remembered. Where
//! the target refuses what was made of them, as after somebody made a label anew, they are asked for again.

use signalbox_proto::Outcome;

use super::Renewed;
use crate::{
    Request,
    http::Response,
    things::{Known, Lesson, Move},
};

/// The request that asks for all of them.
const ASKED: &str = "names";

/// Under which name an id is remembered, and the id.
pub(crate) type Told = Vec<(String, String)>;

/// What is asked, and what its answer says.
pub(crate) struct Names<'a, 'k, Ask, Tell> {
    /// What is known.
    pub(crate) known: &'a Known<'k>,
    /// Asks for all of them.
    pub(crate) ask: Ask,
    /// The ids of an answer, or what it means that there are none.
    pub(crate) tell: Tell,
}

impl<Ask, Tell> Names<'_, '_, Ask, Tell>
where
    Ask: Fn() -> Request,
    Tell: Fn(&Response) -> Result<Told, Outcome>,
{
    /// What must come before these are known; `None` where all are. `absent` says what it means that one is not there.
    pub(crate) fn learn(&self, wanted: &[String], absent: impl FnOnce(usize, &Response) -> Outcome) -> Option<Move> {
        let missing = || wanted.iter().position(|name| self.known.names.fact(name).is_none());
        missing()?;
        let Some(answer) = self.known.answer(ASKED) else {
            return Some(Move::Ask(ASKED.into(), (self.ask)()));
        };
        match self.news(answer) {
            Err(outcome) => Some(Move::Done(outcome)),
            Ok(Some(lessons)) => Some(Move::Learn(lessons)),
            Ok(None) => missing().map(|place| Move::Done(absent(place, answer))),
        }
    }

    /// What is to be done where the target refused the request of this name; `None` where it was made of ids that the target
    /// had just told.
    pub(crate) fn renew(&self, refused: &str) -> Option<Renewed> {
        let last = |name: &str| self.known.answers.iter().rposition(|answer| answer.name == name);
        let Some(asked) = last(ASKED) else {
            return Some(Renewed::Step(Move::Ask(ASKED.into(), (self.ask)())));
        };
        if last(refused).is_none_or(|refused| asked < refused) {
            return None;
        }
        let answer = &self.known.answers.get(asked)?.response;
        Some(match self.news(answer) {
            Err(outcome) => Renewed::Step(Move::Done(outcome)),
            Ok(Some(lessons)) => Renewed::Step(Move::Learn(lessons)),
            Ok(None) => Renewed::Again,
        })
    }

    /// What an answer says that is not remembered so.
    fn news(&self, answer: &Response) -> Result<Option<Vec<Lesson>>, Outcome> {
        let mut lessons: Vec<Lesson> = Vec::new();
        for (name, id) in (self.tell)(answer)? {
            let is_new = self.known.names.fact(&name) != Some(&*id);
            let lesson = Lesson::Name(name.into(), id);
            if is_new && !lessons.contains(&lesson) {
                lessons.push(lesson);
            }
        }
        Ok((!lessons.is_empty()).then_some(lessons))
    }
}
