//! Settings in layers: compiled-in defaults, then `signalbox.toml`, then the environment, then flags.
//!
//! The defaults are each service's `config.toml` and are the whole list of settings: a key that is not there is
//! unknown, and the type of the default is the type of the setting. That makes a text from the environment
//! unambiguous: `123` stays text where the default is text, and a list is split at commas where the default is a list.
//! An empty text is how a default says "not set" ([`none_if_empty`] reads it); an empty table takes keys of the
//! operator's choosing. Every value remembers who gave it, so that an error and `signalbox config` can say so.
//!
//! All roles read one `signalbox.toml`, so every caller passes the defaults of all services, not only its own.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    ops::{Bound, RangeBounds},
    path::{Path, PathBuf},
};

use config::{ConfigError, Environment, File, FileFormat, Map, Source as _, Value, ValueKind};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IntoDeserializer},
};

use crate::Error;

mod typing;

/// The file that is read when no other is named, if it is there.
pub const FILE: &str = "signalbox.toml";

/// Settings that every role has.
const OWN_DEFAULTS: (&str, &str) = ("runtime", CONFIG_TOML);
/// The defaults of the settings that every role has, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// What a variable's name starts with.
const PREFIX: &str = "SIGNALBOX";

/// A key that ends in one of these holds a secret.
const SECRET_ENDINGS: [&str; 7] = ["_key", "password", "token", "secret", "secrets", "credentials", "seed"];

/// Stands for a secret wherever settings are shown.
const MASK: &str = "\"***\"";

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A service's `config.toml`.
    Default,
    /// A settings file.
    File(PathBuf),
    /// An environment variable, by name.
    Env(String),
    /// A flag of the command line.
    Flag,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(variable) => f.write_str(variable),
            Self::Flag => f.write_str("the command line"),
        }
    }
}

/// One setting as `signalbox config` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Section and key, such as `delivery.in_flight_max`.
    pub key: String,
    /// The value as it would stand in `signalbox.toml`; a secret that is set is `"***"`.
    pub value: String,
    /// Who gave it.
    pub origin: Origin,
}

/// Section, key, and further keys inside nested tables.
type Keys = Vec<String>;

struct Entry {
    value: Value,
    origin: Origin,
}

/// The effective settings of this process.
pub struct Settings {
    entries: BTreeMap<Keys, Entry>,
    /// Tables whose keys the operator chooses.
    open: BTreeSet<Keys>,
    secrets: BTreeSet<String>,
}

impl Settings {
    /// Puts the layers together, each over the one before: `defaults` (pairs of a service's name and its `config.toml`),
    /// `file` or else [`FILE`] in the working directory if it is there, the variables of `env` (see [`environment`]),
    /// and `overrides` (pairs of a key such as `nats.url` and a value).
    ///
    /// The first key that no default knows, and the first value of another type than its default, is an error.
    pub fn load(
        defaults: &[(&'static str, &'static str)],
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[(String, toml::Value)],
    ) -> Result<Self, Error> {
        let mut settings = Self {
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            secrets: BTreeSet::new(),
        };
        for (service, text) in std::iter::once(&OWN_DEFAULTS).chain(defaults) {
            settings.add_defaults(service, text)?;
        }
        match file {
            Some(path) => settings.add_file(path)?,
            None if Path::new(FILE).exists() => settings.add_file(Path::new(FILE))?,
            None => {}
        }
        for (variable, text) in env {
            settings.add_variable(variable, text)?;
        }
        for (key, value) in overrides {
            let value = value
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| Error::Setting {
                    name: key.clone(),
                    problem: error.message().to_owned(),
                    origin: Origin::Flag,
                })?;
            settings.set(keys_of(key), value, &Origin::Flag)?;
        }
        Ok(settings)
    }

    /// Also hides these keys in [`Self::entries`] and in errors, beside those that are named like secrets.
    pub fn mask(mut self, keys: &[&str]) -> Self {
        self.secrets.extend(keys.iter().map(|key| (*key).to_owned()));
        self
    }

    /// One section, or a table inside one (`nats.tls`), as the caller's type.
    ///
    /// The type should `deny_unknown_fields`: then a key of `config.toml` that the code does not read fails every start.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.part(name, |_| true)
    }

    /// Those keys of a section for which `wanted` holds, where several types share the section.
    pub fn part<T: DeserializeOwned>(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Result<T, Error> {
        let section = keys_of(name);
        let inner_of = |keys: &'_ Keys| {
            let inner = keys.strip_prefix(section.as_slice())?;
            inner.first().is_none_or(|key| wanted(key)).then(|| inner.to_vec())
        };
        let mut table = Map::new();
        for keys in &self.open {
            if let Some(inner) = inner_of(keys) {
                insert(&mut table, &inner, Value::new(None, Map::<String, Value>::new()));
            }
        }
        for (keys, entry) in &self.entries {
            if let Some(inner) = inner_of(keys) {
                insert(&mut table, &inner, entry.value.clone());
            }
        }
        T::deserialize(Value::new(None, table)).map_err(|error| self.explain(name, error))
    }

    /// Every setting, sorted by key, secrets masked.
    pub fn entries(&self) -> Vec<EntryView> {
        self.entries
            .iter()
            .map(|(keys, entry)| EntryView {
                key: keys.join("."),
                value: self.shown(keys, &entry.value),
                origin: entry.origin.clone(),
            })
            .collect()
    }

    fn add_defaults(&mut self, service: &str, text: &str) -> Result<(), Error> {
        let fault = |problem: String| Error::Defaults {
            service: service.to_owned(),
            problem,
        };
        let table = File::from_str(text, FileFormat::Toml)
            .collect()
            .map_err(|error| fault(error.to_string()))?;
        let mut found = Vec::new();
        flatten(&mut Vec::new(), table, &|_| false, &mut found);
        for (keys, value) in found {
            let name = keys.join(".");
            if keys.len() < 2 {
                return Err(fault(format!("{name} is not in a section")));
            }
            let taken = self.entries.contains_key(&keys) || self.open.contains(&keys);
            if taken {
                return Err(fault(format!("{name} is defined by another service")));
            }
            if matches!(value.kind, ValueKind::Table(_)) {
                self.open.insert(keys);
            } else {
                self.entries.insert(
                    keys,
                    Entry {
                        value,
                        origin: Origin::Default,
                    },
                );
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let fault = |source: Box<dyn std::error::Error + Send + Sync>| Error::SettingsFile {
            path: path.into(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.into()))?;
        let table = File::from_str(&text, FileFormat::Toml)
            .collect()
            .map_err(|error| fault(error.into()))?;
        let mut found = Vec::new();
        flatten(
            &mut Vec::new(),
            table,
            &|keys| self.entries.contains_key(keys),
            &mut found,
        );
        let origin = Origin::File(path.into());
        for (keys, value) in found {
            // A section header with nothing below it changes nothing.
            let empty = matches!(&value.kind, ValueKind::Table(table) if table.is_empty());
            if !(empty && (self.is_section(&keys) || self.open.contains(&keys))) {
                self.set(keys, value, &origin)?;
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, variable: String, text: String) -> Result<(), Error> {
        let is_setting = variable
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|rest| rest.contains("__"));
        if !is_setting {
            return Ok(());
        }
        let origin = Origin::Env(variable.clone());
        let fault = |error: ConfigError| Error::Setting {
            name: variable.clone(),
            problem: error.to_string(),
            origin: origin.clone(),
        };
        // Without its own separator the prefix would be taken to end in two underscores, too.
        let collected = Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .separator("__")
            .source(Some(Map::from_iter([(variable.clone(), text)])))
            .collect()
            .map_err(fault)?;
        for (key, value) in collected {
            let keys = keys_of(&key);
            let text = value.into_string().map_err(fault)?;
            let value = match self.entries.get(&keys) {
                Some(entry) => typing::read(&entry.value, &text)
                    .map_err(|expected| self.misfit(&keys, &Value::from(text.as_str()), &expected, &origin))?,
                None => Value::from(text),
            };
            self.set(keys, value, &origin)?;
        }
        Ok(())
    }

    fn set(&mut self, keys: Keys, value: Value, origin: &Origin) -> Result<(), Error> {
        if let Some(entry) = self.entries.get(&keys) {
            let value = typing::fit(&entry.value, value.clone())
                .map_err(|expected| self.misfit(&keys, &value, &expected, origin))?;
            self.entries.insert(
                keys,
                Entry {
                    value,
                    origin: origin.clone(),
                },
            );
            return Ok(());
        }
        if self.is_section(&keys) || self.open.contains(&keys) {
            return Err(self.misfit(&keys, &value, "a section with keys of its own", origin));
        }
        if self
            .open
            .iter()
            .any(|open| keys.len() > open.len() && keys.starts_with(open))
        {
            self.entries.insert(
                keys,
                Entry {
                    value,
                    origin: origin.clone(),
                },
            );
            return Ok(());
        }
        let name = keys.join(".");
        let hint = nearest(&name, self.entries.keys().map(|known| known.join(".")))
            .map(|known| format!("; did you mean {known}?"))
            .unwrap_or_default();
        Err(Error::UnknownSetting {
            name,
            origin: origin.clone(),
            hint,
        })
    }

    fn is_section(&self, keys: &[String]) -> bool {
        self.entries
            .keys()
            .chain(&self.open)
            .any(|known| known.len() > keys.len() && known.starts_with(keys))
    }

    fn misfit(&self, keys: &[String], value: &Value, expected: &str, origin: &Origin) -> Error {
        Error::Setting {
            name: keys.join("."),
            problem: format!("{} is not {expected}", self.shown(keys, value)),
            origin: origin.clone(),
        }
    }

    /// Names the setting behind an error of the caller's type, and who gave its value.
    fn explain(&self, section: &str, error: ConfigError) -> Error {
        let (path, unexpected, said) = match error {
            ConfigError::Type {
                key,
                unexpected,
                expected,
                ..
            } => {
                // The crate writes `an signed` and `u64 bit`.
                let expected = expected.replace("an signed", "a signed").replace("u64 bit", "64 bit");
                (key, Some(unexpected.to_string()), format!("is not {expected}"))
            }
            ConfigError::At { error, key, .. } => (key, None, error.to_string()),
            ConfigError::NotFound(key) => (Some(key), None, "is set nowhere and has no default".to_owned()),
            other => (None, None, other.to_string()),
        };
        let name = path.map_or_else(|| section.to_owned(), |path| format!("{section}.{path}"));
        let entry = self.entries.iter().find(|(keys, _)| {
            let known = keys.join(".");
            // What follows a setting's own name is a place inside its list: `routes[2].url`.
            name.strip_prefix(&known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        });
        let origin = entry.map_or(Origin::Default, |(_, entry)| entry.origin.clone());
        let problem = match entry {
            Some((keys, _)) if self.is_secret(keys) => "this value cannot be used".to_owned(),
            Some((keys, entry)) if unexpected.is_some() && keys.join(".") == name => {
                format!("{} {said}", self.shown(keys, &entry.value))
            }
            _ => unexpected.map_or_else(|| said.clone(), |unexpected| format!("{unexpected} {said}")),
        };
        Error::Setting { name, problem, origin }
    }

    fn is_secret(&self, keys: &[String]) -> bool {
        let named = keys
            .last()
            .is_some_and(|key| key == "key" || SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending)));
        named || self.secrets.contains(&keys.join("."))
    }

    fn shown(&self, keys: &[String], value: &Value) -> String {
        let empty = match &value.kind {
            ValueKind::String(text) => text.is_empty(),
            ValueKind::Array(elements) => elements.is_empty(),
            _ => false,
        };
        if self.is_secret(keys) && !empty {
            MASK.to_owned()
        } else {
            typing::show(value)
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries().iter().map(|entry| (&entry.key, &entry.value)))
            .finish()
    }
}

/// The process's variables that start like ours. One that is not UTF-8 is an error.
pub fn environment() -> Result<Vec<(String, String)>, Error> {
    std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Error::Setting {
                problem: "the value is not UTF-8".to_owned(),
                origin: Origin::Env(name.clone()),
                name,
            }),
        })
        .collect()
}

/// Holds a value to its bounds: `delivery.in_flight_max: 0 is below 1`.
pub fn bound<T: PartialOrd + Display>(name: &str, value: T, range: impl RangeBounds<T>) -> Result<T, Error> {
    let broken = |relation, limit: &T| {
        Err(Error::Bound {
            name: name.to_owned(),
            value: value.to_string(),
            relation,
            limit: limit.to_string(),
        })
    };
    // What cannot be compared (a float that is not a number) is within no bound.
    match range.start_bound() {
        Bound::Included(least) if value.partial_cmp(least).is_none_or(Ordering::is_lt) => {
            return broken("below", least);
        }
        Bound::Excluded(least) if value.partial_cmp(least).is_none_or(Ordering::is_le) => {
            return broken("not above", least);
        }
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {}
    }
    match range.end_bound() {
        Bound::Included(most) if value.partial_cmp(most).is_none_or(Ordering::is_gt) => return broken("above", most),
        Bound::Excluded(most) if value.partial_cmp(most).is_none_or(Ordering::is_ge) => {
            return broken("not below", most);
        }
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {}
    }
    Ok(value)
}

/// For `#[serde(deserialize_with = "signalbox_runtime::settings::none_if_empty")]`: an empty text is no value.
pub fn none_if_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Ok(None)
    } else {
        T::deserialize(text.into_deserializer()).map(Some)
    }
}

fn keys_of(name: &str) -> Keys {
    name.split('.').map(str::to_owned).collect()
}

/// Takes a table apart into its values and its empty tables. Tables for which `is_value` holds stay whole.
fn flatten(path: &mut Keys, table: Map<String, Value>, is_value: &dyn Fn(&Keys) -> bool, out: &mut Vec<(Keys, Value)>) {
    // The map has no order of its own, and which of two mistakes is reported should not change from start to start.
    for (key, value) in BTreeMap::from_iter(table) {
        path.push(key);
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() && !is_value(path) => flatten(path, inner, is_value, out),
            _ => out.push((path.clone(), value)),
        }
        path.pop();
    }
}

fn insert(table: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = table
                .entry(key.clone())
                .or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}

/// The known name with the fewest edits to the given one, unless it is too far to be a slip.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let slip_max = 2 + name.len() / 6;
    known
        .map(|known| (edits(name, &known), known))
        .min()
        .filter(|(distance, _)| *distance <= slip_max)
        .map(|(_, known)| known)
}

/// Levenshtein distance in bytes.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// A text that may hold URLs, several with commas between: without users, passwords and queries. What could be a part
/// of one of these goes, too.
pub fn redacted(text: &str) -> String {
    // A comma may also stand inside a password, so that only one before a further scheme ends a URL.
    let mut urls: Vec<Cow<'_, str>> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            Some(url) if !part.contains("://") => *url = Cow::Owned(format!("{url},{part}")),
            _ => urls.push(Cow::Borrowed(part)),
        }
    }
    let shown: Vec<String> = urls.iter().map(|url| redacted_url(url)).collect();
    shown.join(",")
}

fn redacted_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        // Without a scheme a question mark begins no query.
        None => {
            return url
                .rsplit_once('@')
                .map_or_else(|| url.to_owned(), |(_, host)| format!("***@{host}"));
        }
    };
    let (place, query) = match rest.split_once(['?', '#']) {
        // The question mark may be a part of a password.
        Some((_, query)) if query.contains('@') => return format!("{scheme}***"),
        Some((place, _)) => (place, "?***"),
        None => (rest, ""),
    };
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}{query}"),
        None => format!("{scheme}{place}{query}"),
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A key of an inline table as TOML writes it.
fn bare_or_quoted(key: &str) -> Cow<'_, str> {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(quoted(key))
    }
}

#[cfg(test)]
mod tests;
