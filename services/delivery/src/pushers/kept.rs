//! The totals of one integration as KV STATE keeps them, and how something is counted in while the lease is held.

use std::time::Duration;

use signalbox_broker::{Broker, Error, erase::Mode, kv::Entry};
use signalbox_proto::{integration::Status, subjects, totals::Totals};
use tokio::time::Instant;

/// How often a change is tried that another one came before. Under the lease nobody else changes totals, but for one who
/// has just lost it.
const CONFLICTS_MAX: usize = 20;
/// The pause before the next try.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// The pause after KV has not answered, or not well.
const SILENCE_PAUSE: Duration = Duration::from_millis(200);
/// For so long it is asked again. The lease may hold for longer: it is in another bucket.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Where totals are kept.
pub(super) trait Kept: Sync {
    /// The totals and their revision, where there are any.
    fn read(&self) -> impl Future<Output = Result<Option<Entry<Totals>>, Error>> + Send;
    /// Writes them in the place of those of this revision; 0 where there were none.
    fn write(&self, totals: &Totals, revision: u64) -> impl Future<Output = Result<u64, Error>> + Send;
    /// Whether there is an integration that they belong to.
    fn is_wanted(&self) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Removes them without a trace.
    fn remove(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The totals of an integration in KV STATE.
pub(super) struct InState<'a> {
    pub(super) broker: &'a Broker,
    pub(super) integration: &'a str,
}

impl Kept for InState<'_> {
    async fn read(&self) -> Result<Option<Entry<Totals>>, Error> {
        let key = subjects::totals_key(self.integration);
        self.broker.get(subjects::STATE, &key).await
    }

    async fn write(&self, totals: &Totals, revision: u64) -> Result<u64, Error> {
        let key = subjects::totals_key(self.integration);
        self.broker.update(subjects::STATE, &key, totals, revision).await
    }

    async fn is_wanted(&self) -> Result<bool, Error> {
        let found = self.broker.integration(self.integration).await?;
        Ok(found.is_some_and(|entry| entry.value.status != Status::Deleted))
    }

    async fn remove(&self) -> Result<(), Error> {
        let key = subjects::totals_key(self.integration);
        let erased = self.broker.erase_keys(subjects::STATE, &key, Mode::Erase).await;
        erased.map(|_| ())
    }
}

/// Stores totals into which `add` has counted; `None` where somebody else is at them, or they are wanted no more. Stored
/// also where nothing is new: what was read may be older than what another has pushed, and the condition of the write shows
/// it.
///
/// A write without an answer may have been done. It is repeated with what is there then: `add` knows what it has counted
/// already.
pub(super) async fn count(kept: &impl Kept, add: impl Fn(&mut Totals)) -> Result<Option<Totals>, Error> {
    let until = Instant::now() + SILENCE_MAX;
    let mut conflicts = 0;
    let (mut were_there, mut are_new) = (false, false);
    while conflicts < CONFLICTS_MAX {
        let (mut totals, revision) = match answered(until, || kept.read()).await? {
            Some(entry) => (entry.value, entry.revision),
            // The integration is gone, and its totals with it: they do not come back.
            None if were_there => return Ok(None),
            None => (Totals::default(), 0),
        };
        were_there |= revision > 0;
        are_new |= revision == 0;
        add(&mut totals);
        match kept.write(&totals, revision).await {
            Ok(_) if !are_new => return Ok(Some(totals)),
            // Whoever deletes an integration says so first and removes its totals then. So either these are removed with
            // it, or it is seen here.
            Ok(_) if answered(until, || kept.is_wanted()).await? => return Ok(Some(totals)),
            Ok(_) => {
                answered(until, || kept.remove()).await?;
                return Ok(None);
            }
            Err(Error::Conflict { .. }) => {
                conflicts += 1;
                tokio::time::sleep(CONFLICT_PAUSE).await;
            }
            Err(error) => silent(until, error).await?,
        }
    }
    Ok(None)
}

/// Asks until there is an answer, or until then.
async fn answered<T, F: Future<Output = Result<T, Error>>>(until: Instant, ask: impl Fn() -> F) -> Result<T, Error> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => silent(until, error).await?,
        }
    }
}

/// Waits a moment after an error that passes by itself; another is returned, and one that has not passed by then.
async fn silent(until: Instant, error: Error) -> Result<(), Error> {
    if !error.is_transient() || Instant::now() >= until {
        return Err(error);
    }
    tracing::debug!(%error, "totals cannot be counted yet");
    tokio::time::sleep(SILENCE_PAUSE).await;
    Ok(())
}

#[cfg(test)]
mod tests;
