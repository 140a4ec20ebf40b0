//! What every act that sends deliveries needs: its target, room there, and what a failure means.

use std::collections::BTreeMap;

use signalbox_broker::{Error, Receipt};
use signalbox_proto::{Integration, Name, integration::Status};

use super::work::Work;
use crate::settle;

impl Work<'_> {
    /// An integration that can be sent to; the inner error is what an owner is told.
    pub(super) async fn integration(&self, id: &str) -> Result<Result<Integration, String>, Error> {
        Ok(match refused(self.keeper.broker.integration(id).await)? {
            Ok(Some(entry)) if entry.value.status != Status::Deleted => Ok(entry.value),
            Ok(_) => Err(format!("integration {id} does not exist any more")),
            Err(reason) => Err(reason),
        })
    }

    /// Waits a while until the lanes of the targets have room.
    pub(super) async fn room(&mut self, targets: &BTreeMap<(Name, String), u64>) -> Result<(), Error> {
        let mut room = std::mem::take(&mut self.room);
        let waited = room.wait(self.keeper, targets, || self.is_stopped()).await;
        self.room = room;
        waited
    }
}

/// Waits for a publish. The inner error is what its owner is told.
pub(super) async fn acknowledged(receipt: Receipt, subject: String) -> Result<Result<(), String>, Error> {
    let sent = receipt.await.map_err(|source| Error::Publish { subject, source });
    refused(sent.map(|_| ()))
}

/// What fails for good is told to the owner; what may pass stays an error.
pub(super) fn refused<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(Err(settle::why(&error))),
    }
}
