//! Reading the database for deliveries, and of the streams what it does not have.
//!
//! The order is that of [`crate::history`]: the position of the recorder, the database, what waits, what lies behind the
//! position. What waits or has ended just now may have a row that the page of the database passed by, as it stood
//! otherwise then: those are looked up by their ids last.

use std::collections::HashMap;

use signalbox_broker::browse::Stored;
use signalbox_proto::{State, Timestamp};
use signalbox_store::{Error as StoreError, Store, history::Recorded};

use super::{
    kept::{Kept, Take},
    read::Reading,
};
use crate::{
    history::{CLOCKS_APART, Edge, Failed, History},
    story::Story,
    view,
};

/// Dead letters given up behind the recorder's position that one request looks for.
const GIVEN_UP_MAX: usize = 2_000;

impl Reading<'_> {
    /// Reads enough for a page of so many deliveries.
    pub(super) async fn recorded_page(&mut self, history: &History<'_>, limit: usize) -> Result<(), Failed> {
        if let Some(wanted) = self.filter.recorded() {
            let after = self.filter.before.as_ref();
            // One more than is shown: then no more than a page is read of what waits.
            let page = history.store.deliveries(&wanted, after, limit.saturating_add(1));
            self.kept.recall_page(history.ask(page).await?);
        }
        let accepted = self.kept.since();
        if self.filter.statuses.wait() {
            self.waiting(Take::All, accepted, limit).await?;
            self.behind(history.outcomes, history.dead, limit).await?;
        } else {
            // How what has ended really stands: replayed and waiting, or ended again just now.
            self.behind(history.outcomes, history.dead, limit).await?;
            self.waiting(Take::Known, accepted, limit).await?;
            let (outcomes, dead) = self.seen;
            self.behind(history.outcomes.moved_to(outcomes), history.dead.moved_to(dead), limit)
                .await?;
        }
        let states = self.states();
        let is_cut = history.ask(give_up(&mut self.kept, history.store)).await?;
        self.truncated |= is_cut;
        history
            .ask(look_up(&mut self.kept, history.store, limit, &states))
            .await?;
        let shown = self.kept.found(limit, self.states());
        let (digests, letters) = lacking(&shown);
        self.complete(history, &digests, &letters).await?;
        self.recorded = true;
        Ok(())
    }

    /// What was lost of the time that a page covers, which ends with this delivery where there are more.
    pub(super) async fn gaps(&self, history: &History<'_>, last: Option<&Story>) -> Result<Vec<view::Gap>, Failed> {
        let filter = self.filter;
        let from = last.and_then(Story::created_at).max(filter.since);
        let before = filter.before.as_ref().map(|before| before.created_at);
        let to = [before, filter.until].into_iter().flatten().min();
        let forever = Timestamp::from_nanos(i64::MAX);
        let gaps = history
            .gaps(from.unwrap_or(Timestamp::MIN), to.unwrap_or(forever))
            .await?;
        Ok(gaps.into_iter().map(view::Gap::from).collect())
    }

    /// Reads all that is known of one delivery, where the database knows it or it waits. Returns whether it does, and
    /// its message where it waits for its next attempt.
    pub(super) async fn recorded_one(
        &mut self,
        history: &History<'_>,
        id: &str,
    ) -> Result<(bool, Option<Stored>), Failed> {
        let is_recorded = self.recorded_row(history, id).await?;
        let stored = self.waiting_one(id).await?;
        if !is_recorded && self.story(id).is_none() {
            return Ok((false, stored));
        }
        self.behind(history.outcomes, history.dead, 1).await?;
        self.recorded = true;
        Ok((true, stored))
    }

    /// The same where it is known not to wait for its next attempt.
    pub(super) async fn recorded_end(&mut self, history: &History<'_>, id: &str) -> Result<bool, Failed> {
        if !self.recorded_row(history, id).await? && self.story(id).is_none() {
            return Ok(false);
        }
        self.behind(history.outcomes, history.dead, 1).await?;
        self.recorded = true;
        Ok(true)
    }

    /// Reads the row of a delivery, with its dead letters. From then on only its own queues are read.
    async fn recorded_row(&mut self, history: &History<'_>, id: &str) -> Result<bool, Failed> {
        let filter = self.filter;
        let row = history
            .ask(history.store.delivery(Some(filter.org.as_str()), id))
            .await?;
        let is_of_it = |row: &Recorded| {
            let is_of = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
            is_of(filter.integration.as_deref(), &row.integration)
        };
        let Some(row) = row.filter(is_of_it) else {
            return Ok(false);
        };
        if let Ok(provider) = row.provider.parse() {
            self.narrow = Some((provider, row.integration.clone()));
        }
        self.kept.recall(&row);
        let digests: Vec<String> = self
            .story(id)
            .filter(|story| story.lacks_members())
            .into_iter()
            .map(own_id)
            .collect();
        self.complete(history, &digests, &[]).await?;
        self.letters(history, &row).await
    }

    /// Reads the dead letters of a delivery that DEAD still has, with what was done to them.
    async fn letters(&mut self, history: &History<'_>, row: &Recorded) -> Result<bool, Failed> {
        let known = history.letters_of(&[row.id.as_str()]).await?;
        let Some(last) = known.last() else { return Ok(true) };
        self.kept.recall_letter(&row.id, last.seq);
        let first = known.iter().map(|letter| letter.at).min().unwrap_or_default();
        // Who did it, the marks alone say.
        if known.iter().any(|letter| letter.marked != Default::default()) {
            self.marks(Edge::of_nothing(first - CLOCKS_APART)).await?;
        }
        let seqs: Vec<u64> = known.iter().map(|letter| letter.seq).collect();
        for (seq, letter) in self.shared.dead_letters(&seqs).await? {
            self.kept.bury(seq, letter, Take::All);
        }
        Ok(true)
    }

    /// Reads the members of digests, and where the dead letters of deliveries are.
    async fn complete(&mut self, history: &History<'_>, digests: &[String], ids: &[String]) -> Result<(), Failed> {
        if !digests.is_empty() {
            let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
            let members = history.ask(history.store.members(&digests)).await?;
            self.kept.recall_members(members);
        }
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for letter in history.letters_of(&ids).await? {
                if let Some(delivery) = &letter.delivery {
                    self.kept.recall_letter(delivery, letter.seq);
                }
            }
        }
        Ok(())
    }
}

/// Looks for what a person gave up whose dead letter is recorded, where that it was given up is not yet. Returns whether
/// there is more of it than is looked for.
pub(super) async fn give_up(kept: &mut Kept<'_>, store: &Store) -> Result<bool, StoreError> {
    let (seqs, is_cut) = kept.given_up(GIVEN_UP_MAX);
    if seqs.is_empty() {
        return Ok(is_cut);
    }
    let letters = store.dead_letters_by_seq(&seqs).await?;
    let generations: HashMap<&str, u32> = letters
        .iter()
        .filter_map(|letter| Some((letter.delivery.as_deref()?, letter.generation?)))
        .collect();
    let ids: Vec<&str> = generations.keys().copied().collect();
    for row in store.deliveries_by_id(&ids).await? {
        if let Some(generation) = generations.get(row.id.as_str()) {
            kept.give_up(&row, *generation);
        }
    }
    Ok(is_cut)
}

/// Looks for the rows of those that a page of so many would show, until it shows none without.
pub(super) async fn look_up(
    kept: &mut Kept<'_>,
    store: &Store,
    limit: usize,
    states: &impl Fn(&str) -> State,
) -> Result<(), StoreError> {
    loop {
        let shown = kept.found(limit.saturating_add(1), states);
        let unknown: Vec<String> = shown
            .into_iter()
            .map(own_id)
            .filter(|id| !kept.is_looked_up(id))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = unknown.iter().map(String::as_str).collect();
        for row in store.deliveries_by_id(&ids).await? {
            kept.recall(&row);
        }
        for id in &unknown {
            kept.note_looked_up(id);
        }
    }
}

/// Digests without all of their members, and deliveries that may have a dead letter which nobody read.
fn lacking(shown: &[&Story]) -> (Vec<String>, Vec<String>) {
    let of = |lacks: fn(&Story) -> bool| shown.iter().copied().filter(|story| lacks(story)).map(own_id).collect();
    (of(Story::lacks_members), of(Story::lacks_letter))
}

fn own_id(story: &Story) -> String {
    story.id.clone()
}

#[cfg(test)]
mod tests;
