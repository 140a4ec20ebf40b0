//! The sealing keys of a process: whether they open what is there, and what others have to know of them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use signalbox_broker::{
    Broker,
    keyrings::{TELL_EVERY, Told},
    patience::patiently,
};
use signalbox_runtime::{Keyring, Shutdown};
use tokio::time::Instant;

/// How often the key file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Refuses a start whose keys do not open what is sealed: each delivery would find that out for itself. `place` is where
/// the keys are.
pub(crate) async fn check(broker: &Broker, keyring: &Keyring, place: &str) -> anyhow::Result<()> {
    let sealed_with = patiently("the sealed credentials", || count(broker)).await?;
    // A key may have come while all was read.
    keyring.reload()?;
    for (key, count) in sealed_with {
        if keyring.has(&key) {
            continue;
        }
        if keyring.is_lost(&key) {
            tracing::warn!(
                key,
                integrations = count,
                "credentials are sealed with a key that is lost: give them anew"
            );
            continue;
        }
        bail!(
            "the credentials of {count} integrations are sealed with master key {key}, which is not in {place}, where there \
             is {}: put it there as a further line; if nobody has it any more, name it in secrets.lost_keys \
             (SIGNALBOX_SECRETS__LOST_KEYS={key}) and give these integrations their credentials anew",
            keyring.key_ids().join(", ")
        );
    }
    Ok(())
}

/// How many integrations are sealed with each key.
async fn count(broker: &Broker) -> Result<BTreeMap<String, u64>, signalbox_broker::Error> {
    let mut counts = BTreeMap::new();
    let each = |_: &str, sealed: &signalbox_proto::integration::Sealed| {
        *counts.entry(sealed.key_id.clone()).or_default() += 1;
    };
    broker.each_sealed(each).await?;
    Ok(counts)
}

/// Reads the keys again when their file changes, and tells which there are, until the process ends.
pub(crate) async fn follow(broker: &Broker, keyring: &Keyring, process: &str, seals: bool, shutdown: &Shutdown) {
    let teller = broker.keyring_teller();
    let mut last: Option<(Told, Instant)> = None;
    loop {
        match keyring.reload() {
            Ok(true) => tracing::info!(keys = ?keyring.key_ids(), "the sealing keys were read again"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the sealing keys cannot be read again: those of before are used"),
        }
        let told = Told {
            process: process.to_owned(),
            keys: keyring.key_ids(),
            seals_with: seals.then(|| keyring.primary_id()),
        };
        let is_due = |(before, at): &(Told, Instant)| *before != told || at.elapsed() >= TELL_EVERY;
        if last.as_ref().is_none_or(is_due) {
            match broker.tell_keyring(&teller, &told).await {
                Ok(()) => last = Some((told, Instant::now())),
                Err(error) => tracing::debug!(%error, "cannot tell which sealing keys this process has"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.requested() => break,
        }
    }
    if let Err(error) = broker.forget_keyring(&teller).await {
        tracing::debug!(%error, "what this process told of its sealing keys is forgotten a while later");
    }
}
