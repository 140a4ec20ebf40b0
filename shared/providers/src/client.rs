//! The guarded client of all transports: what a worker, a test and a health check send requests with.

use std::{sync::Arc, time::Duration};

use signalbox_proto::Outcome;

use crate::{Egress, Error, Exchange, Request, classify, http, mail, nats, objects};

/// Sends any request by the transport that it names. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Client,
    nats: nats::Client,
    objects: objects::Client,
    mail: mail::Client,
}

impl Client {
    /// Makes a client that trusts the system's certificate authorities and calls what `egress` lets it call.
    pub fn new(egress: Egress) -> Result<Self, Error> {
        Ok(Self::of(http::Client::new(egress)?))
    }

    /// As [`Self::new`], for a process that shares the tokens of targets with others.
    pub fn sharing_tokens(egress: Egress, vault: Arc<dyn http::oauth2::Vault>) -> Result<Self, Error> {
        Ok(Self::of(http::Client::sharing_tokens(egress, vault)?))
    }

    fn of(http: http::Client) -> Self {
        let nats = nats::Client::new(http.egress().clone(), http.tls().clone());
        let objects = objects::Client::new(http.clone());
        let mail = mail::Client::new(http.egress().clone(), http.tls().clone());
        Self {
            http,
            nats,
            objects,
            mail,
        }
    }

    /// The same client with another time to a connection, in whole seconds from 1 to 60.
    #[must_use]
    pub fn connecting_within(&self, connect_timeout: Duration) -> Self {
        let http = self.http.connecting_within(connect_timeout);
        Self {
            nats: self.nats.connecting_within(connect_timeout),
            mail: self.mail.connecting_within(connect_timeout),
            objects: objects::Client::new(http.clone()),
            http,
        }
    }

    /// Sends a request and waits for the answer, all within `timeout`; over NATS and SMTP it may wait for a connection
    /// before. What has no answer is an outcome at once.
    /// Dropping the future ends the request and its connection.
    pub async fn send(&self, request: Request, timeout: Duration) -> Result<Exchange, Unanswered> {
        let sent = match request {
            Request::Http(request) => {
                let sent = self.http.send(request, timeout).await;
                sent.map_err(|error| Unanswered {
                    outcome: classify::by_error(&error),
                    asked: true,
                    may_have_arrived: error.may_have_arrived(),
                })
            }
            Request::Nats(request) => {
                let sent = self.nats.send(&request, timeout).await;
                sent.map_err(|error| Unanswered {
                    outcome: nats::by_error(&error),
                    asked: !matches!(error, nats::Error::NoPlace(_)),
                    may_have_arrived: !matches!(error, nats::Error::NoPlace(_)),
                })
            }
            Request::Object(request) => {
                let sent = self.objects.send(request, timeout).await;
                sent.map_err(|error| Unanswered {
                    outcome: objects::by_error(&error),
                    asked: !matches!(error, objects::Error::Unsigned),
                    may_have_arrived: !matches!(error, objects::Error::Unsigned),
                })
            }
            Request::Mail(request) => {
                let sent = self.mail.send(&request, timeout).await;
                sent.map_err(|error| Unanswered {
                    outcome: mail::by_error(&error),
                    asked: !matches!(error, mail::Error::NoPlace(_)),
                    may_have_arrived: !matches!(error, mail::Error::NoPlace(_)),
                })
            }
            // Totals would hold it for ever: workers count, and a provider that counts has a connection test.
            Request::Count(_) => {
                let reason = "only a delivery is counted, and its provider has another connection test".to_owned();
                Err(Unanswered {
                    outcome: Outcome::Reject { reason },
                    asked: false,
                    may_have_arrived: false,
                })
            }
        };
        sent.map(|response| Exchange { response })
    }
}

/// Why there is no answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What it means for the delivery.
    pub outcome: Outcome,
    /// Whether the target was asked, or could not be reached: false for a reason of ours.
    pub asked: bool,
    /// Whether the target may have got the request, and have done what it asks for.
    pub may_have_arrived: bool,
}
