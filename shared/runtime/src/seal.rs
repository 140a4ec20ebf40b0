//! Credentials at rest: XChaCha20-Poly1305 with a key id, so that keys can be changed one after the other.
//!
//! A keyring seals with its first key and opens with any. To change the key, put a new line above the old one; what the
//! old key sealed still opens, and is sealed anew when it is next written. The associated data ties a sealed value to
//! its place (an integration's id): moved elsewhere it does not open.

use std::{fmt, path::Path, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString, zeroize::Zeroizing};
use sha2::{Digest as _, Sha256};
use tracing::info;

use crate::{Error, secret};

/// Length of a key in bytes.
const KEY_BYTES: usize = 32;

/// Length of a nonce in bytes. Random ones of this length never meet in practice.
const NONCE_BYTES: usize = 24;

/// Keeps the digest that names a key apart from every other use of SHA-256.
const KEY_ID_DOMAIN: &[u8] = b"signalbox key id";

/// The usual alphabet; people lose the padding when they copy.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Ciphertext and the name of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    /// Nonce (24 bytes), then ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// The keys of an installation: the first one seals, all of them open. Clones share the keys.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[Key]>,
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Keyring {
    /// One new random key, kept nowhere else.
    pub fn random() -> Result<Self, Error> {
        Self::from_text("a random key", &new_key()?)
    }

    /// Keys as base64 text of 32 bytes each, separated by white space or commas, the sealing key first. `place` names
    /// the setting or file in errors.
    pub fn from_text(place: &str, text: &SecretString) -> Result<Self, Error> {
        let fault = |problem: String| Error::Secret {
            place: place.to_owned(),
            problem,
        };
        let mut keys: Vec<Key> = Vec::new();
        let words = text
            .expose_secret()
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            let number = index + 1;
            let bytes = BASE64
                .decode(word)
                .map(Zeroizing::new)
                .map_err(|_| fault(format!("key {number} is not base64 text")))?;
            let length = bytes.len();
            let bytes: &[u8; KEY_BYTES] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| fault(format!("key {number} is {length} bytes long, not {KEY_BYTES}")))?;
            let key = Key {
                id: key_id(bytes),
                cipher: XChaCha20Poly1305::new(bytes.into()),
            };
            if keys.iter().any(|other| other.id == key.id) {
                return Err(fault(format!("key {number} ({}) is there twice", key.id)));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(fault("holds no key".to_owned()));
        }
        Ok(Self { keys: keys.into() })
    }

    /// Reads the keys from a file, one a line.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::from_text(&path.display().to_string(), &secret::file_secret(path)?)
    }

    /// As [`Self::from_file`]; a file that is missing is made first, with one new key and mode 0600. Of several
    /// processes at once one makes it and all use it.
    pub fn from_file_or_create(path: &Path) -> Result<Self, Error> {
        if !path.exists() && secret::create_secret_file(path, &new_key()?)? {
            info!(path = %path.display(), "made a new sealing key: without this file sealed credentials are lost");
        }
        Self::from_file(path)
    }

    /// The id of the key that seals.
    pub fn primary_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Encrypts for one place, named by `aad`.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, Error> {
        let key = self.keys.first().expect("a keyring is never made empty");
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        let ciphertext = key
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad })
            .map_err(|_| Error::NotSealed { bytes: plaintext.len() })?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&ciphertext);
        Ok(Sealed {
            key_id: key.id.clone(),
            bytes,
        })
    }

    /// Decrypts what [`Self::seal`] made under this key id for the same `aad`.
    pub fn open(&self, key_id: &str, aad: &[u8], bytes: &[u8]) -> Result<SecretSlice<u8>, Error> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or_else(|| Error::UnknownKey {
                key_id: key_id.to_owned(),
                known: self.key_ids().collect::<Vec<_>>().join(", "),
            })?;
        let not_opened = || Error::NotOpened {
            key_id: key_id.to_owned(),
        };
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(not_opened)?;
        key.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad })
            .map(SecretSlice::from)
            .map_err(|_| not_opened())
    }

    /// The ids of all keys, the sealing one first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }
}

/// Key ids alone.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")?;
        f.debug_list().entries(self.key_ids()).finish()
    }
}

fn new_key() -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(Error::Random)?;
    Ok(BASE64.encode(bytes.as_slice()).into())
}

/// The first eight hex digits of a digest of the key.
fn key_id(key: &[u8; KEY_BYTES]) -> String {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(KEY_ID_DOMAIN)
        .chain_update(key)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests;
