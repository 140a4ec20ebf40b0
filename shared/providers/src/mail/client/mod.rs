//! The guarded mail client: the only way from this system to a mail server.
//!
//! It calls only addresses that [`Egress`] lets it call, checked after DNS on the addresses that are then connected to;
//! bounds the time to connect, the time in all, what a server may say, and the connections of an integration and of the
//! process. A password is sent over TLS alone, and TLS is that of the HTTP client. The dialogue itself is lettre's, which is
//! handed a connection that is made already.
//!
//! A connection carries one transaction at a time and is then kept for the next one of the same integration with the same
//! account, after a `NOOP`, or a `RSET` where it was refused. A message whose answer did not come is never sent again here: whoever asked decides that.
//!
//! The answer has the form of one over HTTP: **the status is the code of the server's reply** (250, 451, 550), the body an
//! [`Answer`].

mod connection;
mod wire;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tokio::time::timeout;

use self::connection::{CLOSING, Connection, Failure, Ways};
use super::{Answer, Error, Request, Step};
use crate::{
    Egress,
    http::{self, CONNECT_TIMEOUT, CONNECT_TIMEOUT_MAX, Response},
    pool::{self, Key, Pool},
};

/// How long a request waits for one of the connections that there may be. With the time of most requests on top it is less
/// than a worker has that is to stop.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);

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
        // That of the web: no mail server speaks it.
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

    /// Sends a request and waits for the answer, all within `within`. Where all connections are used that there may be, it
    /// first waits for one, for as long as [`Error::NoPlace`] says: that is none of a server's time. Dropping the future ends
    /// the connection: whether the server took the message is not known then.
    pub async fn send(&self, request: &Request, within: Duration) -> Result<Response, Error> {
        let key = Key {
            integration: request.integration.clone(),
            settings: request.account.key,
        };
        let place = timeout(self.place_timeout, self.pool.place(&key)).await;
        let place = place.map_err(|_| Error::NoPlace(self.place_timeout))?;
        let is_sent = AtomicBool::new(false);
        match timeout(within, self.exchange(request, place, &is_sent)).await {
            Ok(Ok(answer)) => Ok(answer.response()),
            Ok(Err(Failure::Refused(answer))) => Ok(answer.response()),
            Ok(Err(Failure::Error(error))) => Err(error),
            Err(_) => {
                // A server that is cut off says nothing on any of them, and each would take a request's whole time to show it.
                self.pool.close(&key);
                Err(if is_sent.load(Ordering::Relaxed) {
                    Error::Unanswered
                } else {
                    Error::Connection(http::Error::Timeout(within))
                })
            }
        }
    }

    async fn exchange(&self, request: &Request, mut place: Place, is_sent: &AtomicBool) -> Result<Answer, Failure> {
        let ways = Ways {
            egress: &self.egress,
            tls: &self.tls,
            connect_timeout: self.connect_timeout,
        };
        let kept = place.take();
        let Some(mail) = &request.mail else {
            // A connection that was let in before proves nothing of today's login.
            drop(kept);
            return Connection::open(&request.account, &ways).await?.try_out().await;
        };
        if let Some(mut kept) = kept
            && timeout(self.connect_timeout, kept.is_there()).await == Ok(true)
        {
            match kept.send(mail, is_sent).await {
                // It ended while nobody looked, and that says nothing of the server as it is now.
                Err(Failure::Error(error)) if error.is_loss() => {}
                Ok(answer) if answer.code == CLOSING => {}
                // Some servers take so many messages a connection and refuse the next one, for now or for good: only on a
                // fresh one that is about the sender.
                Ok(answer) if answer.step == Step::Mail => {}
                result => return finish(place, kept, result),
            }
            is_sent.store(false, Ordering::Relaxed);
        }
        let mut fresh = Connection::open(&request.account, &ways).await?;
        let result = fresh.send(mail, is_sent).await;
        finish(place, fresh, result)
    }
}

/// Keeps a connection that is as good as before.
fn finish(place: Place, connection: Connection, result: Result<Answer, Failure>) -> Result<Answer, Failure> {
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
