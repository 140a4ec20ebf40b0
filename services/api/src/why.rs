//! Why a delivery stands as it does, why an integration was not matched, and what can be done: in words.
//!
//! Nothing here reads or decides: times and states are given, and what matched is asked of `signalbox-matching`, so
//! that an explanation cannot differ from what the router did.

use std::time::Duration;

use serde_json::Value;
use signalbox_broker::browse::dead_letter_id;
use signalbox_matching::{Verdict, explain::How};
use signalbox_proto::{
    Accepted, DeadReason, Delivery, Integration, Name, Phase, Stage, State, Timestamp,
    integration::Status,
    ledger::Final,
    outcome::{Next, OutcomeKind},
    state::Cause,
};
use signalbox_runtime::duration;

use crate::story::{Place, Story};

/// Values of an event that an explanation of a `where` shows at most.
const VALUES_MAX: usize = 5;
/// Longest such value, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// A reason and what comes next, each a sentence without a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) why: String,
    pub(crate) next: String,
}

impl Why {
    fn new(why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            next: next.into(),
        }
    }
}

/// The name by which commands know an integration, with the org where that is not `default`.
fn named(integration: Option<&Integration>, id: &str) -> String {
    match integration {
        Some(integration) => format!("--integration {}{}", integration.name, org_flag(&integration.org)),
        None => format!("--integration {id}"),
    }
}

/// What a command needs to know the org.
pub(crate) fn org_flag(org: &Name) -> String {
    if *org == Name::default_org() {
        String::new()
    } else {
        format!(" --org {org}")
    }
}

/// To the second: nobody acts on less, and a command that repeats it begins a little early rather than late.
fn at(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Why a delivery stands as it does, and what comes next.
pub(crate) fn delivery(story: &Story, state: &State, integration: Option<&Integration>, now: Timestamp) -> Why {
    match (story.moving(), story.ended()) {
        (Some(_), _) if integration.is_some_and(|one| one.status == Status::Deleted) => Why::new(
            "its integration was deleted",
            format!("it is given up when a worker of {} takes it", story.provider),
        ),
        (Some((delivery, place)), _) => waits(story, delivery, place, state, integration, now),
        (None, Some(ended)) => ends(story, ended, integration),
        (None, None) => between(story, state, integration, now),
    }
}

/// What waits, by where it waits.
fn waits(
    story: &Story,
    delivery: &Delivery,
    place: Place,
    state: &State,
    integration: Option<&Integration>,
    now: Timestamp,
) -> Why {
    let expires =
        expiry(delivery, integration).map_or_else(String::new, |expires| format!("; expires at {}", at(expires)));
    let last = delivery.notes.last();
    let failed = last.and_then(|note| note.error_message.clone());
    match place {
        Place::Parked => parked(state, integration, &story.integration, &expires),
        Place::Batch => gathered(delivery, integration, &expires),
        Place::Ordered if place.is_parked(delivery) => Why::new(
            "it goes in the order of its key, and others of its key are before it",
            format!("it goes when those before it have ended{expires}"),
        ),
        Place::Schedule | Place::Lane | Place::Ordered => {
            let why = match (failed, last.map(|note| note.outcome)) {
                _ if delivery.probe && state.phase == Phase::Suspended => refuses(state),
                (Some(error), Some(OutcomeKind::Suspend)) => {
                    format!("the target refuses ({error}); three such answers over a minute suspend the integration")
                }
                (Some(error), _) => error,
                (None, _) if delivery.generation > 0 => "it was replayed and has not been sent yet".to_owned(),
                (None, _) => "it has not been sent yet".to_owned(),
            };
            let steps = integration.map_or(0, |integration| integration.schedule().len());
            let counted = last.is_some_and(|note| note.outcome == OutcomeKind::Retry) && delivery.retries > 0;
            let step = if counted {
                format!(", step {} of {steps}", delivery.retries)
            } else {
                String::new()
            };
            let next = match delivery.due {
                _ if delivery.probe => {
                    let due = delivery
                        .due
                        .map_or_else(|| "now".to_owned(), |due| format!("at {}", at(due)));
                    format!("it probes whether the target takes again, {due}{expires}")
                }
                Some(due) if due > now => format!("next attempt at {}{step}{expires}", at(due)),
                Some(due) => format!("due since {}{step}: {}{expires}", at(due), next_worker(&story.provider)),
                None => format!("{}{expires}", next_worker(&story.provider)),
            };
            Why::new(why, next)
        }
    }
}

fn next_worker(provider: &str) -> String {
    format!("it goes when a worker of {provider} takes it (`signalbox doctor` says what keeps them)")
}

fn expiry(delivery: &Delivery, integration: Option<&Integration>) -> Option<Timestamp> {
    integration.map(|integration| delivery.since + integration.expire_after())
}

/// When what waits expires, where that is known.
pub(crate) fn expires_at(story: &Story, integration: Option<&Integration>) -> Option<Timestamp> {
    let (delivery, _) = story.moving()?;
    expiry(delivery, integration)
}

/// The step of the schedule that the next attempt is, and how many there are.
pub(crate) fn step(story: &Story, integration: Option<&Integration>) -> Option<(u32, usize)> {
    let (delivery, place) = story.moving()?;
    let steps = integration?.schedule().len();
    (place != Place::Parked && delivery.retries > 0).then_some((delivery.retries, steps))
}

/// What is a member of the next digest. `due` is when its window ends.
fn gathered(delivery: &Delivery, integration: Option<&Integration>, expires: &str) -> Why {
    let most = integration.and_then(|integration| integration.flow.batch);
    let most = most.map_or_else(String::new, |batch| format!(", or with {} events", batch.events_max));
    let next = match delivery.due {
        Some(due) => format!("it closes at {}{most}{expires}", at(due)),
        None => format!("it closes when its window is over{most}{expires}"),
    };
    Why::new("it is a member of the next digest of its integration", next)
}

fn parked(state: &State, integration: Option<&Integration>, id: &str, expires: &str) -> Why {
    let name = named(integration, id);
    let since = at(state.since);
    let resume = format!("resume with `signalbox resume {name}`");
    match state.phase {
        Phase::Paused | Phase::Unknown => Why::new(
            format!("the integration is paused since {since}"),
            format!("waiting for a person: {resume}{expires}"),
        ),
        Phase::Suspended => {
            let probed = match &state.probe {
                Some(probe) => format!("probed again at {}", at(probe.due)),
                None => "the oldest that waits is chosen as its probe".to_owned(),
            };
            Why::new(
                refuses(state),
                format!("{probed}; once it is mended, {resume}{expires}"),
            )
        }
        Phase::Draining => {
            let pace = state.drain_per_second.map_or_else(
                || "as fast as the target takes them".to_owned(),
                |rate| format!("{rate} a second"),
            );
            Why::new(
                format!("it waits in line with others of the integration since {since}"),
                format!("the oldest go first, {pace}{expires}"),
            )
        }
        Phase::Open => Why::new(
            "it was held when it came, and the integration is open again",
            format!("a keeper takes it out in a moment (`signalbox doctor` says whether one runs){expires}"),
        ),
    }
}

fn refuses(state: &State) -> String {
    let since = at(state.since);
    match (state.cause, state.reason.as_str()) {
        (_, "") => format!("the target refuses since {since}"),
        (Cause::Failing, reason) => format!("the target is left alone since {since}: {reason}"),
        (_, reason) => format!("the target refuses since {since}: {reason}"),
    }
}

fn ends(story: &Story, ended: Final, integration: Option<&Integration>) -> Why {
    let dead = story.last_dead();
    let replayed = dead.and_then(|(_, buried)| buried.replayed.as_ref());
    let again = |lead: &str| match (dead, replayed) {
        (_, Some((act, time))) => format!("act {act} replayed it at {}", at(*time)),
        (Some((seq, _)), None) => {
            let id = dead_letter_id(seq);
            let org = integration.map_or_else(String::new, |one| org_flag(&one.org));
            if integration.is_some_and(|one| one.status == Status::Deleted) {
                return format!(
                    "{lead}dead letter {id}; its integration was deleted, so replay it to another one with \
                     `signalbox dead replay {id} --to INTEGRATION{org}`"
                );
            }
            format!("{lead}dead letter {id}: replay with `signalbox dead replay {id}{org}`")
        }
        (None, None) => "its dead letter is older than what DEAD keeps".to_owned(),
    };
    match ended {
        Final::Delivered => delivered(story),
        Final::Discarded => {
            let why = match dead.map(|(_, buried)| buried) {
                Some(buried) if let Some((act, time)) = &buried.discarded => {
                    format!("act {act} gave it up at {}", at(*time))
                }
                Some(buried) => buried.letter.message.clone(),
                None => "a person gave it up".to_owned(),
            };
            Why::new(why, "nothing more")
        }
        Final::Expired => {
            // What it is now says nothing of then, where the integration was changed since.
            let same = |one: &&Integration| dead.is_some_and(|(_, buried)| one.updated_at <= buried.letter.last_at);
            let after = integration.filter(same).map_or_else(String::new, |one| {
                format!(" ({})", duration::format(one.expire_after()))
            });
            Why::new(format!("it waited longer than expire_after{after}"), again(""))
        }
        Final::Dead | Final::Unknown => {
            let Some((_, buried)) = dead else {
                let error = story.error_message();
                return Why::new(error.unwrap_or_else(|| "it was given up".to_owned()), again(""));
            };
            let letter = &buried.letter;
            let tries = letter.delivery.as_ref().map_or(0, |delivery| delivery.attempt);
            let why = match (letter.reason, letter.stage) {
                (DeadReason::Exhausted, _) => {
                    format!(
                        "the retry schedule is used up after {tries} attempts: {}",
                        letter.message
                    )
                }
                (DeadReason::Rejected, _) => format!("the target will never take it: {}", letter.message),
                (DeadReason::Invalid, Stage::Route) => {
                    format!("the router could not say whether it matches: {}", letter.message)
                }
                (DeadReason::Poison, _) => format!("it stopped its worker more than once: {}", letter.message),
                (reason, _) => format!("{}: {}", reason.as_str(), letter.message),
            };
            Why::new(why, again(""))
        }
    }
}

fn delivered(story: &Story) -> Why {
    let attempts = story.attempts();
    let last = attempts
        .iter()
        .rfind(|attempt| attempt.next == Next::Final(Final::Delivered));
    let why = match last {
        Some(last) => {
            let code = last
                .response_code
                .map_or_else(|| "took it".to_owned(), |code| format!("answered {code}"));
            let again = if last.generation > 0 {
                " after it was replayed"
            } else {
                ""
            };
            format!("the target {code}, {}{again}", ordinal(last.attempt))
        }
        None => "the target took it".to_owned(),
    };
    Why::new(why, "nothing more")
}

fn ordinal(attempt: u32) -> String {
    match attempt {
        0 | 1 => "at the first attempt".to_owned(),
        number => format!("at attempt {number}"),
    }
}

/// Known by its records alone: on its way from one place to another.
fn between(story: &Story, state: &State, integration: Option<&Integration>, now: Timestamp) -> Why {
    let attempts = story.attempts();
    let Some(last) = attempts.last() else {
        return Why::new("it has not been sent yet", next_worker(&story.provider));
    };
    let why = last
        .error_message
        .clone()
        .unwrap_or_else(|| "it was not delivered".to_owned());
    match last.next {
        Next::Parked => parked(state, integration, &story.integration, ""),
        _ => {
            let next = match last.next_at {
                Some(due) if due > now => format!("next attempt at {}", at(due)),
                _ => next_worker(&story.provider),
            };
            Why::new(why, next)
        }
    }
}

/// An integration that an event was not delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmatched {
    /// A stable word: `created_later`, `changed_later`, `inactive`, `pending_setup`, `type`, `agent_ids`,
    /// `min_severity`, `where`, `unknown`.
    pub(crate) reason: &'static str,
    pub(crate) words: Why,
    /// A pattern covers the event's type, so that only the filter decided.
    pub(crate) near: bool,
}

/// Why an event has no delivery to an integration, by what the integration is today.
pub(crate) fn unmatched(integration: &Integration, accepted: &Accepted, verdict: &Verdict) -> Unmatched {
    unmatched_of(
        integration,
        accepted,
        verdict,
        &crate::view::accepted_value(accepted),
        None,
    )
}

/// As [`unmatched`], for who asks about many integrations: `shown` is the event as answers show it, `gaps` says what of
/// the streams could not be read.
pub(crate) fn unmatched_of(
    integration: &Integration,
    accepted: &Accepted,
    verdict: &Verdict,
    shown: &Value,
    gaps: Option<&str>,
) -> Unmatched {
    let event = &accepted.event;
    let (reason, why, next) = match verdict {
        Verdict::Match | Verdict::Error { .. } if integration.created_at > accepted.at => (
            "created_later",
            format!("it was made at {}, after the event", at(integration.created_at)),
            replay(integration, accepted),
        ),
        Verdict::Match if integration.updated_at > accepted.at => (
            "changed_later",
            format!(
                "it matches as it is since {}; when the event came it was another way",
                at(integration.updated_at)
            ),
            replay(integration, accepted),
        ),
        Verdict::Match if let Some(gaps) = gaps => (
            "unknown",
            format!("it matches, and whether it has a delivery is not known: {gaps}"),
            "look again in a moment; `signalbox doctor` says what is wrong with the streams".to_owned(),
        ),
        Verdict::Match => (
            "unknown",
            "it matches, but nothing is known of a delivery: it is on its way, or its record is older than what is kept"
                .to_owned(),
            "look again in a moment; `signalbox doctor` checks the ledger".to_owned(),
        ),
        Verdict::ForeignOrg => (
            "unknown",
            format!("it is of org {}", integration.org),
            "nothing: orgs do not see each other's events".to_owned(),
        ),
        Verdict::Inactive(Status::PendingSetup) => (
            "pending_setup",
            "it is pending_setup: never tested or activated".to_owned(),
            format!("test it with `signalbox integrations test {}{}`, which activates it", integration.name, org_flag(&integration.org)),
        ),
        Verdict::Inactive(_) => (
            "inactive",
            "it is inactive (enabled: false)".to_owned(),
            "set `enabled: true` and `signalbox apply`".to_owned(),
        ),
        Verdict::Type { patterns } => (
            "type",
            match patterns.as_slice() {
                [] => format!("no pattern covers {}: it has none", event.event_type),
                patterns => format!("no pattern covers {}: it has {}", event.event_type, patterns.join(", ")),
            },
            format!("to match, its `events` need {}", event.event_type),
        ),
        Verdict::Agent { wanted, is } => (
            "agent_ids",
            format!("agent_ids: [{}], the event's is {is}", wanted.join(", ")),
            format!("to match, its `filter.agent_ids` need {is}"),
        ),
        Verdict::Severity { least, is } => (
            "min_severity",
            format!("min_severity: {least}, the event is {is}"),
            format!("to match, its `filter.min_severity` is to be {is} or lower"),
        ),
        Verdict::Condition { text, how } => {
            let says = match how {
                How::False => "is false".to_owned(),
                How::Absent(Some(field)) => format!("reads {field}, which the event does not have"),
                How::Absent(None) => "reads something that the event does not have".to_owned(),
            };
            (
                "where",
                format!("where: {text} {says}{}", values(text, shown)),
                "to match, its `filter.where` is to hold for such an event".to_owned(),
            )
        }
        Verdict::Error { text, error } => (
            "where",
            format!("where: {text} has no answer: {error}{}", values(text, shown)),
            "mend its `filter.where`".to_owned(),
        ),
    };
    let told = matches!(reason, "created_later" | "changed_later");
    let why = if told {
        why
    } else if integration.created_at > accepted.at {
        format!("{why} (it was made at {}, after the event)", at(integration.created_at))
    } else if integration.updated_at > accepted.at {
        format!(
            "{why} (as it is since {}; when the event came it may have been another way)",
            at(integration.updated_at)
        )
    } else {
        why
    };
    Unmatched {
        reason,
        words: Why { why, next },
        near: verdict.is_near(),
    }
}

/// The command that sends the event to one integration.
fn replay(integration: &Integration, accepted: &Accepted) -> String {
    format!(
        "to send it there: {}",
        replay_command(accepted, integration.name.as_str())
    )
}

/// The command that sends accepted events of the past, this one among them.
pub(crate) fn replay_command(accepted: &Accepted, to: &str) -> String {
    let event = &accepted.event;
    format!(
        "`signalbox replay --since {} --until {} --type {} --to {to}{}`",
        at(accepted.at),
        at(accepted.at + Duration::from_secs(1)),
        event.event_type,
        org_flag(&event.org)
    )
}

/// What the fields of an event that a condition names are, for people to compare.
fn values(text: &str, event: &Value) -> String {
    let mut shown: Vec<String> = Vec::new();
    for path in paths(text) {
        let pointer = path.trim_start_matches("event").replace('.', "/");
        let value = match event.pointer(&pointer) {
            // What is not there is said already, and a whole object says too much.
            None | Some(Value::Null | Value::Object(_) | Value::Array(_)) => continue,
            Some(Value::String(text)) => format!("{text:?}"),
            Some(value) => value.to_string(),
        };
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let line = format!("{path} is {value}");
        if !shown.contains(&line) {
            shown.push(line);
        }
        if shown.len() == VALUES_MAX {
            break;
        }
    }
    if shown.is_empty() {
        String::new()
    } else {
        format!(" ({})", shown.join(", "))
    }
}

/// The paths that begin with `event.` in the text of a condition.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with("event."))
}

#[cfg(test)]
mod tests;
