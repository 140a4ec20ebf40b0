//! Why a request has no complete answer.

use std::{error::Error as StdError, io, time::Duration};

use super::{Refusal, egress::Unresolved, oauth2};

/// A request without a complete answer. What each case means for a delivery is decided by
/// [`crate::classify::by_error`]. The messages are fit for the integration's owner: they name at
/// most the host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answer did not come, or not to its end.
    #[error("no complete answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// Nobody took the connection.
    #[error("no connection within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    /// Nobody listens there.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// The target dropped the connection.
    #[error("the connection was reset")]
    ConnectionReset,
    /// The name has no address, or nobody could say.
    #[error("cannot resolve {host}")]
    Dns {
        /// The name.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TLS could not be agreed on.
    #[error("TLS failed: {source}")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// No connection, for another reason.
    #[error("cannot connect: {}", innermost(source))]
    Connect {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer broke off, or is not HTTP.
    #[error("cannot read the answer: {}", innermost(source))]
    Answer {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Egress rules forbid the address.
    #[error(transparent)]
    Egress(Refusal),
    /// There is no token, so that the target was not asked, or not again.
    #[error(transparent)]
    Token(oauth2::Failure),
}

impl Error {
    /// What a failed read, write or connection of another transport means; the error itself where it means nothing more.
    pub(crate) fn of_io(error: io::Error) -> Result<Self, io::Error> {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Ok(Self::Tls { source: tls.clone() });
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(Self::ConnectionRefused),
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Ok(Self::ConnectionReset)
            }
            _ => Err(error),
        }
    }

    /// Whether the target may have got the request: false where there was no connection, or it refused the token.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            // A handshake may fail, and a connection break, behind the request.
            Self::Timeout(_) | Self::ConnectionReset | Self::Tls { .. } | Self::Answer { .. } => true,
            Self::ConnectTimeout(_)
            | Self::ConnectionRefused
            | Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Egress(_)
            | Self::Token(_) => false,
        }
    }

    /// Finds out what went wrong from the chain of causes. `connect_timeout` is what the transport keeps.
    pub(super) fn of(error: reqwest::Error, connect_timeout: Duration) -> Self {
        // The URL may hold a secret, and every message of this type names what is worth naming.
        let error = error.without_url();
        let connecting = error.is_connect();
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(at) = cause {
            if let Some(found) = recognised(at, connecting.then_some(connect_timeout)) {
                return found;
            }
            // An I/O error that wraps another error skips it in `source`.
            let wrapped = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = wrapped
                .map(|inner| inner as &(dyn StdError + 'static))
                .or_else(|| at.source());
        }
        match (error.is_timeout(), connecting) {
            // The only time that the transport itself keeps is that of connecting.
            (true, true) => Self::ConnectTimeout(connect_timeout),
            (false, true) => Self::Connect { source: error },
            // The system gives up a connection, too, behind a request that nobody acknowledges.
            (_, false) => Self::Answer { source: error },
        }
    }
}

fn recognised(cause: &(dyn StdError + 'static), connecting: Option<Duration>) -> Option<Error> {
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(Error::Egress(refusal.clone()));
    }
    if let Some(unresolved) = cause.downcast_ref::<Unresolved>() {
        // A cause can only be borrowed here, and `io::Error` cannot be cloned.
        let source = io::Error::new(unresolved.source.kind(), unresolved.source.to_string());
        return Some(Error::Dns {
            host: unresolved.host.clone(),
            source,
        });
    }
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(Error::Tls { source: tls.clone() });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Error::ConnectionRefused),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Some(Error::ConnectionReset)
        }
        io::ErrorKind::TimedOut => connecting.map(Error::ConnectTimeout),
        _ => None,
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
