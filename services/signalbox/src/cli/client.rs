//! The API's client.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use reqwest::{Method, RequestBuilder, StatusCode, header, redirect::Policy};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use signalbox_runtime::secret;
use url::Url;

use super::{Failure, Global, failure::Problem};
use crate::settings::ADMIN_KEY_FILE;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: an apply of very many integrations, or the story of an old event.
const TIMEOUT: Duration = Duration::from_secs(1_800);
/// How long an answer that goes on may go on: a month, after which it is opened again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);

/// Parameters of a URL; those without a value are left out.
pub(crate) type Query<'a> = &'a [(&'a str, Option<&'a str>)];

/// Calls the API with the admin key.
///
/// Proxies of the environment are not asked and redirects not followed: either would carry the key elsewhere.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

impl Client {
    /// A client by what the command line says.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let key = match &global.key {
            Some(key) => Some(key.as_str().into()),
            None => key_of(&global.data_dir),
        };
        Self::of(&global.url, key)
    }

    /// A client for an address.
    pub(crate) fn of(url: &str, key: Option<SecretString>) -> Result<Self, Failure> {
        let base: Url = url
            .parse()
            .ok()
            .filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Failure::Usage(format!(
                    "--url: {url:?} is not an address such as http://127.0.0.1:8080"
                ))
            })?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(base.scheme() == "https")?)
            // The key goes to the address that was named and to no other.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { http, base, key })
    }

    pub(crate) async fn get(&self, path: &[&str], query: Query<'_>) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &[&str], query: Query<'_>, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, query, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &[&str], query: Query<'_>, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, query, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &[&str], query: Query<'_>) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, query, None).await
    }

    /// As [`Client::post`], with what the caller would like (`Prefer`).
    pub(crate) async fn post_preferring(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: &Value,
        prefer: &str,
    ) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path, query, Some(body))?;
        self.answer(request.header("prefer", prefer)).await
    }

    /// Opens an answer that goes on for as long as both ends like, behind the entry `last` where one is named.
    pub(crate) async fn open(
        &self,
        path: &[&str],
        query: Query<'_>,
        last: Option<&str>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.request(Method::GET, path, query, None)?.timeout(OPEN_TIMEOUT);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.context("the API's answer broke off")?;
        Err(self.refusal(status, &bytes))
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let request = self.request(method, path, query, body)?;
        self.answer(request).await
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<RequestBuilder, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} takes no path", self.base))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        for (name, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
        }
        if let Some(body) = body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        Ok(request)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, Failure> {
        let sent = request.send().await.map_err(|error| {
            let cause = anyhow::Error::new(error.without_url());
            cause.context(format!(
                "cannot reach the API at {}: start it with `signalbox up`, or say where it is with --url (SIGNALBOX_URL)",
                self.base
            ))
        });
        Ok(sent?)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = response.bytes().await.context("the API's answer broke off")?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes));
        }
        let document = serde_json::from_slice::<Value>(&bytes);
        Ok(document.with_context(|| format!("{} answers, but not as Signalbox does", self.base))?)
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(document) if document["code"].is_string() => Failure::Problem(Problem {
                status: status.as_u16(),
                document,
            }),
            _ => anyhow!("{} answers {status}, but not as Signalbox does", self.base).into(),
        }
    }
}

/// The key that `up` keeps, where it can be read.
fn key_of(data_dir: &Path) -> Option<SecretString> {
    secret::file_secret(&data_dir.join(ADMIN_KEY_FILE)).ok()
}

/// Trusts what this system trusts. Without TLS nothing needs to be looked up.
fn tls(wanted: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if wanted {
        let (trusted, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        anyhow::ensure!(
            trusted > 0,
            "this system has no certificate authorities: install ca-certificates or set SSL_CERT_FILE"
        );
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests;
