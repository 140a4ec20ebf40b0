//! What stores are asked with: `object_store` makes the requests, [`http::Client`] sends them.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::http::HeaderValue;
use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::{
    Attribute, Attributes, ClientOptions, Extensions, GetOptions, ObjectStore as _, PutMode, PutOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use url::Url;

use super::{Ask, Error, LOOKED, Object, Request, Store};
use crate::{
    http::{self, Auth},
    redact::Redactor,
};

/// Sends what is asked of stores. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Client,
}

impl Client {
    /// A client that sends through this one.
    pub fn new(http: http::Client) -> Self {
        Self { http }
    }

    /// Asks a store once and waits for the answer, all within `timeout`. What comes is the answer as it came, without the
    /// signature that it may repeat.
    pub async fn send(&self, request: Request, timeout: Duration) -> Result<http::Response, Error> {
        let call = Call {
            http: self.http.clone(),
            timeout,
            answer: Arc::default(),
        };
        let Request { store, path, ask } = request;
        let looks = matches!(ask, Ask::Look);
        let Store { signer, .. } = store;
        let mut extensions = Extensions::new();
        extensions.insert(call.clone());
        let ended = match ask {
            Ask::Write(object) => {
                let options = options(&object, extensions);
                let body = object.compression.pack(&object.lines);
                signer.put_opts(&path, body.into(), options).await.map(drop)
            }
            Ask::Look => {
                let options = GetOptions {
                    extensions,
                    ..GetOptions::default()
                };
                signer.get_opts(&path, options).await.map(drop)
            }
        };
        let answer = call.answer.lock().expect("no holder of the lock panics").take();
        match (answer, ended) {
            // What the crate makes of an answer is less than the answer says.
            (Some(answer), _) => {
                let mut response = answer.map_err(Error::Http)?;
                response.headers.remove(LOOKED);
                if looks {
                    response.headers.insert(LOOKED, HeaderValue::from_static("1"));
                }
                Ok(response)
            }
            (None, Ok(()) | Err(_)) => Err(Error::Unsigned),
        }
    }
}

/// What the crate is told of an object.
fn options(object: &Object, extensions: Extensions) -> PutOptions {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, object.compression.content_type().into());
    if let Some(class) = &object.storage_class {
        attributes.insert(Attribute::StorageClass, class.clone().into());
    }
    PutOptions {
        mode: if object.overwrite {
            PutMode::Overwrite
        } else {
            PutMode::Create
        },
        attributes,
        extensions,
        ..PutOptions::default()
    }
}

/// The only way from a signer to the network. It sends what is asked through [`Client`], and nothing else: what a signer
/// asked by itself, as for credentials of the machine, goes nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Checked;

/// One thing that is asked: how it is to be sent, and what came of it.
#[derive(Clone)]
struct Call {
    http: http::Client,
    timeout: Duration,
    answer: Arc<Mutex<Option<Result<http::Response, http::Error>>>>,
}

/// What a signer is told of a request that was not answered. Nobody reads it: the reason stands in [`Call`].
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("nothing is sent but what is asked of a store")]
    NotAsked,
    #[error("the address is none")]
    Address,
    #[error("there is no answer")]
    Failed,
}

impl From<Unanswered> for HttpError {
    fn from(why: Unanswered) -> Self {
        // Of this kind the crate tries nothing again.
        Self::new(HttpErrorKind::Unknown, why)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for Checked {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let call = parts.extensions.remove::<Call>().ok_or(Unanswered::NotAsked)?;
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Unanswered::Address)?;
        let proof = proof(&parts.headers);
        let request = http::Request {
            method: parts.method,
            url,
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
            auth: Auth::None,
            identity: None,
        };
        let answer = call.http.send(request, call.timeout).await;
        let answer = answer.map(|response| proof.response(response));
        let told = match &answer {
            Ok(response) => Ok(told(response)),
            Err(_) => Err(Unanswered::Failed.into()),
        };
        *call.answer.lock().expect("no holder of the lock panics") = Some(answer);
        told
    }
}

/// What takes the signature of a request out of its answer: some vendors repeat it, and a token that is one opens more
/// than this request.
fn proof(headers: &::http::HeaderMap) -> Redactor {
    let value = headers.get(::http::header::AUTHORIZATION);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let last = text.rsplit([' ', '=']).next().unwrap_or_default();
    Redactor::of(&[last.to_owned()])
}

/// An answer for the signer.
fn told(response: &http::Response) -> HttpResponse {
    let mut told = HttpResponse::new(response.body.clone().into());
    *told.status_mut() = ::http::StatusCode::from_u16(response.status).expect("it was the status of an answer");
    *told.headers_mut() = response.headers.clone();
    told
}
