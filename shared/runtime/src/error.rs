//! What can go wrong before, around and after a service's own work.

use std::{io, path::PathBuf};

use crate::settings::Origin;

/// Why the runtime could not do what a service asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a value that does not fit.
    #[error("{name}: {problem} (from {origin})")]
    Setting {
        /// The setting, such as `delivery.in_flight_max`.
        name: String,
        /// What is wrong with the value, secrets left out.
        problem: String,
        /// Who gave the value.
        origin: Origin,
    },
    /// A setting was read, but the service cannot work with its value; services say so with this, too.
    #[error("{name}: {problem}")]
    Value {
        /// The setting, such as `telemetry.otlp_endpoint`.
        name: String,
        /// What is wrong with the value, secrets left out.
        problem: String,
    },
    /// A setting that no service knows.
    #[error("unknown setting {name} (from {origin}){hint}")]
    UnknownSetting {
        /// The name as given.
        name: String,
        /// Who gave it.
        origin: Origin,
        /// The nearest known name as the end of the sentence, or nothing.
        hint: String,
    },
    /// A setting of the right type is outside its bounds.
    #[error("{name}: {value} is {relation} {limit}")]
    Bound {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// `below`, `above`, `not below` or `not above`.
        relation: &'static str,
        /// The bound that is broken.
        limit: String,
    },
    /// The compiled-in defaults are at fault: a mistake in the program, never in an installation.
    #[error("defaults of {service}: {problem}")]
    Defaults {
        /// Whose `config.toml`.
        service: String,
        /// What is wrong in it.
        problem: String,
    },
    /// A settings file is missing, unreadable or not TOML.
    #[error("cannot read settings from {}", path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text that is not a duration.
    #[error("{0:?} is not a duration such as 250ms, 30s, 2m, 6h or 7d")]
    Duration(String),
    /// A text that is not a size in bytes.
    #[error("{0:?} is not a size such as 512B, 256KiB, 1GiB or 10GB")]
    Size(String),
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The verb: read, write, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A secret was found but cannot be used. The secret itself is not in the message.
    #[error("{place}: {problem}")]
    Secret {
        /// The file or setting that holds it.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// Sealed data names a key that is not in the keyring.
    #[error(
        "no key {key_id} in the keyring (it has {known}); add the key that sealed this data as a further line of the key file"
    )]
    UnknownKey {
        /// The key that is asked for.
        key_id: String,
        /// The keys that are there.
        known: String,
    },
    /// Sealed data was altered, cut, or belongs to something else than the caller says.
    #[error("cannot open data sealed with key {key_id}: it was altered or belongs elsewhere")]
    NotOpened {
        /// The key that was used.
        key_id: String,
    },
    /// Data could not be sealed.
    #[error("cannot seal {bytes} bytes: too long")]
    NotSealed {
        /// Length of the plain data.
        bytes: usize,
    },
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes from the operating system")]
    Random(#[source] getrandom::Error),
    /// Signal handlers could not be installed.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Random(_) => true,
            Self::Setting { .. }
            | Self::Value { .. }
            | Self::UnknownSetting { .. }
            | Self::Bound { .. }
            | Self::Defaults { .. }
            | Self::SettingsFile { .. }
            | Self::Duration(_)
            | Self::Size(_)
            | Self::File { .. }
            | Self::Secret { .. }
            | Self::UnknownKey { .. }
            | Self::NotOpened { .. }
            | Self::NotSealed { .. }
            | Self::Signals(_) => false,
        }
    }
}
