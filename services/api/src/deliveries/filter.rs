//! Which deliveries a list is about, and where a page of it ended.

use std::{collections::HashSet, fmt};

use signalbox_proto::{Name, Timestamp, hash};
use signalbox_runtime::Problem;

use crate::{
    Shared, problems,
    problems::invalid,
    request::{self, Query},
    story::Story,
};

/// What `status` takes: each status, and words for several.
pub(crate) const STATUSES: [&str; 10] = [
    "pending",
    "retrying",
    "parked",
    "delivered",
    "dead",
    "expired",
    "discarded",
    "success",
    "failed",
    "waiting",
];

/// A set of statuses, as the word of a request names it; none means all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statuses(Option<&'static str>);

impl Statuses {
    #[cfg(test)]
    pub(super) fn all() -> Self {
        Self(None)
    }

    #[cfg(test)]
    pub(super) fn of(word: &'static str) -> Self {
        Self(Some(word))
    }

    pub(super) fn take(&self, status: &str) -> bool {
        match self.0 {
            None => true,
            Some("success") => status == "delivered",
            Some("failed") => matches!(status, "dead" | "expired"),
            Some("waiting") => matches!(status, "pending" | "retrying" | "parked"),
            Some(one) => status == one,
        }
    }

    /// Whether any of them is one of those that wait.
    pub(super) fn wait(&self) -> bool {
        ["pending", "retrying", "parked"].iter().any(|status| self.take(status))
    }

    /// Whether any of them is one whose end is in DEAD.
    pub(super) fn die(&self) -> bool {
        ["dead", "expired", "discarded"].iter().any(|status| self.take(status))
    }

    pub(super) fn deliver(&self) -> bool {
        self.take("delivered")
    }
}

/// The place of a delivery in a list: the newest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The sequence of its first event in EVENTS.
    pub(super) seq: u64,
    /// The delivery's id.
    pub(super) id: String,
}

impl Key {
    /// Reads a cursor in the form that its `Display` writes.
    pub(super) fn parse(cursor: &str) -> Result<Self, Problem> {
        let parts = cursor
            .split_once('.')
            .and_then(|(seq, id)| Some((seq.parse().ok()?, id)))
            // One place has one form: `+7` and `07` were not given by us.
            .filter(|(seq, id): &(u64, &str)| cursor == format!("{seq}.{id}"));
        match parts {
            Some((seq, id)) if is_id(id) => Ok(Self { seq, id: id.to_owned() }),
            _ => Err(problems::no_cursor()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq, self.id)
    }
}

pub(super) fn key_of(story: &Story) -> Key {
    Key {
        seq: story.events.first().map_or(0, |event| event.seq),
        id: story.id.clone(),
    }
}

/// Whether a text has the form of a delivery's id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == hash::LENGTH
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The set of one id. Another text would be looked for in vain, or be a pattern of subjects.
pub(super) fn one_id(id: &str) -> Result<HashSet<String>, Problem> {
    if is_id(id) {
        Ok(HashSet::from([id.to_owned()]))
    } else {
        Err(problems::not_found("delivery", id))
    }
}

/// Which deliveries are asked for.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) org: Name,
    /// The integration's id.
    pub(super) integration: Option<String>,
    pub(super) provider: Option<Name>,
    pub(super) event_type: Option<String>,
    pub(super) statuses: Statuses,
    /// What ended: at or after. What waits: of an event accepted at or after.
    pub(super) since: Option<Timestamp>,
    /// As `since`, but before.
    pub(super) until: Option<Timestamp>,
    /// Those behind the page before.
    pub(super) before: Option<Key>,
}

impl Filter {
    /// Any delivery of an org, or of one integration of it.
    pub(super) fn of_one(shared: &Shared, org: Name, integration: Option<&str>) -> Result<Self, Problem> {
        let mut filter = Self {
            org,
            integration: None,
            provider: None,
            event_type: None,
            statuses: Statuses(None),
            since: None,
            until: None,
            before: None,
        };
        filter.narrow(shared, integration)?;
        Ok(filter)
    }

    pub(super) fn read(org: Name, query: &mut Query, now: Timestamp) -> Result<Self, Problem> {
        let provider = query.provider("provider")?;
        let event_type = query
            .take("event_type")
            .map(|text| request::event_type("event_type", &text))
            .transpose()?;
        let (since, until) = query.span(now)?;
        Ok(Self {
            org,
            integration: None,
            provider: provider.and_then(|name| name.parse().ok()),
            event_type: event_type.map(|event_type| event_type.to_string()),
            statuses: Statuses(query.one_of("status", &STATUSES)?),
            since,
            until,
            before: None,
        })
    }

    /// Names an integration by its id or name. What is left of a deleted one is found by its id.
    pub(super) fn narrow(&mut self, shared: &Shared, integration: Option<&str>) -> Result<(), Problem> {
        let Some(given) = integration else { return Ok(()) };
        let found = shared.directory.find(&self.org, given);
        let found = found.or_else(|| shared.directory.by_id(given).filter(|found| found.org == self.org));
        let found = found.ok_or_else(|| problems::not_found("integration", given))?;
        match &self.provider {
            Some(provider) if *provider != found.provider => {
                let detail = format!("is {provider}, but {} is of provider {}", found.name, found.provider);
                return Err(invalid("provider", detail));
            }
            _ => self.provider = Some(found.provider.clone()),
        }
        self.integration = Some(found.id.clone());
        Ok(())
    }

    /// Whether it is about a delivery of this kind, whatever its status and time.
    pub(super) fn takes(&self, seq: u64, id: &str, provider: &Name, event_type: Option<&str>) -> bool {
        let before = |key: &Key| (seq, id) < (key.seq, key.id.as_str());
        self.before.as_ref().is_none_or(before)
            && self.provider.as_ref().is_none_or(|wanted| wanted == provider)
            && self
                .event_type
                .as_deref()
                .is_none_or(|wanted| event_type == Some(wanted))
    }

    /// Whether a time lies in the range that was asked for.
    pub(super) fn spans(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests;
