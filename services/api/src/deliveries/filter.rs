//! Which deliveries a list is about, and where a page of it ended.

use std::collections::HashSet;

use signalbox_proto::{Name, Timestamp, hash};
use signalbox_runtime::Problem;
use signalbox_store::history::{Cursor, DeliveryFilter, Status};

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

    /// Those that the database knows; an empty list means all, `None` that it knows none of them.
    fn recorded(&self) -> Option<Vec<Status>> {
        let Some(_) = self.0 else { return Some(Vec::new()) };
        let mut known = Status::ALL.to_vec();
        known.retain(|status| self.take(status.as_str()));
        (!known.is_empty()).then_some(known)
    }
}

/// Reads a cursor in the form that [`cursor`] writes.
pub(super) fn read_cursor(text: &str) -> Result<Cursor, Problem> {
    let parts = text.split_once('.').and_then(|(nanos, id)| {
        let nanos = nanos.parse::<u64>().ok()?;
        let created_at = Timestamp::from_nanos(i64::try_from(nanos).ok()?);
        is_id(id).then(|| Cursor {
            created_at,
            id: id.to_owned(),
        })
    });
    parts
        // One place has one form: `+7` and `07` were not given by us.
        .filter(|place| cursor(place) == text)
        .ok_or_else(problems::no_cursor)
}

/// A place in a list as answers give it.
pub(super) fn cursor(place: &Cursor) -> String {
    format!("{}.{}", place.created_at.nanos(), place.id)
}

/// The last place in lists of what was accepted at a time or after.
pub(super) fn first_of(accepted: Timestamp) -> Cursor {
    Cursor {
        created_at: accepted.max(Timestamp::default()),
        // None of the letters of ids comes before it.
        id: "-".repeat(hash::LENGTH),
    }
}

/// The place of a delivery in lists.
pub(super) fn place_of(story: &Story) -> Cursor {
    Cursor {
        created_at: story.created_at().unwrap_or_default(),
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
    /// Of events accepted at or after.
    pub(super) since: Option<Timestamp>,
    /// Of events accepted before.
    pub(super) until: Option<Timestamp>,
    /// Those behind the page before.
    pub(super) before: Option<Cursor>,
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

    #[cfg(test)]
    pub(super) fn of_status(org: &Name, word: Option<&str>, before: Option<Cursor>) -> Self {
        Self {
            org: org.clone(),
            integration: None,
            provider: None,
            event_type: None,
            statuses: Statuses(STATUSES.into_iter().find(|known| Some(*known) == word)),
            since: None,
            until: None,
            before,
        }
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

    /// Whether it is about a delivery of this kind, whatever its status.
    pub(super) fn takes(&self, place: &Cursor, provider: &Name, event_type: Option<&str>) -> bool {
        self.before.as_ref().is_none_or(|before| place < before)
            && self.spans(place.created_at)
            && self.provider.as_ref().is_none_or(|wanted| wanted == provider)
            && self
                .event_type
                .as_deref()
                .is_none_or(|wanted| event_type == Some(wanted))
    }

    /// What to ask the database for; `None` where it has nothing of what is wanted.
    pub(super) fn recorded(&self) -> Option<DeliveryFilter> {
        Some(DeliveryFilter {
            org: Some(self.org.to_string()),
            integration: self.integration.clone(),
            provider: self.provider.as_ref().map(Name::to_string),
            statuses: self.statuses.recorded()?,
            event_type: self.event_type.clone(),
            since: self.since,
            until: self.until,
        })
    }

    /// Whether a time lies in the range that was asked for.
    pub(super) fn spans(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests;
