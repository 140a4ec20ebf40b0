//! Moving a work item: which states there are depends on its type, and so on the project's process.

use std::collections::BTreeMap;

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use super::{
    AzureDevops, answers,
    given::Wanted,
    item::{self, Operation},
};
use crate::{
    Target, classify,
    display::text,
    http::Response,
    things::{Known, Move},
    tracker::{Changing, Did, Status},
};

/// States that a reason lists.
const LISTED_MAX: usize = 12;
/// Characters of each.
const LISTED_CHARS_MAX: usize = 40;

/// Where a work item is. Somebody may have made another type of it.
struct Here {
    state: String,
    kind: String,
}

#[derive(Deserialize)]
struct Item {
    fields: BTreeMap<String, serde_json::Value>,
}

/// The states of a type.
#[derive(Deserialize)]
struct States {
    value: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    name: String,
    #[serde(default)]
    category: String,
}

/// Reads where the work item is and which states its type has, then moves it: to the state of its name, else to the first of
/// its category. Where it is there already nothing is to be done.
pub(super) fn change(
    target: &Target<AzureDevops>,
    changing: &Changing<'_>,
    status: Status,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let Some(wanted) = target.prepared.given.states.of(status) else {
        return Did::Done;
    };
    let names = ["state", "states", "move"].map(|step| changing.name(step));
    let [read, listed, moved] = &names;
    let ends = |outcome| Did::Next(Move::Done(outcome));
    let asks = |name: &String, request| Did::Next(Move::Ask(name.clone().into(), request));
    let Some(answer) = known.answer(read) else {
        return asks(read, item::read_state(target, changing.issue));
    };
    let here = match Here::of(answer, now) {
        Ok(here) => here,
        Err(outcome) => return ends(outcome),
    };
    if matches!(wanted, Wanted::Named(name) if is_same(&here.state, name)) {
        return Did::Done;
    }
    let Some(answer) = known.answer(listed) else {
        return asks(listed, item::states(target, &here.kind));
    };
    let states = match States::of(answer, now) {
        Ok(states) => states,
        Err(outcome) => return ends(outcome),
    };
    let chosen = match states.choose(wanted, &here) {
        Ok(Some(chosen)) => chosen,
        Ok(None) => return Did::Done,
        Err(reason) => return ends(Outcome::Reject { reason }),
    };
    let Some(answer) = known.answer(moved) else {
        let operation = Operation::add("/fields/System.State", chosen);
        return asks(moved, item::update(target, changing.issue, operation));
    };
    match answers::saved(answer, now) {
        Ok(()) => Did::Done,
        Err(Outcome::Reject { reason }) => ends(Outcome::Reject {
            reason: format!(
                "{reason}; it was to move from {} to {}",
                shown(&here.state),
                shown(chosen)
            ),
        }),
        Err(outcome) => ends(outcome),
    }
}

fn is_same(name: &str, wanted: &str) -> bool {
    name.trim().to_lowercase() == wanted.to_lowercase()
}

fn shown(name: &str) -> String {
    text::line(name, LISTED_CHARS_MAX).into_owned()
}

impl Here {
    fn of(response: &Response, now: Timestamp) -> Result<Self, Outcome> {
        if response.status != 200 {
            return Err(answers::refused(response, now));
        }
        let item: Option<Item> = classify::object(&response.body);
        let field = |name: &str| Some(item.as_ref()?.fields.get(name)?.as_str()?.to_owned());
        match (field("System.State"), field("System.WorkItemType")) {
            (Some(state), Some(kind)) => Ok(Self { state, kind }),
            _ => Err(answers::not_azures(response, now)),
        }
    }
}

impl States {
    fn of(response: &Response, now: Timestamp) -> Result<Self, Outcome> {
        match response.status {
            200 => classify::object(&response.body).ok_or_else(|| answers::not_azures(response, now)),
            _ => Err(answers::refused(response, now)),
        }
    }

    /// The state to move to; `None` where there is nothing to do.
    fn choose(&self, wanted: Wanted<'_>, here: &Here) -> Result<Option<&str>, String> {
        let by = |is: &dyn Fn(&&State) -> bool| self.value.iter().find(is).map(|state| &*state.name);
        match wanted {
            Wanted::Named(name) => by(&|state| is_same(&state.name, name))
                .map(Some)
                .ok_or_else(|| self.unknown(name, here)),
            Wanted::First(category) => {
                let first = by(&|state| state.category == category);
                let is_there = by(&|state| state.category == category && is_same(&state.name, &here.state));
                // A type without this category is not moved: nobody has asked for it by name.
                Ok(first.filter(|_| is_there.is_none()))
            }
        }
    }

    fn unknown(&self, name: &str, here: &Here) -> String {
        let each = self.value.iter().take(LISTED_MAX);
        let all: Vec<String> = each.map(|state| shown(&state.name)).collect();
        format!(
            "work items of the type {} have no state {}, which config.state_mappings names; they have {}",
            shown(&here.kind),
            shown(name),
            all.join(", ")
        )
    }
}
