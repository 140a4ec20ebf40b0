//! The guarded NATS client: the only way from this system to a server that is not its own.
//!
//! It calls only addresses that [`Egress`] lets it call, checked after DNS on the addresses that are then connected to;
//! what a cluster tells of its other servers is not heard, as nobody has checked those. It bounds the time to connect, the time in
//! all, what a server may send, and the connections of an integration. Nothing is buffered for a server that is away: a
//! message is acknowledged within its time, or it is an error.
//!
//! The client of the broker's crate is not used here. It connects again by itself to addresses that it looks up by itself,
//! reads as much as a server likes to send, and tells of a refused publish by the way and not to who published it: right
//! for a server that one trusts, and wrong for one that a tenant names.
//!
//! A connection carries one message at a time and is then kept for the next one of the same login at the same
//! servers. The answer has the form of one over HTTP, as JetStream's own answers have its codes: the status is 200 where the
//! server or the stream took the message, else the code that JetStream gives; the body is what the stream said.

mod connection;
mod error;
mod protocol;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use ::http::HeaderMap;
use bytes::Bytes;
use rustls::ClientConfig;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use self::connection::Connection;
pub use self::error::Error;
use super::{Identity, Servers};
use crate::{
    Egress,
    http::{self, CONNECT_TIMEOUT, IDLE_TIMEOUT, Response},
};

/// Connections of one login at the same time; further messages wait for one of them.
const CONNECTIONS_MAX: usize = 16;
/// Idle connections of all logins together.
const IDLE_MAX: usize = 1_024;
/// The longest time to a connection that an integration may name.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// What is asked of a server. Its debug output shows neither the values of headers, nor the body, nor what proves who we
/// are.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes: to the first of them that can be reached.
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
    shared: Arc<Shared>,
    connect_timeout: Duration,
}

struct Shared {
    egress: Arc<Egress>,
    tls: Arc<ClientConfig>,
    pool: Mutex<Pool>,
}

/// Connections by login.
#[derive(Default)]
struct Pool {
    lines: HashMap<[u8; 32], Arc<Line>>,
    idle: usize,
    /// Whether somebody looks after them.
    swept: bool,
}

/// The connections of one login.
struct Line {
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Client {
    /// Makes a client that calls what `egress` lets it call and trusts whom `tls` trusts.
    pub fn new(egress: Egress, mut tls: ClientConfig) -> Self {
        // That of the web: no NATS server speaks it.
        tls.alpn_protocols.clear();
        Self {
            shared: Arc::new(Shared {
                egress: Arc::new(egress),
                tls: Arc::new(tls),
                pool: Mutex::default(),
            }),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// The same client with another time to a connection, from 1 to 60 seconds.
    #[must_use]
    pub fn connecting_within(&self, connect_timeout: Duration) -> Self {
        Self {
            shared: self.shared.clone(),
            connect_timeout: connect_timeout.clamp(Duration::from_secs(1), CONNECT_TIMEOUT_MAX),
        }
    }

    /// Sends a request and waits for the acknowledgement, all within `within`. Dropping the future ends the connection:
    /// whether the server took the message is not known then.
    pub async fn send(&self, request: &Request, within: Duration) -> Result<Response, Error> {
        match timeout(within, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Connection(http::Error::Timeout(within))),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Response, Error> {
        let line = Shared::line(&self.shared, request.identity.key());
        let _place = line.places.acquire().await.expect("the places are never closed");
        if let Some(mut kept) = self.shared.take(&line) {
            match kept.exchange(request.publish.as_ref()).await {
                // It had ended while nobody looked, and that says nothing of the server as it is now. A stream that has
                // the message all the same knows it by its id.
                Err(error) if error.is_loss() => {}
                result => return self.finish(&line, kept, result),
            }
        }
        let mut fresh = self.connect(request).await?;
        let result = fresh.exchange(request.publish.as_ref()).await;
        self.finish(&line, fresh, result)
    }

    /// Connects to the first server that lets us in.
    async fn connect(&self, request: &Request) -> Result<Connection, Error> {
        let Shared { egress, tls, .. } = &*self.shared;
        let mut last = None;
        for server in request.servers.iter() {
            let connecting = Connection::open(server, request.identity.login(), egress, tls);
            let connected = timeout(self.connect_timeout, connecting).await;
            match connected.unwrap_or(Err(Error::Connection(http::Error::ConnectTimeout(
                self.connect_timeout,
            )))) {
                Ok(connection) => return Ok(connection),
                // The others of a cluster have the same users.
                Err(error @ Error::Login) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("an integration has one server at least"))
    }

    /// Keeps a connection that is as good as before.
    fn finish(
        &self,
        line: &Arc<Line>,
        connection: Connection,
        result: Result<Response, Error>,
    ) -> Result<Response, Error> {
        if connection.is_good() {
            self.shared.keep(line, connection);
        }
        result
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("no holder of the lock panics")
    }

    fn line(shared: &Arc<Self>, key: &[u8; 32]) -> Arc<Line> {
        let mut pool = shared.pool();
        if !pool.swept {
            pool.swept = true;
            tokio::spawn(sweep(Arc::downgrade(shared)));
        }
        let line = pool.lines.entry(*key).or_insert_with(|| {
            Arc::new(Line {
                places: Semaphore::new(CONNECTIONS_MAX),
                idle: Mutex::default(),
            })
        });
        line.clone()
    }

    /// The connection that was used last, if one is kept.
    fn take(&self, line: &Line) -> Option<Connection> {
        let mut pool = self.pool();
        let taken = line.idle().pop()?;
        pool.idle -= 1;
        (taken.since.elapsed() < IDLE_TIMEOUT).then_some(taken.connection)
    }

    fn keep(&self, line: &Line, connection: Connection) {
        let mut pool = self.pool();
        if pool.idle >= IDLE_MAX {
            return;
        }
        pool.idle += 1;
        line.idle().push(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// Closes what has been idle for too long; false where nothing is left to look after.
    fn close_idle(&self) -> bool {
        let mut pool = self.pool();
        let Pool { lines, idle, swept } = &mut *pool;
        lines.retain(|_, line| {
            let mut kept = line.idle();
            let before = kept.len();
            kept.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
            *idle -= before - kept.len();
            // One that is used is looked after, with its places.
            !kept.is_empty() || Arc::strong_count(line) > 1
        });
        *swept = !lines.is_empty();
        *swept
    }
}

impl Line {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("no holder of the lock panics")
    }
}

/// Looks after connections for as long as there are logins with any and the client is there.
async fn sweep(shared: Weak<Shared>) {
    loop {
        sleep(IDLE_TIMEOUT / 2).await;
        let goes_on = shared.upgrade().is_some_and(|shared| shared.close_idle());
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
