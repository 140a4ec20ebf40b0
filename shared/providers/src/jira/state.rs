//! Moving an issue: what can be done depends on where it is, so that is read first.

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp, hash};

use super::{Jira, answers, get, post};
use crate::{
    Target, classify,
    display::text,
    fields,
    http::Response,
    things::{Known, Lesson, Move},
    tracker::{Changing, Did, Status},
};

/// Transitions that a reason lists.
const LISTED_MAX: usize = 10;
/// Characters of each.
const LISTED_CHARS_MAX: usize = 40;

/// Where an issue is, and where it can go.
#[derive(Deserialize)]
struct State {
    fields: Fields,
    transitions: Vec<Transition>,
}

#[derive(Deserialize)]
struct Fields {
    status: Named,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Transition {
    id: String,
    #[serde(default)]
    name: String,
    to: Named,
}

/// Reads where the issue is, then follows the transition of the config: the one of its id, else of its name, else that leads
/// to a state of its name. Where the issue is there already nothing is to be done.
pub(super) fn change(
    target: &Target<Jira>,
    changing: &Changing<'_>,
    status: Status,
    known: &Known<'_>,
    now: Timestamp,
) -> Did {
    let Some(wanted) = target.prepared.transition(status) else {
        return Did::Done;
    };
    let (read, moved) = (changing.name("state"), changing.name("transition"));
    if let Some(answer) = known.answer(&moved) {
        return match answers::moved(answer, now) {
            Ok(()) => Did::Done,
            Err(outcome) => Did::Next(Move::Done(outcome)),
        };
    }
    let Some(answer) = known.answer(&read) else {
        let mut url = fields::below(&target.prepared.api, &["issue", changing.issue]);
        url.query_pairs_mut()
            .append_pair("fields", "status")
            .append_pair("expand", "transitions");
        return Did::Next(Move::Ask(read.into(), get(target, url)));
    };
    let state = match State::of(answer, now) {
        Ok(state) => state,
        Err(outcome) => return Did::Next(Move::Done(outcome)),
    };
    // Of a transition that is not possible any more only we know where it led.
    let led = led_name(target, wanted);
    let here = &state.fields.status;
    let chosen = state.choose(wanted);
    if let Some(chosen) = chosen
        && known.names.fact(&led) != Some(&*chosen.to.id)
    {
        return Did::Next(Move::Learn(vec![Lesson::Name(led.into(), chosen.to.id.clone())]));
    }
    let leads_here = chosen.is_some_and(|chosen| chosen.to.id == here.id);
    if leads_here || is_same(&here.name, wanted) || known.names.fact(&led) == Some(&*here.id) {
        return Did::Done;
    }
    match chosen {
        Some(chosen) => {
            let body = serde_json::json!({ "transition": { "id": chosen.id } });
            let request = post(target, &["issue", changing.issue, "transitions"], &body);
            Did::Next(Move::Ask(moved.into(), request))
        }
        None => Did::Next(Move::Done(Outcome::Reject {
            reason: state.impossible(),
        })),
    }
}

/// Where a transition leads is the same for all issues of one type.
fn led_name(target: &Target<Jira>, wanted: &str) -> String {
    let prepared = &target.prepared;
    let parts = [
        prepared.project_key.as_bytes(),
        prepared.issue_type.as_bytes(),
        wanted.as_bytes(),
    ];
    format!("led-{}", hash::parts(parts))
}

fn is_same(name: &str, wanted: &str) -> bool {
    name.trim().to_lowercase() == wanted.to_lowercase()
}

impl State {
    fn of(response: &Response, now: Timestamp) -> Result<Self, Outcome> {
        match response.status {
            200 => classify::object(&response.body).ok_or_else(|| answers::not_jiras(response, now)),
            _ => Err(answers::refused(response, now)),
        }
    }

    fn choose(&self, wanted: &str) -> Option<&Transition> {
        let by = |is: &dyn Fn(&Transition) -> bool| self.transitions.iter().find(|one| is(one));
        by(&|one| one.id == wanted)
            .or_else(|| by(&|one| is_same(&one.name, wanted)))
            .or_else(|| by(&|one| is_same(&one.to.name, wanted)))
    }

    fn impossible(&self) -> String {
        let shown = |name: &str| text::line(name, LISTED_CHARS_MAX).into_owned();
        let each = self.transitions.iter().take(LISTED_MAX);
        let possible: Vec<String> = each
            .map(|one| format!("{} {} (to {})", shown(&one.id), shown(&one.name), shown(&one.to.name)))
            .collect();
        let here = shown(&self.fields.status.name);
        match possible.as_slice() {
            [] => format!("the transition is not possible from {here}, nor is any other"),
            possible => format!(
                "the transition is not possible from {here}; possible are {}",
                possible.join(", ")
            ),
        }
    }
}
