//! Commands as a reader can copy them into a shell.

use std::path::{Path, PathBuf};

/// What starts this program in any folder: its name where the shell found it by that, else where it is.
pub(super) fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let by_name = called.components().count() == 1;
    match std::env::current_exe() {
        Ok(path) if !by_name => quoted(&path),
        _ => "signalbox".to_owned(),
    }
}

/// A path as one word of a command.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
