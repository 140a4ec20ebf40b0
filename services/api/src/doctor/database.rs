//! The database, what workers know of it, and how far history is written.

use std::time::Duration;

use signalbox_proto::{Timestamp, subjects};
use signalbox_runtime::duration;
use signalbox_store::Store;

use super::{Finding, LIST_MAX, error, ok, warn};
use crate::{Shared, distribution, problems::chain};

/// A change should not wait this long until workers hear of it.
const TOLD_LATE: Duration = Duration::from_secs(15);
/// A record should not wait this long until it is in the database.
const RECORDED_LATE: Duration = Duration::from_secs(60);
/// How far back gaps of history are told.
const GAPS_SINCE: Duration = Duration::from_secs(7 * 86_400);

impl Shared {
    /// Looks at it; a database that is away is a finding, and the rest is looked at all the same.
    pub(super) async fn check_database(&self, now: Timestamp) -> Vec<Finding> {
        let Some(store) = self.opened.get() else {
            return vec![away("has not answered since this process started")];
        };
        match self.check_open(store, now).await {
            Ok(findings) => findings,
            Err(distribution::Error::Store(error)) => vec![away(&format!("does not answer: {}", chain(&error)))],
            Err(distribution::Error::Broker(error)) => vec![warn(
                format!(
                    "what workers know cannot be compared with the database: {}",
                    chain(&error)
                ),
                "see that NATS answers, then ask again",
            )],
        }
    }

    async fn check_open(&self, store: &Store, now: Timestamp) -> Result<Vec<Finding>, distribution::Error> {
        let mut findings = self.check_recorded(store, now).await?;
        let depth = store.outbox_depth().await?;
        let late = depth.oldest.map(|at| now.since(at)).filter(|age| *age > TOLD_LATE);
        if let Some(age) = late {
            findings.push(warn(
                format!(
                    "{} changes wait to be told to workers, the oldest for {}",
                    depth.count,
                    shown(age)
                ),
                "see that an API process runs and that NATS answers it: `signalbox run api`",
            ));
        }
        let drifts = self.drift().await?;
        let total = drifts.len();
        findings.extend(drifts.iter().take(LIST_MAX).map(|drift| {
            error(
                drift.says(),
                "`signalbox doctor --repair` makes the database count, and takes over what it does not know",
            )
        }));
        if total == 0 {
            findings.push(ok("workers know what the database says"));
        } else if total > LIST_MAX {
            findings.push(error(
                format!("{} more things differ", total - LIST_MAX),
                "`signalbox doctor --repair`",
            ));
        }
        Ok(findings)
    }

    async fn check_recorded(&self, store: &Store, now: Timestamp) -> Result<Vec<Finding>, distribution::Error> {
        let mut findings = Vec::new();
        for stream in [subjects::OUTCOMES, subjects::DEAD] {
            let state = self.broker.stream_state(stream).await?;
            let position = store.position(stream).await?;
            let is_same = position
                .as_ref()
                .is_some_and(|position| position.incarnation == state.created);
            let recorded = position.as_ref().filter(|_| is_same);
            let behind = state.last_seq - recorded.map_or(0, |position| position.seq).min(state.last_seq);
            // Messages are small batches: the age of the last that is recorded says little while nothing new comes.
            let first = self
                .broker
                .read_from(stream, ">", recorded.map_or(1, |position| position.seq + 1), 1)
                .await?;
            let age = first.first().map(|stored| now.since(stored.at)).unwrap_or_default();
            if behind > 0 && age > RECORDED_LATE {
                findings.push(warn(
                    format!(
                        "{behind} messages of {stream} are not in the history yet, the oldest for {}",
                        shown(age)
                    ),
                    "see that a recorder runs and writes (its /readyz says why not): `signalbox run recorder`",
                ));
            }
        }
        let gaps = store.gaps(now - GAPS_SINCE).await?;
        for gap in gaps.iter().take(LIST_MAX) {
            findings.push(warn(
                format!(
                    "history has a gap: {} messages of {} from between {} and {} were let go of before they were written",
                    gap.last_seq - gap.first_seq + 1,
                    gap.stream,
                    gap.since,
                    gap.until
                ),
                "keep a recorder running, and raise nats.outcomes_age_s or nats.storage_bytes so that records wait longer",
            ));
        }
        if findings.is_empty() {
            findings.push(ok("history is written up to now"));
        }
        Ok(findings)
    }
}

fn away(how: &str) -> Finding {
    error(
        format!("the database {how}"),
        "see that it runs and that store.url names it; deliveries go on meanwhile, and history follows later",
    )
}

fn shown(age: Duration) -> String {
    duration::format(Duration::from_secs(age.as_secs()))
}
