//! Closing one digest, or giving its members up where their integration was deleted.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use signalbox_broker::{
    Error,
    browse::Stored,
    digests::{Closing, Stage, Target},
    kv::Entry,
};
use signalbox_proto::{
    DeadLetter, DeadReason, Stage as Place, Timestamp, digest::Manifest, ledger::Final, subjects, wire,
};

use super::gathered::Due;
use crate::{Keeper, settle};

/// Requests to the server at a time, for one integration.
const AT_ONCE: usize = 16;
/// What an owner reads of a member whose integration is gone.
const DELETED: &str = "its integration was deleted";

/// What is to be done for an integration.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Members become a digest.
    Close(Due),
    /// A digest that was begun is resumed.
    Resume(Entry<Manifest>),
    /// Members end as discarded.
    GiveUp(Due),
}

impl Work {
    pub(super) fn of(due: Due) -> Self {
        if due.give_up {
            Self::GiveUp(due)
        } else {
            Self::Close(due)
        }
    }

    /// Whose it is.
    pub(super) fn integration(&self) -> &str {
        match self {
            Self::Close(due) | Self::GiveUp(due) => &due.integration,
            Self::Resume(entry) => &entry.value.integration,
        }
    }
}

/// What closing led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    /// The members of the integration up to this sequence in BATCH are settled.
    pub(super) through: u64,
    /// The events of the digest that went; 0 where none did.
    pub(super) events: u64,
}

impl Closed {
    fn without_digest(through: u64) -> Self {
        Self { through, events: 0 }
    }
}

/// Does it.
pub(super) async fn close(keeper: &Keeper, work: Work) -> Result<Closed, Error> {
    match work {
        Work::Resume(entry) => go_on(keeper, Closing::resume(entry)).await,
        Work::Close(due) => match first(keeper, &due).await? {
            Some(first) => go_on(keeper, Closing::begin(due.manifest(&first))).await,
            // All of them were given up by a person meanwhile.
            None => gone(keeper, &due).await,
        },
        Work::GiveUp(due) => match keeper.broker.manifest(&due.integration).await? {
            // What was begun is ended first: a worker ends it as discarded.
            Some(entry) => go_on(keeper, Closing::resume(entry)).await,
            None => give_up(keeper, &due).await,
        },
    }
}

async fn go_on(keeper: &Keeper, mut closing: Closing) -> Result<Closed, Error> {
    let integration = closing.manifest().integration.clone();
    while closing.stage() != Stage::Done {
        let known = |view: &crate::view::View| view.integrations.get(&integration).map(|known| known.revision);
        let target = Target {
            revision: keeper.view.read(known).unwrap_or_default(),
            state: keeper.view.state(&integration),
        };
        closing.step(&keeper.broker, &target).await?;
    }
    let manifest = closing.manifest();
    tracing::debug!(
        integration.id = integration,
        digest.id = manifest.id,
        events = manifest.count,
        "a digest is closed"
    );
    Ok(Closed {
        through: manifest.last,
        events: manifest.count.into(),
    })
}

/// The id of the first member that is still there: the digest is named after it.
async fn first(keeper: &Keeper, due: &Due) -> Result<Option<String>, Error> {
    let found = read(keeper, due, 1).await?;
    Ok(found.first().map(|stored| match wire::decode_delivery(&stored.body) {
        Ok(delivery) => delivery.id,
        Err(_) => String::new(),
    }))
}

/// Settles members of which none was found, if none is there: a server that is behind says so too, and what is settled
/// here is not looked for again.
async fn gone(keeper: &Keeper, due: &Due) -> Result<Closed, Error> {
    let subject = subjects::batch(&due.org, &due.integration);
    let there = keeper
        .broker
        .next_at_leader(subjects::BATCH, &subject, due.first)
        .await?;
    match there.filter(|seq| *seq <= due.last) {
        None => Ok(Closed::without_digest(due.last)),
        Some(_) => Err(Error::Request {
            what: format!("members of a digest of {}", due.integration),
            reason: "the server that was asked does not have them yet".to_owned(),
        }),
    }
}

/// Some of the members that are still there, the first of them first.
async fn read(keeper: &Keeper, due: &Due, most: usize) -> Result<Vec<Stored>, Error> {
    let subject = subjects::batch(&due.org, &due.integration);
    let mut part = keeper
        .broker
        .read_from(subjects::BATCH, &subject, due.first, most)
        .await?;
    part.retain(|stored| stored.seq <= due.last);
    Ok(part)
}

/// Ends members as discarded: the dead letters, the records, and then what held them.
async fn give_up(keeper: &Keeper, due: &Due) -> Result<Closed, Error> {
    let broker = &keeper.broker;
    let part = read(keeper, due, due.count as usize).await?;
    let ended = stream::iter(part.iter().map(|stored| bury(keeper, stored)));
    let ended: Vec<_> = ended.buffered(AT_ONCE).try_collect().await?;
    let records: Vec<_> = ended.into_iter().flatten().collect();
    if !records.is_empty() {
        settle::record(keeper, &records).await?;
    }
    stream::iter(part.iter().map(|stored| Ok(stored.seq)))
        .try_for_each_concurrent(AT_ONCE, |seq| broker.remove(subjects::BATCH, seq))
        .await?;
    // Its bytes may have been more than one part takes.
    match part.last() {
        Some(last) => Ok(Closed::without_digest(last.seq)),
        None => gone(keeper, due).await,
    }
}

async fn bury(keeper: &Keeper, stored: &Stored) -> Result<Option<signalbox_proto::Attempt>, Error> {
    let delivery = match wire::decode_delivery(&stored.body) {
        Ok(delivery) => delivery,
        Err(error) => {
            settle::bury_stored(&keeper.broker, subjects::BATCH, stored, &error.to_string()).await?;
            return Ok(None);
        }
    };
    let now = Timestamp::now();
    let next = delivery.next_hop();
    let id = next.hop_id();
    let letter = DeadLetter::of_delivery(Place::Delivery, DeadReason::Discarded, DELETED, next, now);
    keeper.broker.bury(&letter, &id).await?;
    Ok(Some(settle::ended(&delivery, Final::Discarded, DELETED, now)))
}
