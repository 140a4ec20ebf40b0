//! What KV is told of things that SQL holds, and when two copies of a thing say the same.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Integration, Key, Org, integration::Status, types::Registered, wire};

/// A thing that SQL holds and KV has a copy of.
pub trait Told: Serialize + DeserializeOwned {
    /// 128 bits of what it says to whoever is told, the same whichever version wrote it.
    ///
    /// Of what has ended, that it has: when, and what it was before, makes no difference any more.
    fn content(&self) -> Result<[u8; 16], wire::Error> {
        wire::digest(self)
    }
}

impl Told for Integration {
    fn content(&self) -> Result<[u8; 16], wire::Error> {
        if self.status == Status::Deleted {
            wire::digest(&(&self.id, self.revision))
        } else {
            wire::digest(self)
        }
    }
}

impl Told for Key {
    fn content(&self) -> Result<[u8; 16], wire::Error> {
        if self.revoked_at.is_some() {
            wire::digest(&(&self.id, self.revision))
        } else {
            wire::digest(self)
        }
    }
}

impl Told for Org {}

impl Told for Registered {}

#[cfg(test)]
mod tests;
