//! The text of a key, which is shown once, and what is kept of it.

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_runtime::{Error, secret};

/// Characters at the end of a key by which its owner knows it again.
const HINT_CHARS: usize = 3;

/// A key that was just made.
pub struct NewKey {
    /// `sbx_` and 43 characters: shown once, stored nowhere.
    pub text: SecretString,
    /// The SHA-256 of the text, as 64 hexadecimal digits: what it is known by. The text is random, so that neither salt
    /// nor stretching would add anything.
    pub hash: String,
    /// What lists show of it: `sbx_***abc`.
    pub hint: String,
}

impl NewKey {
    /// Makes a random one.
    pub fn random() -> Result<Self, Error> {
        let text = secret::new_admin_key()?;
        let plain = text.expose_secret();
        let start = plain.char_indices().rev().nth(HINT_CHARS - 1);
        let end = start.and_then(|(start, _)| plain.get(start..)).unwrap_or_default();
        Ok(Self {
            hash: hex(&secret::hash(&text)),
            hint: format!("{}***{end}", secret::KEY_PREFIX),
            text,
        })
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({})", self.hint)
    }
}

/// A hash as hexadecimal digits in lower case.
pub(crate) fn hex(hash: &[u8; 32]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    hash.iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect()
}

#[cfg(test)]
mod tests;
