//! Marks in DEAD: what acts did to dead letters, and what one of them may have done before it died.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
};

use signalbox_broker::{
    Error, Publish,
    browse::{Marks, dead_letter_seq},
    topology::From,
};
use signalbox_proto::{
    DeadLetter, Timestamp,
    act::{self, Act, Did, MARK_SEQS_MAX, Mark},
    subjects, wire,
};

use super::work::Work;
use crate::{
    Keeper,
    evidence::{self, Sought},
    input,
};

/// What the marks say.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) marks: Marks,
    /// What this act has replayed or given up itself.
    pub(super) own: HashSet<u64>,
    doubts: Doubts,
}

/// Reads all marks, once.
pub(super) async fn read(keeper: &Keeper, act: &Act) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    keeper
        .broker
        .scan(
            subjects::DEAD,
            vec![subjects::DEAD_MARKS.to_owned()],
            From::Seq(1),
            |message| {
                match wire::decode::<Mark>(&message.body) {
                    // The server's time, not the one of the keeper that wrote it: what became of the letters is looked
                    // for by the time at which the server stored it.
                    Ok(mark) => seen.add(mark, message.place.at, &act.id),
                    Err(error) => tracing::error!(%error, "cannot read a mark in DEAD"),
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
    Ok(seen)
}

impl Seen {
    /// Adds a mark that was stored at this time.
    fn add(&mut self, mark: Mark, at: Timestamp, own: &str) {
        self.marks.add(&mark);
        if mark.act == own && matches!(mark.did, Did::Replayed | Did::Discarded) {
            self.own.extend(&mark.seqs);
        }
        self.doubts.add(Mark { at, ..mark });
    }
}

/// Marks some dead letters for the act at work, and counts those that are done. `to` is where an intention goes.
pub(super) async fn mark(
    work: &mut Work<'_>,
    seen: &mut Seen,
    did: Did,
    seqs: Vec<u64>,
    to: Option<&str>,
) -> Result<(), Error> {
    let id = work.act.id.clone();
    mark_for(work, seen, &id, did, seqs, to).await
}

async fn mark_for(
    work: &mut Work<'_>,
    seen: &mut Seen,
    act: &str,
    did: Did,
    seqs: Vec<u64>,
    to: Option<&str>,
) -> Result<(), Error> {
    for part in seqs.chunks(MARK_SEQS_MAX) {
        let intends = did == Did::Intend;
        let mark = Mark {
            act: act.to_owned(),
            did,
            seqs: part.to_vec(),
            to: to.filter(|_| intends).map(str::to_owned),
            generation: if intends { work.act.generation } else { 0 },
            at: Timestamp::now(),
        };
        let subject = subjects::dead_mark(act);
        let publish = Publish {
            subject: subject.clone().into(),
            id: None,
            headers: Vec::new(),
            body: wire::encode(&mark)?.into(),
        };
        let published = work.keeper.broker.publisher().publish(publish).await;
        published.map_err(|source| Error::Publish { subject, source })?;
        if act == work.act.id && matches!(did, Did::Replayed | Did::Discarded) {
            work.act.done += part.len() as u64;
        }
        let at = mark.at;
        seen.add(mark, at, &work.act.id);
    }
    Ok(())
}

/// What any act intended and did not mark as done, of what this one is about: found where it went, or free to be
/// sent.
pub(super) async fn settle(work: &mut Work<'_>, seen: &mut Seen) -> Result<(), Error> {
    let broker = &work.keeper.broker;
    let doubtful = seen.doubts.about(&work.act);
    let Some(since) = doubtful.iter().map(|doubt| doubt.at).min() else {
        return Ok(());
    };
    let mut sought = Sought::since(since);
    for doubt in &doubtful {
        let found = broker
            .read_from(subjects::DEAD, subjects::DEAD_ALL, doubt.seq, 1)
            .await?;
        let stored = found.into_iter().find(|stored| stored.seq == doubt.seq);
        let Some(Ok(letter)) = stored.map(|stored| wire::decode::<DeadLetter>(&stored.body)) else {
            continue;
        };
        let to = doubt.to.as_deref();
        match (letter.delivery, letter.input) {
            (Some(dead), _) => {
                let provider = to.and_then(|to| {
                    let view = &work.keeper.view;
                    view.read(|view| Some(view.integrations.get(to)?.provider.clone()))
                });
                let provider = provider.unwrap_or_else(|| dead.provider.clone());
                let id = dead.id_at(to.unwrap_or(&dead.integration));
                let generation = act::next_generation(dead.generation, doubt.generation);
                sought.delivery(id, generation, provider, doubt.seq);
            }
            (None, Some(input)) => {
                if let Ok(again) = input::again(doubt.seq, input) {
                    sought.input(again, doubt.seq);
                }
            }
            (None, None) => {}
        }
    }
    let found = evidence::of(work.keeper, &sought).await?;
    tracing::info!(act.id = %work.act.id, doubtful = doubtful.len(), found = found.len(), "what earlier work left in doubt was looked for");
    let mut by_act: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for doubt in doubtful.into_iter().filter(|doubt| found.contains(&doubt.seq)) {
        by_act.entry(doubt.act).or_default().insert(doubt.seq);
    }
    for (act, seqs) in by_act {
        mark_for(work, seen, &act, Did::Replayed, seqs.into_iter().collect(), None).await?;
    }
    Ok(())
}

/// What acts have marked as intended and not as done: by dead letter, which acts and what.
#[derive(Debug, Default)]
struct Doubts(BTreeMap<u64, BTreeMap<String, Intent>>);

#[derive(Clone, Debug)]
struct Intent {
    at: Timestamp,
    to: Option<String>,
    generation: u32,
}

/// A dead letter that an act may have sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    seq: u64,
    act: String,
    at: Timestamp,
    to: Option<String>,
    generation: u32,
}

impl Doubts {
    /// Adds a mark; they come in the order in which they were made.
    fn add(&mut self, mark: Mark) {
        for seq in mark.seqs {
            match mark.did {
                Did::Intend => {
                    // The first of an act counts: what it sent then may be older than what it says now.
                    self.0
                        .entry(seq)
                        .or_default()
                        .entry(mark.act.clone())
                        .or_insert(Intent {
                            at: mark.at,
                            to: mark.to.clone(),
                            generation: mark.generation,
                        });
                }
                Did::Withdrawn => {
                    if let Some(acts) = self.0.get_mut(&seq) {
                        acts.remove(&mark.act);
                    }
                }
                Did::Replayed | Did::Discarded => {
                    self.0.remove(&seq);
                }
                Did::Unknown => {}
            }
        }
    }

    /// Those that an act has still before it.
    fn about(&self, act: &Act) -> Vec<Doubt> {
        let ids: BTreeSet<u64> = act.filter.ids.iter().filter_map(|id| dead_letter_seq(id)).collect();
        let ahead = |seq: &u64| *seq > act.cursor && *seq <= act.through;
        let asked_for = |seq: &u64| act.filter.ids.is_empty() || ids.contains(seq);
        let mut about = Vec::new();
        for (seq, acts) in self.0.iter().filter(|(seq, _)| ahead(seq) && asked_for(seq)) {
            about.extend(acts.iter().map(|(act, intent)| Doubt {
                seq: *seq,
                act: act.clone(),
                at: intent.at,
                to: intent.to.clone(),
                generation: intent.generation,
            }));
        }
        about
    }
}

#[cfg(test)]
mod tests;
