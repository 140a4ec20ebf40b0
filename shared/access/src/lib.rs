//! Who calls: API keys, what they may do, and for which org.
//!
//! A key is known by the SHA-256 of its text. The keys and orgs are followed from KV CONFIG into memory, so that a
//! request costs no question and a revocation counts within a second; the installation's own admin key is in the
//! settings and in no store. [`Access`] says who a request comes from, and [`Caller`] what that one may do:
//!
//! | What is wrong | Answer |
//! | --- | --- |
//! | no key, or a header that is none | 401 `unauthenticated` |
//! | a key that is unknown, expired or revoked | 401 `bad_key`, the same for the three |
//! | the key lacks the scope | 403 `missing_scope` |
//! | another org than the key's is asked for, whether there is one or not | 403 `wrong_org` |
//! | more requests than the key has | 429 `too_many_requests` with `Retry-After` |
//!
//! A key is looked up by its hash: what comparing tells by its time is about a hash that nobody can choose.

mod caller;
mod config;
mod known;
mod rate;
mod refused;
mod text;

use std::{
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::http::HeaderMap;
use signalbox_broker::{
    Broker, Error,
    callers::{self, Change},
    outcomes,
    patience::patiently,
};
use signalbox_proto::{
    Key, Name, Record, Scope, Timestamp,
    key::{Principal, PrincipalKind},
    org::OrgStatus,
    refused::Refused,
};
use signalbox_runtime::{AdminKey, Problem, Process, auth, secret};
use tokio::sync::watch;

pub use caller::Caller;
pub use config::Config;
use known::{Entry, Known};
use rate::Rate;
use refused::Refusals;
pub use text::NewKey;

/// This crate's part of the section `auth`, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// What the installation's own key is called, in place of an id.
pub const ROOT_ID: &str = "admin";
/// Under which name refusals are reported.
const ROLE: &str = "access";
/// Between two looks at what was refused.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Seconds after which a caller is asked to come again while the keys are read.
const RETRY_AFTER_SECS: u32 = 2;

/// All who may call, as this process knows them. Clones share it.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    root: AdminKey,
    root_entry: Entry,
    per_second: Option<NonZeroU32>,
    known: RwLock<Known>,
    complete: watch::Sender<bool>,
    refusals: Arc<Refusals>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    /// Knows the admin key alone until the others are followed.
    pub fn new(root: AdminKey, config: &Config) -> Self {
        let per_second = NonZeroU32::new(config.requests_per_second);
        let key = Key {
            id: ROOT_ID.to_owned(),
            org: None,
            name: ROOT_ID.to_owned(),
            scopes: vec![Scope::Admin],
            principal: Principal {
                kind: PrincipalKind::Service,
                id: ROOT_ID.to_owned(),
            },
            expires_at: None,
            revoked_at: None,
            revision: 0,
        };
        let shared = Shared {
            root,
            root_entry: Entry::new(key, per_second.map(Rate::new).map(Arc::new)),
            per_second,
            known: RwLock::default(),
            complete: watch::Sender::new(false),
            refusals: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Follows the keys and orgs until the process is asked to stop. The process is not ready before all are known that
    /// were there at the start. Ends early with an error that does not pass by itself.
    ///
    /// While NATS is away, what was known last holds.
    pub async fn run(&self, broker: &Broker, process: &Process) -> Result<(), Error> {
        let health = process.health.component("access");
        health.not_ready("reading the API keys");
        let told = async {
            self.complete().await;
            health.ready();
            std::future::pending().await
        };
        let ended = tokio::select! {
            () = process.shutdown.requested() => Ok(()),
            followed = self.follow(broker) => followed,
            () = told => Ok(()),
            () = self.tell_refused(broker, &process.instance) => Ok(()),
        };
        self.tell(broker, &process.instance, true).await;
        ended
    }

    /// Tells the audit what this process refuses to keys that it knows. Ends never.
    async fn tell_refused(&self, broker: &Broker, instance: &str) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            self.tell(broker, instance, false).await;
        }
    }

    async fn tell(&self, broker: &Broker, instance: &str, is_end: bool) {
        for refused in self.shared.refusals.take(Timestamp::now(), is_end) {
            let record = Record::Refused(Refused {
                process: instance.to_owned(),
                ..refused.clone()
            });
            if let Err(error) = outcomes::store(broker, ROLE, instance, &record).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    key.id = refused.key_id,
                    "the audit cannot be told of a refusal yet"
                );
                self.shared.refusals.add(refused);
            }
        }
    }

    async fn follow(&self, broker: &Broker) -> Result<(), Error> {
        loop {
            let mut changes = patiently("following the API keys", || callers::follow(broker)).await?;
            while let Some(change) = changes.recv().await {
                self.learn(change);
            }
            // All that is there now is said again, and what is gone too.
            tracing::warn!("following the API keys ended; beginning again");
        }
    }

    /// Takes a change. Whoever has just written one says it here too, so that the next request to this process meets it.
    /// What is older than what is known is passed by.
    pub fn learn(&self, change: Change) {
        if change == Change::Complete {
            self.shared.complete.send_replace(true);
            return;
        }
        let rate = || self.shared.per_second.map(Rate::new).map(Arc::new);
        let mut known = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
        known.take(change, rate);
    }

    /// Waits until all keys and orgs are known that were there at the start.
    pub async fn complete(&self) {
        if *self.shared.complete.borrow() {
            return;
        }
        let mut complete = self.shared.complete.subscribe();
        // The sender lives as long as we do.
        drop(complete.wait_for(|complete| *complete).await);
    }

    /// Says who a request comes from. One whose key is not known yet, as this process has just started, waits until the
    /// keys are; not longer than this, then it is answered 503.
    pub async fn admit(&self, headers: &HeaderMap, within: Duration) -> Result<Caller, Problem> {
        match self.check(headers, Timestamp::now()) {
            Err(problem) if problem.code == auth::BAD_KEY && !*self.shared.complete.borrow() => {
                if tokio::time::timeout(within, self.complete()).await.is_err() {
                    return Err(Problem::unavailable(
                        "this process is still reading the API keys: try again",
                        RETRY_AFTER_SECS,
                    ));
                }
                self.check(headers, Timestamp::now())
            }
            checked => checked,
        }
    }

    /// Says who a request comes from, by what is known now.
    pub fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Problem> {
        let hash = secret::hash_text(auth::presented(headers)?);
        if self.shared.root.has_hash(&hash) {
            return Ok(self.caller(&self.shared.root_entry, true));
        }
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        let entry = known.key(&text::hex(&hash)).ok_or_else(auth::bad_key)?;
        match entry.key.refused(now) {
            None => Ok(self.caller(entry, false)),
            Some(ended) => {
                self.shared.refusals.note(&entry.key, ended.into(), now);
                Err(auth::bad_key())
            }
        }
    }

    fn caller(&self, entry: &Entry, is_root: bool) -> Caller {
        Caller::new(entry, is_root, self.shared.refusals.clone())
    }

    /// The status of an org; `None` where none of this name was made.
    pub fn org(&self, org: &Name) -> Option<OrgStatus> {
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        known.org(org)
    }
}

#[cfg(test)]
mod tests;
