//! Mail: what is asked of a server, what it answers, and the guarded client between the two.
//!
//! A [`Request`] is one transaction (RFC 5321, section 3.3): a sender, recipients, a message; or none, and then the
//! connection and the login alone are tried. What a server says is an [`Answer`]: which recipients have the message, and
//! which were refused and how. No text of a server is kept of it, codes alone.

mod answer;
mod client;
mod error;
mod server;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use lettre::Address;
use sha2::{Digest, Sha256};

pub use self::{
    answer::{Answer, QUOTA, Refused, Step, is_for_good},
    client::Client,
    error::{Error, by_error},
    server::{Security, Server},
};
use crate::Secret;

/// What is asked of a server. Its debug output shows neither addresses, nor the message, nor what proves who we are.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose it is: connections are shared with no other integration.
    pub integration: String,
    /// The server and how we get in.
    pub account: Arc<Account>,
    /// What is sent; without it connection and login are tried, and nothing is left behind.
    pub mail: Option<Mail>,
}

/// One transaction.
#[derive(Clone)]
pub struct Mail {
    /// Where a server tells of a message that could not be brought further.
    pub from: Address,
    /// Those who are to get it, at least one, each with the number by which the answer names it.
    pub to: Vec<(usize, Address)>,
    /// The message as it is sent, but for the doubled points: ASCII, lines of at most 998 bytes that end in CRLF.
    pub message: Bytes,
}

/// A server, and what it lets us in with. Requests of one integration with the same account share connections.
pub struct Account {
    /// The server.
    pub server: Server,
    /// What proves who we are; none where the server asks for nothing.
    pub login: Option<Login>,
    key: [u8; 32],
}

/// A user and its password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Account {
    /// Makes the key of all that a connection depends on.
    pub fn new(server: Server, login: Option<Login>) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(&server.to_string());
        part(&format!("{:?}", server.security()));
        if let Some(login) = &login {
            part(&login.username);
            part(login.password.expose());
        }
        Self {
            key: hash.finalize().into(),
            server,
            login,
        }
    }
}

/// A request as one over HTTP, for checks that all providers share.
#[cfg(test)]
pub(crate) fn as_http(request: &Request) -> crate::http::Request {
    let mail = request.mail.as_ref();
    let mut headers = ::http::HeaderMap::new();
    let mut add = |name: &'static str, value: &str| headers.append(name, value.parse().expect("a header's value"));
    if let Some(mail) = mail {
        add("content-type", "message/rfc822");
        add("mail-from", mail.from.as_ref());
        for (number, address) in &mail.to {
            add("rcpt-to", &format!("{number} {address}"));
        }
    }
    crate::http::Request {
        method: "MAIL".parse().expect("a method"),
        url: request.account.server.url().clone(),
        headers,
        body: mail.map(|mail| mail.message.clone()).unwrap_or_default(),
        auth: crate::http::Auth::None,
        identity: None,
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("server", &self.server.to_string())
            .field("has_login", &self.login.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("recipients", &self.to.len())
            .field("message_bytes", &self.message.len())
            .finish_non_exhaustive()
    }
}
