//! What became of dead letters that may have been sent again: looked for before they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Duration,
};

use signalbox_broker::{Error, topology::From};
use signalbox_proto::{DeadLetter, Event, Name, Record, Timestamp, subjects, wire};

use crate::{Keeper, input::Again};

/// Clocks that differ, and what a server stored before it acknowledged.
const SLACK: Duration = Duration::from_secs(1);

/// What is looked for, each with the sequence of its dead letter.
#[derive(Debug)]
pub(crate) struct Sought {
    since: Timestamp,
    /// By id and generation.
    deliveries: BTreeMap<(String, u32), BTreeSet<u64>>,
    providers: BTreeSet<Name>,
    inputs: Vec<(Again, u64)>,
}

impl Sought {
    /// Nothing yet, sent at this time or later.
    pub(crate) fn since(since: Timestamp) -> Self {
        Self {
            since,
            deliveries: BTreeMap::new(),
            providers: BTreeSet::new(),
            inputs: Vec::new(),
        }
    }

    /// Looks for a delivery to this kind of target too.
    pub(crate) fn delivery(&mut self, id: String, generation: u32, provider: Name, seq: u64) {
        self.deliveries.entry((id, generation)).or_default().insert(seq);
        self.providers.insert(provider);
    }

    /// Looks for what became of an input too.
    pub(crate) fn input(&mut self, again: Again, seq: u64) {
        self.inputs.push((again, seq));
    }

    fn find(&self, found: &mut BTreeSet<u64>, id: String, generation: u32) {
        found.extend(self.deliveries.get(&(id, generation)).into_iter().flatten());
    }

    fn find_event(&self, found: &mut BTreeSet<u64>, event: &Event) {
        found.extend(
            self.inputs
                .iter()
                .filter(|(again, _)| again.became(event))
                .map(|(_, seq)| *seq),
        );
    }

    fn find_letter(&self, found: &mut BTreeSet<u64>, at: u64, letter: DeadLetter) {
        if let Some(delivery) = letter.delivery {
            self.find(found, delivery.id, delivery.generation);
        } else if let Some(input) = letter.input {
            let later = self.inputs.iter().filter(|(_, seq)| *seq < at);
            found.extend(later.filter(|(again, _)| again.is(&input)).map(|(_, seq)| *seq));
        }
    }
}

/// Of what is sought, the dead letters that were sent again.
///
/// A delivery is in a work queue until it is acknowledged, and by then in OUTCOMES or DEAD: one of
/// them has it if it was ever published. It may go from a queue that is read late to one that was read
/// early, so the queues are read once more at the end.
///
/// An input becomes an event or a dead letter. One that still waits in INGEST is not looked for there:
/// sent in again it comes right behind, under the same id, and EVENTS takes it once.
pub(crate) async fn of(keeper: &Keeper, sought: &Sought) -> Result<BTreeSet<u64>, Error> {
    let broker = &keeper.broker;
    let from = From::Time(sought.since - SLACK);
    let mut found = BTreeSet::new();
    read_queues(keeper, sought, &mut found).await?;
    if !sought.deliveries.is_empty() {
        broker
            .scan(
                subjects::OUTCOMES,
                vec![subjects::OUTCOME_ALL.to_owned()],
                from,
                |message| {
                    if let Ok((records, _)) = wire::decode_records(&message.body) {
                        for record in records {
                            if let Record::Attempt(attempt) = record {
                                sought.find(&mut found, attempt.delivery, attempt.generation);
                            }
                        }
                    }
                    ControlFlow::Continue(())
                },
            )
            .await?;
    }
    if !sought.inputs.is_empty() {
        broker
            .scan(
                subjects::EVENTS,
                vec![subjects::EVENT_ALL.to_owned()],
                from,
                |message| {
                    if let Ok(event) = wire::decode::<Event>(&message.body) {
                        sought.find_event(&mut found, &event);
                    }
                    ControlFlow::Continue(())
                },
            )
            .await?;
    }
    broker
        .scan(subjects::DEAD, vec![subjects::DEAD_ALL.to_owned()], from, |message| {
            if let Ok(letter) = wire::decode::<DeadLetter>(&message.body) {
                sought.find_letter(&mut found, message.place.seq, letter);
            }
            ControlFlow::Continue(())
        })
        .await?;
    read_queues(keeper, sought, &mut found).await?;
    Ok(found)
}

async fn read_queues(keeper: &Keeper, sought: &Sought, found: &mut BTreeSet<u64>) -> Result<(), Error> {
    if sought.deliveries.is_empty() {
        return Ok(());
    }
    // Only the streams of their own providers: another's that does not answer is no reason to wait.
    let streams = sought
        .providers
        .iter()
        .map(|provider| (subjects::deliver_stream(provider), ">"));
    let others = [
        (subjects::PARKED.to_owned(), subjects::PARKED_ALL),
        (subjects::ORDERED.to_owned(), subjects::ORDERED_ALL),
    ];
    for (stream, filter) in streams.chain(others) {
        keeper
            .broker
            .scan_queue(&stream, filter, |stored| {
                if let Ok(delivery) = wire::decode_delivery(&stored.body) {
                    sought.find(found, delivery.id, delivery.generation);
                }
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
