//! The bytes inside: MessagePack with named fields, so that older and newer readers cope.
//!
//! A field is added with `#[serde(default)]` and never changes its meaning; an unknown field is
//! skipped; an enum that readers of several versions meet has an `Unknown` variant.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Delivery, hash,
    outcome::{Batch, Record},
};

/// Deepest nesting of a message that is read, in levels. Ours have ten at most; an unknown field is skipped by
/// recursion, and what the library allows by itself overflows the stack of a thread.
const DEPTH_MAX: usize = 64;

/// Room that a message gets before it is written, in bytes.
const ENCODE_BYTES_GUESS: usize = 1_536;

/// A message that this version cannot read or write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Could not be written.
    #[error("cannot encode a message")]
    Encode(#[source] rmp_serde::encode::Error),
    /// Could not be read.
    #[error("cannot decode a message: {0}")]
    Decode(#[source] rmp_serde::decode::Error),
    /// A delivery names no event.
    #[error("cannot decode a message: the delivery names no event")]
    NoEvent,
}

/// Writes a message.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    // Most messages fit; growing from nothing costs more than the writing.
    let mut bytes = Vec::with_capacity(ENCODE_BYTES_GUESS);
    value
        .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
        .map_err(Error::Encode)?;
    Ok(bytes)
}

/// Reads a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut deserializer).map_err(Error::Decode)
}

/// 128 bits of what a value says, as this version writes it: the same of bytes that an older version wrote of the same.
pub fn digest<T: Serialize>(value: &T) -> Result<[u8; 16], Error> {
    Ok(hash::digest([&encode(value)?]))
}

/// Reads a delivery, which names at least one event.
pub fn decode_delivery(bytes: &[u8]) -> Result<Delivery, Error> {
    let delivery: Delivery = decode(bytes)?;
    if delivery.events.is_empty() {
        Err(Error::NoEvent)
    } else {
        Ok(delivery)
    }
}

/// Reads the records of a message of OUTCOMES. Records of a newer version are counted, not read.
pub fn decode_records(bytes: &[u8]) -> Result<(Vec<Record>, usize), Error> {
    let batch: Batch = decode(bytes)?;
    let total = batch.records.len();
    let records: Vec<Record> = batch.records.iter().filter_map(|record| decode(record).ok()).collect();
    let unknown = total - records.len();
    Ok((records, unknown))
}

#[cfg(test)]
mod tests;
