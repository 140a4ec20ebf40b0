//! OAuth 2.0 with client credentials (RFC 6749, section 4.4): tokens that are fetched, shared, renewed and never shown.
//!
//! A provider says with [`Grant`] what a token is asked for with; the client does the rest. A token is
//!
//! - fetched once: requests that need it at the same time wait for one fetch, and what it brought lies in a [`Vault`] that
//!   all workers share. A process without a vault keeps tokens in memory. The fetch is no request's own: it goes on where
//!   the request that began it is given up, so that an endpoint that is slower than a request may be is asked once;
//! - renewed before its end, while all requests go on with the old one;
//! - fetched again where the target answers 401, and the request is then repeated once;
//! - taken out of all that the target answers, as some repeat what they got.
//!
//! A token endpoint that fails is left alone for a moment by the whole process, and for as long as its `Retry-After` says.

mod answer;
mod obtain;
mod slots;
mod token;
mod vault;

use std::{fmt, sync::OnceLock};

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::hash;
use url::{Url, form_urlencoded};

pub use answer::Failure;
pub(super) use slots::Tokens;
pub use vault::{Lease, Pending, Vault, VaultError};

use super::{Auth, Request, secret_value};
use crate::{FieldError, Secret, fields};

/// Longest client id, scope, audience or resource, in characters.
pub const PARAMETER_CHARS_MAX: usize = 2_000;
/// Longest client secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;

/// Client credentials, as credentials of an integration hold them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// Where tokens are asked for: https, unless the operator allows the address.
    #[schemars(example = "https://login.example.com/oauth2/token")]
    token_url: String,
    /// What the authorization server knows us by.
    #[schemars(example = &"signalbox")]
    client_id: String,
    /// The secret that belongs to the client id.
    client_secret: Secret,
    /// What the token is to be good for, names separated by spaces; the server's default where it is left out.
    #[serde(default)]
    #[schemars(example = "events:write")]
    scope: Option<String>,
    /// The parameter `audience`, which some servers ask for.
    #[serde(default)]
    #[schemars(example = "https://api.example.com")]
    audience: Option<String>,
    /// The parameter `resource` (RFC 8707), which other servers ask for.
    #[serde(default)]
    #[schemars(example = "https://api.example.com")]
    resource: Option<String>,
    /// How the client proves itself to the token endpoint.
    #[serde(default)]
    auth_method: AuthMethod,
}

/// How a client proves itself to the token endpoint: servers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic of client id and secret.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
}

impl AuthMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
        }
    }
}

impl ClientCredentials {
    /// Checks them all; `pointer` is the field that holds them.
    pub fn read(&self, pointer: &str) -> Result<Grant, Vec<FieldError>> {
        let mut errors = Vec::new();
        let at = |field: &str| format!("{pointer}/{field}");
        let token_url = fields::keep(fields::url(&at("token_url"), &self.token_url), &mut errors);
        let client_id = fields::line(&at("client_id"), &self.client_id, PARAMETER_CHARS_MAX);
        let client_id = fields::keep(client_id, &mut errors);
        let mut parameter = |field: &str, text: &Option<String>| {
            let read = fields::optional(&at(field), text.as_deref(), PARAMETER_CHARS_MAX);
            fields::keep(read, &mut errors).flatten()
        };
        let scope = parameter("scope", &self.scope);
        let audience = parameter("audience", &self.audience);
        let resource = parameter("resource", &self.resource);
        let secret = self.client_secret.expose().trim();
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            let message = format!("is empty or longer than {SECRET_BYTES_MAX} bytes");
            errors.push(FieldError::new(at("client_secret"), message));
        }
        match (token_url, client_id) {
            (Some(token_url), Some(client_id)) if errors.is_empty() => Ok(Grant {
                token_url,
                client_id,
                client_secret: secret.into(),
                scope,
                audience,
                resource,
                method: self.auth_method,
                place: OnceLock::new(),
            }),
            _ => Err(errors),
        }
    }
}

/// What a token is asked for with. Printed, it says no more than the host of the token endpoint.
pub struct Grant {
    token_url: Url,
    client_id: String,
    client_secret: Secret,
    scope: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    method: AuthMethod,
    /// Worked out with the integration, which a provider does not know yet when it reads the credentials.
    place: OnceLock<Place>,
}

/// Where the token of a grant lies.
#[derive(Debug)]
struct Place {
    /// Its name in a vault: made of the integration and of what is no secret.
    name: String,
    /// Of all that the token is asked for with: after a change of it another token is needed.
    digest: [u8; 16],
}

impl Grant {
    /// Where tokens are asked for: egress rules are to judge it as they judge the target.
    pub const fn token_url(&self) -> &Url {
        &self.token_url
    }

    /// Says whose it is: the token lies under the name of this integration, and no other can disturb it.
    pub(crate) fn belongs_to(&self, integration: &str) {
        self.place.get_or_init(|| self.place_of(integration));
    }

    fn place(&self) -> &Place {
        self.place.get_or_init(|| self.place_of(""))
    }

    fn place_of(&self, integration: &str) -> Place {
        let [scope, audience, resource] = self.extras().map(|(_, value)| value.unwrap_or_default().as_bytes());
        let name = hash::parts([
            b"oauth2 token",
            integration.as_bytes(),
            self.token_url.as_str().as_bytes(),
            self.client_id.as_bytes(),
            scope,
            audience,
            resource,
            self.method.as_str().as_bytes(),
        ]);
        let digest = hash::digest([name.as_bytes(), self.client_secret.expose().as_bytes()]);
        Place { name, digest }
    }

    fn extras(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("scope", self.scope.as_deref()),
            ("audience", self.audience.as_deref()),
            ("resource", self.resource.as_deref()),
        ]
    }

    /// What HTTP Basic is made of, each part encoded as a form's first (RFC 6749, section 2.3.1).
    pub(crate) fn basic(&self) -> String {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (encoded(&self.client_id), encoded(self.client_secret.expose()));
        STANDARD.encode(format!("{id}:{secret}"))
    }

    /// The request for a token.
    fn request(&self) -> Request {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        for (name, value) in self.extras() {
            if let Some(value) = value {
                body.append_pair(name, value);
            }
        }
        match self.method {
            AuthMethod::Basic => {
                let value = secret_value(&format!("Basic {}", self.basic()));
                headers.insert(AUTHORIZATION, value.expect("base64 is what a header carries"));
            }
            AuthMethod::Post => {
                body.append_pair("client_id", &self.client_id);
                body.append_pair("client_secret", self.client_secret.expose());
            }
        }
        Request {
            method: Method::POST,
            url: self.token_url.clone(),
            headers,
            body: body.finish().into(),
            auth: Auth::None,
            identity: None,
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("host", &self.token_url.host_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
