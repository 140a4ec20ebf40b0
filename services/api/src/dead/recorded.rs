//! Lists of dead letters from the database, with what DEAD has behind it.
//!
//! The database has an index of DEAD up to the recorder's position; what lies behind it is read from DEAD itself. Both
//! are parts of one sequence, so that nothing is in both. The letters themselves are in DEAD alone: one that it has let
//! go of is shown as the index has it (`kept: false`).

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use signalbox_broker::browse::{Marks, dead_letter_id};
use signalbox_proto::{DeadLetter, Name, Timestamp, act::DeadFilter, subjects};
use signalbox_runtime::Problem;
use signalbox_store::history::{Letter, LetterFilter, LetterGroup};

use super::{GROUPS_MAX, Group, GroupShown, Groups, Matcher, is_of};
use crate::{
    Shared,
    history::{Failed, History},
    problems,
    view::{self, HistoryList},
};

/// Dead letters behind the recorder's position that one page looks at.
const BEHIND_MAX: usize = 10_000;
/// How long groups wait for the recorder: a letter that is settled there is counted as such.
const CATCH_UP: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Groups of letters behind the position that are looked for in the database.
const MORE_GROUPS_MAX: usize = 50;

/// A page before it is shown.
#[derive(Default)]
struct Found {
    /// Behind the position.
    fresh: Vec<(u64, DeadLetter)>,
    /// Up to it.
    rows: Vec<Letter>,
    /// Before what the next page begins.
    next: Option<u64>,
}

impl Shared {
    /// A page of those before a sequence.
    pub(super) async fn recorded_letters(
        &self,
        filter: &DeadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryList<view::DeadLetter>, Failed> {
        let history = self.history().await?;
        let found = self.find_letters(&history, filter, before, limit).await?;
        let mut marks = Marks::default();
        self.marks_behind(history.dead, |mark| marks.add(&mark))
            .await
            .map_err(problems::broker)?;
        let mut seqs: Vec<u64> = found.rows.iter().map(|row| row.seq).collect();
        seqs.sort_unstable();
        let kept: HashMap<u64, DeadLetter> = self.dead_letters(&seqs).await?.into_iter().collect();
        let fresh = found.fresh.iter().map(|(seq, letter)| {
            let (replayed_at, discarded_at) = marks.of(*seq);
            Some(view::dead_letter(*seq, letter, replayed_at, discarded_at))
        });
        let rows = found.rows.iter().map(|row| shown(row, kept.get(&row.seq), &marks));
        let items = fresh.chain(rows).flatten().collect();
        Ok(HistoryList {
            items,
            next_cursor: found.next.map(dead_letter_id),
            truncated: false,
            recorded: true,
            hint: None,
            gaps: gaps(&history, filter, before, &found).await?,
        })
    }

    async fn find_letters(
        &self,
        history: &History<'_>,
        filter: &DeadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Found, Failed> {
        let mut found = Found::default();
        let edge = history.dead.seq;
        if before.is_none_or(|before| before > edge + 1) {
            let matcher = Matcher::new(filter)?;
            let add = |seq, letter| {
                found.fresh.push((seq, letter));
                if found.fresh.len() > limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            // Where nothing is recorded there is nothing else to look at.
            let most = if edge == 0 { usize::MAX } else { BEHIND_MAX };
            found.next = self.matching_behind(&matcher, edge, before, most, add).await?;
            if found.fresh.len() > limit {
                found.fresh.truncate(limit);
                found.next = found.fresh.last().map(|(seq, _)| *seq);
            }
        }
        if edge == 0 || found.next.is_some() {
            return Ok(found);
        }
        let left = limit - found.fresh.len();
        let before = before.map_or(edge + 1, |before| before.min(edge + 1));
        // One at least, to know whether the list goes on.
        let wanted = indexed(filter);
        let page = history.store.dead_letters(&wanted, Some(before), left.max(1));
        let page = history.ask(page).await?;
        if left > 0 {
            found.rows = page.items;
            found.next = page.next;
        } else if !page.items.is_empty() || page.next.is_some() {
            found.next = Some(edge + 1);
        }
        Ok(found)
    }

    /// Groups of those that match, the largest first.
    pub(super) async fn recorded_groups(
        &self,
        filter: &DeadFilter,
        limit: usize,
    ) -> Result<HistoryList<GroupShown>, Failed> {
        let history = self.caught_up().await?;
        let edge = history.dead.seq;
        let (mut groups, mut truncated) = (Groups::new(GROUPS_MAX), false);
        let mut marks = Marks::default();
        self.marks_behind(history.dead, |mark| marks.add(&mark))
            .await
            .map_err(problems::broker)?;
        let matcher = Matcher::new(filter)?;
        let most = if edge == 0 { usize::MAX } else { BEHIND_MAX };
        let add = |seq, letter| {
            groups.add(seq, letter, marks.is_settled(seq));
            ControlFlow::Continue(())
        };
        truncated |= self.matching_behind(&matcher, edge, None, most, add).await?.is_some();
        if edge > 0 {
            let wanted = indexed(filter);
            let page = history.store.dead_letter_groups(&wanted, Some(edge + 1), limit);
            let page = history.ask(page).await?;
            truncated |= page.truncated;
            let mut known: BTreeMap<String, LetterGroup> = page
                .items
                .into_iter()
                .map(|group| (group.fingerprint.clone(), group))
                .collect();
            let others: Vec<String> = groups
                .fingerprints()
                .filter(|one| !known.contains_key(*one))
                .cloned()
                .collect();
            truncated |= others.len() > MORE_GROUPS_MAX;
            for fingerprint in others.into_iter().take(MORE_GROUPS_MAX) {
                let one = LetterFilter {
                    fingerprint: Some(fingerprint),
                    ..wanted.clone()
                };
                let page = history.store.dead_letter_groups(&one, Some(edge + 1), 1);
                for group in history.ask(page).await?.items {
                    known.insert(group.fingerprint.clone(), group);
                }
            }
            for (fingerprint, group) in known {
                if let Some(group) = read_group(group) {
                    groups.join(fingerprint, group);
                }
            }
        }
        let name = |id: &str| Some(self.directory.by_id(id)?.name.clone());
        let mut list = groups.view(limit, name);
        list.truncated |= truncated;
        list.gaps = gaps(&history, filter, None, &Found::default()).await?;
        Ok(list)
    }

    /// History once the recorder has read what DEAD has now, or has had a while for it.
    async fn caught_up(&self) -> Result<History<'_>, Failed> {
        let began = Instant::now();
        let mut goal = None;
        loop {
            let history = self.history().await?;
            let goal = *goal.get_or_insert(history.dead.seq + history.dead.behind());
            if history.dead.seq >= goal || history.dead.seq == 0 || began.elapsed() >= CATCH_UP {
                return Ok(history);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// One dead letter of an org, where history can tell.
    pub(super) async fn recorded_letter(&self, org: &Name, seq: u64) -> Result<Option<view::DeadLetter>, Failed> {
        let history = self.history().await?;
        let edge = history.dead;
        let mut row = None;
        if seq <= edge.seq {
            row = history.ask(history.store.dead_letter(seq)).await?;
            // Pruned, or never there: only DEAD can say.
            if row.is_none() {
                return Err(Failed::Away);
            }
        }
        if row.as_ref().is_some_and(|row| row.org != org.as_str()) {
            // As much is read of what is another org's as of what is not there.
            self.dead_letters(&[seq]).await?;
            return Ok(None);
        }
        let mut marks = Marks::default();
        self.marks_behind(edge, |mark| marks.add(&mark))
            .await
            .map_err(problems::broker)?;
        let kept = self.dead_letters(&[seq]).await?.into_iter().next();
        Ok(match (row, kept) {
            (Some(row), kept) => shown(&row, kept.as_ref().map(|(_, letter)| letter), &marks),
            (None, Some((_, letter))) if is_of(org, letter.org.as_ref()) => {
                let (replayed_at, discarded_at) = marks.of(seq);
                Some(view::dead_letter(seq, &letter, replayed_at, discarded_at))
            }
            (None, _) => None,
        })
    }
}

/// What the database is asked for.
fn indexed(filter: &DeadFilter) -> LetterFilter {
    LetterFilter {
        org: filter.org.clone(),
        integration: filter.integration.clone(),
        provider: filter.provider.clone(),
        stage: filter.stage.map(|stage| stage.as_str().to_owned()),
        reason: filter.reason.map(|reason| reason.as_str().to_owned()),
        fingerprint: filter.fingerprint.clone(),
        event_type: filter.event_type.clone(),
        since: filter.since,
        until: filter.until,
    }
}

/// A dead letter of the index: as DEAD has it, where it still does.
fn shown(row: &Letter, kept: Option<&DeadLetter>, marks: &Marks) -> Option<view::DeadLetter> {
    let (replayed_at, discarded_at) = marks.of(row.seq);
    let replayed_at = replayed_at.max(row.marked.replayed_at);
    let discarded_at = discarded_at.max(row.marked.discarded_at);
    match kept.filter(|kept| kept.fingerprint == row.fingerprint) {
        Some(kept) => Some(view::dead_letter(row.seq, kept, replayed_at, discarded_at)),
        None => Some(view::DeadLetter {
            id: dead_letter_id(row.seq),
            stage: word(row.seq, &row.stage)?,
            reason: word(row.seq, &row.reason)?,
            message: row.message.clone(),
            fingerprint: row.fingerprint.clone(),
            org: row.org.parse().ok(),
            provider: row.provider.as_deref().and_then(|provider| provider.parse().ok()),
            integration_id: row.integration.clone(),
            event: None,
            event_ids: None,
            input_base64: None,
            delivery_id: row.delivery.clone(),
            attempts: Vec::new(),
            first_at: row.first_at,
            last_at: row.last_at,
            replayed_at,
            discarded_at,
            kept: false,
        }),
    }
}

/// A group as the index has it, by its newest.
fn read_group(group: LetterGroup) -> Option<Group> {
    let newest = group.examples.first()?;
    Some(Group {
        count: group.count,
        settled: group.settled,
        examples: group.examples.iter().map(|letter| letter.seq).collect(),
        stage: word(newest.seq, &newest.stage)?,
        reason: word(newest.seq, &newest.reason)?,
        message: newest.message.clone(),
        provider: newest.provider.as_deref().and_then(|provider| provider.parse().ok()),
        integration: newest.integration.clone(),
        first_at: group.first_at,
        last_at: group.last_at,
    })
}

/// Reads a word of the index. The reason of a newer version is read as unknown, by its type.
fn word<T: DeserializeOwned>(seq: u64, text: &str) -> Option<T> {
    serde_json::from_value(Value::from(text))
        .inspect_err(|error| tracing::error!(%error, seq, "cannot read a recorded dead letter"))
        .ok()
}

/// What was lost of DEAD in the time that a page covers.
async fn gaps(
    history: &History<'_>,
    filter: &DeadFilter,
    before: Option<u64>,
    found: &Found,
) -> Result<Vec<view::Gap>, Failed> {
    let at = |row: Option<&Letter>| row.map(|row| row.at);
    let from = at(found.rows.last()).filter(|_| found.next.is_some()).max(filter.since);
    let first = at(found.rows.first()).filter(|_| before.is_some());
    let to = [first, filter.until].into_iter().flatten().min();
    let forever = Timestamp::from_nanos(i64::MAX);
    let gaps = history
        .gaps(from.unwrap_or(Timestamp::MIN), to.unwrap_or(forever))
        .await?;
    let of_dead = gaps.into_iter().filter(|gap| gap.stream == subjects::DEAD);
    Ok(of_dead.map(view::Gap::from).collect())
}

/// The problem of a cursor that is none.
pub(super) fn read_cursor(cursor: Option<&str>) -> Result<Option<u64>, Problem> {
    let read = |text| signalbox_broker::browse::dead_letter_seq(text).ok_or_else(problems::no_cursor);
    cursor.map(read).transpose()
}
