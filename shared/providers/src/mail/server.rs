//! A mail server, as its owner writes it.

use std::{fmt, net::Ipv6Addr};

use rustls::pki_types::ServerName;
use url::Url;

/// Where submission is encrypted from the first byte: 465 (RFC 8314), and 2465, which Amazon SES and Resend have beside it for
/// networks that let nobody through to 465.
const IMPLICIT_TLS_PORTS: [u16; 2] = [465, 2465];
/// Longest name of a host, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// From the first byte.
    Implicit,
    /// After `STARTTLS`, without which nothing is sent.
    StartTls,
    /// After `STARTTLS` where the server has it; else in clear, without a password.
    Opportunistic,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its host as the rules for addresses know it: `https` where nothing is sent in clear, `http` where it may be. The
    /// parser of web addresses has brought every notation of an IPv4 address into one.
    url: Url,
    port: u16,
    /// Who its certificate must be made out to.
    name: ServerName<'static>,
    security: Security,
}

impl Server {
    /// Reads a host; `secure` says that nothing may be sent in clear. The error is to be read behind the field of the host.
    pub fn read(host: &str, port: u16, secure: bool) -> Result<Self, String> {
        let host = host.trim();
        let security = if IMPLICIT_TLS_PORTS.contains(&port) {
            Security::Implicit
        } else if secure {
            Security::StartTls
        } else {
            Security::Opportunistic
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let written = match bare.unwrap_or(host).parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => host.to_owned(),
        };
        if host.is_empty() {
            return Err("is empty".to_owned());
        }
        if host.len() > HOST_BYTES_MAX {
            return Err(format!("is longer than {HOST_BYTES_MAX} bytes"));
        }
        if host.contains("://") || host.contains(['/', '@', '?', '#', '\\']) || host.contains(char::is_whitespace) {
            return Err("is more than the name of a host: write it as smtp.example.com".to_owned());
        }
        if bare.is_none() && host.contains(':') && written == host {
            return Err("holds a port: give that as its own field".to_owned());
        }
        let scheme = match security {
            Security::Implicit | Security::StartTls => "https",
            Security::Opportunistic => "http",
        };
        let url =
            Url::parse(&format!("{scheme}://{written}:{port}/")).map_err(|error| format!("is no host: {error}"))?;
        let host = url.host_str().ok_or("is no host")?;
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|_| "is a host that no certificate can name")?;
        Ok(Self {
            url,
            port,
            name,
            security,
        })
    }

    /// Its host, by `https` where nothing is sent in clear and by `http` where it may be.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How it is encrypted.
    pub fn security(&self) -> Security {
        self.security
    }

    /// The same, encrypted from the first byte: a test has a port of its own.
    #[cfg(test)]
    pub(super) fn implicit(self) -> Self {
        Self {
            security: Security::Implicit,
            ..self
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::Implicit => "smtps",
            Security::StartTls | Security::Opportunistic => "smtp",
        };
        write!(
            f,
            "{scheme}://{}:{}",
            self.url.host_str().unwrap_or_default(),
            self.port
        )
    }
}

#[cfg(test)]
mod tests;
