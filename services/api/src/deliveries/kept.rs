//! What one request remembers while it reads: of the deliveries that it is about, the newest so many.
//!
//! Pure: the streams and the database are read elsewhere, and each entry is handed in. Deliveries of events beyond the
//! newest so many are forgotten again, so that a page costs no more memory where millions wait; [`Kept::is_cut`] says
//! where that shows.
//!
//! **Invariant:** a delivery's place in a list is when its event was accepted, and its id: the same wherever it is read,
//! and never another. A page holds what lies between two places, and the next one begins at the lower of them. So a list
//! that is walked by its cursors shows each delivery once that was there when the walk began, whatever moves meanwhile.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use signalbox_proto::{
    Attempt, DeadLetter, Delivery, RawJson, State, Timestamp,
    act::{Did, Mark, Wait},
    digest,
    ledger::Final,
    outcome::Next,
};
use signalbox_store::history::{Cursor, DeliveryPage, Member, Recorded};

use super::filter::{self, Filter, place_of};
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
    places: BTreeSet<Cursor>,
    place_of: HashMap<String, Cursor>,
    /// The newest that was forgotten: what is not newer is passed by from then on.
    dropped: Option<Cursor>,
    /// How far down all is told: what is older is not of this page.
    reached: Option<Cursor>,
    /// Those that the database was asked about.
    looked_up: HashSet<String>,
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
            places: BTreeSet::new(),
            place_of: HashMap::new(),
            dropped: None,
            reached: None,
            looked_up: HashSet::new(),
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

    /// Takes a page of what the database has. What is older than what it has told is passed by from then on.
    pub(super) fn recall_page(&mut self, page: DeliveryPage) {
        self.reached = page.next;
        for row in &page.items {
            self.recall(row);
        }
    }

    /// Takes what the database has of a delivery.
    pub(super) fn recall(&mut self, row: &Recorded) {
        self.looked_up.insert(row.id.clone());
        if row.org == self.filter.org.as_str() {
            self.stories.recall(row);
            self.keep(&row.id);
        }
    }

    /// Takes the members of digests, those of each in order.
    pub(super) fn recall_members(&mut self, members: Vec<(String, Member)>) {
        let mut by_digest: HashMap<String, Vec<Member>> = HashMap::new();
        for (digest, member) in members {
            by_digest.entry(digest).or_default().push(member);
        }
        for (digest, members) in by_digest {
            self.stories.recall_members(&digest, members);
        }
    }

    /// Takes the place of a delivery's dead letter.
    pub(super) fn recall_letter(&mut self, delivery: &str, seq: u64) {
        self.stories.recall_letter(delivery, seq);
    }

    /// Notes that the database was asked about a delivery.
    pub(super) fn note_looked_up(&mut self, id: &str) {
        self.looked_up.insert(id.to_owned());
    }

    /// Whether the database was asked about a delivery.
    pub(super) fn is_looked_up(&self, id: &str) -> bool {
        self.looked_up.contains(id)
    }

    /// Ends the page where it is full: where more than `limit` of the wanted ones are of events of which all is read.
    /// These are the ones accepted so much later than what was `stored` last by a stream that is read backwards: its
    /// server's clock and that of EVENTS may be apart by less. `state` is that of an integration.
    pub(super) fn stop_where_full(
        &mut self,
        stored: Timestamp,
        apart: Duration,
        limit: usize,
        state: impl Fn(&str) -> State,
    ) -> bool {
        let accepted = stored + apart;
        let is_full = self.count_since(accepted, state) > limit;
        if is_full {
            // Some of them may turn out to stand otherwise: then this page is short.
            self.stop_at(accepted);
        }
        is_full
    }

    /// Notes that of events accepted before a time not all is read: there was more than enough for a page.
    fn stop_at(&mut self, accepted: Timestamp) {
        let stop = filter::first_of(accepted);
        self.reached = self.reached.take().max(Some(stop));
    }

    /// Since when the events of this page were accepted, where that is known.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let reached = self.reached.as_ref().map(|reached| reached.created_at);
        reached.max(self.filter.since)
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
        let status = match Wait::of(&delivery, place.is_parked(&delivery)) {
            Wait::Pending => "pending",
            Wait::Retrying => "retrying",
            Wait::Parked => "parked",
        };
        let wanted = self.filter.statuses.take(status);
        let at = Cursor {
            created_at: delivery.event().at,
            id: delivery.id.clone(),
        };
        if self.takes(&at, take, wanted, &delivery.provider, Some(type_of(&delivery))) {
            self.stories.wait(light(delivery), place);
            self.keep(&at.id);
        }
    }

    /// Takes a record.
    pub(super) fn record(&mut self, attempt: Attempt, take: Take) {
        let first = attempt.events.first();
        let event_type = first.map(|first| {
            if attempt.is_digest() {
                digest::EVENT_TYPE
            } else {
                first.event_type.as_str()
            }
        });
        let wanted = match attempt.next {
            Next::Final(state) => self.filter.statuses.take(state.as_str()),
            // Attempts in between are told only where the delivery is known: its end says how many there were.
            Next::Retrying | Next::Parked | Next::Unknown => false,
        };
        let accepted = first.map(|first| first.accepted_at).unwrap_or_default();
        let at = Cursor {
            // Records of older versions do not say.
            created_at: if accepted == Timestamp::default() {
                attempt.at
            } else {
                accepted
            },
            id: attempt.delivery.clone(),
        };
        if self.takes(&at, take, wanted, &attempt.provider, event_type) {
            self.stories.record(attempt);
            self.keep(&at.id);
        }
    }

    /// Takes a dead letter.
    pub(super) fn bury(&mut self, seq: u64, mut letter: DeadLetter, take: Take) {
        let Some(delivery) = letter.delivery.take() else { return };
        let state = if self.discarded.contains(&seq) {
            Final::Discarded
        } else {
            letter.reason.ledger()
        };
        let wanted = self.filter.statuses.take(state.as_str());
        let at = Cursor {
            created_at: delivery.event().at,
            id: delivery.id.clone(),
        };
        if self.takes(&at, take, wanted, &delivery.provider, Some(type_of(&delivery))) {
            letter.delivery = Some(Box::new(light(*delivery)));
            self.stories.bury(seq, letter);
            self.keep(&at.id);
        }
    }

    /// Dead letters that were given up just now, and that nobody has read: the newest so many, and whether there are more.
    pub(super) fn given_up(&self, most: usize) -> (Vec<u64>, bool) {
        let given_up = self.marks.iter().filter(|mark| mark.did == Did::Discarded);
        let mut seqs: Vec<u64> = given_up.flat_map(|mark| mark.seqs.iter().copied()).collect();
        seqs.retain(|seq| !self.stories.is_buried(*seq));
        seqs.sort_unstable();
        seqs.dedup();
        let beyond = seqs.len().saturating_sub(most);
        seqs.drain(..beyond);
        (seqs, beyond > 0)
    }

    /// Takes a delivery as the database has it of which a dead letter was given up since.
    pub(super) fn give_up(&mut self, row: &Recorded, generation: u32) {
        let about = row.about();
        let place = row.cursor();
        let filter = self.filter;
        let provider = row.provider.parse().ok();
        let takes = provider.is_some_and(|provider| {
            let wanted = filter.statuses.take(Final::Discarded.as_str());
            self.takes(&place, Take::All, wanted, &provider, Some(&about.event_type))
        });
        if takes
            && filter
                .integration
                .as_ref()
                .is_none_or(|wanted| *wanted == row.integration)
        {
            self.recall(row);
            self.stories.give_up(&row.id, generation);
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
        let mut found: Vec<(Cursor, &Story)> = self.wanted(&state).collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().take(most).map(|(_, story)| story).collect()
    }

    /// How many of the wanted ones are of events accepted since then.
    fn count_since(&self, since: Timestamp, state: impl Fn(&str) -> State) -> usize {
        self.wanted(&state)
            .filter(|(place, _)| place.created_at >= since)
            .count()
    }

    /// Whether a page that found so many of `most` could lack some that were forgotten.
    pub(super) fn is_cut(&self, found: usize, most: usize) -> bool {
        self.dropped.is_some() && found < most
    }

    /// Behind what the next page begins, where this one is not full: `None` where there is nothing more.
    pub(super) fn goes_on(&self) -> Option<Cursor> {
        let cut = self.dropped.as_ref().and_then(|_| self.places.first());
        self.reached.as_ref().max(cut).cloned()
    }

    fn wanted(&self, state: &impl Fn(&str) -> State) -> impl Iterator<Item = (Cursor, &Story)> {
        let each = self.stories.deliveries().map(|story| (place_of(story), story));
        each.filter(move |(place, story)| {
            let (status, _) = story.status(&state(&story.integration));
            self.filter.statuses.take(status)
                && self.filter.spans(place.created_at)
                && self.filter.before.as_ref().is_none_or(|before| place < before)
                && self.reached.as_ref().is_none_or(|reached| place >= reached)
        })
    }

    /// Whether an entry about a delivery is taken; `wanted` is whether it speaks for one that is not known yet.
    fn takes(
        &self,
        place: &Cursor,
        take: Take,
        wanted: bool,
        provider: &signalbox_proto::Name,
        event_type: Option<&str>,
    ) -> bool {
        self.stories.get(&place.id).is_some()
            || take == Take::All
                && (wanted || self.one)
                && self.filter.takes(place, provider, event_type)
                && self.dropped.as_ref().is_none_or(|dropped| place > dropped)
                && self.reached.as_ref().is_none_or(|reached| place >= reached)
    }

    /// Remembers the place of a delivery, and forgets the oldest beyond the bound.
    fn keep(&mut self, id: &str) {
        // What is not of the wanted org or integration was not taken.
        let Some(story) = self.stories.get(id) else { return };
        let place = place_of(story);
        if let Some(before) = self.place_of.insert(id.to_owned(), place.clone()) {
            self.places.remove(&before);
        }
        self.places.insert(place);
        if self.places.len() > self.most
            && let Some(oldest) = self.places.pop_first()
        {
            self.stories.forget(&oldest.id);
            self.place_of.remove(&oldest.id);
            self.dropped = self.dropped.take().max(Some(oldest));
        }
    }
}

/// The type under which a delivery is found.
fn type_of(delivery: &Delivery) -> &str {
    if delivery.is_digest() {
        digest::EVENT_TYPE
    } else {
        delivery.event().event.event_type.as_str()
    }
}

/// A delivery without the data of its events, which no list shows.
fn light(mut delivery: Delivery) -> Delivery {
    for accepted in &mut delivery.events {
        accepted.event.data = RawJson::default();
        accepted.event.metadata.clear();
    }
    delivery.progress = None;
    delivery
}

#[cfg(test)]
mod tests;
