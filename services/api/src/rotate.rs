//! Changing the key that seals, while everything runs.
//!
//! Which key seals is said by the database, so that all processes of the API agree. A rotation goes through three states,
//! and any process of the API takes it on, also after the one that began it has ended:
//!
//! 1. *spreading*: the new key opens and nothing is sealed with it. This ends when every process that opens secrets has told
//!    that it has the key;
//! 2. *sealing*: every process of the API seals with the new key, and what is sealed with another is sealed anew, some at a
//!    time;
//! 3. *done*: everything in the database and in KV was opened with the new key alone.
//!
//! **Invariant:** nothing is sealed with a key that a process lacks. Each step is one conditional write, and can be
//! repeated.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use signalbox_broker::{Error as BrokerError, keyrings::Told};
use signalbox_proto::{
    Integration, Timestamp,
    integration::{Sealed, Status},
    subjects,
};
use signalbox_runtime::{Error as RuntimeError, Keyring};
use signalbox_store::{Error as StoreError, Store, outbox::Kind};

use crate::{Error, Shared, problems::chain, sealing};

/// What the database keeps it under.
pub(crate) const NAME: &str = "master_key";
/// How often a process looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Integrations that are read, and sealed anew, together.
const PART: u32 = 100;
/// The rest between two parts: changes of others find the database free.
const REST: Duration = Duration::from_millis(5);

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Spreading,
    Sealing,
    Done,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Spreading => "spreading",
            Self::Sealing => "sealing",
            Self::Done => "done",
        }
    }
}

/// Which key seals, or is about to, as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The key that everything is to be sealed with.
    pub(crate) key: String,
    /// The key before it.
    #[serde(default)]
    pub(crate) before: Option<String>,
    /// The keys that nothing needs once it is done.
    #[serde(default)]
    pub(crate) old: Vec<String>,
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) ended_at: Option<Timestamp>,
    /// Integrations that were to be sealed anew when that began.
    #[serde(default)]
    pub(crate) total: u64,
    /// Integrations that were.
    #[serde(default)]
    pub(crate) resealed: u64,
    /// Values, in the database and in KV, that were opened with the new key alone.
    #[serde(default)]
    pub(crate) opened: u64,
    /// Integrations whose secrets no key opens.
    #[serde(default)]
    pub(crate) unreadable: u64,
    /// What it cannot go on without.
    #[serde(default)]
    pub(crate) blocked: Option<String>,
}

impl Kept {
    /// A key that seals, and no other was asked for.
    fn settled(key: String) -> Self {
        Self {
            key,
            before: None,
            old: Vec::new(),
            state: State::Done,
            started_at: None,
            ended_at: None,
            total: 0,
            resealed: 0,
            opened: 0,
            unreadable: 0,
            blocked: None,
        }
    }

    /// The key that seals at this moment.
    pub(crate) fn seals(&self) -> &str {
        match (self.state, &self.before) {
            (State::Spreading, Some(before)) => before,
            _ => &self.key,
        }
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and numbers is always written")
    }
}

/// Why a step could not be done now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Hindered {
    #[error("the database does not take it")]
    Store(#[from] StoreError),
    #[error("NATS does not take it")]
    Broker(#[from] BrokerError),
    #[error("the keys cannot be used")]
    Keys(#[from] RuntimeError),
    #[error("what the database says of the master key is not of a known form")]
    Form,
}

/// What comes after a step.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Another one, at once.
    Go,
    /// A look a while later.
    Wait,
}

/// What the database says, with the text that it says it in.
pub(crate) async fn read(store: &Store) -> Result<Option<(String, Kept)>, Hindered> {
    let Some(text) = store.meta(NAME).await? else {
        return Ok(None);
    };
    let kept = serde_json::from_str(&text).map_err(|_| Hindered::Form)?;
    Ok(Some((text, kept)))
}

/// Makes the process seal with the key that the database names; where it names none yet, with the one that most is
/// sealed with.
///
/// # Errors
/// [`Error::MasterKey`] where that key is not here.
pub(crate) async fn adopt(keyring: &Keyring, store: &Store) -> Result<(), Error> {
    let kept = loop {
        match known(keyring, store).await {
            Ok(kept) => break kept,
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot read which key seals yet");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    };
    // A key that only opens so far is missed later, by the rotation, which waits for it.
    let key_id = kept.seals();
    if !keyring.has(key_id) && keyring.is_lost(key_id) {
        tracing::warn!(
            key = key_id,
            "the master key is lost, as secrets.lost_keys says: another one seals"
        );
        let next = Kept::settled(keyring.primary_id());
        while let Err(error) = store.set_meta(NAME, &next.text()).await {
            tracing::warn!(error = chain(&error), "cannot say which key seals yet");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        return Ok(());
    }
    keyring.seal_with(key_id).map_err(|_| Error::MasterKey {
        key_id: key_id.to_owned(),
        known: keyring.key_ids().join(", "),
    })
}

async fn known(keyring: &Keyring, store: &Store) -> Result<Kept, Hindered> {
    loop {
        if let Some((_, kept)) = read(store).await? {
            return Ok(kept);
        }
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        each(store, |integration| {
            if let Some(sealed) = &integration.sealed {
                *counts.entry(sealed.key_id.clone()).or_default() += 1;
            }
        })
        .await?;
        let most = counts
            .into_iter()
            .filter(|(key, _)| keyring.has(key))
            .max_by_key(|(_, count)| *count);
        let key = most.map_or_else(|| keyring.primary_id(), |(key, _)| key);
        // Of several processes one says it.
        store.replace_meta(NAME, None, &Kept::settled(key).text()).await?;
    }
}

/// Every integration of the database that lives, some at a time.
async fn each(store: &Store, mut see: impl FnMut(&Integration)) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let part = store.all_integrations(after.as_deref(), PART).await?;
        for stored in &part {
            if stored.integration.status != Status::Deleted {
                see(&stored.integration);
            }
        }
        match part.last() {
            Some(last) => after = Some(last.integration.id.clone()),
            None => return Ok(()),
        }
    }
}

/// Takes rotations to their end, again and again. Ends never.
pub(crate) async fn work(shared: &Shared) {
    loop {
        match step(shared).await {
            Ok(Next::Go) => {}
            Ok(Next::Wait) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the master key is not rotated further for a moment"
                );
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn step(shared: &Shared) -> Result<Next, Hindered> {
    let Some((text, kept)) = read(shared.store()).await? else {
        return Ok(Next::Wait);
    };
    match kept.state {
        State::Spreading => spread(shared, &text, kept).await,
        State::Sealing => seal(shared, &text, kept).await,
        State::Done => settle(shared, &kept).await,
    }
}

/// Waits until every process has the new key.
async fn spread(shared: &Shared, text: &str, kept: Kept) -> Result<Next, Hindered> {
    let told = shared.broker.keyrings().await?;
    // This process tells too: nothing told means that it could not be told.
    if told.is_empty() || !lacking(&told, &kept.key).is_empty() || !shared.keyring.has(&kept.key) {
        return Ok(Next::Wait);
    }
    let mut total = 0;
    each(shared.store(), |integration| {
        total += u64::from(is_sealed_otherwise(integration, &kept.key));
    })
    .await?;
    tracing::info!(
        key = kept.key,
        integrations = total,
        "everything is sealed with another master key"
    );
    let next = Kept {
        state: State::Sealing,
        total,
        ..kept
    };
    shared.store().replace_meta(NAME, Some(text), &next.text()).await?;
    Ok(Next::Go)
}

/// Seals anew what is sealed with another key, and ends where that is nothing any more.
async fn seal(shared: &Shared, text: &str, kept: Kept) -> Result<Next, Hindered> {
    seal_with(shared, &kept.key).await?;
    let told = shared.broker.keyrings().await?;
    let all_seal = told
        .iter()
        .all(|told| told.seals_with.as_ref().is_none_or(|key| *key == kept.key));
    if told.is_empty() || !all_seal {
        return Ok(Next::Wait);
    }
    let mut after: Option<String> = None;
    let (mut text, mut kept) = (text.to_owned(), kept);
    let (mut unreadable, mut missed) = (0, false);
    loop {
        let part = shared.store().all_integrations(after.as_deref(), PART).await?;
        let Some(last) = part.last() else { break };
        after = Some(last.integration.id.clone());
        let others = part.iter().map(|stored| &stored.integration);
        let mut anew = Vec::new();
        for integration in others.filter(|integration| is_sealed_otherwise(integration, &kept.key)) {
            let sealed = integration.sealed.as_ref();
            match sealed.map(|sealed| sealing::again(&shared.keyring, &integration.id, sealed)) {
                Some(Ok(sealed)) => anew.push(Integration {
                    revision: integration.revision + 1,
                    sealed: Some(sealed),
                    ..integration.clone()
                }),
                // Nothing can be made of it; `doctor` names it.
                Some(Err(_)) => unreadable += 1,
                None => {}
            }
        }
        if anew.is_empty() {
            continue;
        }
        let Some(next) = commit(shared, &text, &kept, &anew).await? else {
            // Another process is at it: from the beginning.
            return Ok(Next::Go);
        };
        missed |= next.1.resealed - kept.resealed < anew.len() as u64;
        (text, kept) = next;
        futures::stream::iter(&anew)
            .for_each_concurrent(shared.config.apply_in_flight_max, |integration| {
                shared.tell(Kind::Integration, &integration.id)
            })
            .await;
        tokio::time::sleep(REST).await;
    }
    if missed {
        // An owner was faster, with the new key or with what was read before.
        return Ok(Next::Go);
    }
    finish(shared, &text, kept, unreadable).await
}

/// Writes some integrations and how far it is now, together; `None` where another process did meanwhile.
async fn commit(
    shared: &Shared,
    text: &str,
    kept: &Kept,
    anew: &[Integration],
) -> Result<Option<(String, Kept)>, Hindered> {
    let mut change = shared.store().change().await?;
    let mut count = 0;
    for integration in anew {
        let expected = integration.revision - 1;
        count += u64::from(
            change
                .reseal_integration(integration, expected, Timestamp::now())
                .await?,
        );
    }
    let next = Kept {
        resealed: kept.resealed + count,
        ..kept.clone()
    };
    let next_text = next.text();
    if !change.replace_meta(NAME, Some(text), &next_text).await? {
        return Ok(None);
    }
    change.commit().await?;
    Ok(Some((next_text, next)))
}

/// Opens everything with the new key alone, in the database and in KV, and says that it is done.
async fn finish(shared: &Shared, text: &str, kept: Kept, unreadable: u64) -> Result<Next, Hindered> {
    forget_former(shared).await?;
    let (mut opened, mut others) = (0, Vec::new());
    let opens = |id: &str, sealed: &Sealed| {
        sealed.key_id == kept.key
            && shared
                .keyring
                .open(&sealed.key_id, id.as_bytes(), &sealed.bytes)
                .is_ok()
    };
    let mut see = |id: &str, sealed: &Sealed| {
        if opens(id, sealed) {
            opened += 1;
        } else if shared.keyring.has(&sealed.key_id) && sealed.key_id != kept.key {
            others.push(id.to_owned());
        }
    };
    each(shared.store(), |integration| {
        if let Some(sealed) = &integration.sealed {
            see(&integration.id, sealed);
        }
    })
    .await?;
    shared.broker.each_sealed(&mut see).await?;
    let blocked = stuck(shared, others, &kept).await?;
    if blocked.is_some() {
        if blocked != kept.blocked {
            let next = Kept { blocked, ..kept };
            shared.store().replace_meta(NAME, Some(text), &next.text()).await?;
        }
        return Ok(Next::Wait);
    }
    let next = Kept {
        state: State::Done,
        ended_at: Some(Timestamp::now()),
        opened,
        unreadable,
        blocked: None,
        ..kept
    };
    if shared.store().replace_meta(NAME, Some(text), &next.text()).await? {
        tracing::info!(
            key = next.key,
            resealed = next.resealed,
            opened,
            "the master key is rotated"
        );
    }
    Ok(Next::Go)
}

/// Removes what KV still has of before: what the old key opens.
async fn forget_former(shared: &Shared) -> Result<(), Hindered> {
    let (stream, prefix) = (format!("KV_{}", subjects::CONFIG), format!("$KV.{}.", subjects::CONFIG));
    let filter = format!("{prefix}{}", subjects::integration_key("*"));
    let (counts, _) = shared.broker.subject_counts(&stream, &filter).await?;
    let several = counts.iter().filter(|(_, count)| **count > 1);
    // As a list, because the compiler cannot follow a borrowing closure into a future that may change threads.
    let each: Vec<_> = several
        .filter_map(|(subject, _)| subject.strip_prefix(&prefix))
        .map(|key| shared.broker.erase_former(subjects::CONFIG, key))
        .collect();
    let forgotten = futures::stream::iter(each).buffer_unordered(shared.config.apply_in_flight_max);
    forgotten.try_for_each(|_| std::future::ready(Ok(()))).await?;
    Ok(())
}

/// What is not sealed with the new key yet, in a sentence; none where all is. What KV was not told of yet is told.
async fn stuck(shared: &Shared, mut others: Vec<String>, kept: &Kept) -> Result<Option<String>, Hindered> {
    others.sort();
    others.dedup();
    let mut unknown = 0_u64;
    let mut untold = 0_u64;
    for id in &others {
        match shared.store().integration_by_id(id).await? {
            None => unknown += 1,
            Some(stored) => {
                let sealed = stored.integration.sealed.as_ref();
                // Of one that was deleted KV has what was before.
                if sealed.is_none_or(|sealed| sealing::again(&shared.keyring, id, sealed).is_ok()) {
                    untold += 1;
                    shared.tell(Kind::Integration, id).await;
                }
            }
        }
    }
    for id in others.iter().filter(|_| unknown + untold == 0) {
        tracing::warn!(
            integration.id = id,
            "its secrets open with no key, and are left as they are"
        );
    }
    let said = match (unknown, untold) {
        (0, 0) => None,
        (0, count) => Some(format!(
            "workers have {count} integrations sealed with another key than {}",
            kept.key
        )),
        (count, _) => Some(format!(
            "KV has {count} integrations that the database does not know, sealed with another key: \
             `signalbox doctor --repair` takes them over"
        )),
    };
    Ok(said)
}

/// Seals with the key, and removes those that nothing needs any more where they are ours to remove.
async fn settle(shared: &Shared, kept: &Kept) -> Result<Next, Hindered> {
    seal_with(shared, &kept.key).await?;
    let keyring = &shared.keyring;
    if keyring.is_ours() && kept.old.iter().any(|key| keyring.has(key)) {
        // Whoever begins a rotation adds a key: not at the same moment.
        let _beginning = shared.rotating.lock().await;
        keyring.remove_keys(&kept.old)?;
        tracing::info!(keys = ?kept.old, "removed master keys that nothing needs any more");
    }
    Ok(Next::Wait)
}

/// From now on this process seals with the key. What was sealed before is committed when this returns.
async fn seal_with(shared: &Shared, key: &str) -> Result<(), Hindered> {
    if shared.keyring.primary_id() == key {
        return Ok(());
    }
    let _nobody_seals = shared.sealing.write().await;
    shared.keyring.reload()?;
    Ok(shared.keyring.seal_with(key)?)
}

fn is_sealed_otherwise(integration: &Integration, key: &str) -> bool {
    let sealed = integration.sealed.as_ref();
    integration.status != Status::Deleted && sealed.is_some_and(|sealed| sealed.key_id != key)
}

/// The processes that lack a key.
pub(crate) fn lacking<'a>(told: &'a [Told], key: &str) -> Vec<&'a str> {
    let lacks = told.iter().filter(|told| !told.keys.iter().any(|known| known == key));
    lacks.map(|told| told.process.as_str()).collect()
}
