//! What can go wrong between us and the database.

use std::{borrow::Cow, path::PathBuf};

/// Why a statement had no effect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting `store.url` cannot be used.
    #[error("store.url {0}")]
    Url(String),
    /// A setting cannot be used.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The file of SQLite cannot be made or opened.
    #[error("cannot open the database {}: set store.url to a file in a folder that is there and can be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database does not answer, or not in time: it may pass.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// What was to be changed is no longer as it was read.
    #[error("{what} was changed by someone else")]
    Conflict {
        /// The thing.
        what: Cow<'static, str>,
    },
    /// Something bears that name already.
    #[error("{what} is there already")]
    Duplicate {
        /// The thing.
        what: Cow<'static, str>,
    },
    /// A row cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// The thing.
        what: Cow<'static, str>,
        /// Why.
        reason: String,
    },
    /// A change does not have one audit entry for each thing that it changes: a mistake of ours.
    #[error("{what} is changed with {entries} audit entries instead of one: nothing was written")]
    Unaudited {
        /// The thing.
        what: String,
        /// Entries that speak of it.
        entries: usize,
    },
    /// The tables cannot be brought to this version.
    #[error("the tables cannot be brought to this version")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// The database refused us or a statement: a wrong password, a full disk, a mistake of ours. The source says which.
    #[error("the database refuses it")]
    Refused(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same may succeed a moment later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Url(_)
            | Self::Setting { .. }
            | Self::File { .. }
            | Self::Conflict { .. }
            | Self::Duplicate { .. }
            | Self::Unreadable { .. }
            | Self::Unaudited { .. }
            | Self::Migrate(_)
            | Self::Refused(_) => false,
        }
    }

    /// Whether it is about what is written or read, and not about the database: a row that does not read back, a value that
    /// a column does not take. PostgreSQL, appendix A: classes 22 (data) and 23 (constraints). SQLite: 18 `TOOBIG`,
    /// 19 `CONSTRAINT`, 20 `MISMATCH`.
    pub fn is_of_row(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Refused(sqlx::Error::Database(refusal)) => refusal.code().is_some_and(|code| {
                let of_postgres = code.len() == 5 && ["22", "23"].iter().any(|class| code.starts_with(class));
                of_postgres || primary_of_sqlite(&code).is_some_and(|code| matches!(code, 18..=20))
            }),
            _ => false,
        }
    }

    /// Somebody else changed it, or it is gone.
    pub(crate) fn conflict(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict { what: what.into() }
    }

    /// A row of ours that does not read back.
    pub(crate) fn unreadable(what: impl Into<Cow<'static, str>>, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if passes(&error) {
            Self::Unavailable(error)
        } else {
            Self::Refused(error)
        }
    }
}

/// Whether the cause is outside of the statement and passes by itself.
pub(crate) fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code_passes(&code)),
        _ => false,
    }
}

/// Whether a database's own code says that the same may succeed later.
///
/// PostgreSQL, appendix A: class 08 (connection), 25006 (read-only, as after a failover), 40 (rollback, serialization,
/// deadlock), 53 (resources), 55P03 (a lock), 57P (an operator ends or starts the server). SQLite, result codes: 5 `BUSY`,
/// 6 `LOCKED` and their extensions.
fn code_passes(code: &str) -> bool {
    const CLASSES: [&str; 6] = ["08", "25006", "40", "53", "55P03", "57P"];
    let of_postgres = code.len() == 5 && CLASSES.iter().any(|class| code.starts_with(class));
    of_postgres || primary_of_sqlite(code).is_some_and(|code| matches!(code, 5 | 6))
}

/// The result code of SQLite of which this is an extension: its low byte.
fn primary_of_sqlite(code: &str) -> Option<u32> {
    let code: u32 = Some(code).filter(|code| code.len() < 5)?.parse().ok()?;
    Some(code & 0xff)
}

/// A duplicate where a unique index refused, else what [`From`] says.
pub(crate) fn duplicate(what: impl Into<Cow<'static, str>>) -> impl FnOnce(sqlx::Error) -> Error {
    let what = what.into();
    move |error| match &error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => Error::Duplicate { what },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;
