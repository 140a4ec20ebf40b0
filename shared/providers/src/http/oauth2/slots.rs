//! What this process knows of each grant: its token, or why there is none, and who is fetching one.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_proto::Timestamp;

use super::{Grant, Vault, answer::Failure, token::Token};
use crate::http::kept::Kept;

/// Most grants whose tokens one process keeps; of more, the tokens that were used longest ago are fetched again.
const GRANTS_MAX: usize = 10_000;
/// A target that goes on answering 401 makes this process fetch a token no more often than this.
const REFUSED_APART: Duration = Duration::from_secs(5);

/// The tokens of a process.
pub(in crate::http) struct Tokens {
    pub(super) vault: Option<Arc<dyn Vault>>,
    slots: Mutex<Kept<[u8; 16], Arc<Slot>>>,
    /// This process's own, from 0 to 1: see [`Token::of`].
    pub(super) spread: f64,
}

impl Tokens {
    pub(in crate::http) fn new(vault: Option<Arc<dyn Vault>>) -> Self {
        Self {
            vault,
            slots: Mutex::new(Kept::at_most(GRANTS_MAX)),
            // The keys of the standard hasher are random.
            spread: RandomState::new().hash_one(()) as f64 / u64::MAX as f64,
        }
    }

    pub(super) fn slot(&self, grant: &Grant) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("no holder of the lock panics");
        slots.get_or(grant.place().digest, Arc::default)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

/// What is known of one grant.
#[derive(Default)]
pub(super) struct Slot {
    known: Mutex<Known>,
    /// Held by the one request that fetches.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    current: Option<Arc<Token>>,
    /// A token that the target refused, until there is another: a vault may still hold it.
    given_up: Option<Arc<Token>>,
    /// When that was last.
    given_up_at: Option<Timestamp>,
    /// The last failure, and until when it is the answer.
    failed: Option<(Failure, Timestamp)>,
}

/// What a request does for its token.
pub(super) enum Look {
    /// Takes this one.
    Use(Arc<Token>),
    /// Renews this one if nobody does, and takes it otherwise.
    Renew(Arc<Token>),
    /// Goes without: the endpoint is left alone.
    Fail(Failure),
    /// Fetches one, other than this if any.
    Fetch(Option<Arc<Token>>),
}

impl Slot {
    /// What there is.
    pub(super) fn look(&self, now: Timestamp) -> Look {
        let known = self.known();
        let current = known.current.as_ref().filter(|token| token.is_usable(now));
        let failed = known.failed.as_ref().filter(|(_, until)| *until > now);
        match (current, failed) {
            (Some(token), None) if token.is_aged(now) => Look::Renew(token.clone()),
            (Some(token), _) => Look::Use(token.clone()),
            (None, Some((failure, until))) => Look::Fail(failure.with_left(until.since(now))),
            (None, None) => Look::Fetch(known.given_up.clone()),
        }
    }

    /// Gives up a token that the target refused; false where that was done a moment ago and did not help. Of many requests
    /// that are refused with the same token, one does it and all go on with what comes instead.
    pub(super) fn give_up(&self, refused: &Arc<Token>, now: Timestamp) -> bool {
        let mut known = self.known();
        match &known.current {
            Some(current) if current.is_same(refused) => {}
            Some(_) | None => return true,
        }
        if known.given_up_at.is_some_and(|at| now.since(at) < REFUSED_APART) {
            return false;
        }
        known.given_up_at = Some(now);
        known.given_up = known.current.take();
        true
    }

    pub(super) fn keep(&self, token: Arc<Token>) {
        let mut known = self.known();
        known.current = Some(token);
        // Also where the endpoint gave the same one again: it has no other.
        known.given_up = None;
        known.failed = None;
    }

    pub(super) fn fail(&self, failure: Failure, now: Timestamp) {
        let until = now + failure.pause();
        self.known().failed = Some((failure, until));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
mod tests;
