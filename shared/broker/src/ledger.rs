//! The ledger check: every (event, integration) that matched has one final state.
//!
//! By identity, not by totals. It reads what moves first and what ended after, so that a delivery
//! that ends meanwhile is found; what seems missing is looked for once more.
//!
//! Two things may look like a loss and are none. An event that was accepted twice, because its repeat
//! came after the window, owes its deliveries once: they may all be known by the sequence of the other.
//! An event that stopped the router is a dead letter without a delivery. And one may hide a loss: a
//! replay to another integration is a delivery that the event never owed.
//!
//! A digest is no row of its own: what is known of it holds for each of its members, under the member's own id. So a
//! member is the same delivery while it waits in BATCH, as part of a digest, and when the digest is replayed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::ControlFlow,
    time::Duration,
};

use signalbox_proto::{
    Delivery, Event, Name, Record, Timestamp,
    act::{Did, Mark},
    dead::DeadLetter,
    delivery, event,
    ledger::{Final, Row},
    outcome::Next,
    subjects, wire,
};

use crate::{
    Broker, Error,
    topology::{Consumer, From},
};

/// Entries that the lists of a report hold at most.
const LIST_MAX: usize = 100;
/// The wait before what seems missing is looked for once more.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// What a check found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Accepted events that were checked: those that the router is through with.
    pub events: u64,
    /// Of them, those that matched nothing.
    pub no_route: u64,
    /// Deliveries that they owe.
    pub deliveries: u64,
    /// Ended as delivered.
    pub delivered: u64,
    /// Ended as dead.
    pub dead: u64,
    /// Ended as expired.
    pub expired: u64,
    /// Ended as discarded.
    pub discarded: u64,
    /// Not ended yet.
    pub moving: u64,
    /// Some of what has not ended, by delivery id.
    pub moving_ids: Vec<String>,
    /// Owed deliveries of which no stream knows anything.
    pub missing: u64,
    /// The events of some of them: sequence in EVENTS and what is wrong.
    pub missing_events: Vec<(u64, String)>,
    /// Accepted events that the router is not through with.
    pub unrouted: u64,
    /// Records that this version cannot read.
    pub unreadable: u64,
    /// From which acceptance on the check is complete.
    pub complete_since: Timestamp,
}

impl Report {
    /// Whether nothing is missing.
    pub fn is_even(&self) -> bool {
        self.missing == 0
    }

    fn count(&mut self, state: Final) {
        match state {
            Final::Delivered => self.delivered += 1,
            Final::Dead => self.dead += 1,
            Final::Expired => self.expired += 1,
            Final::Discarded => self.discarded += 1,
            Final::Unknown => self.unreadable += 1,
        }
    }

    fn miss(&mut self, seq: u64, count: u64, why: impl FnOnce() -> String) {
        self.missing += count;
        if self.missing_events.len() < LIST_MAX {
            self.missing_events.push((seq, why()));
        }
    }
}

/// What is known of one event's deliveries.
#[derive(Default)]
struct Known {
    /// How many integrations it matched.
    matched: u32,
    /// The deliveries, each with its lowest generation: those of a replay to another integration have
    /// none of generation 0.
    deliveries: BTreeMap<String, u32>,
}

/// Org, source and id of an event.
type Identity = (String, String, String);

fn identity_of(org: &Name, source: &str, id: &str) -> Identity {
    (org.to_string(), source.to_owned(), id.to_owned())
}

#[derive(Default)]
struct Rows {
    /// How each delivery ended, by its id.
    ended: HashMap<String, Row>,
    /// Deliveries that were seen waiting, with their generation.
    moving: HashMap<String, u32>,
    /// By event, those that have any delivery.
    events: HashMap<u64, Known>,
    /// Events that ended before they became deliveries.
    unmade: HashMap<u64, Final>,
    /// Identities that are looked at more closely, each with the deliveries owed under any sequence.
    closely: HashMap<Identity, HashSet<String>>,
    no_route: HashSet<u64>,
    unreadable: u64,
}

impl Rows {
    fn closely(identities: HashSet<Identity>) -> Self {
        let closely = identities.into_iter().map(|identity| (identity, HashSet::new()));
        Self {
            closely: closely.collect(),
            ..Self::default()
        }
    }

    fn owe(&mut self, seq: u64, matched: u32, delivery: &str, generation: u32) {
        let known = self.events.entry(seq).or_default();
        known.matched = known.matched.max(matched);
        let lowest = known.deliveries.entry(delivery.to_owned()).or_insert(generation);
        *lowest = generation.min(*lowest);
    }

    /// Takes the deliveries that an envelope stands for, and gives their ids.
    fn owe_all(&mut self, delivery: &Delivery) -> Vec<String> {
        let ids = delivery.member_ids();
        for ((index, accepted), id) in delivery.events.iter().enumerate().zip(&ids) {
            self.owe(accepted.seq, delivery.matched_of(index), id, delivery.generation);
            let event = &accepted.event;
            self.look_closely(&event.org, &event.source, &event.id, id, delivery.generation);
        }
        ids
    }

    fn look_closely(&mut self, org: &Name, source: &str, id: &str, delivery: &str, generation: u32) {
        if self.closely.is_empty() || generation > 0 {
            return;
        }
        if let Some(deliveries) = self.closely.get_mut(&identity_of(org, source, id)) {
            deliveries.insert(delivery.to_owned());
        }
    }

    fn move_on(&mut self, delivery: &Delivery) {
        for id in self.owe_all(delivery) {
            let generation = self.moving.entry(id).or_default();
            *generation = delivery.generation.max(*generation);
        }
    }

    fn end(&mut self, delivery: &str, generation: u32, state: Final) {
        let row = Row { generation, state };
        self.ended
            .entry(delivery.to_owned())
            .and_modify(|known| *known = known.join(row))
            .or_insert(row);
    }

    fn state(&self, delivery: &str) -> Option<Final> {
        let row = self.ended.get(delivery)?;
        match self.moving.get(delivery) {
            Some(generation) if *generation > row.generation => None,
            _ => Some(row.state),
        }
    }
}

impl Broker {
    /// Checks the ledger for events accepted since a time.
    pub async fn check_ledger(&self, since: Timestamp) -> Result<Report, Error> {
        let mut short = HashSet::new();
        let first = self.look_at_ledger(since, Rows::default(), &mut short).await?;
        if first.missing == 0 {
            return Ok(first);
        }
        tokio::time::sleep(SECOND_LOOK).await;
        let rows = Rows::closely(std::mem::take(&mut short));
        self.look_at_ledger(since, rows, &mut short).await
    }

    /// One look; `short` takes the identities of the events that lack something.
    async fn look_at_ledger(
        &self,
        since: Timestamp,
        mut rows: Rows,
        short: &mut HashSet<Identity>,
    ) -> Result<Report, Error> {
        let events = self.stream_state(subjects::EVENTS).await?;
        let mut floors = Vec::new();
        for partition in 0..self.config().partitions {
            floors.push(
                Consumer::router(partition, self.config().partitions)
                    .progress(self)
                    .await?
                    .ack_floor,
            );
        }
        self.read_moving(&mut rows).await?;
        self.read_ended(&mut rows, since).await?;
        // What moved from PARKED to a lane while the lanes had been read already.
        self.read_moving(&mut rows).await?;

        let mut report = Report {
            complete_since: self.ledger_complete_since(since).await?,
            ..Report::default()
        };
        report.unreadable = rows.unreadable;
        let partitions = self.config().partitions;
        let from = From::Time(since.max(report.complete_since));
        let mut moving_ids = Vec::new();
        self.scan(
            subjects::EVENTS,
            vec![subjects::EVENT_ALL.to_owned()],
            from,
            |message| {
                let seq = message.place.seq;
                if seq > events.last_seq {
                    return ControlFlow::Break(());
                }
                let partition = message
                    .subject
                    .split('.')
                    .nth(2)
                    .and_then(|token| token.parse::<u32>().ok())
                    .unwrap_or(0);
                let floor = floors
                    .get((partition % partitions.max(1)) as usize)
                    .copied()
                    .unwrap_or_default();
                if seq > floor {
                    report.unrouted += 1;
                } else {
                    let event = || wire::decode::<Event>(&message.body).ok();
                    let identity = || event().map(|event| identity_of(&event.org, &event.source, &event.id));
                    if !judge(&rows, seq, identity, &mut report, &mut moving_ids) {
                        short.extend(identity());
                    }
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        moving_ids.truncate(LIST_MAX);
        report.moving_ids = moving_ids;
        Ok(report)
    }

    /// OUTCOMES and DEAD let go of what is old: events accepted before that cannot be judged.
    async fn ledger_complete_since(&self, since: Timestamp) -> Result<Timestamp, Error> {
        let mut complete = since;
        for stream in [subjects::OUTCOMES, subjects::DEAD] {
            let state = self.stream_state(stream).await?;
            if state.first_seq > 1 {
                let first = self.read_from(stream, ">", state.first_seq, 1).await?;
                complete = complete.max(first.first().map_or_else(Timestamp::now, |stored| stored.at));
            }
        }
        Ok(complete)
    }

    async fn read_moving(&self, rows: &mut Rows) -> Result<(), Error> {
        let mut queues: Vec<(String, &str)> = self
            .providers()
            .await?
            .iter()
            .map(|provider| (subjects::deliver_stream(provider), ">"))
            .collect();
        queues.push((subjects::BATCH.to_owned(), subjects::BATCH_ALL));
        let [ordered, heads, ..] = subjects::ORDERED_SUBJECTS;
        queues.push((subjects::ORDERED.to_owned(), ordered));
        queues.push((subjects::ORDERED.to_owned(), heads));
        queues.push((subjects::PARKED.to_owned(), subjects::PARKED_ALL));
        for (stream, filter) in queues {
            self.scan_queue(&stream, filter, |stored| match wire::decode_delivery(&stored.body) {
                Ok(delivery) => rows.move_on(&delivery),
                Err(_) => rows.unreadable += 1,
            })
            .await?;
        }
        Ok(())
    }

    async fn read_ended(&self, rows: &mut Rows, since: Timestamp) -> Result<(), Error> {
        self.scan(
            subjects::OUTCOMES,
            vec![subjects::OUTCOME_ALL.to_owned()],
            From::Time(since),
            |message| {
                match wire::decode_records(&message.body) {
                    Ok((records, unknown)) => {
                        rows.unreadable += unknown as u64;
                        records.iter().for_each(|record| read_record(rows, record));
                    }
                    Err(_) => rows.unreadable += 1,
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        let mut dead = Dead::default();
        self.scan(
            subjects::DEAD,
            vec![subjects::DEAD_ALL.to_owned()],
            From::Time(since),
            |message| {
                match wire::decode::<DeadLetter>(&message.body) {
                    Ok(letter) => read_letter(rows, &mut dead, message.place.seq, letter),
                    Err(_) => rows.unreadable += 1,
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        self.scan(
            subjects::DEAD,
            vec![subjects::DEAD_MARKS.to_owned()],
            From::Time(since),
            |message| {
                match wire::decode::<Mark>(&message.body) {
                    Ok(mark) => read_mark(rows, &dead, &mark),
                    Err(_) => rows.unreadable += 1,
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        Ok(())
    }
}

/// What dead letters are about, by their sequence in DEAD.
#[derive(Default)]
struct Dead {
    deliveries: HashMap<u64, (Vec<String>, u32)>,
    events: HashMap<u64, u64>,
}

fn read_letter(rows: &mut Rows, dead: &mut Dead, seq: u64, letter: DeadLetter) {
    match (letter.delivery, letter.event_seq) {
        (Some(delivery), _) => {
            let ids = rows.owe_all(&delivery);
            for id in &ids {
                rows.end(id, delivery.generation, letter.reason.ledger());
            }
            dead.deliveries.insert(seq, (ids, delivery.generation));
        }
        (None, Some(event)) => {
            rows.unmade.insert(event, letter.reason.ledger());
            dead.events.insert(seq, event);
        }
        // An input that never was an event.
        (None, None) => {}
    }
}

fn read_mark(rows: &mut Rows, dead: &Dead, mark: &Mark) {
    if mark.did != Did::Discarded {
        return;
    }
    for seq in &mark.seqs {
        if let Some((deliveries, generation)) = dead.deliveries.get(seq) {
            for delivery in deliveries {
                rows.end(delivery, *generation, Final::Discarded);
            }
        }
        if let Some(event) = dead.events.get(seq) {
            rows.unmade.insert(*event, Final::Discarded);
        }
    }
}

fn read_record(rows: &mut Rows, record: &Record) {
    match record {
        Record::Refused(_) => {}
        Record::NoRoute(ranges) => {
            for (first, last) in ranges {
                rows.no_route.extend(*first..=*last);
            }
        }
        Record::Attempt(attempt) => {
            for event in &attempt.events {
                // Of a digest each event's own delivery; of any other this is its id.
                let key = event::key(&attempt.org, &event.source, &event.id);
                let id = delivery::id(&key, &attempt.integration);
                rows.owe(event.seq, event.matched, &id, attempt.generation);
                rows.look_closely(&attempt.org, &event.source, &event.id, &id, attempt.generation);
                if let Next::Final(state) = attempt.next {
                    rows.end(&id, attempt.generation, state);
                }
            }
        }
    }
}

/// Judges one event; false where something of it is missing.
fn judge(
    rows: &Rows,
    seq: u64,
    identity: impl Fn() -> Option<Identity>,
    report: &mut Report,
    moving_ids: &mut Vec<String>,
) -> bool {
    report.events += 1;
    let missing_before = report.missing;
    // Only an event that was short at the first look is looked at more closely.
    let elsewhere = |own: &BTreeMap<String, u32>| {
        let identity = if rows.closely.is_empty() { None } else { identity() };
        let all = identity.and_then(|identity| rows.closely.get(&identity));
        all.map_or(0, |all| {
            all.iter().filter(|delivery| !own.contains_key(*delivery)).count() as u64
        })
    };
    let Some(known) = rows.events.get(&seq) else {
        if rows.no_route.contains(&seq) {
            report.no_route += 1;
        } else if let Some(state) = rows.unmade.get(&seq) {
            report.deliveries += 1;
            report.count(*state);
        } else if elsewhere(&BTreeMap::new()) == 0 {
            report.miss(seq, 1, || "neither a delivery nor no_route is known".into());
        }
        return report.missing == missing_before;
    };
    let owned = known.deliveries.values().filter(|lowest| **lowest == 0).count() as u64;
    let extra = known.deliveries.len() as u64 - owned;
    let mut lacking = u64::from(known.matched).saturating_sub(owned);
    if lacking > 0 {
        lacking = lacking.saturating_sub(elsewhere(&known.deliveries));
    }
    report.deliveries += owned + extra + lacking;
    if lacking > 0 {
        let owed = owned + lacking;
        report.miss(seq, lacking, || format!("{lacking} of {owed} deliveries are not known"));
    }
    for delivery in known.deliveries.keys() {
        match rows.state(delivery) {
            Some(state) => report.count(state),
            None if rows.moving.contains_key(delivery) => {
                report.moving += 1;
                if moving_ids.len() < LIST_MAX {
                    moving_ids.push(delivery.clone());
                }
            }
            None => report.miss(seq, 1, || {
                format!("delivery {delivery} was tried, but neither waits nor ended")
            }),
        }
    }
    report.missing == missing_before
}

#[cfg(test)]
mod tests;
