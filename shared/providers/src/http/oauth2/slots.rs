//! What this process knows of each grant: its token, or why there is none, and who is fetching one.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox_proto::Timestamp;
use tokio::sync::watch;

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
    /// Where it is said what is being fetched.
    fetching: Option<Said>,
}

/// What a fetch brought, to be said to all that wait for it.
type Brought = Option<Result<Arc<Token>, Failure>>;
type Said = watch::Receiver<Brought>;

/// What a request does for its token. Where a [`Turn`] is with it, the request also has one fetched.
pub(super) enum Look {
    /// Takes this one.
    Use(Arc<Token>, Option<Turn>),
    /// Goes without: the endpoint is left alone.
    Fail(Failure),
    /// Waits for the one that is being fetched.
    Wait(Wait, Option<Turn>),
}

/// The wait for a token.
pub(super) struct Wait(Said);

/// The right to fetch, which one has in this process. Dropped without a word it goes to the next.
pub(super) struct Turn {
    slot: Arc<Slot>,
    /// The token that is known, and is not to be brought again.
    known: Option<Arc<Token>>,
    said: watch::Sender<Brought>,
    is_over: bool,
}

impl Slot {
    /// What there is.
    pub(super) fn look(self: &Arc<Self>, now: Timestamp) -> Look {
        let mut known = self.known();
        let current = known.current.clone().filter(|token| token.is_usable(now));
        let failed = known.failed.as_ref().filter(|(_, until)| *until > now);
        match (current, failed, known.fetching.clone()) {
            (Some(token), None, None) if token.is_aged(now) => {
                let (_, turn) = self.turn(&mut known, Some(token.clone()));
                Look::Use(token, Some(turn))
            }
            (Some(token), ..) => Look::Use(token, None),
            (None, Some((failure, until)), _) => Look::Fail(failure.with_left(until.since(now))),
            (None, None, Some(said)) => Look::Wait(Wait(said), None),
            (None, None, None) => {
                let other_than = known.given_up.clone();
                let (said, turn) = self.turn(&mut known, other_than);
                Look::Wait(Wait(said), Some(turn))
            }
        }
    }

    fn turn(self: &Arc<Self>, known: &mut Known, token: Option<Arc<Token>>) -> (Said, Turn) {
        let (sender, said) = watch::channel(None);
        known.fetching = Some(said.clone());
        let turn = Turn {
            slot: self.clone(),
            known: token,
            said: sender,
            is_over: false,
        };
        (said, turn)
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of the lock panics")
    }
}

impl Wait {
    /// What was brought.
    pub(super) async fn end(mut self) -> Result<Arc<Token>, Failure> {
        let brought = self.0.wait_for(Option::is_some).await;
        let brought = brought.ok().and_then(|brought| brought.clone());
        brought.unwrap_or_else(|| Err(Failure::passing("the token endpoint was not asked to the end")))
    }
}

impl Turn {
    /// The token that is known, and is not to be brought again.
    pub(super) fn known(&self) -> Option<&Token> {
        self.known.as_deref()
    }

    /// Ends it with a token, for all that wait and all that come.
    pub(super) fn bring(mut self, token: Token) -> Arc<Token> {
        let mut known = self.slot.known();
        let is_again = known.current.as_ref().is_some_and(|current| token.is_no_later(current));
        let token = Arc::new(if is_again { token.not_renewed() } else { token });
        known.current = Some(token.clone());
        // Also where the endpoint gave the same one again: it has no other.
        known.given_up = None;
        known.failed = None;
        self.is_over = true;
        self.say(known, Ok(token.clone()));
        token
    }

    /// Ends it with the reason why there is none; the endpoint is left alone for a moment.
    pub(super) fn fail(mut self, failure: Failure, now: Timestamp) {
        let until = now + failure.pause();
        let mut known = self.slot.known();
        known.failed = Some((failure.clone(), until));
        self.is_over = true;
        self.say(known, Err(failure));
    }

    /// Under the lock, so that nobody finds neither a fetch nor what it brought.
    fn say(&self, mut known: MutexGuard<'_, Known>, brought: Result<Arc<Token>, Failure>) {
        known.fetching = None;
        self.said.send_replace(Some(brought));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.slot.known().fetching = None;
        }
    }
}

#[cfg(test)]
mod tests;
