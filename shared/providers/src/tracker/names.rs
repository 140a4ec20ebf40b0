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
        let told = match (self.tell)(answer) {
            Ok(told) => told,
            Err(outcome) => return Some(Move::Done(outcome)),
        };
        match self.news(&told) {
            Some(lessons) => Some(Move::Learn(lessons)),
            None => missing().map(|place| Move::Done(absent(place, answer))),
        }
    }

    /// What is to be done where the target refused the request of this name, which was made of these; `None` where the target
    /// had just told their ids. `absent` says what it means that one of them is there no more: its id is remembered still.
    pub(crate) fn renew(
        &self,
        refused: &str,
        wanted: &[String],
        absent: impl FnOnce(usize, &Response) -> Outcome,
    ) -> Option<Renewed> {
        let last = |name: &str| self.known.answers.iter().rposition(|answer| answer.name == name);
        let Some(asked) = last(ASKED) else {
            return Some(Renewed::Step(Move::Ask(ASKED.into(), (self.ask)())));
        };
        let answer = &self.known.answers.get(asked)?.response;
        let told = match (self.tell)(answer) {
            Ok(told) => told,
            Err(outcome) => return Some(Renewed::Step(Move::Done(outcome))),
        };
        if let Some(lessons) = self.news(&told) {
            return Some(Renewed::Step(Move::Learn(lessons)));
        }
        let lacks = |name: &String| told.iter().all(|(known, _)| known != name);
        if let Some(place) = wanted.iter().position(lacks) {
            return Some(Renewed::Step(Move::Done(absent(place, answer))));
        }
        last(refused)
            .is_some_and(|refused| asked > refused)
            .then_some(Renewed::Again)
    }

    /// What the target has answered in this attempt.
    pub(crate) fn answer(&self) -> Option<&Response> {
        self.known.answer(ASKED)
    }

    /// What was told that is not remembered so.
    fn news(&self, told: &Told) -> Option<Vec<Lesson>> {
        let mut lessons: Vec<Lesson> = Vec::new();
        for (name, id) in told {
            let is_new = self.known.names.fact(name) != Some(&**id);
            let lesson = Lesson::Name(name.clone().into(), id.clone());
            if is_new && !lessons.contains(&lesson) {
                lessons.push(lesson);
            }
        }
        (!lessons.is_empty()).then_some(lessons)
    }
}
