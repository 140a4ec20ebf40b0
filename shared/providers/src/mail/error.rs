//! Why a server gave no answer, and what that means.

use std::{io, time::Duration};

use signalbox_proto::{Outcome, outcome};

use crate::{classify, http};

/// A transaction without an answer. The texts are fit for the integration's owner: none quotes what a server said.
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
    /// The connection failed before the message was sent.
    #[error("the connection failed before the message was sent: {0}")]
    Io(#[source] io::Error),
    /// The server ended the connection before the message was sent.
    #[error("the server ended the connection before the message was sent")]
    Closed,
    /// The message was sent, and the server did not say whether it has it.
    #[error(
        "the message was sent, and no answer came: the server may have it, so that it may come twice, both times with the \
         same Message-ID"
    )]
    Unanswered,
    /// What came is not SMTP, or more of it than a server has to say.
    #[error("what the server sent is not what a mail server sends: {0}")]
    Protocol(&'static str),
    /// The server has no TLS, and it is asked for.
    #[error(
        "the server does not offer STARTTLS, without which nothing is sent: use its port with TLS (465), or set \
         config.smtp.secure to false where the operator allows its address"
    )]
    NoStartTls,
    /// The server has no TLS, and a password is sent by nothing else.
    #[error(
        "the server does not offer STARTTLS, and a password is never sent in clear: take username and password out where \
         the server asks for none"
    )]
    PasswordInClear,
    /// The server takes no proof that we have.
    #[error(
        "the server offers neither AUTH PLAIN nor AUTH LOGIN: take username and password out where it asks for none"
    )]
    NoAuth,
}

impl Error {
    /// Whether a connection was lost, which may have been so before anybody used it.
    pub(super) fn is_loss(&self) -> bool {
        match self {
            Self::Io(_) | Self::Closed => true,
            Self::Connection(error) => matches!(error, http::Error::ConnectionReset),
            Self::NoPlace(_)
            | Self::Unanswered
            | Self::Protocol(_)
            | Self::NoStartTls
            | Self::PasswordInClear
            | Self::NoAuth => false,
        }
    }

    /// What a failed read, write or connection means.
    pub(super) fn of_io(error: io::Error) -> Self {
        match http::Error::of_io(error) {
            Ok(error) => Self::Connection(error),
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::Closed,
                // What is said of a server that talks otherwise, or too much.
                io::ErrorKind::InvalidData => Self::Protocol("no reply, or one that is too long"),
                _ => Self::Io(error),
            },
        }
    }
}

/// The meaning of a transaction without an answer: what may pass by itself is `retry`, what only its owner or the server's
/// can change is `suspend`.
pub fn by_error(error: &Error) -> Outcome {
    let reason = outcome::reason(&error.to_string());
    match error {
        Error::Connection(error) => classify::by_error(error),
        Error::NoPlace(_) | Error::Io(_) | Error::Closed | Error::Unanswered | Error::Protocol(_) => {
            Outcome::Retry { reason, after: None }
        }
        Error::NoStartTls | Error::PasswordInClear | Error::NoAuth => Outcome::Suspend { reason, at_once: false },
    }
}
