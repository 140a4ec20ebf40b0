//! Giving up deliveries that go in the order of their keys.
//!
//! Such a delivery has a worker that knows it by heart. Where it was tried, the state of its key's first says that it is
//! given up, **before** its message is removed: the worker goes on at once, whichever of the two it reads first, and a
//! crash between them leaves it to the worker.

use signalbox_broker::{Error, outcomes};
use signalbox_proto::{Record, Timestamp, ledger::Final, subjects};

use super::waiting::{GIVEN_UP, Waiting, at_once};
use crate::{Keeper, settle};

/// What was read a while ago, as it stands now: with what was tried since, and without what has ended.
pub(super) async fn refresh(keeper: &Keeper, waiting: Vec<Waiting>) -> Result<Vec<Waiting>, Error> {
    let tried = waiting.iter().map(async |waiting| {
        if waiting.queue != subjects::ORDERED {
            return Ok(None);
        }
        keeper.broker.ordered_head(&waiting.delivery).await
    });
    let tried = at_once(tried).await?;
    let each = waiting.into_iter().zip(tried).filter_map(|(waiting, tried)| {
        let (own, id) = (waiting.delivery.generation, waiting.delivery.id.as_str());
        match tried.filter(|(_, first)| first.generation == own && first.id == id) {
            None => Some(waiting),
            Some((_, first)) if first.held || first.filed.is_some() => None,
            Some((_, delivery)) => Some(Waiting { delivery, ..waiting }),
        }
    });
    Ok(each.collect())
}

/// Tells the worker of a delivery that it is given up. False where it has gone on meanwhile: its message stays.
pub(super) async fn give_up(keeper: &Keeper, waiting: &Waiting) -> Result<bool, Error> {
    if waiting.queue != subjects::ORDERED {
        return Ok(true);
    }
    let record = settle::ended(&waiting.delivery, Final::Discarded, GIVEN_UP, Timestamp::now());
    let record = outcomes::encode(&Record::Attempt(record))?;
    keeper.broker.give_up_ordered(&waiting.delivery, record).await
}
