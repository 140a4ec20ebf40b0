//! The 22-character identities: 128 bits of SHA-256 over length-prefixed parts, in URL-safe base64.
//!
//! Short, because the server keeps each message id of a duplicate window in memory; of a hash,
//! because the server compares ids per stream, whatever the subject, so that an id must hold its org.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Characters of a hashed identity.
pub const LENGTH: usize = 22;

/// Hashes parts so that no two different lists of parts meet by their concatenation.
pub fn parts<const N: usize>(parts: [&[u8]; N]) -> String {
    encode(digest(parts))
}

/// Writes a digest as an identity.
pub fn encode(digest: [u8; 16]) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

/// The 128 bits behind [`parts`].
pub fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    *digest.first_chunk::<16>().expect("a SHA-256 digest has 32 bytes")
}

/// FNV-1a with 32 bits, the function of the server's own `partition()` mapping.
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
