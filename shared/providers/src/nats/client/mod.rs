//! The guarded NATS client: the only way from this system to a server that is not its own.
//!
//! It calls only addresses that [`Egress`] lets it call, checked after DNS on the addresses that are then connected to;
//! what a cluster tells of its other servers is not heard, as nobody has checked those. It bounds the time to connect, the
//! time in all, what a server may send, and the connections of an integration and of the process. Nothing is buffered for a
//! server that is away: a message is acknowledged within its time, or it is an error.
//!
//! The client of the broker's crate is not used here. It connects again by itself to addresses that it looks up by itself,
//! reads as much as a server likes to send, and tells of a refused publish by the way and not to who published it: right
//! for a server that one trusts, and wrong for one that a tenant names.
//!
//! A connection carries one message at a time and is then kept for the next one of the same integration with the same login
//! and servers: no tenant waits for another's, nor learns of it. The answer has the form of one over HTTP, as JetStream's
//! own answers have its codes: the status is 200 where the server or the stream took the message, else the code that
//! JetStream gives; the body is what the stream said.

mod connection;
mod error;
mod protocol;

use std::{fmt, sync::Arc, time::Duration};

use ::http::HeaderMap;
use bytes::Bytes;
use rustls::ClientConfig;
use signalbox_proto::outcome::OutcomeKind;
use tokio::time::{Instant, timeout};

use self::connection::Connection;
pub use self::error::Error;
use super::{Identity, Servers, by_error};
use crate::{
    Egress,
    http::{self, CONNECT_TIMEOUT, CONNECT_TIMEOUT_MAX, Response},
    pool::{self, Key, Pool},
};

/// How long a request waits for one of the connections that there may be. With the time of most requests on top it is less
/// than a worker has that is to stop.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// The least that a server gets of the time to a connection where others are left to be tried: less is too short for TLS
/// with one that is far away.
const SHARE_MIN: Duration = Duration::from_secs(1);

/// What is asked of a server. Its debug output shows neither the values of headers, nor the body, nor what proves who we
/// are.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose it is: connections are shared with no other integration.
    pub integration: String,
    /// Where it goes: to one of them that can be reached.
    pub servers: Servers,
    /// What proves who we are.
    pub identity: Identity,
    /// What is published; without it the connection alone is tried.
    pub publish: Option<Publish>,
}

/// A message to be published.
#[derive(Clone)]
pub struct Publish {
    /// The subject.
    pub subject: String,
    /// The headers. Their names are sent in lower case, but for that of the message id.
    pub headers: HeaderMap,
    /// The body, sent as it is.
    pub body: Bytes,
    /// Whether a stream must acknowledge it.
    pub jetstream: bool,
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("subject", &self.subject)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .field("jetstream", &self.jetstream)
            .finish()
    }
}

/// The guarded client. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    egress: Arc<Egress>,
    tls: Arc<ClientConfig>,
    pool: Arc<Pool<Connection>>,
    connect_timeout: Duration,
    place_timeout: Duration,
}

type Place = pool::Place<Connection>;

impl Client {
    /// Makes a client that calls what `egress` lets it call and trusts whom `tls` trusts.
    pub fn new(egress: Egress, mut tls: ClientConfig) -> Self {
        // That of the web: no NATS server speaks it.
        tls.alpn_protocols.clear();
        Self {
            egress: Arc::new(egress),
            tls: Arc::new(tls),
            pool: Pool::new(),
            connect_timeout: CONNECT_TIMEOUT,
            place_timeout: PLACE_TIMEOUT,
        }
    }

    /// The same client with another time to a connection, from 1 to 60 seconds.
    #[must_use]
    pub fn connecting_within(&self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout: connect_timeout.clamp(Duration::from_secs(1), CONNECT_TIMEOUT_MAX),
            ..self.clone()
        }
    }

    /// Sends a request and waits for the acknowledgement, all within `within`. Where all connections are used that there may
    /// be, it first waits for one, for as long as [`Error::NoPlace`] says: that is none of a server's time. Dropping the
    /// future ends the connection: whether the server took the message is not known then.
    pub async fn send(&self, request: &Request, within: Duration) -> Result<Response, Error> {
        let key = Key {
            integration: request.integration.clone(),
            settings: *request.identity.key(),
        };
        let place = timeout(self.place_timeout, self.pool.place(&key)).await;
        let place = place.map_err(|_| Error::NoPlace(self.place_timeout))?;
        let until = Instant::now() + within;
        match timeout(within, self.exchange(request, place, until)).await {
            Ok(result) => result,
            Err(_) => {
                // A server that is cut off says nothing on any of them, and each would take a request's whole time to show it.
                self.pool.close(&key);
                Err(Error::Connection(http::Error::Timeout(within)))
            }
        }
    }

    async fn exchange(&self, request: &Request, mut place: Place, until: Instant) -> Result<Response, Error> {
        if let Some(mut kept) = place.take() {
            match kept.exchange(request.publish.as_ref()).await {
                // It had ended while nobody looked, and that says nothing of the server as it is now. A stream that has
                // the message all the same knows it by its id.
                Err(error) if error.is_loss() => {}
                result => return finish(place, kept, result),
            }
        }
        let mut fresh = self.connect(request, &mut place, until).await?;
        let result = fresh.exchange(request.publish.as_ref()).await;
        finish(place, fresh, result)
    }

    /// Connects to the first server that lets us in, beginning with the one that did so the last time. Where the time ended
    /// before all were tried, the next request goes on where this one stopped.
    async fn connect(&self, request: &Request, place: &mut Place, until: Instant) -> Result<Connection, Error> {
        let servers = &request.servers;
        let first = place.server();
        let mut failed: Option<Error> = None;
        let mut untried = u32::try_from(servers.len()).expect("an integration has few servers");
        for at in (0..servers.len()).map(|tried| (first + tried) % servers.len()) {
            place.tries(at);
            let left = until.saturating_duration_since(Instant::now());
            let share = share(self.connect_timeout, left, untried);
            untried -= 1;
            let connecting = Connection::open(&servers[at], request.identity.login(), &self.egress, &self.tls);
            let connected = timeout(share, connecting).await;
            match connected.unwrap_or(Err(Error::Connection(http::Error::ConnectTimeout(share)))) {
                Ok(connection) => return Ok(connection),
                // The others of a cluster have the same users. Where they have not, this one is not always asked first.
                Err(error @ Error::Login) => {
                    place.tries(at + 1);
                    return Err(error);
                }
                // What may pass at one server may pass for all, in whatever order they were tried.
                Err(error) => {
                    if !failed.as_ref().is_some_and(may_pass) {
                        failed = Some(error);
                    }
                }
            }
        }
        Err(failed.expect("an integration has one server at least"))
    }
}

/// How long a server may take, where so many are left with it: as much as each of the others, and as much is left for the
/// message. The last has nobody to leave time to but the message, which needs a connection first.
fn share(connect_timeout: Duration, left: Duration, servers: u32) -> Duration {
    if servers <= 1 {
        return connect_timeout;
    }
    let even = (left / (servers + 1)).max(SHARE_MIN);
    // In hundredths of a second it reads better.
    let even = Duration::from_millis(u64::try_from(even.as_millis() / 10 * 10).unwrap_or(u64::MAX));
    connect_timeout.min(even)
}

fn may_pass(error: &Error) -> bool {
    by_error(error).kind() == OutcomeKind::Retry
}

/// Keeps a connection that is as good as before.
fn finish(place: Place, connection: Connection, result: Result<Response, Error>) -> Result<Response, Error> {
    if connection.is_good() {
        place.keep(connection);
    }
    result
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
