//! Addresses that a reader may open.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::{Position, Url};

/// Longest address of a link, in bytes: the least that a target takes.
pub const LINK_BYTES_MAX: usize = 2_000;

/// An address that a reader may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it shows.
    pub label: &'static str,
    /// Of `http` or `https`, without user and password, at most [`LINK_BYTES_MAX`].
    pub url: String,
}

/// What may stand in no path, query or fragment (RFC 3986, appendix A).
const NOT_IN_ADDRESSES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An address that may be opened: of the web, and naming its host openly.
pub(crate) fn address_of(text: &str) -> Option<String> {
    if text.len() > LINK_BYTES_MAX {
        return None;
    }
    let url = Url::parse(text.trim()).ok()?;
    let open = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    if !open || url.host_str().is_none() {
        return None;
    }
    // The parser leaves signs as they are that targets refuse in an address.
    let rest = utf8_percent_encode(&url[Position::BeforePath..], NOT_IN_ADDRESSES);
    let address = format!("{}{rest}", &url[..Position::BeforePath]);
    (address.len() <= LINK_BYTES_MAX).then_some(address)
}
