//! The settings of all roles, read and checked at once, so that a wrong one stops the start with its name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use signalbox_providers::{Egress, Installation};
use signalbox_runtime::{
    AdminKey, Keyring, Settings, secret,
    serve::tls,
    settings::{environment, none_if_empty},
    telemetry::{Log, Telemetry},
};

use crate::nats_server::Durability;

mod reference;

/// The defaults of every section, by the crate that reads it.
const DEFAULTS: [(&str, &str); 10] = [
    ("signalbox", include_str!("../config.toml")),
    ("broker", signalbox_broker::CONFIG_TOML),
    ("store", signalbox_store::CONFIG_TOML),
    ("access", signalbox_access::CONFIG_TOML),
    ("ingest", signalbox_ingest::CONFIG_TOML),
    ("router", signalbox_router::CONFIG_TOML),
    ("delivery", signalbox_delivery::CONFIG_TOML),
    ("keeper", signalbox_keeper::CONFIG_TOML),
    ("recorder", signalbox_recorder::CONFIG_TOML),
    ("api", signalbox_api::CONFIG_TOML),
];

/// Longest name of an installation, in characters.
const BRAND_CHARS_MAX: usize = 64;
/// The reference of all settings, in Markdown.
pub(crate) fn reference() -> String {
    let own = std::iter::once(signalbox_runtime::settings::CONFIG_TOML);
    reference::markdown(own.chain(DEFAULTS.iter().map(|(_, text)| *text)))
}

/// The admin key's file in a data dir.
pub(crate) const ADMIN_KEY_FILE: &str = "admin.key";
/// The file of the sealing keys in a data dir.
const MASTER_KEY_FILE: &str = "master.key";

/// All settings.
pub(crate) struct Loaded {
    pub nats: signalbox_broker::Config,
    pub server: Server,
    pub store: signalbox_store::Config,
    pub ingest: signalbox_ingest::Config,
    pub router: signalbox_router::Config,
    pub delivery: signalbox_delivery::Config,
    pub keeper: signalbox_keeper::Config,
    pub recorder: signalbox_recorder::Config,
    pub api: signalbox_api::Config,
    pub egress: Egress,
    pub display: Display,
    pub secrets: Secrets,
    pub auth: Auth,
    pub http: tls::Config,
    pub access: signalbox_access::Config,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// What the section `nats` says of the server that `up` starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// What an acknowledged publish survives.
    #[serde(deserialize_with = "durability")]
    pub durability: Durability,
    /// The program; `None` to look for it.
    #[serde(deserialize_with = "none_if_empty")]
    pub server_path: Option<PathBuf>,
}

impl Server {
    const KEYS: [&'static str; 2] = ["durability", "server_path"];
}

/// The section `display`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Display {
    /// The name of this installation.
    #[serde(deserialize_with = "brand")]
    brand: Arc<str>,
}

/// The section `secrets`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    #[serde(deserialize_with = "none_if_empty")]
    key_file: Option<PathBuf>,
    key: SecretString,
    /// Ids of keys that nobody has any more.
    #[serde(deserialize_with = "words")]
    lost_keys: Vec<String>,
}

/// The section `auth`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "none_if_empty")]
    admin_key_file: Option<PathBuf>,
}

/// The admin key with the text that a caller of the API sends.
pub(crate) struct Admin {
    pub key: AdminKey,
    pub text: SecretString,
    /// Whether this start made it.
    pub is_new: bool,
}

/// Reads the layers: defaults, the file (or `signalbox.toml` in the working directory), the environment.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    load_with(file, &[])
}

/// The same with values that count more than all layers.
pub(crate) fn load_with(file: Option<&Path>, overrides: &[(String, toml::Value)]) -> anyhow::Result<Settings> {
    Ok(Settings::load(&DEFAULTS, file, environment()?.into_iter(), overrides)?)
}

impl Loaded {
    /// Reads and checks every section.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        // Keys of the broker and of the server stand beside each other.
        let is_of_server = |key: &str| Server::KEYS.contains(&key);
        let is_of_access = |key: &str| signalbox_access::Config::KEYS.contains(&key);
        let loaded = Self {
            nats: settings.part("nats", |key| !is_of_server(key))?,
            server: settings.part("nats", is_of_server)?,
            store: settings.section("store")?,
            ingest: settings.section("ingest")?,
            router: settings.section("router")?,
            delivery: settings.section("delivery")?,
            keeper: settings.section("keeper")?,
            recorder: settings.section("recorder")?,
            api: settings.section("api")?,
            egress: settings.section("egress")?,
            display: settings.section("display")?,
            secrets: settings.section("secrets")?,
            auth: settings.part("auth", |key| !is_of_access(key))?,
            access: settings.part("auth", is_of_access)?,
            http: settings.section("http")?,
            log: settings.section("log")?,
            telemetry: settings.section("telemetry")?,
        };
        loaded.nats.check()?;
        loaded.store.check()?;
        loaded.access.check()?;
        loaded.ingest.check()?;
        loaded.router.check()?;
        loaded.delivery.check()?;
        loaded.keeper.check()?;
        loaded.recorder.check()?;
        loaded.api.check()?;
        Ok(loaded)
    }

    /// What concerns all targets.
    pub(crate) fn installation(&self) -> Installation {
        Installation {
            egress: self.egress.clone(),
            brand: self.display.brand.clone(),
        }
    }

    /// What the installation allows any integration.
    pub(crate) fn limits(&self) -> signalbox_api::Limits {
        signalbox_api::Limits {
            integration_in_flight_max: self.delivery.integration_in_flight_max as u64,
            org_share_percent: self.delivery.org_share_percent as u64,
            waiting_org_max: self.keeper.waiting_org_max,
        }
    }

    /// The sealing keys of the settings, else those of the data dir; `create` makes them there where there are none.
    pub(crate) fn keyring(&self, data_dir: &Path, create: bool) -> anyhow::Result<Arc<Keyring>> {
        let in_data_dir = data_dir.join(MASTER_KEY_FILE);
        let keyring = match (&self.secrets.key_file, self.secrets.key.expose_secret().is_empty()) {
            (Some(_), false) => bail!("secrets.key_file and secrets.key are both set: keep one"),
            (None, false) => Keyring::from_text("secrets.key", &self.secrets.key)?,
            (Some(path), true) => Keyring::from_file(path).context("secrets.key_file")?,
            (None, true) if create => Keyring::from_file_or_create(&in_data_dir)?,
            (None, true) if in_data_dir.exists() => Keyring::from_own_file(&in_data_dir)?,
            (None, true) => bail!(
                "no key opens sealed credentials: set secrets.key_file (SIGNALBOX_SECRETS__KEY_FILE) to the file that \
                 all roles share; there is none at {} either",
                in_data_dir.display()
            ),
        };
        keyring.give_up(self.secrets.lost_keys.clone());
        Ok(Arc::new(keyring))
    }

    /// Whether the settings name sealing keys, or the data dir has them.
    pub(crate) fn has_keyring(&self, data_dir: &Path) -> bool {
        let is_named = self.secrets.key_file.is_some() || !self.secrets.key.expose_secret().is_empty();
        is_named || data_dir.join(MASTER_KEY_FILE).exists()
    }

    /// Where the sealing keys are, for people.
    pub(crate) fn keyring_place(&self, data_dir: &Path) -> String {
        match (&self.secrets.key_file, self.secrets.key.expose_secret().is_empty()) {
            (Some(path), _) => format!("{} (secrets.key_file, SIGNALBOX_SECRETS__KEY_FILE)", path.display()),
            (None, false) => "secrets.key (SIGNALBOX_SECRETS__KEY)".to_owned(),
            (None, true) => format!(
                "{} (or name another file with secrets.key_file, SIGNALBOX_SECRETS__KEY_FILE)",
                data_dir.join(MASTER_KEY_FILE).display()
            ),
        }
    }

    /// The admin key of the settings, else that of the data dir; `create` makes one there where there is none.
    pub(crate) fn admin_key(&self, data_dir: &Path, create: bool) -> anyhow::Result<Admin> {
        let in_data_dir = data_dir.join(ADMIN_KEY_FILE);
        let (path, is_new) = match &self.auth.admin_key_file {
            Some(path) => (path, false),
            None if in_data_dir.exists() => (&in_data_dir, false),
            None if create => {
                let is_new = secret::create_secret_file(&in_data_dir, &secret::new_admin_key()?)?;
                (&in_data_dir, is_new)
            }
            None => bail!(
                "no admin key: set auth.admin_key_file (SIGNALBOX_AUTH__ADMIN_KEY_FILE) to a file that holds one, such \
                 as `sbx_` and 43 random characters; there is none at {} either",
                in_data_dir.display()
            ),
        };
        let text = secret::file_secret(path)?;
        Ok(Admin {
            key: AdminKey::new(&path.display().to_string(), &text)?,
            text,
            is_new,
        })
    }
}

fn brand<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = (1..=BRAND_CHARS_MAX).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.trim().into())
    } else {
        Err(serde::de::Error::custom(format!(
            "a brand is one line of 1 to {BRAND_CHARS_MAX} characters"
        )))
    }
}

/// Words between commas.
fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    Ok(words.map(str::to_owned).collect())
}

fn durability<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Durability, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "process" => Ok(Durability::Process),
        "disk" => Ok(Durability::Disk),
        other => Err(serde::de::Error::custom(format!(
            "{other:?} is neither process nor disk"
        ))),
    }
}

#[cfg(test)]
mod tests;
