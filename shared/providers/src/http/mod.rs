//! The guarded HTTP client: the only way from this system to a target over HTTP.
//!
//! It calls only addresses that [`Egress`] lets it call, checked after DNS on the addresses that
//! are then connected to; follows no redirect; takes no proxy from the environment; bounds the time
//! to connect, the time in all, and the bytes of an answer. Nothing that it prints or returns as an
//! error holds a query, a header's value or a body.
//!
//! Plain `http` has its own connection pool, whose connections go to allowed ranges alone, so that
//! a name that answers with a public address is never called without TLS. What is called with an [`Identity`] has
//! connections of its own, too. Tokens are fetched here: see [`oauth2`].

mod egress;
mod error;
pub mod identity;
mod kept;
pub mod oauth2;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

pub use egress::{Class, Egress, Refusal};
pub use error::Error;
pub use identity::Identity;
pub(crate) use kept::Kept;

use self::oauth2::{Tokens, Vault};
use crate::Secret;

/// Time to resolve a name, connect and agree on TLS, where an integration names none.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest such time that an integration may name.
pub(crate) const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer's body that are read; the rest is cut, with the connection.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Idle connections kept for one host.
pub const IDLE_PER_HOST_MAX: usize = 1_024;
/// How long an idle connection is kept: shorter than most servers keep theirs, so that a request
/// seldom meets one that is being closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most identities whose connections are kept; of more, those that were used longest ago are made anew.
pub const IDENTITIES_MAX: usize = 256;
/// What we call ourselves, unless a request says otherwise.
pub const USER_AGENT: &str = concat!("Signalbox/", env!("CARGO_PKG_VERSION"));

/// One request. Its debug output shows neither path and query, nor header values, nor the body.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Headers, but for `Authorization` where `auth` sets it.
    pub headers: HeaderMap,
    /// The body, sent as it is.
    pub body: Bytes,
    /// What proves who we are.
    pub auth: Auth,
    /// What the connection is made with, where that is not what all are made with: a certificate of ours, authorities of
    /// the target's own. Plain `http` knows neither.
    pub identity: Option<Arc<Identity>>,
}

/// What a request proves itself with. Data, so that the client can do what a scheme asks for.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nothing, or what the headers hold.
    #[default]
    None,
    /// A ready value of `Authorization`.
    Authorization(HeaderValue),
    /// A token that the client fetches, shares and renews: see [`oauth2`].
    OAuth2(Arc<oauth2::Grant>),
}

/// A text that cannot be the value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("holds characters that a header cannot carry")]
pub struct InvalidHeader;

impl Auth {
    /// `Authorization: Bearer <token>`.
    pub fn bearer(token: &Secret) -> Result<Self, InvalidHeader> {
        Self::value(&format!("Bearer {}", token.expose()))
    }

    /// `Authorization: Basic <base64 of username:password>`.
    pub fn basic(username: &str, password: &Secret) -> Result<Self, InvalidHeader> {
        Self::value(&format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{}", password.expose()))
        ))
    }

    /// The whole value of `Authorization`.
    pub fn header(value: &Secret) -> Result<Self, InvalidHeader> {
        Self::value(value.expose())
    }

    fn value(text: &str) -> Result<Self, InvalidHeader> {
        secret_value(text).map(Self::Authorization)
    }
}

/// A header's value that is never printed.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, InvalidHeader> {
    let mut value = HeaderValue::from_str(text).map_err(|_| InvalidHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An answer whose body was read to its end or to [`BODY_BYTES_MAX`].
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Whether the body was longer.
    pub truncated: bool,
}

/// The guarded client. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    parts: Arc<Parts>,
    pools: Arc<Pools>,
}

/// What all connections are made with.
#[derive(Debug)]
struct Parts {
    egress: Arc<Egress>,
    tls: ClientConfig,
    roots: Arc<RootCertStore>,
    tokens: Tokens,
    /// By identity and whole seconds to a connection. Connections of one identity are never another's.
    by_identity: Mutex<Kept<([u8; 16], u64), reqwest::Client>>,
    /// By whole seconds to a connection, which the transport keeps for a pool and not for a request.
    by_connect_secs: Mutex<BTreeMap<u64, Arc<Pools>>>,
}

/// Connections that may take the same time to be made.
#[derive(Debug)]
struct Pools {
    connect_timeout: Duration,
    /// For `https`: public addresses and allowed ranges.
    secure: reqwest::Client,
    /// For `http`: allowed ranges alone.
    plain: reqwest::Client,
}

impl Pools {
    fn new(egress: &Arc<Egress>, tls: &ClientConfig, connect_timeout: Duration) -> Result<Self, crate::Error> {
        Ok(Self {
            connect_timeout,
            secure: transport(egress::Resolver::secure(egress), tls.clone(), connect_timeout)?,
            plain: transport(egress::Resolver::plain(egress), tls.clone(), connect_timeout)?,
        })
    }
}

impl Client {
    /// Makes a client that trusts the system's certificate authorities (`SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` are honoured). Without any, `https` fails at each request.
    pub fn new(egress: Egress) -> Result<Self, crate::Error> {
        Self::with_tokens(egress, Tokens::new(None))
    }

    /// The same, which shares tokens with all processes that use this vault. Others keep them in memory.
    pub fn sharing_tokens(egress: Egress, vault: Arc<dyn Vault>) -> Result<Self, crate::Error> {
        Self::with_tokens(egress, Tokens::new(Some(vault)))
    }

    fn with_tokens(egress: Egress, tokens: Tokens) -> Result<Self, crate::Error> {
        let egress = Arc::new(egress);
        let roots = Arc::new(system_roots());
        let tls = tls_config(None, &roots)?;
        let pools = Arc::new(Pools::new(&egress, &tls, CONNECT_TIMEOUT)?);
        let known = BTreeMap::from([(CONNECT_TIMEOUT.as_secs(), pools.clone())]);
        Ok(Self {
            parts: Arc::new(Parts {
                egress,
                tls,
                roots,
                tokens,
                by_identity: Mutex::new(Kept::at_most(IDENTITIES_MAX)),
                by_connect_secs: Mutex::new(known),
            }),
            pools,
        })
    }

    /// The same client with another time to a connection, in whole seconds from 1 to 60. All that name the
    /// same time share connections.
    #[must_use]
    pub fn connecting_within(&self, connect_timeout: Duration) -> Self {
        let secs = connect_timeout.as_secs().clamp(1, CONNECT_TIMEOUT_MAX.as_secs());
        if self.pools.connect_timeout.as_secs() == secs {
            return self.clone();
        }
        let Parts {
            egress,
            tls,
            by_connect_secs,
            ..
        } = &*self.parts;
        let mut known = by_connect_secs.lock().expect("no holder of the lock panics");
        let pools = known.entry(secs).or_insert_with(|| {
            let made = Pools::new(egress, tls, Duration::from_secs(secs));
            Arc::new(made.expect("the same parts made a client before"))
        });
        Self {
            parts: self.parts.clone(),
            pools: pools.clone(),
        }
    }

    /// The rules that this client holds.
    pub fn egress(&self) -> &Egress {
        &self.parts.egress
    }

    /// What connections with TLS trust, for other transports: they read the system's certificates no second time.
    pub(crate) fn tls(&self) -> &ClientConfig {
        &self.parts.tls
    }

    /// Sends a request and reads the answer, all within `timeout`, the wait for a token too. Dropping the future ends the
    /// request and its connection; the fetch of a token goes on for whoever needs it next.
    pub async fn send(&self, request: Request, timeout: Duration) -> Result<Response, Error> {
        // The connector asks no resolver about an address in the URL.
        self.parts.egress.check_literal(&request.url).map_err(Error::Egress)?;
        let sending = async {
            if let Auth::OAuth2(grant) = &request.auth {
                let grant = grant.clone();
                // Few requests need it, and all would be as large as this.
                return Box::pin(self.send_with_token(&grant, request)).await;
            }
            self.exchange(request).await
        };
        match tokio::time::timeout(timeout, sending).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout(timeout)),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let Request {
            method,
            url,
            mut headers,
            body,
            auth,
            identity,
        } = request;
        if let Auth::Authorization(value) = auth {
            headers.insert(AUTHORIZATION, value);
        }
        let client = match (url.scheme(), identity) {
            ("https", Some(identity)) => self.identified(&identity),
            ("https", None) => self.pools.secure.clone(),
            _ => self.pools.plain.clone(),
        };
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        *outgoing.body_mut() = Some(body.into());

        let mut incoming = client.execute(outgoing).await.map_err(|error| self.error(error))?;
        let status = incoming.status().as_u16();
        let headers = std::mem::take(incoming.headers_mut());
        let (body, truncated) = read_body(&mut incoming).await.map_err(|error| self.error(error))?;
        Ok(Response {
            status,
            headers,
            body,
            truncated,
        })
    }

    /// The connections of an identity.
    fn identified(&self, identity: &Identity) -> reqwest::Client {
        let connect_timeout = self.pools.connect_timeout;
        let mut known = self.parts.by_identity.lock().expect("no holder of the lock panics");
        known.get_or((identity.digest(), connect_timeout.as_secs()), || {
            let tls = tls_config(Some(identity), &self.parts.roots);
            let client =
                tls.and_then(|tls| transport(egress::Resolver::secure(&self.parts.egress), tls, connect_timeout));
            client.expect("the same parts made a client before, and the identity was read whole")
        })
    }

    fn error(&self, error: reqwest::Error) -> Error {
        Error::of(error, self.pools.connect_timeout)
    }
}

/// Reads a body up to the bound. A body that comes in one piece, as most do, is not copied.
async fn read_body(incoming: &mut reqwest::Response) -> Result<(Bytes, bool), reqwest::Error> {
    let Some(mut first) = incoming.chunk().await? else {
        return Ok((Bytes::new(), false));
    };
    if first.len() > BODY_BYTES_MAX {
        first.truncate(BODY_BYTES_MAX);
        return Ok((first, true));
    }
    // Only what is read to its end gives its connection back to the pool.
    let Some(second) = incoming.chunk().await? else {
        return Ok((first, false));
    };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let room = BODY_BYTES_MAX - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk.slice(..room));
            return Ok((body.freeze(), true));
        }
        body.extend_from_slice(&chunk);
        next = incoming.chunk().await?;
    }
    Ok((body.freeze(), false))
}

fn transport(
    resolver: egress::Resolver,
    tls: ClientConfig,
    connect_timeout: Duration,
) -> Result<reqwest::Client, crate::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolver))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .tcp_nodelay(true)
        .build()
        .map_err(crate::Error::Client)
}

/// The certificate authorities of the system.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(error = %error, "cannot load a certificate authority of this system");
    }
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        tracing::warn!(
            "this system has no certificate authorities, so every https target will fail: install its package \
             ca-certificates or set SSL_CERT_FILE"
        );
    }
    roots
}

/// TLS 1.2 and 1.3 with ring, named here so that nothing depends on which provider the process
/// installed as its default.
fn tls_config(identity: Option<&Identity>, known: &Arc<RootCertStore>) -> Result<ClientConfig, crate::Error> {
    let roots = identity.map_or_else(|| known.clone(), |identity| identity.roots(known));
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(crate::Error::Tls)?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => identity.tls(config),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .field("auth", &self.auth)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .finish()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Authorization(_) => "Authorization",
            Self::OAuth2(_) => "OAuth2",
        })
    }
}

#[cfg(test)]
mod tests;
