//! What an event is about, for targets that keep one thing open until another event closes it: an incident, an alert.
//!
//! The key is the same for what opens and for what closes, and the same each time a delivery is tried again.

use std::{
    borrow::Cow,
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
};

use serde::Deserialize;
use signalbox_proto::{Accepted, Delivery, Event, hash, types::PAIRS};

use crate::display::text::{self, Measure};

/// What an event without a subject, a key and an agent is about.
pub const SYSTEM: &str = "system";
/// Requests that one digest becomes at most: one for each entity, the last for all that are left.
pub const IN_TURN_MAX: usize = 20;

/// What an event does to the thing that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Something begins that another event will end.
    Opens,
    /// What such an event began is over.
    Closes,
    /// It belongs to no pair.
    Alone,
}

/// The thing that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity<'a> {
    family: &'a str,
    /// Its own name: the subject, else `data.dedup_key`, else the agent, else [`SYSTEM`].
    pub name: Cow<'a, str>,
    /// What the event does to it.
    pub part: Part,
}

/// What an event's data may say of itself.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    dedup_key: Option<Cow<'a, str>>,
}

impl<'a> Entity<'a> {
    /// What this event is about.
    pub fn of(event: &'a Event) -> Self {
        let event_type = event.event_type.as_str();
        let part = match PAIRS
            .iter()
            .find(|(opens, closes)| [*opens, *closes].contains(&event_type))
        {
            Some((opens, _)) if *opens == event_type => Part::Opens,
            Some(_) => Part::Closes,
            None => Part::Alone,
        };
        let family = match part {
            Part::Alone => event_type,
            Part::Opens | Part::Closes => event_type.split('.').next().unwrap_or(event_type),
        };
        let given = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Cow::Borrowed);
        let name = given(&event.subject)
            .or_else(|| dedup_key(event))
            .or_else(|| given(&event.agent_id))
            .unwrap_or(Cow::Borrowed(SYSTEM));
        Self { family, name, part }
    }

    /// Whether two events are about the same thing.
    pub fn is_same(&self, other: &Entity<'_>) -> bool {
        self.family == other.family && self.name == other.name
    }

    /// `<integration>/<family>/<entity>`, at most so many bytes, on one line and without characters that nobody sees. One
    /// that has to be changed for that keeps its beginning and ends in a hash of the whole.
    pub fn key(&self, integration: &str, bytes_max: usize) -> String {
        let key = format!("{integration}/{}/{}", self.family, self.name);
        // Targets trim what stands at an end, and some take no control characters, in addresses least of all.
        let is_odd = |c: char| !text::is_shown(c) || c.is_whitespace() && c != ' ';
        let is_plain = !key.contains(is_odd) && key.trim() == key;
        if is_plain && key.len() <= bytes_max {
            return key;
        }
        let hash = hash::parts([key.as_bytes()]);
        let line = text::line(&key, bytes_max);
        let kept = text::cut(&line, bytes_max.saturating_sub(hash.len() + 1), Measure::Bytes);
        format!("{}~{hash}", kept.trim_end_matches('…'))
    }
}

fn dedup_key(event: &Event) -> Option<Cow<'_, str>> {
    let data = std::str::from_utf8(event.data.as_bytes()).ok()?;
    // Data without the name, in letters or in escapes, need not be read.
    if !data.contains("dedup_key") && !data.contains("\\u") {
        return None;
    }
    let named: Named<'_> = serde_json::from_str(data).ok()?;
    named.dedup_key.filter(|key| !key.is_empty())
}

/// One request of those that a delivery becomes.
#[derive(Debug)]
pub enum Turn<'a> {
    /// The last that is known of one entity.
    One(Entity<'a>, &'a Accepted),
    /// What a digest holds beyond [`IN_TURN_MAX`] entities, in the order in which it came.
    Rest(Vec<&'a Accepted>),
}

/// All requests of a delivery in their order: an event is one; a digest becomes one for each entity, with the last event
/// about it. What closes comes first, then the most serious.
#[derive(Debug)]
pub struct Turns<'a> {
    /// One for each entity.
    last: Vec<(Entity<'a>, &'a Accepted)>,
    /// How many of them have a request of their own.
    fits: usize,
}

impl<'a> Turns<'a> {
    /// Those of a delivery; reads each of its events once.
    pub fn of(delivery: &'a Delivery) -> Self {
        if !delivery.is_digest() {
            let accepted = delivery.event();
            return Self {
                last: vec![(Entity::of(&accepted.event), accepted)],
                fits: 1,
            };
        }
        let mut last: Vec<(Entity<'_>, &Accepted)> = Vec::new();
        let mut places: HashMap<(&str, Cow<'_, str>), usize> = HashMap::new();
        for accepted in &delivery.events {
            let entity = Entity::of(&accepted.event);
            match places.entry((entity.family, entity.name.clone())) {
                Occupied(place) => last[*place.get()] = (entity, accepted),
                Vacant(place) => {
                    place.insert(last.len());
                    last.push((entity, accepted));
                }
            }
        }
        last.sort_by_key(|(entity, accepted)| {
            (
                entity.part != Part::Closes,
                std::cmp::Reverse(accepted.event.severity),
                accepted.seq,
            )
        });
        let fits = if last.len() > IN_TURN_MAX {
            IN_TURN_MAX - 1
        } else {
            last.len()
        };
        Self { last, fits }
    }

    /// Whether the `index`-th closes what it is about.
    pub fn closes(&self, index: usize) -> bool {
        let one = self.last.get(index).filter(|_| index < self.fits);
        one.is_some_and(|(entity, _)| entity.part == Part::Closes)
    }

    /// The `index`-th.
    pub fn into_nth(mut self, index: usize) -> Option<Turn<'a>> {
        if index < self.fits {
            let (entity, accepted) = self.last.swap_remove(index);
            return Some(Turn::One(entity, accepted));
        }
        let rest = self.last.into_iter().skip(self.fits);
        let mut rest: Vec<&Accepted> = rest.map(|(_, accepted)| accepted).collect();
        rest.sort_by_key(|accepted| accepted.seq);
        (index == self.fits && !rest.is_empty()).then_some(Turn::Rest(rest))
    }
}

/// The `index`-th request of a delivery, see [`Turns`].
pub fn in_turn(delivery: &Delivery, index: usize) -> Option<Turn<'_>> {
    if index > 0 && !delivery.is_digest() {
        return None;
    }
    Turns::of(delivery).into_nth(index)
}

#[cfg(test)]
mod tests;
