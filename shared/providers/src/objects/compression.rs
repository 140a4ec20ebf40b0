//! How the lines of an object are compressed.

use std::io::Write as _;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

/// The level of zstd: its own default, which costs less time than gzip and makes less of most events.
const ZSTD_LEVEL: i32 = 3;

/// How the lines of an object are compressed. The same lines always become the same bytes, in one version of this program.
///
/// A compressed object is a file of its own kind and says so by name and type, and not by `Content-Encoding`: with that
/// some clients and one vendor unpack it on the way, so that what is read is not what is stored, by size and checksum, and
/// a name in `.gz` tells a lie. What reads such objects goes by their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// A gzip file: `.gz`.
    Gzip,
    /// A Zstandard file: `.zst`.
    Zstd,
}

impl Compression {
    /// What an object's name ends with.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The type of the object.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/x-ndjson",
            Self::Gzip => "application/gzip",
            Self::Zstd => "application/zstd",
        }
    }

    /// The bytes that are stored.
    pub(super) fn pack(self, lines: &Bytes) -> Bytes {
        match self {
            Self::None => lines.clone(),
            Self::Gzip => {
                // Without a time and a name, which would make other bytes of the same lines.
                let mut gzip = flate2::GzBuilder::new()
                    .mtime(0)
                    .write(Vec::new(), flate2::Compression::default());
                let packed = gzip.write_all(lines).and_then(|()| gzip.finish());
                packed.expect("it is written to memory").into()
            }
            Self::Zstd => {
                let packed = zstd::bulk::compress(lines, ZSTD_LEVEL);
                packed.expect("it is written to memory").into()
            }
        }
    }
}
