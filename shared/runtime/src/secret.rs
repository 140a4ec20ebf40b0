//! Secrets in files, API keys, and comparing them without telling by the time it takes.

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{
    ExposeSecret as _, SecretString,
    zeroize::{Zeroize as _, Zeroizing},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Error;

/// What every API key begins with.
pub const KEY_PREFIX: &str = "sbx_";

/// The longest secret file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A new API key: `sbx_` and 32 random bytes as URL-safe base64.
pub fn new_admin_key() -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(Error::Random)?;
    let mut key = KEY_PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut key);
    Ok(key.into())
}

/// The SHA-256 of a key: what is kept of it.
pub fn hash(key: &SecretString) -> [u8; 32] {
    hash_text(key.expose_secret())
}

/// The same of a key that somebody presents.
pub fn hash_text(presented: &str) -> [u8; 32] {
    Sha256::digest(presented).into()
}

/// Whether two hashes are the same, in a time that does not depend on how alike they are.
pub fn is_same_hash(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// Reads a secret from a file, without white space around it. Empty, not UTF-8, or over 64 KiB is an error.
pub fn file_secret(path: &Path) -> Result<SecretString, Error> {
    let fault = |problem: &str| Error::Secret {
        place: path.display().to_string(),
        problem: problem.to_owned(),
    };
    let failed = |source| Error::File {
        doing: "read",
        path: path.into(),
        source,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .map_err(failed)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fault("is longer than 64 KiB, which is no secret"));
    }
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok("") => Err(fault("is empty")),
        Ok(text) => Ok(text.into()),
        Err(_) => Err(fault("is not UTF-8 text")),
    }
}

/// Writes a secret with a line end to a file that only its owner reads (mode 0600), in place of what is there.
///
/// Readers see the old file or the new one, never a part. Missing folders are made (mode 0700).
pub fn write_secret_file(path: &Path, secret: &SecretString) -> Result<(), Error> {
    let failed = |source| Error::File {
        doing: "write",
        path: path.into(),
        source,
    };
    let temporary = temporary_beside(path, secret)?;
    if let Err(error) = std::fs::rename(&temporary, path) {
        remove(&temporary);
        return Err(failed(error));
    }
    sync_folder(path).map_err(failed)
}

/// As [`write_secret_file`], but leaves a file that is there alone. True if this call made it; of several processes at
/// once, one does.
pub fn create_secret_file(path: &Path, secret: &SecretString) -> Result<bool, Error> {
    let failed = |source| Error::File {
        doing: "write",
        path: path.into(),
        source,
    };
    let temporary = temporary_beside(path, secret)?;
    // Unlike a rename, a link is refused where the name is taken.
    let linked = std::fs::hard_link(&temporary, path);
    remove(&temporary);
    match linked {
        Ok(()) => sync_folder(path).map(|()| true).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// A finished file with the secret in the same folder, so that it can take the name in one step.
fn temporary_beside(path: &Path, secret: &SecretString) -> Result<PathBuf, Error> {
    let failed = |source| Error::File {
        doing: "write",
        path: path.into(),
        source,
    };
    let folder = folder_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::File {
            doing: "make",
            path: folder.into(),
            source,
        })?;
    let mut name = OsString::from(".");
    name.push(
        path.file_name()
            .ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?,
    );
    name.push(format!(".{:016x}.tmp", getrandom::u64().map_err(Error::Random)?));
    let temporary = folder.join(name);
    let mut text = format!("{}\n", secret.expose_secret());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    text.zeroize();
    if let Err(error) = written {
        remove(&temporary);
        return Err(failed(error));
    }
    Ok(temporary)
}

/// A new name is only safe from a power loss when its folder is on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn remove(temporary: &Path) {
    if let Err(error) = std::fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %temporary.display(), %error, "a temporary file with a secret could not be removed");
    }
}

#[cfg(test)]
mod tests;
