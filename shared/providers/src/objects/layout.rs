//! Which object a delivery becomes, as an owner's config says it.

use object_store::path::Path;
use signalbox_proto::Delivery;

use super::{Ask, Compression, Format, Key, Object, Request, Store, key};
use crate::{
    FieldError,
    fields::{keep, line},
};

/// Longest name of a storage class, in characters.
const STORAGE_CLASS_CHARS_MAX: usize = 32;
/// Longest name of a bucket, in characters, and the shortest: of the vendors together.
const BUCKET_CHARS_MAX: usize = 222;
const BUCKET_CHARS_MIN: usize = 3;
/// What a look asks for: nobody stores anything there.
const LOOKED_FOR: &str = "signalbox-connection-test";

/// What an owner's config says of objects.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// `config.prefix`.
    pub prefix: Option<&'a str>,
    /// `config.key_template`.
    pub template: &'a str,
    /// `config.format`.
    pub format: Format,
    /// `config.compression`.
    pub compression: Compression,
    /// `config.storage_class`.
    pub storage_class: Option<&'a str>,
    /// `config.overwrite`.
    pub overwrite: bool,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct Layout {
    keys: Key,
    looked_for: Path,
    format: Format,
    compression: Compression,
    storage_class: Option<String>,
    overwrite: bool,
}

impl Layout {
    /// Checks what a config says.
    pub fn read(given: Given<'_>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let prefix = keep(
            key::prefix("config/prefix", given.prefix.unwrap_or_default()),
            &mut errors,
        );
        let prefix = prefix.flatten();
        let extension = given.compression.extension();
        let keys = keep(
            Key::read("config/key_template", prefix.as_deref(), given.template, extension),
            &mut errors,
        );
        let class = given.storage_class.map(storage_class).transpose();
        let class = keep(class, &mut errors);
        match (keys, class) {
            (Some(keys), Some(storage_class)) if errors.is_empty() => Ok(Self {
                keys,
                looked_for: looked_for(prefix.as_deref()),
                format: given.format,
                compression: given.compression,
                storage_class,
                overwrite: given.overwrite,
            }),
            _ => Err(errors),
        }
    }

    /// What stores a delivery.
    pub fn write(&self, store: &Store, delivery: &Delivery) -> Request {
        Request {
            store: store.clone(),
            path: self.keys.of(delivery),
            ask: Ask::Write(Object {
                lines: self.format.lines(delivery),
                compression: self.compression,
                storage_class: self.storage_class.clone(),
                overwrite: self.overwrite,
            }),
        }
    }

    /// What asks whether the store knows us.
    pub fn look(&self, store: &Store) -> Request {
        Request {
            store: store.clone(),
            path: self.looked_for.clone(),
            ask: Ask::Look,
        }
    }
}

fn looked_for(prefix: Option<&str>) -> Path {
    let text = prefix.map_or_else(|| LOOKED_FOR.to_owned(), |prefix| format!("{prefix}/{LOOKED_FOR}"));
    Path::parse(&text).expect("the prefix was checked")
}

fn storage_class(text: &str) -> Result<String, FieldError> {
    let pointer = "config/storage_class";
    let class = line(pointer, text, STORAGE_CLASS_CHARS_MAX)?;
    if class
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    {
        Ok(class)
    } else {
        Err(FieldError::new(pointer, "is not a word in capitals, such as STANDARD"))
    }
}

/// The name of a bucket: what every vendor takes in an address. Its own rules are narrower, and its own to check.
pub fn bucket(pointer: &str, text: &str) -> Result<String, FieldError> {
    let name = line(pointer, text, BUCKET_CHARS_MAX)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if name.len() >= BUCKET_CHARS_MIN && begins && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        let message = "is not the name of a bucket: use 3 to 222 letters, digits, - _ and ., without gs:// or the like";
        Err(FieldError::new(pointer, message))
    }
}
