//! Where a delivery is or was: looked for before a replay whose outcome is in doubt is repeated.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use signalbox_broker::{Error, topology::From};
use signalbox_proto::{DeadLetter, Record, Timestamp, subjects, wire};

use crate::Keeper;

/// Which of these deliveries (id and generation, each with the sequence of its dead letter) some
/// stream knows of. A delivery is in a work queue until it is acknowledged, and by then in OUTCOMES:
/// one of them has it if it was ever published.
pub(crate) async fn of(
    keeper: &Keeper,
    sought: &BTreeMap<(String, u32), u64>,
    since: Timestamp,
) -> Result<BTreeSet<u64>, Error> {
    let mut found = BTreeSet::new();
    if sought.is_empty() {
        return Ok(found);
    }
    let broker = &keeper.broker;
    let mut queues: Vec<(String, &str)> =
        broker.providers().await?.iter().map(|provider| (subjects::deliver_stream(provider), ">")).collect();
    queues.push((subjects::PARKED.to_owned(), subjects::PARKED_ALL));
    for (stream, filter) in queues {
        broker
            .scan_queue(&stream, filter, |stored| {
                if let Ok(delivery) = wire::decode_delivery(&stored.body) {
                    found.extend(sought.get(&(delivery.id, delivery.generation)));
                }
            })
            .await?;
    }
    // A second of slack for clocks that differ.
    let from = From::Time(since - std::time::Duration::from_secs(1));
    broker
        .scan(subjects::OUTCOMES, vec![subjects::OUTCOME_ALL.to_owned()], from, |message| {
            if let Ok((records, _)) = wire::decode_records(&message.body) {
                for record in records {
                    if let Record::Attempt(attempt) = record {
                        found.extend(sought.get(&(attempt.delivery, attempt.generation)));
                    }
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
    broker
        .scan(subjects::DEAD, vec![subjects::DEAD_ALL.to_owned()], from, |message| {
            if let Ok(DeadLetter { delivery: Some(delivery), .. }) = wire::decode::<DeadLetter>(&message.body) {
                found.extend(sought.get(&(delivery.id, delivery.generation)));
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(found)
}
