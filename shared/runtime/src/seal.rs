//! Credentials at rest: XChaCha20-Poly1305 with a key id, so that keys can be changed one after the other.
//!
//! A keyring opens with any of its keys and seals with one: the first, until [`Keyring::seal_with`] says another. A ring
//! that came from a file reads it again when it changes ([`Keyring::reload`]), so that a key can be changed while all
//! processes run. The associated data ties a sealed value to its place (an integration's id): moved elsewhere it does
//! not open.

use std::{
    fmt,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, RwLock},
    time::SystemTime,
};

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

/// Why a lock can be had: what is done under it does not panic.
const NOBODY_PANICS: &str = "nothing panics while it holds the lock";

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

/// The keys of an installation: all of them open, one of them seals. Clones share the keys.
#[derive(Clone)]
pub struct Keyring {
    shared: Arc<Shared>,
}

struct Shared {
    /// Replaced as a whole: whoever uses it holds no lock meanwhile.
    ring: RwLock<Arc<Ring>>,
    /// Keys that an operator has given up: what they sealed does not open any more.
    lost: OnceLock<Vec<String>>,
    /// Where the keys were read from; none for keys that a setting or a test gave as text.
    file: Option<RingFile>,
}

/// The file of a ring.
struct RingFile {
    path: PathBuf,
    /// Whether it is ours to change: one that we keep in a data dir, and not an operator's.
    is_ours: bool,
    /// What it looked like when it was last read.
    seen: Mutex<Option<Stamp>>,
}

/// Another one means that a file has changed.
type Stamp = (SystemTime, u64, u64);

/// Some keys, at least one.
struct Ring {
    keys: Vec<Arc<Key>>,
    /// Which of them seals.
    sealing: usize,
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
        Ok(Self::over(read_keys(place, text)?, None))
    }

    /// Reads the keys from a file, one a line.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::of_file(path, false)
    }

    /// The same of a file that we keep ourselves, so that [`Keyring::add_key`] and [`Keyring::remove_keys`] may change it.
    pub fn from_own_file(path: &Path) -> Result<Self, Error> {
        Self::of_file(path, true)
    }

    /// As [`Self::from_own_file`]; a file that is missing is made first, with one new key and mode 0600. Of several
    /// processes at once one makes it and all use it.
    pub fn from_file_or_create(path: &Path) -> Result<Self, Error> {
        if !path.exists() && secret::create_secret_file(path, &new_key()?)? {
            info!(path = %path.display(), "made a new sealing key: without this file sealed credentials are lost");
        }
        Self::of_file(path, true)
    }

    fn of_file(path: &Path, is_ours: bool) -> Result<Self, Error> {
        // Looked at before it is read: a change in between is seen at the next look.
        let seen = Mutex::new(stamp(path));
        let keys = read_keys(&path.display().to_string(), &secret::file_secret(path)?)?;
        let file = RingFile {
            path: path.to_owned(),
            is_ours,
            seen,
        };
        Ok(Self::over(keys, Some(file)))
    }

    fn over(keys: Vec<Arc<Key>>, file: Option<RingFile>) -> Self {
        let ring = RwLock::new(Arc::new(Ring { keys, sealing: 0 }));
        Self {
            shared: Arc::new(Shared {
                ring,
                lost: OnceLock::new(),
                file,
            }),
        }
    }

    fn ring(&self) -> Arc<Ring> {
        self.shared.ring.read().expect(NOBODY_PANICS).clone()
    }

    /// The id of the key that seals.
    pub fn primary_id(&self) -> String {
        self.ring().sealing().id.clone()
    }

    /// The ids of all keys, in the order in which they were given.
    pub fn key_ids(&self) -> Vec<String> {
        self.ring().keys.iter().map(|key| key.id.clone()).collect()
    }

    /// Whether the key of this id is there.
    pub fn has(&self, key_id: &str) -> bool {
        self.ring().keys.iter().any(|key| key.id == key_id)
    }

    /// Gives keys up for lost; said once.
    pub fn give_up(&self, key_ids: Vec<String>) {
        self.shared.lost.get_or_init(|| key_ids);
    }

    /// Whether the key of this id was given up for lost.
    pub fn is_lost(&self, key_id: &str) -> bool {
        let lost = self.shared.lost.get();
        lost.is_some_and(|lost| lost.iter().any(|id| id == key_id))
    }

    /// Whether the keys are in a file that we keep ourselves.
    pub fn is_ours(&self) -> bool {
        self.shared.file.as_ref().is_some_and(|file| file.is_ours)
    }

    /// From now on the key of this id seals.
    pub fn seal_with(&self, key_id: &str) -> Result<(), Error> {
        let mut ring = self.shared.ring.write().expect(NOBODY_PANICS);
        let sealing = ring.keys.iter().position(|key| key.id == key_id);
        let sealing = sealing.ok_or_else(|| ring.unknown(key_id))?;
        if ring.sealing != sealing {
            let keys = ring.keys.clone();
            *ring = Arc::new(Ring { keys, sealing });
        }
        Ok(())
    }

    /// Reads the file again where it has changed; whether the keys are others now. After an error the keys are what they
    /// were. The key that seals goes on to seal where it is still there.
    pub fn reload(&self) -> Result<bool, Error> {
        let Some(file) = &self.shared.file else {
            return Ok(false);
        };
        let now = stamp(&file.path);
        {
            let mut seen = file.seen.lock().expect(NOBODY_PANICS);
            if *seen == now {
                return Ok(false);
            }
            *seen = now;
        }
        let keys = read_keys(&file.path.display().to_string(), &secret::file_secret(&file.path)?)?;
        let mut ring = self.shared.ring.write().expect(NOBODY_PANICS);
        let is_same = keys.iter().map(|key| &key.id).eq(ring.keys.iter().map(|key| &key.id));
        if is_same {
            return Ok(false);
        }
        let sealing = keys.iter().position(|key| key.id == ring.sealing().id).unwrap_or(0);
        *ring = Arc::new(Ring { keys, sealing });
        Ok(true)
    }

    /// Adds a new key behind the others, to our own file first; its id. It opens, and does not seal yet.
    pub fn add_key(&self) -> Result<String, Error> {
        let added = new_key()?;
        let id = read_keys("a new key", &added)?.first().map(|key| key.id.clone());
        self.rewrite(|lines| lines.push(Zeroizing::new(added.expose_secret().to_owned())))?;
        Ok(id.expect("a key was read from its own text"))
    }

    /// Removes keys, from our own file first. The key that seals stays whatever is said.
    pub fn remove_keys(&self, key_ids: &[String]) -> Result<(), Error> {
        let sealing = self.primary_id();
        self.rewrite(|lines| {
            lines.retain(|line| {
                let id = decode("", 0, line).map(|bytes| key_id(&bytes));
                // A line that cannot be read is not ours to throw away.
                id.map_or(true, |id| id == sealing || !key_ids.contains(&id))
            });
        })
    }

    /// Replaces our own file by one with other lines, and reads it.
    fn rewrite(&self, change: impl FnOnce(&mut Vec<Zeroizing<String>>)) -> Result<(), Error> {
        let file = self.shared.file.as_ref().filter(|file| file.is_ours);
        let Some(file) = file else {
            return Err(Error::Secret {
                place: "the keyring".to_owned(),
                problem: "is given by the settings: change secrets.key_file or secrets.key there".to_owned(),
            });
        };
        let text = secret::file_secret(&file.path)?;
        let mut lines = words(&text).map(|word| Zeroizing::new(word.to_owned())).collect();
        change(&mut lines);
        let mut text = Zeroizing::new(String::new());
        for line in &lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
        secret::write_secret_file(&file.path, &SecretString::from(text.as_str()))?;
        // Two writes within one tick of a clock look alike.
        *file.seen.lock().expect(NOBODY_PANICS) = None;
        self.reload().map(|_| ())
    }

    /// Encrypts for one place, named by `aad`.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, Error> {
        let ring = self.ring();
        let key = ring.sealing();
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
        let ring = self.ring();
        let key = ring.keys.iter().find(|key| key.id == key_id);
        let key = key.ok_or_else(|| ring.unknown(key_id))?;
        let not_opened = || Error::NotOpened {
            key_id: key_id.to_owned(),
        };
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(not_opened)?;
        key.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad })
            .map(SecretSlice::from)
            .map_err(|_| not_opened())
    }
}

impl Ring {
    fn sealing(&self) -> &Arc<Key> {
        self.keys.get(self.sealing).expect("a keyring is never made empty")
    }

    fn unknown(&self, key_id: &str) -> Error {
        let known: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        Error::UnknownKey {
            key_id: key_id.to_owned(),
            known: known.join(", "),
        }
    }
}

/// Key ids alone.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")?;
        f.debug_list().entries(self.key_ids()).finish()
    }
}

/// What a file looks like; none where there is none.
fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

fn words(text: &SecretString) -> impl Iterator<Item = &str> {
    let words = text.expose_secret().split(|c: char| c.is_whitespace() || c == ',');
    words.filter(|word| !word.is_empty())
}

/// The keys of a text, at least one.
fn read_keys(place: &str, text: &SecretString) -> Result<Vec<Arc<Key>>, Error> {
    let fault = |problem: String| Error::Secret {
        place: place.to_owned(),
        problem,
    };
    let mut keys: Vec<Arc<Key>> = Vec::new();
    for (index, word) in words(text).enumerate() {
        let number = index + 1;
        let bytes = decode(place, number, word)?;
        let key = Key {
            id: key_id(&bytes),
            cipher: XChaCha20Poly1305::new((&*bytes).into()),
        };
        if keys.iter().any(|other| other.id == key.id) {
            return Err(fault(format!("key {number} ({}) is there twice", key.id)));
        }
        keys.push(Arc::new(key));
    }
    if keys.is_empty() {
        return Err(fault("holds no key".to_owned()));
    }
    Ok(keys)
}

fn decode(place: &str, number: usize, word: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
    let fault = |problem: String| Error::Secret {
        place: place.to_owned(),
        problem,
    };
    let bytes = BASE64
        .decode(word)
        .map(Zeroizing::new)
        .map_err(|_| fault(format!("key {number} is not base64 text")))?;
    let length = bytes.len();
    let bytes: [u8; KEY_BYTES] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| fault(format!("key {number} is {length} bytes long, not {KEY_BYTES}")))?;
    Ok(Zeroizing::new(bytes))
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
