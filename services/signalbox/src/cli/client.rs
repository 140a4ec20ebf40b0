//! The API's client.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use reqwest::{Method, RequestBuilder, StatusCode, header, redirect::Policy};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use signalbox_runtime::secret;
use url::Url;

use super::{
    Failure, Global,
    failure::{Problem, reason},
};
use crate::settings::ADMIN_KEY_FILE;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: an apply of very many integrations, or the story of an old event.
const TIMEOUT: Duration = Duration::from_secs(1_800);
/// How long an answer that goes on may go on: a month, after which it is opened again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);

/// Parameters of a URL; those without a value are left out.
pub(crate) type Query<'a> = &'a [(&'a str, Option<&'a str>)];

/// Calls the API with a key.
///
/// Proxies of the environment are not asked and redirects not followed: either would carry the key elsewhere.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
    /// The file in which the key was, or was looked for; none where it was given.
    key_file: Option<PathBuf>,
}

impl Client {
    /// A client by what the command line says. An empty key, as an empty variable gives it, is none.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        if let Some(key) = global.key.as_ref().filter(|key| !key.expose_secret().is_empty()) {
            if header::HeaderValue::from_str(key.expose_secret()).is_err() {
                return Err(Failure::Usage(
                    "--key: holds a character that no key has, such as the end of a line".to_owned(),
                ));
            }
            return Self::of(&global.url, Some(key.clone()));
        }
        let path = global.data_dir.join(ADMIN_KEY_FILE);
        let key = key_in(&path)?;
        Ok(Self {
            key_file: Some(path),
            ..Self::of(&global.url, key)?
        })
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
        Ok(Self {
            http,
            base,
            key,
            key_file: None,
        })
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
        // An address has no place for these: they would name something else.
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Failure::Usage(
                "a name or an id is empty, or nothing but dots: say which one is meant".to_owned(),
            ));
        }
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
        let sent = request.send().await;
        Ok(sent.map_err(|error| {
            anyhow!(
                "cannot reach the API at {}: {}: start it with `signalbox up`, or say where it is with --url \
                 (SIGNALBOX_URL)",
                self.address(),
                why(&error, self.base.scheme())
            )
        })?)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = response.bytes().await.context("the API's answer broke off")?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes));
        }
        let document = serde_json::from_slice::<Value>(&bytes);
        Ok(document.map_err(|_| self.stranger("with something else than JSON"))?)
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(document) if document["code"].is_string() => {
                let remedy = matches!(document["code"].as_str(), Some("unauthenticated" | "bad_key"));
                Failure::Problem(Problem {
                    status: status.as_u16(),
                    document,
                    remedy: remedy.then(|| self.key_remedy()),
                })
            }
            _ => self.stranger(status.as_str()).into(),
        }
    }

    /// Where the key came from, and where the right one can be.
    fn key_remedy(&self) -> String {
        let other = "give the admin key with --key or SIGNALBOX_KEY, or the folder with its admin.key with --data-dir";
        match (&self.key_file, &self.key) {
            (None, _) => {
                "the key was given with --key or SIGNALBOX_KEY; that of `signalbox up` is in admin.key of its \
                          data dir"
                    .to_owned()
            }
            (Some(path), Some(_)) => format!("the key is that of {}: {other}", path.display()),
            (Some(path), None) => format!("there is no {}: {other}", path.display()),
        }
    }

    /// Something answers that is not the API.
    fn stranger(&self, how: &str) -> anyhow::Error {
        anyhow!(
            "{} answers {how}, but not as Signalbox's API does: say where the API is with --url (SIGNALBOX_URL)",
            self.address()
        )
    }

    fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// The key that `up` keeps; none where there is no such file.
fn key_in(path: &Path) -> Result<Option<SecretString>, Failure> {
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(anyhow!(
            "cannot read the key in {}: {}: give it with --key or SIGNALBOX_KEY",
            path.display(),
            reason(&error)
        )
        .into()),
        Ok(_) => {
            let key = secret::file_secret(path);
            Ok(Some(key.context("give the admin key with --key or SIGNALBOX_KEY")?))
        }
    }
}

/// Why the API was not reached, in the words of people where the cause is a usual one.
fn why(error: &reqwest::Error, scheme: &str) -> String {
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if let Some(error) = innermost.downcast_ref::<io::Error>()
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        return "nothing listens there".to_owned();
    }
    if error.is_timeout() {
        return format!("no answer in {} s", CONNECT_TIMEOUT.as_secs());
    }
    match (error.is_connect(), scheme) {
        (true, "https") => format!("{innermost} (is it http:// that is spoken there?)"),
        (true, _) => innermost.to_string(),
        (false, _) => format!("what listens there is not an API over HTTP ({innermost})"),
    }
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
