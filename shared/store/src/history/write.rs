//! Writing a batch: one transaction, whatever it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use sqlx::AnyConnection;

use super::{
    batch::{Batch, Letter},
    bulk::Bulk,
    letters,
    position::{Move, advance},
    recorded::Recorded,
    rows,
    standing::Standing,
    stats,
};
use crate::{
    Error, Store,
    audit::{self, Entry},
    sql::{signed, storable},
};

/// What writing a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Deliveries that were not known before.
    pub new: usize,
    /// Deliveries that were known, and stand otherwise now or have more attempts.
    pub changed: usize,
}

impl Store {
    /// Writes a batch and takes the steps that it stands for: all of it or nothing.
    ///
    /// **Invariant:** every recorder passes all of its streams in the same order, also those in which it stays. So two
    /// recorders wait for each other, and the one that comes second finds itself overtaken: [`Error::Conflict`],
    /// nothing is written.
    pub async fn record(&self, batch: &Batch, steps: &[Move]) -> Result<Written, Error> {
        let mut transaction = self.begin().await?;
        let written = write(&mut transaction, batch, steps).await?;
        transaction.commit().await?;
        Ok(written)
    }

    /// Whether the database takes a batch with these steps now: it is written as by [`Store::record`], and taken back.
    pub(super) async fn takes(&self, batch: &Batch, steps: &[Move]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        write(&mut transaction, batch, steps).await?;
        transaction.rollback().await?;
        Ok(())
    }
}

async fn write(connection: &mut AnyConnection, batch: &Batch, steps: &[Move]) -> Result<Written, Error> {
    for step in steps {
        advance(connection, step).await?;
    }
    let given_up = write_letters(connection, batch).await?;
    let written = write_deliveries(connection, batch, &given_up).await?;
    write_members(connection, batch).await?;
    write_ranges(connection, batch).await?;
    write_refused(connection, batch).await?;
    Ok(written)
}

/// Writes dead letters and what was done to them. Returns how the deliveries stand whose letters were given up.
async fn write_letters(connection: &mut AnyConnection, batch: &Batch) -> Result<BTreeMap<String, Standing>, Error> {
    let mut given_up = BTreeMap::new();
    let seqs: BTreeSet<u64> = batch
        .letters
        .keys()
        .copied()
        .chain(batch.marks.keys().map(|(_, seq)| *seq))
        .collect();
    if seqs.is_empty() {
        return Ok(given_up);
    }
    let known = letters::by_seq(connection, &seqs.into_iter().collect::<Vec<_>>()).await?;
    let changed = settle_letters(known, batch);
    for letter in &changed {
        if let Some((delivery, standing)) = letter.given_up() {
            given_up.insert(delivery, standing);
        }
    }
    letters::write(connection, &changed).await?;
    Ok(given_up)
}

/// What is to be written, of what is known and what a batch tells.
fn settle_letters(known: Vec<Letter>, batch: &Batch) -> Vec<Letter> {
    let known: BTreeMap<u64, Letter> = known.into_iter().map(|letter| (letter.seq, letter)).collect();
    let mut all = known.clone();
    for letter in batch.letters.values() {
        match all.get(&letter.seq) {
            // Told again, or of a stream that there was before the one that is known.
            Some(known) if known.incarnation >= letter.incarnation => {}
            _ => {
                all.insert(letter.seq, letter.clone());
            }
        }
    }
    for ((incarnation, seq), marked) in &batch.marks {
        if let Some(letter) = all.get_mut(seq).filter(|letter| letter.incarnation == *incarnation) {
            letter.marked.join(*marked);
        }
    }
    let changed = all
        .into_values()
        .filter(|letter| known.get(&letter.seq) != Some(letter));
    changed.collect()
}

async fn write_deliveries(
    connection: &mut AnyConnection,
    batch: &Batch,
    given_up: &BTreeMap<String, Standing>,
) -> Result<Written, Error> {
    let ids: BTreeSet<&str> = batch
        .deliveries
        .keys()
        .chain(given_up.keys())
        .map(String::as_str)
        .collect();
    let known = rows::by_id(connection, &ids.iter().copied().collect::<Vec<_>>()).await?;
    let known: BTreeMap<&str, &Recorded> = known.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut written = Written::default();
    let mut changed = Vec::new();
    for id in ids {
        let before = known.get(id).copied();
        let Some(after) = settle(before, batch.deliveries.get(id), given_up.get(id)) else {
            continue;
        };
        match before {
            None => written.new += 1,
            Some(before) if *before == after => continue,
            Some(before) => {
                written.changed += 1;
                if before.about != after.about {
                    rows::correct(connection, id, &after.about).await?;
                }
            }
        }
        changed.push(after);
    }
    rows::write(connection, &changed).await?;
    stats::write(connection, &known, &changed).await?;
    Ok(written)
}

/// A delivery's row after this, of the row before and what is told of it. `None`: there is nothing to write, as all
/// that is told is that a person gave up what is no longer known.
fn settle(before: Option<&Recorded>, told: Option<&Recorded>, given_up: Option<&Standing>) -> Option<Recorded> {
    let mut after = match (before, told) {
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (Some(before), Some(told)) => {
            let mut after = before.clone();
            after.join(told.clone());
            after
        }
    };
    if let Some(standing) = given_up {
        after.stand(standing.clone());
    }
    Some(after)
}

async fn write_members(connection: &mut AnyConnection, batch: &Batch) -> Result<(), Error> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::rows(
            "insert into delivery_events (delivery_id, event_id, event_source, event_type, event_seq, created_at) \
             values ",
            6,
            " on conflict (delivery_id, event_seq) do nothing",
        )
    });
    let members: Vec<_> = batch.members.iter().collect();
    INSERT
        .execute(connection, &members, |parameters, (delivery, member)| {
            parameters.push(delivery.as_str());
            parameters.push(storable(&member.event_id).as_ref());
            parameters.push(storable(&member.event_source).as_ref());
            parameters.push(member.event_type.as_str());
            parameters.push(signed(member.event_seq));
            parameters.push(member.created_at.nanos());
        })
        .await
}

/// Writes what is told of sequences: of EVENTS that matched nothing, of what a stream let go of.
async fn write_ranges(connection: &mut AnyConnection, batch: &Batch) -> Result<(), Error> {
    static UNROUTED: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::rows(
            "insert into unrouted (first_seq, last_seq, at) values ",
            3,
            " on conflict (first_seq, at) do nothing",
        )
    });
    static GAPS: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::rows(
            "insert into gaps (stream, incarnation, first_seq, last_seq, since, until) values ",
            6,
            " on conflict (stream, incarnation, first_seq) do nothing",
        )
    });
    let unrouted: Vec<_> = batch.unrouted.iter().copied().collect();
    UNROUTED
        .execute(connection, &unrouted, |parameters, (first, last, at)| {
            parameters.push(signed(*first));
            parameters.push(signed(*last));
            parameters.push(at.nanos());
        })
        .await?;
    let gaps: Vec<_> = batch.gaps.iter().collect();
    GAPS.execute(connection, &gaps, |parameters, gap| {
        parameters.push(gap.stream.as_str());
        parameters.push(gap.incarnation.nanos());
        parameters.push(signed(gap.first_seq));
        parameters.push(signed(gap.last_seq));
        parameters.push(gap.since.nanos());
        parameters.push(gap.until.nanos());
    })
    .await
}

/// Writes what was refused to API keys. What is told twice is one entry.
async fn write_refused(connection: &mut AnyConnection, batch: &Batch) -> Result<(), Error> {
    for refused in &batch.refused {
        audit::insert(&mut *connection, &Entry::of_refused(refused)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
