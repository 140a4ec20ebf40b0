//! A request as an owner may see it: what would be sent, with every secret masked.
//!
//! Masked twice. By structure: what proves who we are, headers that are marked as sensitive or hold a signature, and an
//! address that is a secret field. And by text, wherever a secret stands: see [`crate::redact`].

use std::{borrow::Cow, collections::BTreeMap};

use ::http::header::{AUTHORIZATION, USER_AGENT};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use signalbox_proto::totals::Totals;
use url::Url;

use crate::{
    MASK, Request,
    http::{self, Auth},
    mail, nats, objects,
    redact::Redactor,
};

/// Headers that hold what is made of a secret and the time.
const SIGNATURES: [&str; 4] = ["webhook-signature", "x-signature-256", "cookie", "proxy-authorization"];
/// Schemes of `Authorization` that may be shown; what follows them may not.
const SCHEMES: [&str; 3] = ["Basic", "Bearer", "Token"];

/// A request, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The method; `PUB` for what is published over NATS, `MAIL` for what is sent to a mail server.
    pub method: String,
    /// The address; over NATS the servers and, as its path, the subject; of mail the server.
    pub url: String,
    /// The headers by name, those of HTTP in lower case; those of the connection are left out. Of mail the sender and the
    /// recipients that the server is told; the headers of the message stand in its body.
    pub headers: BTreeMap<String, String>,
    /// The body; of an object its lines, before they are compressed.
    pub body: Bytes,
}

/// Shows a request of any transport, with the redactor of its integration.
pub fn of(request: &Request, redactor: &Redactor) -> Shown {
    match request {
        Request::Http(request) => show(request, redactor),
        Request::Nats(request) => published(request, redactor),
        Request::Object(request) => stored(request, redactor),
        Request::Mail(request) => mailed(request, redactor),
        Request::Count(count) => show(&count.push.request(&Totals::default()), redactor),
    }
}

/// Shows a request over NATS. What proves who we are is sent to the server before, and no part of it.
fn published(request: &nats::Request, redactor: &Redactor) -> Shown {
    let servers: Vec<String> = request.servers.iter().map(ToString::to_string).collect();
    let servers = servers.join(",");
    let Some(publish) = &request.publish else {
        return Shown {
            method: "PING".to_owned(),
            url: servers,
            headers: BTreeMap::new(),
            body: Bytes::new(),
        };
    };
    let headers = publish.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (nats::header_name(name).to_owned(), redactor.text(&value).into_owned())
    });
    Shown {
        method: "PUB".to_owned(),
        url: redactor.text(&format!("{servers}/{}", publish.subject)).into_owned(),
        headers: headers.collect(),
        body: body(&publish.body, redactor),
    }
}

/// Shows what is asked of a store: its lines as they are before they are compressed. The signature is made when it is sent.
fn stored(request: &objects::Request, redactor: &Redactor) -> Shown {
    let headers = request.headers();
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.to_string(), redactor.text(&value).into_owned())
    });
    Shown {
        method: request.method().to_string(),
        url: address(&request.url(), redactor),
        headers: headers.collect(),
        body: body(&request.lines(), redactor),
    }
}

/// Shows a transaction with a mail server. What proves who we are is sent before, and no part of it.
fn mailed(request: &mail::Request, redactor: &Redactor) -> Shown {
    let url = redactor.text(&request.account.server.to_string()).into_owned();
    let Some(mail) = &request.mail else {
        return Shown {
            method: "NOOP".to_owned(),
            url,
            headers: BTreeMap::new(),
            body: Bytes::new(),
        };
    };
    let to: Vec<&str> = mail.to.iter().map(|(_, address)| address.as_ref()).collect();
    let headers = [("MAIL FROM", mail.from.to_string()), ("RCPT TO", to.join(", "))];
    let shown = headers.map(|(name, value)| (name.to_owned(), redactor.text(&value).into_owned()));
    Shown {
        method: "MAIL".to_owned(),
        url,
        headers: shown.into_iter().collect(),
        body: folded(&mail.message, redactor),
    }
}

/// As [`body`], where a secret may stand across the ends of lines: quoted-printable and base64 fold whatever is long.
fn folded(message: &Bytes, redactor: &Redactor) -> Bytes {
    let text = String::from_utf8_lossy(message);
    let (quoted, joined) = (text.replace("=\r\n", ""), text.replace("\r\n", ""));
    match (redactor.text(&quoted), redactor.text(&joined)) {
        (Cow::Owned(redacted), _) => redacted.into(),
        (_, Cow::Owned(_)) => MASK.into(),
        (Cow::Borrowed(_), Cow::Borrowed(_)) => message.clone(),
    }
}

/// Shows a request over HTTP, with the redactor of its integration.
pub fn show(request: &http::Request, redactor: &Redactor) -> Shown {
    let mut headers = BTreeMap::new();
    headers.insert(USER_AGENT.to_string(), http::USER_AGENT.to_owned());
    for name in request.headers.keys() {
        let values = request.headers.get_all(name).iter().map(|value| {
            let hidden = value.is_sensitive() || SIGNATURES.contains(&name.as_str()) || *name == AUTHORIZATION;
            match value.to_str() {
                Ok(text) if *name == AUTHORIZATION => scheme(text),
                Ok(text) if !hidden => redactor.text(text).into_owned(),
                _ => MASK.to_owned(),
            }
        });
        headers.insert(name.to_string(), values.collect::<Vec<_>>().join(", "));
    }
    let authorization = match &request.auth {
        Auth::Authorization(value) => Some(scheme(value.to_str().unwrap_or_default())),
        // No token is fetched to be shown as this.
        Auth::OAuth2(_) => Some(scheme("Bearer")),
        Auth::None => None,
    };
    headers.extend(authorization.map(|value| (AUTHORIZATION.to_string(), value)));
    Shown {
        method: request.method.to_string(),
        url: address(&request.url, redactor),
        headers,
        body: body(&request.body, redactor),
    }
}

/// `Bearer ***`: the scheme says which way is taken, and is no secret.
fn scheme(authorization: &str) -> String {
    let first = authorization.split(' ').next().unwrap_or_default();
    match SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(first)) {
        Some(known) => format!("{known} {MASK}"),
        None => MASK.to_owned(),
    }
}

/// An address that is a secret is shown without what follows its host; one that holds a secret, without that.
fn address(url: &Url, redactor: &Redactor) -> String {
    let is_secret = |secret: &str| {
        Url::parse(secret).is_ok_and(|secret| {
            let origin = secret.has_host() && secret.origin() == url.origin();
            origin && url.path().starts_with(secret.path().trim_end_matches('/'))
        })
    };
    let origin_alone = || format!("{}/{MASK}", url.origin().ascii_serialization());
    if redactor.secrets().any(is_secret) {
        return origin_alone();
    }
    let shown = redactor.text(url.as_str());
    // Addresses may spell any character in another way: then nothing of it is shown.
    let plain = percent_decode_str(&shown).decode_utf8_lossy();
    if redactor.text(&plain) == plain {
        shown.into_owned()
    } else {
        origin_alone()
    }
}

fn body(body: &Bytes, redactor: &Redactor) -> Bytes {
    match std::str::from_utf8(body) {
        Ok(text) => match redactor.text(text) {
            Cow::Borrowed(_) => body.clone(),
            Cow::Owned(text) => text.into(),
        },
        Err(_) if redactor.secrets().any(|secret| contains(body, secret.as_bytes())) => MASK.into(),
        Err(_) => body.clone(),
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests;
