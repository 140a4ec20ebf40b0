#![doc = include_str!("README.md")]

mod signature;

use std::{collections::BTreeMap, sync::Arc};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Timestamp, integration::SCHEDULE_STEPS_MAX};
use url::Url;

use self::signature::{Signature, Signer};
use crate::{
    FieldError, Kind, Limits, Provider, Request, Secret, Target, Text, fields,
    http::{self, Auth, Identity, identity::ClientCertificate, oauth2::ClientCredentials},
    payload::{self, Message, Payload, TRACE},
    template::{Markup, Takes},
};

/// Longest `url`, in bytes.
pub const URL_BYTES_MAX: usize = 4 * 1024;
/// Most headers that a config may add.
pub const HEADERS_MAX: usize = 32;
/// Longest value of an added header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 4 * 1024;
/// Most secrets that sign at a time: two of each algorithm while a key is changed.
pub const SECRETS_MAX: usize = 4;

/// Longest body that a template makes, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;

/// Any receiver of events over HTTP.
pub struct Webhook;

/// Where events go and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send events: https, unless the operator allows the address. Kept secret, as such
    /// addresses often hold a token.
    url: Secret,
    /// The HTTP method.
    #[serde(default)]
    method: Method,
    /// Headers to add to each request. The values are kept secret.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The form of the body.
    #[serde(default)]
    payload: Payload,
    /// How requests are signed; by default what the secret's prefix says, none without a secret.
    #[serde(default)]
    signature: Option<Signature>,
    /// Certificates in PEM of authorities that the target is known by, where they are none of the system's. They are
    /// trusted beside those.
    #[serde(default)]
    #[schemars(example = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----")]
    ca_certificate: Option<String>,
    /// How many steps of the retry schedule to keep.
    #[serde(default)]
    #[schemars(range(min = 1, max = 20))]
    retry_count: Option<u32>,
}

/// The methods that carry a body and change something.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    #[default]
    #[serde(alias = "post")]
    Post,
    #[serde(alias = "put")]
    Put,
    #[serde(alias = "patch")]
    Patch,
}

/// What signs requests and what lets them in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A signing secret: `whsec_…`, `whsk_…` or any text.
    #[serde(default)]
    secret: Option<Secret>,
    /// Further signing secrets, while one replaces the other.
    #[serde(default)]
    secrets: Vec<Secret>,
    /// The whole value of `Authorization`.
    #[serde(default)]
    auth_header: Option<Secret>,
    /// User and password for HTTP Basic.
    #[serde(default)]
    basic: Option<Basic>,
    /// A token for `Authorization: Bearer`.
    #[serde(default)]
    bearer: Option<Secret>,
    /// Client credentials of OAuth 2.0: a token for `Authorization: Bearer` is fetched with them, and renewed.
    #[serde(default)]
    oauth2: Option<ClientCredentials>,
    /// A certificate for targets that ask for one (mutual TLS). It goes with any of the others.
    #[serde(default)]
    client_certificate: Option<ClientCertificate>,
}

/// HTTP Basic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Basic {
    /// Without a colon.
    username: String,
    /// The password.
    password: Secret,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    url: Url,
    method: HttpMethod,
    headers: HeaderMap,
    auth: Auth,
    identity: Option<Arc<Identity>>,
    payload: Payload,
    signer: Signer,
}

impl Provider for Webhook {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "webhook";
    const DESCRIPTION: &'static str = "Sends events as signed JSON to any HTTP address";
    const DOCS: &'static str = "https://www.standardwebhooks.com";
    const KIND: Kind = Kind::Webhook;
    const LIMITS: Limits = Limits { per_minute: None };
    /// The body of a template is the whole body of the request.
    const TEMPLATE: Takes = Takes {
        title: false,
        body_bytes_max: TEMPLATE_BYTES_MAX,
        markup: Markup::Json,
    };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let url = url(config.url.expose()).map_err(|error| errors.push(error)).ok();
        let headers = headers(&config, &mut errors);
        let auth = auth(&credentials, headers.contains_key(AUTHORIZATION), &mut errors);
        let secrets: Vec<(String, &Secret)> = credentials
            .secret
            .iter()
            .map(|secret| ("credentials/secret".to_owned(), secret))
            .chain(
                credentials
                    .secrets
                    .iter()
                    .enumerate()
                    .map(|(i, secret)| (format!("credentials/secrets/{i}"), secret)),
            )
            .collect();
        let signer = signature::signer(config.signature, &secrets, &mut errors);
        if config
            .retry_count
            .is_some_and(|count| !(1..=SCHEDULE_STEPS_MAX).contains(&(count as usize)))
        {
            errors.push(FieldError::new(
                "config/retry_count",
                format!("is outside 1 to {SCHEDULE_STEPS_MAX}"),
            ));
        }
        let client = credentials.client_certificate.as_ref();
        let identity = fields::keep_all(
            Identity::read(
                client.map(|given| (CLIENT_CERTIFICATE, given)),
                config.ca_certificate.as_deref().map(|text| (CA_CERTIFICATE, text)),
            ),
            &mut errors,
        );
        if let Some(url) = &url
            && url.scheme() != "https"
        {
            // Without TLS it would prove nothing, and its owner would not know.
            let of = [
                (CLIENT_CERTIFICATE, client.is_some()),
                (CA_CERTIFICATE, config.ca_certificate.is_some()),
            ];
            let without_use = of.into_iter().filter(|(_, given)| *given);
            errors
                .extend(without_use.map(|(pointer, _)| FieldError::new(pointer, "needs a url that begins with https")));
        }
        match (url, identity) {
            (Some(url), Some(identity)) if errors.is_empty() => Ok(Prepared {
                url,
                method: config.method.into(),
                headers,
                auth,
                identity,
                payload: config.payload,
                signer,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        let mut urls = vec![("config/url", &prepared.url)];
        if let Auth::OAuth2(grant) = &prepared.auth {
            urls.push(("credentials/oauth2/token_url", grant.token_url()));
        }
        urls
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let identity = prepared.identity.as_ref();
        // What is warned of depends on the day; no request does.
        let warning = identity.and_then(|identity| identity.warning(Timestamp::now()));
        let pointer = format!("{CLIENT_CERTIFICATE}/certificate");
        warning
            .map(|message| FieldError::new(pointer, message))
            .into_iter()
            .collect()
    }

    fn auth(prepared: &Prepared) -> &Auth {
        &prepared.auth
    }

    fn retry_count(config: &Config) -> Option<u32> {
        config.retry_count
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, now: Timestamp) -> Request {
        let Prepared {
            url,
            method,
            headers,
            auth,
            identity,
            payload,
            signer,
        } = &target.prepared;
        let message = Message::of(delivery);
        let mut headers = headers.clone();
        let mut body = payload.write(&message, &mut headers);
        if let Some(text) = &text.body {
            body = text.clone().into_bytes();
            // Of a binary CloudEvent the data is replaced, whatever it was.
            if *payload == Payload::CloudeventsBinary {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }

        let id = payload::header_value(&delivery.id);
        signer.sign(id.as_bytes(), now.secs(), &body, &mut headers);
        headers.insert(WEBHOOK_ID, id);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now.secs()));
        for name in TRACE {
            if let Some(Ok(value)) = message.metadata.get(name).map(|text| HeaderValue::from_str(text)) {
                headers.insert(name, value);
            }
        }
        Request::Http(http::Request {
            method: method.clone(),
            url: url.clone(),
            headers,
            body: body.into(),
            auth: auth.clone(),
            identity: identity.clone(),
        })
    }

    fn probe(_target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        None
    }
}

const CLIENT_CERTIFICATE: &str = "credentials/client_certificate";
const CA_CERTIFICATE: &str = "config/ca_certificate";
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Names that a config may not set: those that we set, and those of the connection.
const RESERVED: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-signature-256",
    TRACE[0],
    TRACE[1],
];

impl From<Method> for HttpMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
        }
    }
}

fn url(text: &str) -> Result<Url, FieldError> {
    let wrong = |message: String| FieldError::new("config/url", message);
    if text.len() > URL_BYTES_MAX {
        return Err(wrong(format!("is longer than {URL_BYTES_MAX} bytes")));
    }
    let mut url = Url::parse(text).map_err(|error| wrong(format!("is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not hold a user or password: use credentials.basic".to_owned(),
        ));
    }
    // Never sent, and a request is matched to its connection by the rest.
    url.set_fragment(None);
    // What can be sent is narrower than what can be parsed.
    url.as_str()
        .parse::<Uri>()
        .map_err(|error| wrong(format!("cannot be requested: {error}")))?;
    Ok(url)
}

/// The headers of the config with the payload's `Content-Type`.
fn headers(config: &Config, errors: &mut Vec<FieldError>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if config.headers.len() > HEADERS_MAX {
        errors.push(FieldError::new(
            "config/headers",
            format!("has more than {HEADERS_MAX} entries"),
        ));
    }
    for (given, value) in &config.headers {
        match header(given, value, config.payload) {
            Ok((name, _)) if headers.contains_key(&name) => {
                errors.push(FieldError::new(
                    format!("config/headers/{given}"),
                    "is there twice, in another case",
                ));
            }
            Ok((name, value)) => {
                headers.insert(name, value);
            }
            Err(message) => errors.push(FieldError::new(format!("config/headers/{given}"), message)),
        }
    }
    if let Some(content_type) = config.payload.content_type() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers
}

fn header(given: &str, value: &Secret, payload: Payload) -> Result<(HeaderName, HeaderValue), String> {
    let name: HeaderName = given.parse().map_err(|_| "is not the name of a header".to_owned())?;
    let text = name.as_str();
    if text.starts_with("webhook-")
        || RESERVED.contains(&text)
        || (payload == Payload::CloudeventsBinary && text.starts_with("ce-"))
    {
        return Err("is set by Signalbox and cannot be given".to_owned());
    }
    if value.expose().len() > HEADER_VALUE_BYTES_MAX {
        return Err(format!("has a value longer than {HEADER_VALUE_BYTES_MAX} bytes"));
    }
    // Many write it down although it is so anyway.
    if name == CONTENT_TYPE
        && payload
            .content_type()
            .is_none_or(|ours| !same_type(ours, value.expose()))
    {
        let said = payload.content_type().unwrap_or("that of the event's data");
        return Err(format!("follows from the payload: it is {said}"));
    }
    let value = http::secret_value(value.expose()).map_err(|error| error.to_string())?;
    Ok((name, value))
}

/// Whether two content types are the same but for their parameters.
fn same_type(a: &str, b: &str) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence(a) == essence(b)
}

fn auth(credentials: &Credentials, in_headers: bool, errors: &mut Vec<FieldError>) -> Auth {
    let Credentials {
        auth_header,
        basic,
        bearer,
        oauth2,
        ..
    } = credentials;
    let wrong = |pointer, error: http::InvalidHeader| vec![FieldError::new(pointer, error.to_string())];
    let mut given: Vec<(&str, Result<Auth, Vec<FieldError>>)> = Vec::new();
    if let Some(value) = auth_header {
        let pointer = "credentials/auth_header";
        given.push((pointer, Auth::header(value).map_err(|error| wrong(pointer, error))));
    }
    if let Some(Basic { username, password }) = basic {
        if username.contains(':') {
            errors.push(FieldError::new("credentials/basic/username", "must not hold a colon"));
        }
        let pointer = "credentials/basic";
        given.push((
            pointer,
            Auth::basic(username, password).map_err(|error| wrong(pointer, error)),
        ));
    }
    if let Some(token) = bearer {
        let pointer = "credentials/bearer";
        given.push((pointer, Auth::bearer(token).map_err(|error| wrong(pointer, error))));
    }
    if let Some(credentials) = oauth2 {
        let grant = credentials.read("credentials/oauth2");
        given.push(("credentials/oauth2", grant.map(|grant| Auth::OAuth2(Arc::new(grant)))));
    }
    if let Some((pointer, _)) = given.get(usize::from(!in_headers)) {
        let message =
            "is one Authorization too many: give one of auth_header, basic, bearer, oauth2 and headers.Authorization";
        errors.push(FieldError::new(*pointer, message));
    }
    let mut auth = Auth::None;
    for (_, value) in given {
        auth = fields::keep_all(value, errors).unwrap_or(auth);
    }
    auth
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
