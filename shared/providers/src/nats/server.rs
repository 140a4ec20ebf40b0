//! The servers of an integration, as its owner writes them.

use std::{fmt, sync::Arc};

use rustls::pki_types::ServerName;
use url::Url;

use crate::{FieldError, fields};

/// Most servers of one integration.
const SERVERS_MAX: usize = 8;
/// Where servers listen unless somebody says otherwise.
const PORT: u16 = 4_222;

/// The servers of one integration, at least one. They are tried in this order, from the one on that was tried last.
pub type Servers = Arc<[Server]>;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its host as the rules for addresses know it: `https` with TLS, `http` without. The parser of web addresses has
    /// brought every notation of an IPv4 address into one.
    url: Url,
    port: u16,
    /// Who its certificate must be made out to.
    name: ServerName<'static>,
}

impl Server {
    /// Its host, by `https` where TLS is asked for and by `http` where it is not.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// Whether it is called with TLS even where it does not ask for that.
    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "tls" } else { "nats" };
        write!(
            f,
            "{scheme}://{}:{}",
            self.url.host_str().unwrap_or_default(),
            self.port
        )
    }
}

/// Reads addresses joined by commas.
pub(super) fn read(pointer: &str, text: &str) -> Result<Servers, FieldError> {
    let wrong = |message: String| FieldError::new(pointer, message);
    if text.len() > fields::URL_BYTES_MAX {
        return Err(wrong(format!("is longer than {} bytes", fields::URL_BYTES_MAX)));
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() > SERVERS_MAX {
        return Err(wrong(format!("names more than {SERVERS_MAX} servers")));
    }
    let servers: Result<Vec<Server>, String> = parts.iter().map(|part| server(part)).collect();
    match (servers, parts.len()) {
        (Ok(servers), _) => Ok(servers.into()),
        (Err(message), 1) => Err(wrong(message)),
        (Err(message), _) => Err(wrong(format!("names a server that {message}"))),
    }
}

fn server(text: &str) -> Result<Server, String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("has no scheme: write tls://host:4222, or nats://host:4222 for an address in egress.allow")?;
    let web = match scheme.to_ascii_lowercase().as_str() {
        "tls" => "https",
        "nats" => "http",
        _ => return Err("is called neither by tls:// nor by nats://".to_owned()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err("holds a user or password: give them as credentials".to_owned());
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err("has more than a host and a port".to_owned());
    }
    let url = Url::parse(&format!("{web}://{authority}/")).map_err(|error| format!("is no address: {error}"))?;
    let host = url.host_str().ok_or("has no host")?;
    let name = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| "has a host that no certificate can name")?;
    // The usual port of the web is dropped by its parser.
    let digits = authority.rsplit_once(':').map(|(_, digits)| digits);
    let port = match digits.filter(|digits| !digits.ends_with(']')) {
        None => PORT,
        Some(digits) => digits
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("has a port that is none")?,
    };
    Ok(Server { url, port, name })
}

#[cfg(test)]
mod tests;
