//! Which addresses may be called: public ones, and the ranges that an operator allows.
//!
//! Rules for addresses stand in [`Egress::check_address`] alone. They are asked three times: for a
//! configuration ([`Egress::check_url`]), for an address written in a URL (each request), and for
//! each address that a name resolves to, which is then the address that is connected to. Transports other than HTTP
//! name an address with TLS as `https` here, one without as `http`, and ask [`Egress::addresses`].

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Deserializer, Serialize, de};
use url::{Host, Url};

/// The settings of `[egress]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Ranges that may be called although they are not public, and without TLS: CIDR or single
    /// addresses.
    #[serde(default, deserialize_with = "networks")]
    pub allow: Vec<IpNet>,
}

/// Why an address or a URL is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address, or every address of the name, is not public.
    #[error("{host} is {class}, which egress.allow does not open")]
    Address {
        /// The host as the URL names it. What a name resolved to is not told.
        host: String,
        /// What sort of address it is.
        class: Class,
    },
    /// Without TLS only allowed ranges are called.
    #[error(
        "{host} must be called by https (over NATS by tls, over SMTP with secure): without TLS only addresses in egress.allow are"
    )]
    Plain {
        /// The host as the URL names it.
        host: String,
    },
    /// Neither `http` nor `https`.
    #[error("{scheme} is not a scheme that can be called: use https")]
    Scheme {
        /// The URL's scheme.
        scheme: String,
    },
    /// No host, or more than can be sent in a request.
    #[error("not the address of a host")]
    NoHost,
}

/// Why an address is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 0.0.0.0/8, `::`.
    Unspecified,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// 10/8, 172.16/12, 192.168/16, fc00::/7, fec0::/10.
    Private,
    /// 100.64.0.0/10.
    Shared,
    /// 169.254/16, fe80::/10.
    LinkLocal,
    /// Where clouds tell a machine its credentials.
    Metadata,
    /// 224/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// The ranges for examples.
    Documentation,
    /// 198.18/15, 2001:2::/48.
    Benchmarking,
    /// Everything else that is not for hosts in public.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a shared (carrier-grade NAT) address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Reserved => "a reserved address",
        })
    }
}

/// What the rules say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An operator allows it.
    Allowed,
    /// Anyone may call it, with TLS.
    Public,
    /// Nobody may.
    Refused(Class),
}

impl Egress {
    /// Judges a URL as far as can be done without DNS: its scheme, an address in any notation,
    /// `localhost`, and plain `http` where nothing is allowed.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        self.check_literal(url)?;
        let Some(Host::Domain(name)) = url.host() else {
            return Ok(());
        };
        let host = || name.to_owned();
        if is_localhost(name) {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            if !loopback.iter().any(|address| self.allows(*address)) {
                return Err(Refusal::Address {
                    host: host(),
                    class: Class::Loopback,
                });
            }
        }
        if url.scheme() == "http" && self.allow.is_empty() {
            return Err(Refusal::Plain { host: host() });
        }
        Ok(())
    }

    /// Whether a URL leads nowhere but to what is allowed here: an address in an allowed range, `localhost` where
    /// loopback is one, or a name called without TLS, which the client connects to allowed ranges alone.
    pub(crate) fn opens(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            Some(Host::Domain(name)) if is_localhost(name) => self.check_url(url).is_ok(),
            Some(Host::Domain(_)) => url.scheme() == "http" && !self.allow.is_empty(),
            None => false,
        }
    }

    /// Judges the scheme, and the host if it is an address. The URL's parser has already brought
    /// every notation of an IPv4 address (decimal, octal, hexadecimal, short) into one.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), Refusal> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => {
                return Err(Refusal::Scheme {
                    scheme: other.to_owned(),
                });
            }
        };
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(name)) if !name.is_empty() => return Ok(()),
            Some(Host::Domain(_)) | None => return Err(Refusal::NoHost),
        };
        match self.check_address(address) {
            Verdict::Allowed => Ok(()),
            Verdict::Public if secure => Ok(()),
            Verdict::Public => Err(Refusal::Plain {
                host: address.to_string(),
            }),
            Verdict::Refused(class) => Err(Refusal::Address {
                host: address.to_string(),
                class,
            }),
        }
    }

    /// Judges one address.
    pub(super) fn check_address(&self, address: IpAddr) -> Verdict {
        if self.allows(address) {
            return Verdict::Allowed;
        }
        let class = match address.to_canonical() {
            IpAddr::V4(address) => v4_class(address),
            IpAddr::V6(address) => v6_class(address),
        };
        class.map_or(Verdict::Public, Verdict::Refused)
    }

    /// The addresses that the host of a URL has now and that may be connected to, at least one.
    pub(crate) async fn addresses(self: &Arc<Self>, url: &Url, port: u16) -> Result<Vec<SocketAddr>, super::Error> {
        self.check_literal(url).map_err(super::Error::Egress)?;
        let name = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Domain(name)) => name,
            None => return Err(super::Error::Egress(Refusal::NoHost)),
        };
        let resolver = match url.scheme() {
            "https" => Resolver::secure(self),
            _ => Resolver::plain(self),
        };
        let unresolved = |source| super::Error::Dns {
            host: name.to_owned(),
            source,
        };
        let found = tokio::net::lookup_host((name, port)).await.map_err(unresolved)?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() {
            return Err(unresolved(no_address()));
        }
        resolver.pick(name, &found).map_err(super::Error::Egress)
    }

    fn allows(&self, address: IpAddr) -> bool {
        // ::ffff:10.0.0.1 is 10.0.0.1 to the system that connects.
        let canonical = address.to_canonical();
        self.allow
            .iter()
            .any(|network| network.contains(&address) || network.contains(&canonical))
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .rsplit_once('.')
            .is_some_and(|(_, last)| last.eq_ignore_ascii_case("localhost"))
}

/// Why an IPv4 address is not public: the registry of special-purpose addresses of IANA.
fn v4_class(address: Ipv4Addr) -> Option<Class> {
    Some(match address.octets() {
        [0, ..] => Class::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Shared,
        [127, ..] => Class::Loopback,
        // The second is a public address that Azure answers inside every virtual machine.
        [169, 254, 169, 254] | [168, 63, 129, 16] => Class::Metadata,
        [169, 254, ..] => Class::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Documentation,
        [192, 0, 0, _] | [192, 88, 99, _] => Class::Reserved,
        [198, 18 | 19, ..] => Class::Benchmarking,
        [224..=239, ..] => Class::Multicast,
        [255, 255, 255, 255] => Class::Broadcast,
        [240..=255, ..] => Class::Reserved,
        _ => return None,
    })
}

/// Why an IPv6 address is not public. Only global unicast is, and of that not what carries an IPv4
/// address that is refused itself.
fn v6_class(address: Ipv6Addr) -> Option<Class> {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        v4_class(Ipv4Addr::new(a, b, c, d))
    };
    let segments = address.segments();
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        // Addresses that hold an IPv4 address without a network of their own (RFC 4291).
        [0, 0, 0, 0, 0, 0, high, low] => embedded(high, low).unwrap_or(Class::Reserved),
        // NAT64 (RFC 6052). The local form (RFC 8215) is reserved, below.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return embedded(high, low),
        // 6to4.
        [0x2002, high, low, ..] => return embedded(high, low),
        // ISATAP: the interface part says that an IPv4 address follows.
        [.., 0 | 0x200, 0x5efe, high, low] if embedded(high, low).is_some() => embedded(high, low)?,
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Class::Metadata,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Documentation,
        [0x2001, 2, 0, ..] => Class::Benchmarking,
        // 2001::/23 is for protocols: Teredo, which embeds IPv4 addresses, ORCHID and others.
        [0x2001, 0..=0x1ff, ..] => Class::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        _ => Class::Reserved,
    })
}

/// A name that the system could not resolve.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {host}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    #[source]
    pub(super) source: io::Error,
}

/// Resolves names by the system and passes on only the addresses that may be called. The connector
/// connects to what it is given here and asks nobody again.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    egress: Arc<Egress>,
    public: bool,
}

impl Resolver {
    /// For connections with TLS.
    pub(super) fn secure(egress: &Arc<Egress>) -> Self {
        Self {
            egress: egress.clone(),
            public: true,
        }
    }

    /// For connections without: allowed ranges alone.
    pub(super) fn plain(egress: &Arc<Egress>) -> Self {
        Self {
            egress: egress.clone(),
            public: false,
        }
    }

    /// The addresses of a name that may be called, at least one.
    pub(super) fn pick(&self, host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refusal> {
        let mut refused = None;
        let mut picked = Vec::new();
        for address in found {
            match self.egress.check_address(address.ip()) {
                Verdict::Allowed => picked.push(*address),
                Verdict::Public if self.public => picked.push(*address),
                Verdict::Public => refused = Some(Refusal::Plain { host: host.to_owned() }),
                Verdict::Refused(class) => {
                    refused.get_or_insert_with(|| Refusal::Address {
                        host: host.to_owned(),
                        class,
                    });
                }
            }
        }
        if picked.is_empty() {
            Err(refused.unwrap_or(Refusal::NoHost))
        } else {
            Ok(picked)
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            // The port is put in by the connector.
            let unresolved = |source| Unresolved {
                host: host.to_owned(),
                source,
            };
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await.map_err(unresolved)?.collect();
            if found.is_empty() {
                return Err(unresolved(no_address()).into());
            }
            Ok(Box::new(this.pick(host, &found)?.into_iter()) as Addrs)
        })
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

/// Reads CIDR ranges and single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            let text = text.trim();
            let single = |_| text.parse::<IpAddr>().map(IpNet::from);
            text.parse::<IpNet>().or_else(single).map_err(|_| {
                de::Error::custom(format!(
                    "{text:?} is not a range of addresses such as 10.0.0.0/8, nor an address"
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
