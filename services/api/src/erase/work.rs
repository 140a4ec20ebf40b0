//! What an erasure does, step by step. Each step can be repeated, and the database says which one is next.
//!
//! 1. *withdrawing*: keys are revoked, integrations leave tombstones, workers hear of both; acts are cancelled. An org that is
//!    being erased takes nothing in from then on.
//! 2. *streams*: what INGEST, EVENTS, the queues and the buckets hold goes, again and again until nothing is found and no router
//!    or worker has anything in hand.
//! 3. *recording*: the recorder is waited for, because what it has not read would be a gap for it and come back later. Then
//!    records and dead letters go.
//! 4. *history*: what was read before the last of it went may still be sent: for as long as anybody may hold it, nothing is done.
//!    Then a last look finds nothing, or it begins again with the streams; and the rows go.
//!
//! The wait is behind *recording*, not before it, because acts read dead letters too: one wait behind the last removal is for
//! all that was read.

use std::time::Duration;

use serde_json::json;
use signalbox_broker::{
    Error as BrokerError,
    erase::{Mode, QUIET_FOR, Waiting, What},
};
use signalbox_proto::{Name, Timestamp, org::OrgStatus, subjects};
use signalbox_store::{
    Error as StoreError,
    audit::{Actor, Entry, Object, kind::ORG},
    erase::{Erasure, State, Withdrawn},
    outbox::Kind,
};
use uuid::Uuid;

use super::{Counts, EVENT, Progress, acts, what};
use crate::{Shared, acts::org_of, problems::chain};

/// How often a process looks whether there is something to erase.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Erasures that one look goes on with.
const OPEN_MAX: u32 = 20;
/// How long every process may take to hear that an org takes nothing in.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// How long what a worker has in hand is left to it: the longest timeout of a request, and its filing.
const IN_HAND_MAX: Duration = Duration::from_secs(75);
/// What an erasure waits for at last.
const HELD: &str = "what was read before is sent, or is dropped";
/// One process at a time erases; another one begins so long after it has ended without saying so.
const LEASE: &str = "erasing";
const LEASE_TTL: Duration = Duration::from_secs(30);

/// Why a step could not be done now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Hindered {
    #[error("the database does not take it")]
    Store(#[from] StoreError),
    #[error("NATS does not take it")]
    Broker(#[from] BrokerError),
}

/// Goes on with what is to be erased, again and again. Ends never.
pub(crate) async fn work(shared: &Shared) {
    loop {
        match look(shared).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                tracing::warn!(error = chain(&error), "erasing does not go on for a moment");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// One step of each erasure; whether there is more to do at once.
async fn look(shared: &Shared) -> Result<bool, Hindered> {
    let open = shared.store().erasures_open(OPEN_MAX).await?;
    if open.is_empty() {
        return Ok(false);
    }
    // Two at once would do no harm, but all the work twice.
    let Some(lease) = shared.broker.acquire(LEASE, "api", LEASE_TTL).await? else {
        return Ok(false);
    };
    let mut goes_on = false;
    let mut hindered = None;
    for erasure in open {
        match step(shared, &erasure).await {
            Ok(went_on) => goes_on |= went_on,
            // The others may still go on.
            Err(error) => hindered = Some(error),
        }
    }
    shared.broker.release(lease).await?;
    hindered.map_or(Ok(goes_on), Err)
}

async fn step(shared: &Shared, erasure: &Erasure) -> Result<bool, Hindered> {
    match erasure.state {
        State::Withdrawing => withdraw(shared, erasure).await,
        State::Streams => streams(shared, erasure).await,
        State::Recording => recorded(shared, erasure).await,
        State::History => history(shared, erasure).await,
        State::Done => Ok(false),
    }
}

/// Says how far it is, and goes to another step where `to` is one.
async fn save(shared: &Shared, erasure: &Erasure, progress: &Progress, to: State) -> Result<bool, Hindered> {
    let next = Erasure {
        progress: progress.json(),
        ..erasure.clone()
    };
    Ok(shared.store().step_erasure(&next, to, Timestamp::now()).await?)
}

async fn withdraw(shared: &Shared, erasure: &Erasure) -> Result<bool, Hindered> {
    while withdraw_some(shared, &erasure.org).await? {}
    acts::cancel(&shared.broker, &erasure.org).await?;
    // What could not be told is told by the sweep: workers have to know before anything is taken from them.
    let told = shared.store().untold_of(&erasure.org).await? == 0;
    let progress = Progress {
        waiting_for: (!told).then(|| "workers hear of the integrations that are gone".to_owned()),
        ..Progress::of(erasure)
    };
    let to = if told { State::Streams } else { State::Withdrawing };
    save(shared, erasure, &progress, to).await?;
    Ok(told)
}

/// Revokes some keys and withdraws some integrations; whether there were any.
async fn withdraw_some(shared: &Shared, org: &Name) -> Result<bool, Hindered> {
    let withdrawn = shared.store().withdraw(org, Timestamp::now()).await?;
    for hash in &withdrawn.keys {
        shared.tell(Kind::Key, hash).await;
    }
    for id in &withdrawn.integrations {
        shared.tell(Kind::Integration, id).await;
    }
    Ok(withdrawn != Withdrawn::default())
}

async fn streams(shared: &Shared, erasure: &Erasure) -> Result<bool, Hindered> {
    let (what, broker) = (what(erasure), &shared.broker);
    let now = Timestamp::now();
    if what.is_org() && now < erasure.changed_at + HEARD_WITHIN {
        return Ok(false);
    }
    let mut progress = Progress::of(erasure);
    if let What::Org(org) = &what {
        progress.counts.inputs += broker.erase_inputs(org, Mode::Erase).await?;
    }
    let overdue = now > erasure.changed_at + IN_HAND_MAX;
    let events = broker.erase_events(&what, Mode::Erase, overdue).await?;
    let waiting = broker.erase_waiting(&what, Mode::Erase, overdue).await?;
    progress.counts.events += events.erased;
    progress.counts.deliveries += waiting.erased;
    // What was found may have left something behind it: what is routed just now, what a worker writes down.
    let is_quiet = events == Waiting::default() && waiting == Waiting::default();
    progress.waiting_for = (!is_quiet).then(|| "workers finish what they have in hand".to_owned());
    if !is_quiet {
        save(shared, erasure, &progress, State::Streams).await?;
        return Ok(false);
    }
    if what.is_org() {
        progress.counts.entries += entries(shared, erasure, Mode::Erase).await?;
    }
    progress.outcomes = broker.stream_state(subjects::OUTCOMES).await?.last_seq;
    progress.dead = broker.stream_state(subjects::DEAD).await?.last_seq;
    save(shared, erasure, &progress, State::Recording).await
}

/// What buckets hold of an org.
async fn entries(shared: &Shared, erasure: &Erasure, mode: Mode) -> Result<u64, Hindered> {
    let (broker, org) = (&shared.broker, erasure.org.as_str());
    let mut erased = broker
        .erase_keys(
            subjects::IDEMPOTENCY,
            &subjects::idempotency_key(&erasure.org, "*"),
            mode,
        )
        .await?;
    for id in shared.store().integration_ids(&erasure.org).await? {
        for key in [
            subjects::state_key(&id),
            subjects::manifest_key(&id),
            subjects::drain_key(&id),
            subjects::health_key(&id),
            subjects::totals_key(&id),
        ] {
            erased += broker.erase_keys(subjects::STATE, &key, mode).await?;
        }
        for (bucket, key) in [
            (subjects::LEASE, subjects::totals_lease(&id)),
            (subjects::REFS, subjects::refs_key(&id, "*")),
            (subjects::LEASE, subjects::refs_lease(&id, "*")),
        ] {
            erased += broker.erase_keys(bucket, &key, mode).await?;
        }
        if mode == Mode::Erase {
            erased += broker
                .erase_former(subjects::CONFIG, &subjects::integration_key(&id))
                .await?;
        }
    }
    for act in broker.acts().await? {
        if org_of(&act.value) == Some(org) {
            erased += broker
                .erase_keys(subjects::STATE, &subjects::act_key(&act.value.id), mode)
                .await?;
        }
    }
    let types = broker.held(subjects::CONFIG, &subjects::type_key(org, ">")).await?;
    for (key, held) in types {
        if held.is_gone && mode == Mode::Count {
            continue;
        }
        erased += 1;
        if mode == Mode::Erase {
            // Who follows the bucket hears of it.
            broker.remove_older(subjects::CONFIG, &key, held.revision + 1).await?;
            broker.erase_former(subjects::CONFIG, &key).await?;
        }
    }
    if mode == Mode::Erase {
        for hash in shared.store().key_hashes(&erasure.org).await? {
            broker.delete(subjects::CONFIG, &subjects::key_key(&hash)).await?;
            erased += 1;
        }
        for key in broker
            .held(subjects::CONFIG, &subjects::name_keys(&erasure.org))
            .await?
            .into_keys()
        {
            erased += broker.erase_keys(subjects::CONFIG, &key, mode).await?;
        }
    }
    Ok(erased)
}

async fn recorded(shared: &Shared, erasure: &Erasure) -> Result<bool, Hindered> {
    let mut progress = Progress::of(erasure);
    for (stream, through) in [(subjects::OUTCOMES, progress.outcomes), (subjects::DEAD, progress.dead)] {
        let state = shared.broker.stream_state(stream).await?;
        let position = shared.store().position(stream).await?;
        // One that was made anew meanwhile has nothing of before.
        let reached = position.is_some_and(|position| position.incarnation != state.created || position.seq >= through);
        if !reached && through > 0 {
            progress.waiting_for = Some(format!("the recorder reads {stream}: signalbox run recorder"));
            save(shared, erasure, &progress, State::Recording).await?;
            return Ok(false);
        }
    }
    let what = what(erasure);
    progress.waiting_for = None;
    progress.counts.records += shared
        .broker
        .erase_records(&what, 1..=progress.outcomes, Mode::Erase)
        .await?;
    progress.counts.dead_letters += shared
        .broker
        .erase_letters(&what, 1..=progress.dead, Mode::Erase)
        .await?;
    // Another erasure may have put a copy of what held them behind that. Here it costs a moment, and later a whole round.
    let behind = progress.outcomes.saturating_add(1);
    let last = shared.broker.stream_state(subjects::OUTCOMES).await?.last_seq;
    if shared.broker.erase_records(&what, behind..=last, Mode::Count).await? > 0 {
        progress.outcomes = last;
        save(shared, erasure, &progress, State::Recording).await?;
        return Ok(false);
    }
    progress.waiting_for = Some(HELD.to_owned());
    save(shared, erasure, &progress, State::History).await
}

async fn history(shared: &Shared, erasure: &Erasure) -> Result<bool, Hindered> {
    let mut progress = Progress::of(erasure);
    let what = what(erasure);
    if Timestamp::now() < erasure.changed_at + QUIET_FOR {
        return Ok(false);
    }
    // What was made for it in the very moment in which it was closed.
    if what.is_org() && withdraw_some(shared, &erasure.org).await? {
        return save(shared, erasure, &progress, State::Streams).await;
    }
    if late(shared, &what, &progress).await? > 0 {
        return save(shared, erasure, &progress, State::Streams).await;
    }
    progress.counts.rows += match &erasure.event {
        None => shared.store().erase_org(&erasure.org).await?,
        Some((source, id)) => shared.store().erase_event(&erasure.org, source, id).await?,
    };
    progress.waiting_for = None;
    end(shared, erasure, &progress).await?;
    if erasure.event.is_none() {
        shared.tell(Kind::Org, erasure.org.as_str()).await;
    }
    tracing::info!(org = %erasure.org, erasure.id, rows = progress.counts.rows, "erased");
    Ok(true)
}

/// How much has come since all of it was erased: what was held meanwhile, what a worker that stood still has written.
///
/// Only what the next round removes counts, and nothing that others can go on sending in: so it comes to an end.
async fn late(shared: &Shared, what: &What, progress: &Progress) -> Result<u64, Hindered> {
    let broker = &shared.broker;
    let events = broker.erase_events(what, Mode::Count, true).await?.erased;
    let waiting = broker.erase_waiting(what, Mode::Count, true).await?.erased;
    let letters = broker.late_letters(what, progress.dead).await?;
    let records = progress.outcomes.saturating_add(1)..=broker.stream_state(subjects::OUTCOMES).await?.last_seq;
    let records = broker.erase_records(what, records, Mode::Count).await?;
    if events + waiting + letters + records > 0 {
        tracing::info!(org = %what.org(), events, waiting, letters, records, "something came late of what is being erased");
    }
    Ok(events + waiting + letters + records)
}

/// Says that it is done, with the entry of the audit.
async fn end(shared: &Shared, erasure: &Erasure, progress: &Progress) -> Result<(), Hindered> {
    let now = Timestamp::now();
    let mut change = shared.store().change().await?;
    let next = Erasure {
        progress: progress.json(),
        ..erasure.clone()
    };
    if !change.step_erasure(&next, State::Done, now).await? {
        return Ok(());
    }
    let (action, kind, id) = match &erasure.event {
        None => ("org.erased", ORG, erasure.org.as_str()),
        Some((_, id)) => ("event.erased", EVENT, id.as_str()),
    };
    if erasure.event.is_none() {
        change.set_org_status(&erasure.org, OrgStatus::Erased, now).await?;
        change.untitle_org(&erasure.org).await?;
    }
    let entry = Entry {
        id: Uuid::now_v7().to_string(),
        at: now,
        org: Some(erasure.org.clone()),
        actor: Actor::system("erasure"),
        key_id: None,
        address: None,
        request_id: None,
        action: action.to_owned(),
        object: Object {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: None,
        },
        before: None,
        after: Some(json!({ "erasure_id": erasure.id, "erased": progress.counts })),
    };
    change.audit(&entry).await?;
    change.commit().await?;
    Ok(())
}

/// How much there is to erase.
pub(super) async fn count(shared: &Shared, what: &What) -> Result<Counts, Hindered> {
    let broker = &shared.broker;
    let event = match what {
        What::Org(_) => None,
        What::Event { source, id, .. } => Some((&**source, &**id)),
    };
    let inputs = match what {
        What::Org(org) => broker.erase_inputs(org, Mode::Count).await?,
        What::Event { .. } => 0,
    };
    let waiting = broker.erase_waiting(what, Mode::Count, true).await?;
    let records = broker.stream_state(subjects::OUTCOMES).await?.last_seq;
    let dead = broker.stream_state(subjects::DEAD).await?.last_seq;
    Ok(Counts {
        inputs,
        events: broker.erase_events(what, Mode::Count, true).await?.erased,
        deliveries: waiting.erased,
        dead_letters: broker.erase_letters(what, 1..=dead, Mode::Count).await?,
        records: broker.erase_records(what, 1..=records, Mode::Count).await?,
        entries: 0,
        rows: shared.store().erasable(what.org(), event).await?,
    })
}
