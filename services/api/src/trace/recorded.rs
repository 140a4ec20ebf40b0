//! What the database knows of an event: its deliveries, also those whose records the streams have let go of.

use std::collections::{BTreeSet, HashMap};

use signalbox_proto::{Accepted, Name, Timestamp, event, subjects, wire};
use signalbox_runtime::Problem;
use signalbox_store::history::{Member, Recorded};

use super::Read;
use crate::{
    Shared,
    history::{CLOCKS_APART, Edge, Failed, History},
    problems,
    story::Wanted,
    view,
};

/// Deliveries of one event that are read, so many at a time.
const ROWS_MAX: usize = 5_000;
const PART: usize = 500;
/// Dead letters of one event that are read: the newest.
const LETTERS_MAX: usize = 1_000;

/// The rows of an event's deliveries, with the members of the digests among them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    deliveries: Vec<Recorded>,
    members: Vec<(String, Member)>,
    is_cut: bool,
}

impl Rows {
    /// All that the database has of an event.
    pub(super) async fn read(history: &History<'_>, org: &Name, wanted: Wanted<'_>) -> Result<Self, Failed> {
        let mut rows = Self::default();
        let Wanted::Event { id, source, .. } = wanted else {
            return Ok(rows);
        };
        while !rows.is_cut {
            let after = rows.deliveries.last().map(|row| row.id.clone());
            let part = history
                .store
                .deliveries_of_event(org.as_str(), id, source, after.as_deref(), PART);
            let part = history.ask(part).await?;
            let is_last = part.len() < PART;
            rows.deliveries.extend(part);
            if is_last {
                break;
            }
            rows.is_cut = rows.deliveries.len() >= ROWS_MAX;
        }
        let digests: Vec<&str> = rows.digests().collect();
        if !digests.is_empty() {
            rows.members = history.ask(history.store.members(&digests)).await?;
        }
        Ok(rows)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    fn digests(&self) -> impl Iterator<Item = &str> {
        let digests = self
            .deliveries
            .iter()
            .filter(|row| row.about().event_type == signalbox_proto::digest::EVENT_TYPE);
        digests.map(|row| row.id.as_str())
    }

    /// Where EVENTS has, or had, the event.
    fn seqs(&self, wanted: Wanted<'_>) -> BTreeSet<u64> {
        let own = self.deliveries.iter().map(Recorded::about);
        let own = own.map(|about| (about.event_id.as_str(), about.event_source.as_str(), about.event_seq));
        let members = self.members.iter().map(|(_, member)| member);
        let members = members.map(|member| (member.event_id.as_str(), member.event_source.as_str(), member.event_seq));
        let of_it = own.chain(members).filter(|(id, source, _)| wanted.names(id, source));
        of_it.map(|(_, _, seq)| seq).collect()
    }
}

impl Shared {
    /// The event where the database says that it is, if EVENTS still has it.
    pub(super) async fn accepted_at(
        &self,
        org: &Name,
        wanted: Wanted<'_>,
        rows: &Rows,
    ) -> Result<Vec<Accepted>, Problem> {
        let mut found = Vec::new();
        for seq in rows.seqs(wanted) {
            let stored = self
                .broker
                .read_from(subjects::EVENTS, subjects::EVENT_ALL, seq, 1)
                .await;
            let stored = stored.map_err(problems::broker)?;
            let Some(stored) = stored.into_iter().find(|stored| stored.seq == seq) else {
                continue;
            };
            match wire::decode::<event::Event>(&stored.body) {
                Ok(event) if event.org == *org && wanted.names(&event.id, &event.source) => found.push(Accepted {
                    event,
                    seq,
                    at: stored.at,
                }),
                // EVENTS was made anew, and gave the sequence to another.
                Ok(_) => {}
                Err(error) => tracing::error!(%error, seq, "cannot read an event"),
            }
        }
        Ok(found)
    }
}

impl Read<'_> {
    /// Takes what the database knows, with the dead letters that DEAD still has.
    pub(super) async fn recall(
        &mut self,
        history: &History<'_>,
        org: &Name,
        rows: &Rows,
        seqs: &[u64],
    ) -> Result<(), Failed> {
        for row in &rows.deliveries {
            self.stories.recall(row);
        }
        let mut by_digest: HashMap<&str, Vec<Member>> = HashMap::new();
        for (digest, member) in &rows.members {
            by_digest.entry(digest).or_default().push(member.clone());
        }
        for (digest, members) in by_digest {
            self.stories.recall_members(digest, members);
        }
        self.stories.is_cut |= rows.is_cut;
        for seq in seqs {
            self.no_route |= history.ask(history.store.unrouted(*seq)).await?.is_some();
            let unmade = history.store.dead_letter_of_unrouted(org.as_str(), *seq);
            if let Some(letter) = history.ask(unmade).await? {
                self.stories.unmade.insert(*seq, (letter.seq, letter.message));
            }
        }
        self.letters(history, rows).await
    }

    async fn letters(&mut self, history: &History<'_>, rows: &Rows) -> Result<(), Failed> {
        let ids: Vec<&str> = rows.deliveries.iter().map(|row| row.id.as_str()).collect();
        let mut known = history.letters_of(&ids).await?;
        if known.len() > LETTERS_MAX {
            self.stories.is_cut = true;
            known.drain(..known.len() - LETTERS_MAX);
        }
        for letter in &known {
            if let Some(delivery) = &letter.delivery {
                self.stories.recall_letter(delivery, letter.seq);
            }
        }
        let seqs: Vec<u64> = known.iter().map(|letter| letter.seq).collect();
        for (seq, letter) in self.shared.dead_letters(&seqs).await? {
            self.stories.bury(seq, letter);
        }
        let Some(first) = known.iter().map(|letter| letter.at).min() else {
            return Ok(());
        };
        // Who did it, the marks alone say.
        if known.iter().any(|letter| letter.marked != Default::default()) {
            let stories = &mut self.stories;
            self.shared
                .marks_behind(Edge::of_nothing(first - CLOCKS_APART), |mark| stories.mark(&mark))
                .await
                .map_err(problems::broker)?;
        }
        Ok(())
    }

    /// What was lost of the time in which the event's deliveries moved: up to now, unless all of them have ended.
    pub(super) async fn lost(&mut self, history: &History<'_>, accepted: Option<Timestamp>) -> Result<(), Failed> {
        let stories = || self.stories.deliveries();
        let Some(from) = accepted.or_else(|| stories().filter_map(|story| story.created_at()).min()) else {
            return Ok(());
        };
        let seqs: BTreeSet<u64> = stories()
            .flat_map(|story| &story.events)
            .map(|event| event.seq)
            .collect();
        let is_whole = stories().next().is_some()
            && stories().all(|story| story.ended().is_some())
            && seqs.iter().all(|seq| self.routed_to(*seq) <= stories().count());
        let told = stories()
            .flat_map(|story| story.attempts())
            .map(|attempt| attempt.at)
            .max();
        let to = match told {
            Some(last) if is_whole => last,
            _ if self.no_route => from,
            _ => self.now,
        };
        let gaps = history.gaps(from, to).await?;
        self.lost = gaps.into_iter().map(view::Gap::from).collect();
        Ok(())
    }
}
