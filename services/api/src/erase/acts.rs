//! Acts of an org that goes: they are cancelled, as a person would, so that the keeper sends nothing more for them.

use signalbox_broker::{Broker, Error};
use signalbox_proto::{
    Name, Timestamp,
    act::{Act, ActStatus},
    subjects,
};

use crate::acts::{WRITE_TRIES, org_of};

/// Cancels the acts of an org that are at work.
pub(super) async fn cancel(broker: &Broker, org: &Name) -> Result<(), Error> {
    for entry in broker.acts().await? {
        if cancelled(&entry.value, org, Timestamp::now()).is_some() {
            cancel_one(broker, org, &entry.value.id).await?;
        }
    }
    Ok(())
}

/// Cancels one, whatever a keeper writes meanwhile.
async fn cancel_one(broker: &Broker, org: &Name, id: &str) -> Result<(), Error> {
    let key = subjects::act_key(id);
    let mut tries = 0;
    loop {
        let Some(entry) = broker.get::<Act>(subjects::STATE, &key).await? else {
            return Ok(());
        };
        let Some(cancelled) = cancelled(&entry.value, org, Timestamp::now()) else {
            return Ok(());
        };
        match broker.update(subjects::STATE, &key, &cancelled, entry.revision).await {
            Ok(_) => {
                tracing::info!(%org, act.id = id, "an act is cancelled, as its org is being erased");
                return Ok(());
            }
            Err(Error::Conflict { .. }) if tries < WRITE_TRIES => tries += 1,
            // With the next look.
            Err(error) => return Err(error),
        }
    }
}

/// An act as it is cancelled; `None` where it is not at work, or of another org.
fn cancelled(act: &Act, org: &Name, now: Timestamp) -> Option<Act> {
    (act.status == ActStatus::Running && org_of(act) == Some(org.as_str())).then(|| Act {
        status: ActStatus::Cancelled,
        updated_at: now,
        ..act.clone()
    })
}

#[cfg(test)]
mod tests;
