//! Objects in a bucket, over checked connections: what the providers of object stores share.
//!
//! A provider makes a [`Store`] of a bucket and of what opens it, and asks for [`Request`]s of it. The crate `object_store`
//! makes and signs what goes over HTTP, with the time at which it is sent; [`Client`] sends it through
//! [`crate::http::Client`], so that addresses are checked after DNS and time and size are bounded as for every target. A
//! store has no connections of its own, tries nothing again by itself, and never looks for credentials: it has those that
//! it was made with.
//!
//! What the providers have in common besides: [`Layout`] says which object a delivery becomes, [`Format`] and
//! [`Compression`] what stands in it, [`by_answer`] what answers mean.

mod answers;
mod client;
mod compression;
mod error;
mod key;
mod layout;
mod lines;

use std::{fmt, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use bytes::Bytes;
use object_store::{BackoffConfig, ObjectStore, RetryConfig, path::Path};
use url::Url;

pub use self::{
    answers::{by_answer, by_error},
    client::{Checked, Client},
    compression::Compression,
    error::Error,
    key::{Key, default_key_template},
    layout::{Given, Layout, bucket},
    lines::Format,
};

/// Stands in the answer to [`Ask::Look`], put there by [`Client`] and by nobody else: what it means is not what the same
/// answer to a write would mean.
pub const LOOKED: HeaderName = HeaderName::from_static("x-signalbox-looked");

/// A bucket, with what opens it. Cheap to clone. Its debug output is its address.
#[derive(Clone)]
pub struct Store {
    signer: Arc<dyn ObjectStore>,
    url: Url,
}

impl Store {
    /// A bucket at an address. The signer is to send through [`Checked`] and to try nothing again ([`no_retries`]).
    pub fn new(signer: impl ObjectStore, url: Url) -> Self {
        Self {
            signer: Arc::new(signer),
            url,
        }
    }

    /// Where the bucket is.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// One object, as it is to be stored. Its debug output does not show the lines.
#[derive(Clone)]
pub struct Object {
    /// Its lines, before they are compressed.
    pub lines: Bytes,
    /// How they are compressed.
    pub compression: Compression,
    /// The vendor's word for where it is kept, if another than the bucket's.
    pub storage_class: Option<String>,
    /// Whether an object under the same key is to be replaced. Otherwise the store is asked to refuse.
    pub overwrite: bool,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("lines_bytes", &self.lines.len())
            .field("compression", &self.compression)
            .field("storage_class", &self.storage_class)
            .field("overwrite", &self.overwrite)
            .finish()
    }
}

/// What is asked of a store.
#[derive(Clone, Debug)]
pub enum Ask {
    /// To keep an object under the key, in one request.
    Write(Object),
    /// Whether it knows us, by asking for an object that is not there.
    Look,
}

/// One request. The answer to it is that of the store over HTTP, whatever its status, as [`crate::http::Response`]; to
/// [`Ask::Look`] with the header [`LOOKED`].
#[derive(Clone, Debug)]
pub struct Request {
    /// Which bucket.
    pub store: Store,
    /// Which object.
    pub path: Path,
    /// What is asked.
    pub ask: Ask,
}

impl Request {
    /// The method over HTTP.
    pub fn method(&self) -> Method {
        match self.ask {
            Ask::Write(_) => Method::PUT,
            Ask::Look => Method::GET,
        }
    }

    /// The object's address.
    pub fn url(&self) -> Url {
        let parts: Vec<&str> = self.path.as_ref().split('/').collect();
        crate::fields::below(&self.store.url, &parts)
    }

    /// The headers that say what the object is. Those of the signature are made when it is sent.
    pub fn headers(&self) -> HeaderMap {
        match &self.ask {
            Ask::Write(object) => {
                let content_type = HeaderValue::from_static(object.compression.content_type());
                HeaderMap::from_iter([(CONTENT_TYPE, content_type)])
            }
            Ask::Look => HeaderMap::new(),
        }
    }

    /// The lines, as they are before they are compressed; empty where nothing is written.
    pub fn lines(&self) -> Bytes {
        match &self.ask {
            Ask::Write(object) => object.lines.clone(),
            Ask::Look => Bytes::new(),
        }
    }
}

/// One try: what is worth another is delivered again, by its schedule.
pub fn no_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: std::time::Duration::ZERO,
    }
}

/// A request as one over HTTP, for checks that all providers share.
#[cfg(test)]
pub(crate) fn as_http(request: &Request) -> crate::http::Request {
    let body = match &request.ask {
        Ask::Write(object) => object.compression.pack(&object.lines),
        Ask::Look => Bytes::new(),
    };
    crate::http::Request {
        method: request.method(),
        url: request.url(),
        headers: request.headers(),
        body,
        auth: crate::http::Auth::None,
        identity: None,
    }
}

#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
mod tests;
