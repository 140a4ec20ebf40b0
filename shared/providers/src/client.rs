//! The guarded client of all transports: what a worker, a test and a health check send requests with.

use std::time::Duration;

use signalbox_proto::Outcome;

use crate::{Egress, Error, Exchange, Request, classify, http, nats};

/// Sends any request by the transport that it names. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Client,
    nats: nats::Client,
}

impl Client {
    /// Makes a client that trusts the system's certificate authorities and calls what `egress` lets it call.
    pub fn new(egress: Egress) -> Result<Self, Error> {
        let http = http::Client::new(egress)?;
        let nats = nats::Client::new(http.egress().clone(), http.tls().clone());
        Ok(Self { http, nats })
    }

    /// The same client with another time to a connection, in whole seconds from 1 to 60.
    #[must_use]
    pub fn connecting_within(&self, connect_timeout: Duration) -> Self {
        Self {
            http: self.http.connecting_within(connect_timeout),
            nats: self.nats.connecting_within(connect_timeout),
        }
    }

    /// Sends a request and waits for the answer, all within `timeout`. What has no answer is an outcome at once.
    /// Dropping the future ends the request and its connection.
    pub async fn send(&self, request: Request, timeout: Duration) -> Result<Exchange, Outcome> {
        let sent = match request {
            Request::Http(request) => {
                let sent = self.http.send(request, timeout).await;
                sent.map_err(|error| classify::by_error(&error))
            }
            Request::Nats(request) => {
                let sent = self.nats.send(&request, timeout).await;
                sent.map_err(|error| nats::by_error(&error))
            }
        };
        sent.map(|response| Exchange { response })
    }
}
