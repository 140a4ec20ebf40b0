//! Whether an org may publish more just now: its quota, and the high-water marks that a keeper found it above.
//!
//! | What | Over HTTP | Over NATS |
//! | --- | --- | --- |
//! | the org's quota is used up | 429 `quota_exceeded` | a dead letter of reason `rejected` |
//! | too much waits for the org | 429 `too_much_waiting` | a dead letter of reason `rejected` |
//! | what waits fills the storage | 503 `storage_full` | inputs wait in INGEST, which refuses producers when it is full |
//!
//! **Invariant:** what INGEST has acknowledged is stored: in EVENTS, or in DEAD. Where DEAD has no room for refusals
//! any more, or no keeper says that it has, inputs over NATS are accepted over quota and marks. The alternatives are
//! worse: to drop them, to fill DEAD so that no delivery can end in it, or to leave them in INGEST, where they would
//! stand before those of other orgs.
//!
//! An input that comes again is not asked for again: it has had its turn, and either its dead letter is in DEAD (see
//! [`crate::letters`]), or EVENTS or DEAD had no room then.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_broker::{Broker, Error, bounds::Known, patience::patiently};
use signalbox_proto::{Name, bounds::Over};
use signalbox_runtime::metrics::{Counter, Counters, Metrics};
use tokio::{sync::watch, time::Instant};

use crate::{
    Config,
    acts::Acts,
    leases::Leases,
    room::{Look, Room},
};

/// What a dead letter takes besides the body and the headers of its input, about.
const LETTER_BYTES: usize = 512;

/// Why an org may not publish just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its quota is used up.
    Quota { org: Name, per_second: u32 },
    /// It has more events than a second's quota, and so can never go.
    List { org: Name, events: usize, per_second: u32 },
    /// Too much waits for the org.
    Waiting { org: Name, over: Over },
    /// What waits fills the storage.
    Storage { over: Over },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota { org, per_second } => {
                write!(
                    f,
                    "org {org} published more than its quota of {per_second} events a second"
                )
            }
            Self::List {
                org,
                events,
                per_second,
            } => write!(
                f,
                "a list of {events} events is more than the quota of org {org}, {per_second} events a second: send \
                 lists of at most {per_second} events"
            ),
            Self::Waiting { org, over } => write!(
                f,
                "{} deliveries of org {org} wait, more than {}: resume or mend its integrations, or discard what waits",
                over.is, over.mark
            ),
            Self::Storage { over } => write!(
                f,
                "what waits takes {} bytes, more than {}: an operator has to mend what holds it up, to discard some, \
                 or to raise nats.storage_bytes",
                over.is, over.mark
            ),
        }
    }
}

impl Refusal {
    fn word(&self) -> &'static str {
        match self {
            Self::Quota { .. } | Self::List { .. } => "quota",
            Self::Waiting { .. } => "too_much_waiting",
            Self::Storage { .. } => "storage_full",
        }
    }
}

/// What decides it. Clones share it.
#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Broker,
    leases: Leases,
    acts: Acts,
    known: watch::Sender<Option<Known>>,
    /// What refusals over NATS may still take of DEAD.
    room: Mutex<Room>,
    refused: Counters<1>,
    yielded: Counter,
}

impl Admission {
    /// Keeps no marks until they are followed and known.
    pub fn new(broker: Broker, config: &Config, metrics: &Metrics) -> Self {
        let shared = Shared {
            leases: Leases::new(broker.clone(), config.org_per_second),
            acts: Acts::new(broker.clone()),
            broker,
            known: watch::Sender::new(None),
            room: Mutex::default(),
            refused: metrics.counters(
                "ingest_refused",
                "Events that were refused, by reason: quota, too_much_waiting, storage_full.",
                ["reason"],
            ),
            yielded: metrics.counter(
                "ingest_yielded",
                "Events that were accepted over quota or marks, as DEAD has no room for refusals.",
            ),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Follows the marks for as long as the future lives. Ends with an error that does not pass by itself.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        let follow = || self.shared.broker.follow_marks(&self.shared.known);
        patiently("following the high-water marks", follow).await
    }

    /// Tells when the marks change.
    pub(crate) fn changes(&self) -> watch::Receiver<Option<Known>> {
        self.shared.known.subscribe()
    }

    /// Whether orgs have a quota, so that whether an event may go is asked of a counter.
    pub(crate) fn has_quota(&self) -> bool {
        self.shared.leases.per_second() > 0
    }

    /// Whether what waits fills the storage, so that nothing may be pulled.
    pub(crate) fn is_storage_full(&self) -> bool {
        self.with_marks(|marks| marks.storage).flatten().is_some()
    }

    /// Whether a publisher over HTTP may publish these events, all of them.
    pub(crate) async fn admit_request(&self, org: &Name, events: usize) -> Result<(), Refusal> {
        let admitted = match self.with_marks(|marks| marks.storage).flatten() {
            Some(over) => Err(Refusal::Storage { over }),
            None => self.admit(org, events).await,
        };
        admitted.inspect_err(|refusal| self.count(refusal, events))
    }

    /// Whether an event that INGEST holds may go on. `act` is the act that its message names, `bytes` what its dead
    /// letter takes.
    pub(crate) async fn admit_input(&self, org: &Name, act: Option<&str>, bytes: usize) -> Result<(), Refusal> {
        if let Some(act) = act
            && self.shared.acts.sends_in(act, org).await
        {
            return Ok(());
        }
        let Err(refusal) = self.admit(org, 1).await else {
            return Ok(());
        };
        if !self.may_file(bytes) {
            self.shared.yielded.inc();
            return Ok(());
        }
        self.count(&refusal, 1);
        Err(refusal)
    }

    /// Whether an input need not even be read, as nothing of its org may go on now. It saves a flood's inputs what
    /// reading costs, and the others the wait for it. `events` is asked how many it holds.
    pub(crate) fn refuse_unread(&self, org: &Name, bytes: usize, events: impl FnOnce() -> usize) -> Option<Refusal> {
        let over = self.with_marks(|marks| marks.orgs.get(org).copied()).flatten();
        let per_second = self.shared.leases.per_second();
        let refusal = match over {
            Some(over) => Refusal::Waiting { org: org.clone(), over },
            None if per_second > 0 && self.shared.leases.is_used_up(org) => Refusal::Quota {
                org: org.clone(),
                per_second,
            },
            None => return None,
        };
        // Where there is no room for it, it goes on, and is counted there.
        if !self.may_file(bytes) {
            return None;
        }
        self.count(&refusal, events());
        Some(refusal)
    }

    /// A refusal was not filed. Where DEAD has no room, none is until a keeper has looked again.
    pub(crate) fn on_unfiled(&self, error: &Error) {
        if !error.is_transient() {
            tracing::warn!(%error, "the dead letter of a refused input is not taken; the input is accepted instead");
        } else if self.room().fill() {
            tracing::warn!(%error, "DEAD takes no refused inputs; all are accepted until a keeper has looked");
        }
    }

    /// Whether DEAD has room for a refusal of this many bytes, as far as is known; it counts then.
    fn may_file(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes.saturating_add(LETTER_BYTES)).unwrap_or(u64::MAX);
        let known = self.shared.known.borrow();
        let look = match known.as_ref() {
            None => Look::Never,
            Some(known) if Instant::now() >= end_of(known) => Look::Lapsed,
            Some(known) => Look::At(known.since, &known.marks),
        };
        self.room().take(look, bytes, self.shared.broker.config().storage_bytes)
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.shared.room.lock().expect("no holder of the lock panics")
    }

    fn count(&self, refusal: &Refusal, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.shared.refused.with([refusal.word()]).inc_by(events);
    }

    fn with_marks<T>(&self, read: impl FnOnce(&signalbox_proto::bounds::Marks) -> T) -> Option<T> {
        let known = self.shared.known.borrow();
        let known = known.as_ref().filter(|known| Instant::now() < end_of(known))?;
        Some(read(&known.marks))
    }

    async fn admit(&self, org: &Name, events: usize) -> Result<(), Refusal> {
        if let Some(over) = self.with_marks(|marks| marks.orgs.get(org).copied()).flatten() {
            return Err(Refusal::Waiting { org: org.clone(), over });
        }
        let per_second = self.shared.leases.per_second();
        if per_second == 0 {
            return Ok(());
        }
        let asked = u32::try_from(events).unwrap_or(u32::MAX);
        if asked > per_second {
            return Err(Refusal::List {
                org: org.clone(),
                events,
                per_second,
            });
        }
        if self.shared.leases.take(org, asked).await {
            return Ok(());
        }
        Err(Refusal::Quota {
            org: org.clone(),
            per_second,
        })
    }
}

fn end_of(known: &Known) -> Instant {
    known.since + Duration::from_secs(known.marks.holds_secs)
}
