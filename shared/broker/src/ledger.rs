//! The ledger check: every (event, integration) that matched has one final state.
//!
//! By identity, not by totals. It reads what moves first and what ended after, so that a delivery
//! that ends meanwhile is found; what seems missing is looked for once more.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    time::Duration,
};

use signalbox_proto::{
    Delivery, Record, Timestamp,
    act::{Did, Mark},
    dead::DeadLetter,
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
}

#[derive(Default)]
struct Rows {
    /// How each delivery ended, by its id.
    ended: HashMap<String, Row>,
    /// Deliveries that were seen waiting, with their generation.
    moving: HashMap<String, u32>,
    /// By event: how many integrations it matched, and which deliveries are known.
    events: HashMap<u64, (u32, HashSet<String>)>,
    no_route: HashSet<u64>,
    unreadable: u64,
}

impl Rows {
    fn owe(&mut self, seq: u64, matched: u32, delivery: &str) {
        let entry = self.events.entry(seq).or_default();
        entry.0 = entry.0.max(matched);
        entry.1.insert(delivery.to_owned());
    }

    fn move_on(&mut self, delivery: &Delivery) {
        for accepted in &delivery.events {
            self.owe(accepted.seq, delivery.matched, &delivery.id);
        }
        let generation = self.moving.entry(delivery.id.clone()).or_default();
        *generation = delivery.generation.max(*generation);
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
        let first = self.look_at_ledger(since).await?;
        if first.missing == 0 {
            return Ok(first);
        }
        tokio::time::sleep(SECOND_LOOK).await;
        self.look_at_ledger(since).await
    }

    async fn look_at_ledger(&self, since: Timestamp) -> Result<Report, Error> {
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
        let mut rows = Rows::default();
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
                    judge(&rows, seq, &mut report, &mut moving_ids);
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
        let mut dead: HashMap<u64, (String, u32)> = HashMap::new();
        self.scan(
            subjects::DEAD,
            vec![subjects::DEAD_ALL.to_owned()],
            From::Time(since),
            |message| {
                match wire::decode::<DeadLetter>(&message.body) {
                    Ok(DeadLetter {
                        delivery: Some(delivery),
                        reason,
                        ..
                    }) => {
                        for accepted in &delivery.events {
                            rows.owe(accepted.seq, delivery.matched, &delivery.id);
                        }
                        rows.end(&delivery.id, delivery.generation, reason.ledger());
                        dead.insert(message.place.seq, (delivery.id, delivery.generation));
                    }
                    Ok(_) => {}
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
                    Ok(Mark { did: Did::Discarded, seqs, .. }) => {
                        for (delivery, generation) in seqs.iter().filter_map(|seq| dead.get(seq)) {
                            rows.end(delivery, *generation, Final::Discarded);
                        }
                    }
                    Ok(_) => {}
                    Err(_) => rows.unreadable += 1,
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        Ok(())
    }
}

fn read_record(rows: &mut Rows, record: &Record) {
    match record {
        Record::NoRoute(ranges) => {
            for (first, last) in ranges {
                rows.no_route.extend(*first..=*last);
            }
        }
        Record::Attempt(attempt) => {
            for event in &attempt.events {
                rows.owe(event.seq, event.matched, &attempt.delivery);
            }
            if let Next::Final(state) = attempt.next {
                rows.end(&attempt.delivery, attempt.generation, state);
            }
        }
    }
}

fn judge(rows: &Rows, seq: u64, report: &mut Report, moving_ids: &mut Vec<String>) {
    report.events += 1;
    let Some((matched, deliveries)) = rows.events.get(&seq) else {
        if rows.no_route.contains(&seq) {
            report.no_route += 1;
        } else {
            report.missing += 1;
            if report.missing_events.len() < LIST_MAX {
                report
                    .missing_events
                    .push((seq, "neither a delivery nor no_route is known".into()));
            }
        }
        return;
    };
    let known = deliveries.len() as u64;
    let owed = u64::from(*matched).max(known);
    report.deliveries += owed;
    if owed > known {
        report.missing += owed - known;
        if report.missing_events.len() < LIST_MAX {
            report
                .missing_events
                .push((seq, format!("{} of {owed} deliveries are not known", owed - known)));
        }
    }
    for delivery in deliveries {
        match rows.state(delivery) {
            Some(Final::Delivered) => report.delivered += 1,
            Some(Final::Dead) => report.dead += 1,
            Some(Final::Expired) => report.expired += 1,
            Some(Final::Discarded) => report.discarded += 1,
            Some(Final::Unknown) => report.unreadable += 1,
            None if rows.moving.contains_key(delivery) => {
                report.moving += 1;
                if moving_ids.len() < LIST_MAX {
                    moving_ids.push(delivery.clone());
                }
            }
            None => {
                report.missing += 1;
                if report.missing_events.len() < LIST_MAX {
                    report.missing_events.push((
                        seq,
                        format!("delivery {delivery} was tried, but neither waits nor ended"),
                    ));
                }
            }
        }
    }
}
