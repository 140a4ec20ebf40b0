//! Whether an org may publish more just now: its quota, and the high-water marks that a keeper found it above.
//!
//! | What | Over HTTP | Over NATS |
//! | --- | --- | --- |
//! | the org's quota is used up | 429 `quota_exceeded` | a dead letter of reason `rejected` |
//! | too much waits for the org | 429 `too_much_waiting` | a dead letter of reason `rejected` |
//! | what waits fills the storage | 503 `storage_full` | inputs wait in INGEST, which refuses producers when it is full |
//!
//! **Invariant:** what INGEST has acknowledged is stored: in EVENTS, or in DEAD. Where DEAD has no room for refusals
//! any more, inputs over NATS are accepted over quota and marks. The alternatives are worse: to drop them, to fill DEAD
//! so that no delivery can end in it, or to leave them in INGEST, where they would stand before those of other orgs.
//!
//! An input that comes again is not asked for again: it has had its turn, and EVENTS or DEAD had no room then.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use signalbox_broker::{Broker, Error, bounds::Known, patience::patiently};
use signalbox_proto::{
    Name, Timestamp,
    act::{Act, ActStatus, Kind},
    bounds::Over,
    subjects,
};
use signalbox_runtime::metrics::{Counter, Counters, Metrics};
use tokio::{sync::watch, time::Instant};

use crate::{
    Config,
    quota::{Take, Tokens},
};

/// Orgs that a process remembers the leases of; beyond, those that were quiet for [`QUIET`] are forgotten.
const ORGS_MAX: usize = 10_000;
/// A lease is worth nothing after this long.
const QUIET: Duration = Duration::from_secs(2);
/// How long an act is known without a look, and after its end: what it has sent may wait in INGEST.
const ACT_KNOWN: Duration = Duration::from_secs(60);
/// How long a process keeps the quota by itself where the counters do not answer.
const ALONE: Duration = Duration::from_secs(5);

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
    per_second: u32,
    orgs: Mutex<HashMap<Name, Arc<Org>>>,
    known: watch::Sender<Option<Known>>,
    /// Acts that are known, and until when that needs no look.
    acts: Mutex<HashMap<String, Instant>>,
    refused: Counters<1>,
    yielded: Counter,
}

/// One lease at a time is asked for an org.
#[derive(Default)]
struct Org(tokio::sync::Mutex<Leased>);

struct Leased {
    tokens: Tokens,
    used: Instant,
    /// While the counters do not answer: until when they are not asked, and what this process has counted itself.
    alone: Option<Instant>,
    counted: (i64, i64),
}

impl Default for Leased {
    fn default() -> Self {
        Self {
            tokens: Tokens::default(),
            used: Instant::now(),
            alone: None,
            counted: (0, 0),
        }
    }
}

impl Admission {
    /// Lets everything through until the marks are followed and known.
    pub fn new(broker: Broker, config: &Config, metrics: &Metrics) -> Self {
        let shared = Shared {
            broker,
            per_second: config.org_per_second,
            orgs: Mutex::default(),
            known: watch::Sender::new(None),
            acts: Mutex::default(),
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
        self.shared.per_second > 0
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

    /// Whether an event that INGEST holds may go on. `act` is the act that its message names.
    pub(crate) async fn admit_input(&self, org: &Name, act: Option<&str>) -> Result<(), Refusal> {
        if let Some(act) = act
            && self.shared.is_act(act).await
        {
            return Ok(());
        }
        let Err(refusal) = self.admit(org, 1).await else {
            return Ok(());
        };
        if self.with_marks(|marks| marks.refusals_full) == Some(true) {
            self.shared.yielded.inc();
            return Ok(());
        }
        self.count(&refusal, 1);
        Err(refusal)
    }

    /// Whether an input need not even be read, as nothing of its org may go on now. It saves a flood's inputs what
    /// reading costs, and the others the wait for it.
    pub(crate) fn refuse_unread(&self, org: &Name) -> Option<Refusal> {
        let (over, refusals_full) = self
            .with_marks(|marks| (marks.orgs.get(org).copied(), marks.refusals_full))
            .unwrap_or_default();
        if refusals_full {
            return None;
        }
        let per_second = self.shared.per_second;
        let refusal = match over {
            Some(over) => Refusal::Waiting { org: org.clone(), over },
            None if per_second > 0 => {
                let orgs = self.shared.orgs.lock().expect("no holder of the lock panics");
                // One that is locked asks for more just now.
                let leased = orgs.get(org)?.0.try_lock().ok()?;
                if !leased.tokens.is_used_up(per_second.into(), Timestamp::now().millis()) {
                    return None;
                }
                Refusal::Quota {
                    org: org.clone(),
                    per_second,
                }
            }
            None => return None,
        };
        self.count(&refusal, 1);
        Some(refusal)
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
        let per_second = self.shared.per_second;
        if per_second == 0 {
            return Ok(());
        }
        let refusal = |org: &Name| Refusal::Quota {
            org: org.clone(),
            per_second,
        };
        let asked = u32::try_from(events).unwrap_or(u32::MAX);
        if asked > per_second {
            return Err(Refusal::List {
                org: org.clone(),
                events,
                per_second,
            });
        }
        let leased = self.shared.leased(org);
        let mut leased = leased.0.lock().await;
        leased.used = Instant::now();
        loop {
            let now_ms = Timestamp::now().millis();
            match leased.tokens.take(asked.into(), per_second.into(), now_ms) {
                Take::Taken => return Ok(()),
                Take::Refused => return Err(refusal(org)),
                Take::Begin { second, follows } => {
                    let earlier = if follows {
                        self.shared.count(org, &mut leased, second - 2, 0).await
                    } else {
                        0
                    };
                    let before = self.shared.count(org, &mut leased, second - 1, 0).await;
                    leased.tokens.begin(second, [earlier, before], per_second.into());
                }
                Take::Ask { second, count } => {
                    let sum = self.shared.count(org, &mut leased, second, count).await;
                    let back = leased.tokens.answered(count, sum, per_second.into(), now_ms);
                    if back > 0 {
                        self.shared.count(org, &mut leased, second, -back).await;
                    }
                }
            }
        }
    }
}

fn end_of(known: &Known) -> Instant {
    known.since + Duration::from_secs(known.marks.holds_secs)
}

impl Shared {
    /// Whether this is an act that sends in again what was refused. Its id cannot be guessed.
    async fn is_act(&self, id: &str) -> bool {
        let now = Instant::now();
        let is_known = {
            let mut acts = self.acts.lock().expect("no holder of the lock panics");
            acts.retain(|_, until| *until > now);
            acts.contains_key(id)
        };
        // What a producer gives is no key, unless it looks like one.
        if is_known || uuid::Uuid::try_parse(id).is_err() {
            return is_known;
        }
        let known = match self.broker.get::<Act>(subjects::STATE, &subjects::act_key(id)).await {
            Ok(Some(entry)) => {
                let Act {
                    kind,
                    status,
                    updated_at,
                    ..
                } = entry.value;
                let is_recent = status == ActStatus::Running || Timestamp::now().since(updated_at) < ACT_KNOWN;
                matches!(kind, Kind::Replay { .. }) && is_recent
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, act = %id, "cannot see whether an input is sent in again by an act; it counts as any other");
                false
            }
        };
        if known {
            let mut acts = self.acts.lock().expect("no holder of the lock panics");
            acts.insert(id.to_owned(), now + ACT_KNOWN);
        }
        known
    }

    fn leased(&self, org: &Name) -> Arc<Org> {
        let mut orgs = self.orgs.lock().expect("no holder of the lock panics");
        if let Some(leased) = orgs.get(org) {
            return leased.clone();
        }
        if orgs.len() >= ORGS_MAX {
            // One that is locked is in use.
            orgs.retain(|_, leased| leased.0.try_lock().map_or(true, |leased| leased.used.elapsed() < QUIET));
        }
        orgs.entry(org.clone()).or_default().clone()
    }

    /// What the org has published in this second, these included. Where the counters do not answer each process counts
    /// for itself: to let nobody publish would do more harm than to let some publish more.
    async fn count(&self, org: &Name, leased: &mut Leased, second: i64, count: i64) -> i64 {
        if leased.alone.is_none_or(|until| until <= Instant::now()) {
            match self.broker.count_published(org, second, count).await {
                Ok(sum) => {
                    leased.alone = None;
                    return sum;
                }
                Err(error) => {
                    tracing::warn!(%error, org = %org, "what an org publishes cannot be counted together; this process counts alone");
                    leased.alone = Some(Instant::now() + ALONE);
                }
            }
        }
        let (counted_second, counted) = leased.counted;
        let sum = if counted_second == second {
            counted + count
        } else {
            count
        };
        // Seconds before are only asked about.
        if count != 0 {
            leased.counted = (second, sum);
        }
        sum
    }
}
