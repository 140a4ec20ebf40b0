//! Why a message was not acknowledged.

use std::{io, time::Duration};

use crate::http;

/// A message without an acknowledgement. The texts are fit for the integration's owner: none quotes what a server said. What
/// each means for a delivery is decided by [`crate::nats::by_error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All connections that the integration may have are used, and none became free.
    #[error(
        "no connection became free within {} s, as all that this process may have are used: nothing was sent", .0.as_secs_f32()
    )]
    NoPlace(Duration),
    /// No way to the server, or no time left.
    #[error(transparent)]
    Connection(http::Error),
    /// The connection failed in the midst.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The server ended the connection.
    #[error("the server ended the connection")]
    Closed,
    /// What came is not the protocol of NATS, or more of it than a server has to say.
    #[error("what the server sent is not what a NATS server sends: {0}")]
    Protocol(&'static str),
    /// The server does not let us in.
    #[error("the server refuses the credentials")]
    Login,
    /// The server has no headers: it is older than 2.2, or they are switched off.
    #[error("the server takes no headers: they came with nats-server 2.2 and may be switched off")]
    NoHeaders,
    /// The credentials do not allow the subject.
    #[error("the credentials may not publish to {subject}")]
    Forbidden {
        /// The subject.
        subject: String,
    },
    /// The credentials do not allow to hear an acknowledgement.
    #[error(
        "the credentials may not subscribe to _INBOX.>, where the acknowledgement of a stream comes: allow it, or set \
         config.jetstream to false"
    )]
    ForbiddenInbox,
    /// No stream listens to the subject.
    #[error("no stream takes {subject}: make one that does, or set config.jetstream to false")]
    NoStream {
        /// The subject.
        subject: String,
    },
    /// The server takes no message of this size.
    #[error("the message has {bytes} bytes with its headers, and the server takes at most {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that the server takes.
        bytes_max: usize,
    },
    /// The server does not take the subject.
    #[error("the server does not take the subject {subject}")]
    Subject {
        /// The subject.
        subject: String,
    },
    /// The server has no room for us, or leaves.
    #[error("the server turns connections away: {0}")]
    Busy(&'static str),
    /// The server says that something is wrong, and nothing that is known here.
    #[error("the server reports an error that is not known here")]
    Unknown,
}

impl Error {
    /// Whether a connection was lost, which may have been so before anybody used it.
    pub(super) fn is_loss(&self) -> bool {
        match self {
            Self::Io(_) | Self::Closed | Self::Busy(_) => true,
            Self::Connection(error) => match error {
                http::Error::ConnectionReset => true,
                http::Error::Timeout(_)
                | http::Error::ConnectTimeout(_)
                | http::Error::ConnectionRefused
                | http::Error::Dns { .. }
                | http::Error::Tls { .. }
                | http::Error::Connect { .. }
                | http::Error::Answer { .. }
                | http::Error::Egress(_)
                | http::Error::Token(_) => false,
            },
            Self::NoPlace(_)
            | Self::Protocol(_)
            | Self::Login
            | Self::NoHeaders
            | Self::Forbidden { .. }
            | Self::ForbiddenInbox
            | Self::NoStream { .. }
            | Self::TooLarge { .. }
            | Self::Subject { .. }
            | Self::Unknown => false,
        }
    }

    /// What a failed read, write or connection means.
    pub(super) fn of_io(error: io::Error) -> Self {
        match http::Error::of_io(error) {
            Ok(error) => Self::Connection(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            Err(error) => Self::Io(error),
        }
    }
}
