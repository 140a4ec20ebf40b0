//! A folder for what a benchmark or a demonstration writes while it runs.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// A folder that is removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it among the system's temporary files, for its owner alone.
    pub(crate) fn make(purpose: &str) -> anyhow::Result<Self> {
        // Short, since people copy it; the end of such an id is random.
        let random: String = uuid::Uuid::now_v7().simple().to_string().chars().skip(24).collect();
        let path = std::env::temp_dir().join(format!("signalbox-{purpose}-{random}"));
        // Others on this machine shall not read it: it will hold a key. One that is there already is not taken.
        fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| {
            format!(
                "cannot make {}; TMPDIR names the folder for temporary files",
                path.display()
            )
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove a temporary folder");
        }
    }
}
