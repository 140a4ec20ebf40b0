//! What one request remembers while it reads: of the deliveries that it is about, the newest so many.
//!
//! Pure: streams are read elsewhere, and each entry is handed in. Deliveries of events beyond the newest so many are
//! forgotten again, so that a page costs no more memory where millions wait; [`Kept::is_cut`] says where that shows.

use std::collections::{BTreeSet, HashMap, HashSet};

use signalbox_proto::{
    Attempt, DeadLetter, Delivery, RawJson, State, Timestamp,
    act::{Did, Mark, Wait},
    ledger::Final,
    outcome::Next,
};

use super::filter::{Filter, Key, key_of};
use crate::story::{Place, Stories, Story, Wanted};

/// Deliveries that are remembered at most: many times the longest page.
pub(super) const KEPT_MAX: usize = 2_000;

/// Which of the deliveries that a stream tells of are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// All that the filter is about.
    All,
    /// Those that are known from another stream: to learn how these really stand.
    Known,
}

pub(super) struct Kept<'a> {
    filter: &'a Filter,
    stories: Stories<'a>,
    /// Whether it is about one delivery, of which every attempt is told.
    one: bool,
    most: usize,
    keys: BTreeSet<Key>,
    /// The newest that was forgotten: what is not newer is passed by from then on.
    dropped: Option<Key>,
    /// When the newest end of a delivery was stored.
    ended_at: HashMap<String, Timestamp>,
    /// Replayed deliveries that ended later than was asked for, whatever became of earlier generations.
    later: HashSet<String>,
    /// Dead letters that a person gave up.
    discarded: HashSet<u64>,
    marks: Vec<Mark>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(filter: &'a Filter, wanted: Wanted<'a>, most: usize) -> Self {
        Self {
            filter,
            one: matches!(wanted, Wanted::Ids { .. }),
            stories: Stories::new(wanted),
            most,
            keys: BTreeSet::new(),
            dropped: None,
            ended_at: HashMap::new(),
            later: HashSet::new(),
            discarded: HashSet::new(),
            marks: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stories.deliveries().next().is_none()
    }

    /// The delivery of this id, or the digest that it became a member of.
    pub(super) fn story(&self, id: &str) -> Option<&Story> {
        let digest = || {
            self.stories
                .deliveries()
                .find(|story| story.has_member(&self.filter.org, id))
        };
        let own = self.stories.get(id).filter(|own| !self.stories.is_in_digest(own));
        own.or_else(digest)
    }

    /// Takes what an act left in DEAD; to be told before the dead letters.
    pub(super) fn mark(&mut self, mark: Mark) {
        if mark.did == Did::Discarded {
            self.discarded.extend(&mark.seqs);
        }
        self.marks.push(mark);
    }

    /// Takes a delivery that waits.
    pub(super) fn wait(&mut self, delivery: Delivery, place: Place, take: Take) {
        let accepted = delivery.event();
        let (seq, at) = (accepted.seq, accepted.at);
        let event_type = accepted.event.event_type.as_str();
        let status = match Wait::of(&delivery, place.is_parked(&delivery)) {
            Wait::Pending => "pending",
            Wait::Retrying => "retrying",
            Wait::Parked => "parked",
        };
        let wanted = self.filter.statuses.take(status) && self.filter.spans(at);
        if self
            .filter
            .takes(seq, &delivery.id, &delivery.provider, Some(event_type))
            && self.takes(seq, &delivery.id, take, wanted)
        {
            let id = delivery.id.clone();
            self.stories.wait(light(delivery), place);
            self.keep(&id);
        }
    }

    /// Takes a record that was stored then.
    pub(super) fn record(&mut self, attempt: Attempt, stored_at: Timestamp, take: Take) {
        let event = attempt.events.first();
        let (seq, event_type) = event.map_or((0, None), |event| (event.seq, Some(event.event_type.as_str())));
        let wanted = match attempt.next {
            Next::Final(state) => self.ends_as_wanted(&attempt.delivery, attempt.generation, state, stored_at),
            // Attempts in between are told only where the delivery is known: its end says how many there were.
            Next::Retrying | Next::Parked | Next::Unknown => false,
        };
        if self.filter.takes(seq, &attempt.delivery, &attempt.provider, event_type)
            && self.takes(seq, &attempt.delivery, take, wanted)
        {
            let id = attempt.delivery.clone();
            let ended = matches!(attempt.next, Next::Final(_));
            self.stories.record(attempt);
            if ended {
                self.end(&id, stored_at);
            }
            self.keep(&id);
        }
    }

    /// Takes a dead letter that was stored then.
    pub(super) fn bury(&mut self, seq: u64, mut letter: DeadLetter, stored_at: Timestamp, take: Take) {
        let Some(delivery) = letter.delivery.take() else { return };
        let state = if self.discarded.contains(&seq) {
            Final::Discarded
        } else {
            letter.reason.ledger()
        };
        let wanted = self.ends_as_wanted(&delivery.id, delivery.generation, state, stored_at);
        let accepted = delivery.event();
        let (event, event_type) = (accepted.seq, accepted.event.event_type.as_str());
        if self
            .filter
            .takes(event, &delivery.id, &delivery.provider, Some(event_type))
            && self.takes(event, &delivery.id, take, wanted)
        {
            let id = delivery.id.clone();
            letter.delivery = Some(Box::new(light(*delivery)));
            self.stories.bury(seq, letter);
            self.end(&id, stored_at);
            self.keep(&id);
        }
    }

    /// Joins the marks to the dead letters that were taken.
    pub(super) fn settle(&mut self) {
        for mark in &self.marks {
            self.stories.mark(mark);
        }
    }

    /// The deliveries that the filter asks for, the newest first, at most so many. `state` is that of an integration.
    pub(super) fn found(&self, most: usize, state: impl Fn(&str) -> State) -> Vec<&Story> {
        let mut found: Vec<(Key, &Story)> = self.wanted(&state).map(|story| (key_of(story), story)).collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().take(most).map(|(_, story)| story).collect()
    }

    /// How many of the wanted ones are of events from this sequence on.
    pub(super) fn count_from(&self, floor: u64, state: impl Fn(&str) -> State) -> usize {
        self.wanted(&state).filter(|story| key_of(story).seq >= floor).count()
    }

    /// Whether a page that found so many of `most` could lack some that were forgotten.
    pub(super) fn is_cut(&self, found: usize, most: usize) -> bool {
        self.dropped.is_some() && found < most
    }

    fn wanted(&self, state: &impl Fn(&str) -> State) -> impl Iterator<Item = &Story> {
        self.stories.deliveries().filter(move |story| {
            let (status, _) = story.status(&state(&story.integration));
            let at = match story.ended() {
                Some(_) => self.ended_at.get(&story.id).copied(),
                None => story.created_at(),
            };
            self.filter.statuses.take(status) && at.is_none_or(|at| self.filter.spans(at))
        })
    }

    /// Whether an entry about a delivery is taken; `wanted` is whether it speaks for one that is not known yet.
    fn takes(&self, seq: u64, id: &str, take: Take, wanted: bool) -> bool {
        if self.stories.get(id).is_some() {
            return true;
        }
        let newer = |dropped: &Key| (seq, id) > (dropped.seq, dropped.id.as_str());
        take == Take::All && (wanted || self.one) && !self.later.contains(id) && self.dropped.as_ref().is_none_or(newer)
    }

    /// Whether an end is of a status and time that was asked for.
    fn ends_as_wanted(&mut self, id: &str, generation: u32, state: Final, at: Timestamp) -> bool {
        let in_time = self.filter.spans(at);
        if !in_time && generation > 0 && self.stories.get(id).is_none() && !self.one {
            self.later.insert(id.to_owned());
        }
        in_time && self.filter.statuses.take(state.as_str())
    }

    fn end(&mut self, id: &str, at: Timestamp) {
        let newest = self.ended_at.entry(id.to_owned()).or_insert(at);
        *newest = at.max(*newest);
    }

    /// Remembers the place of a delivery, and forgets the oldest beyond the bound.
    fn keep(&mut self, id: &str) {
        // What is not of the wanted org or integration was not taken.
        let Some(story) = self.stories.get(id) else {
            self.ended_at.remove(id);
            return;
        };
        self.keys.insert(key_of(story));
        if self.keys.len() > self.most
            && let Some(oldest) = self.keys.pop_first()
        {
            self.stories.forget(&oldest.id);
            self.ended_at.remove(&oldest.id);
            self.dropped = Some(match self.dropped.take() {
                Some(dropped) => dropped.max(oldest),
                None => oldest,
            });
        }
    }
}

/// A delivery without the data of its events, which no list shows.
fn light(mut delivery: Delivery) -> Delivery {
    for accepted in &mut delivery.events {
        accepted.event.data = RawJson::default();
        accepted.event.metadata.clear();
    }
    delivery.steps.clear();
    delivery
}

#[cfg(test)]
mod tests;
