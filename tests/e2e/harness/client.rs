//! What users do: publish over NATS and HTTP, apply, ask, hold, replay, and call the command line.

use std::time::Duration;

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, process::Command};

use super::{
    process::{Settings, signalbox},
    wait::eventually,
};

/// How long one request to the API may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a publish waits for its acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// An answer of the API.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The body of a success.
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}", self.text());
        self.json()
    }

    /// The `code` of a problem with this status.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request over a connection of its own.
pub(crate) async fn try_request(
    base: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response, String> {
    let authority = base.strip_prefix("http://").unwrap_or(base).trim_end_matches('/');
    let exchange = async {
        let stream = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let driving = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        driving.abort();
        Ok(Response { status, headers, body })
    };
    tokio::time::timeout(REQUEST_TIMEOUT, exchange)
        .await
        .map_err(|_| format!("{path}: no answer in time"))?
}

/// An event to publish over NATS.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Publish {
    /// Of org `default`.
    pub(crate) fn of(event_type: &str, data: &Value) -> Self {
        Self::to(&format!("signalbox.in.default.{event_type}"), data.to_string())
    }

    /// To any subject, with any body.
    pub(crate) fn to(subject: &str, body: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.to_owned(),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn id(self, id: &str) -> Self {
        self.header("ce-id", id)
    }
}

/// Access to one installation.
#[derive(Clone)]
pub(crate) struct Client {
    api: String,
    ingest: String,
    nats: String,
    key: String,
    jetstream: jetstream::Context,
}

impl Client {
    pub(crate) async fn new(api: &str, ingest: &str, nats: &str, key: &str) -> Self {
        let client = async_nats::ConnectOptions::new()
            .ping_interval(Duration::from_secs(1))
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .connect(nats)
            .await
            .expect("NATS takes a connection");
        let mut jetstream = jetstream::new(client);
        jetstream.set_timeout(ACK_TIMEOUT);
        Self {
            api: api.to_owned(),
            ingest: ingest.to_owned(),
            nats: nats.to_owned(),
            key: key.to_owned(),
            jetstream,
        }
    }

    /// The admin key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// Where NATS listens.
    pub(crate) fn nats_url(&self) -> &str {
        &self.nats
    }

    /// Where publishing over HTTP is, and the key for it.
    pub(crate) fn publishing(&self) -> (&str, &str) {
        (&self.ingest, &self.key)
    }

    /// Publishes over NATS and waits for the acknowledgement.
    pub(crate) async fn try_publish(&self, publish: Publish) -> Result<(), String> {
        let Publish { subject, headers, body } = publish;
        let ack = self
            .jetstream
            .publish_with_headers(subject, headers, body)
            .await
            .map_err(|error| error.to_string())?;
        ack.await.map(|_| ()).map_err(|error| error.to_string())
    }

    pub(crate) async fn publish(&self, publish: Publish) {
        let subject = publish.subject.clone();
        self.try_publish(publish)
            .await
            .unwrap_or_else(|error| panic!("publish to {subject}: {error}"));
    }

    /// Asks the API.
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        self.try_request(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Self::request`], while the API may be gone.
    pub(crate) async fn try_request(&self, method: &str, path: &str, body: Option<Value>) -> Result<Response, String> {
        let authorization = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        try_request(&self.api, method, path, &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).await.ok()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.request("POST", path, Some(body)).await.ok()
    }

    /// Publishes over HTTP, with any headers and body.
    pub(crate) async fn post_event(&self, query: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        self.try_post_event(query, headers, body)
            .await
            .unwrap_or_else(|error| panic!("POST /v1/events{query}: {error}"))
    }

    /// As [`Self::post_event`], while ingest may be gone.
    pub(crate) async fn try_post_event(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response, String> {
        let authorization = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        let path = format!("/v1/events{query}");
        try_request(&self.ingest, "POST", &path, &all, body).await
    }

    /// Makes these integrations be; all others stay.
    pub(crate) async fn apply(&self, integrations: Value) -> Value {
        self.try_apply(integrations).await.ok()
    }

    pub(crate) async fn try_apply(&self, integrations: Value) -> Response {
        self.request("POST", "/v1/apply", Some(json!({ "integrations": integrations })))
            .await
    }

    /// An integration of org `default`.
    pub(crate) async fn integration(&self, name: &str) -> Value {
        self.get(&format!("/v1/integrations/{name}")).await
    }

    pub(crate) async fn hold(&self, name: &str) -> Value {
        self.post(&format!("/v1/integrations/{name}/pause"), json!({})).await
    }

    pub(crate) async fn resume(&self, name: &str) -> Value {
        self.post(&format!("/v1/integrations/{name}/resume"), json!({})).await
    }

    /// Actions of the audit that fit, the oldest first.
    pub(crate) async fn actions(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/audit?limit=200{query}")).await;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let actions = items.iter().rev();
        actions
            .map(|item| item["action"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub(crate) async fn dead_letters(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/dead-letters{query}")).await;
        answer["items"].as_array().expect("a list has items").clone()
    }

    /// The story of an event; `Err` while it is not accepted.
    pub(crate) async fn trace(&self, event: &str) -> Result<Value, String> {
        let answer = self.try_request("GET", &format!("/v1/events/{event}"), None).await?;
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    }

    /// The only delivery of an event, once it has this status.
    pub(crate) async fn delivery(&self, event: &str, status: &str, deadline: Duration) -> Value {
        eventually(deadline, &format!("the delivery of {event} is {status}"), async || {
            let story = self.trace(event).await?;
            match story["deliveries"].as_array().map(Vec::as_slice) {
                Some([delivery]) if delivery["status"] == status => Ok(delivery.clone()),
                _ => Err(story.to_string()),
            }
        })
        .await
    }

    /// Runs a bulk act and waits until it is done.
    pub(crate) async fn act(&self, path: &str, wanted: Value) -> Value {
        let act = self.post(path, wanted).await;
        let id = act["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id in {act}"))
            .to_owned();
        eventually(Duration::from_secs(30), "the act is done", async || {
            let act = self.get(&format!("/v1/acts/{id}")).await;
            if act["status"] == "done" {
                Ok(act)
            } else {
                Err(act.to_string())
            }
        })
        .await
    }

    pub(crate) async fn try_doctor(&self) -> Result<Value, String> {
        let answer = self.try_request("GET", "/v1/doctor", None).await?;
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(answer.text())
        }
    }

    /// What waits for an integration of org `default`: pending, retrying, parked.
    pub(crate) async fn waiting(&self, name: &str) -> Result<(u64, u64, u64), String> {
        let doctor = self.try_doctor().await?;
        let list = doctor["waiting"]["integrations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let Some(found) = list.iter().find(|entry| entry["integration"] == name) else {
            return Ok((0, 0, 0));
        };
        let count = |name: &str| found[name].as_u64().unwrap_or_default();
        Ok((count("pending"), count("retrying"), count("parked")))
    }

    /// Waits until nothing moves any more, and gives the ledger, which must be even.
    pub(crate) async fn settled(&self, deadline: Duration) -> Value {
        eventually(deadline, "all has ended and the ledger is even", async || {
            let ingest = self.messages("INGEST").await?;
            if ingest > 0 {
                return Err(format!("{ingest} inputs wait in INGEST"));
            }
            let ledger = self.try_doctor().await?["ledger"].clone();
            let quiet = ["missing", "moving", "unrouted", "unreadable"]
                .iter()
                .all(|name| ledger[*name] == 0);
            if quiet { Ok(ledger) } else { Err(ledger.to_string()) }
        })
        .await
    }

    /// How many messages a stream holds.
    pub(crate) async fn messages(&self, stream: &str) -> Result<u64, String> {
        let stream = self
            .jetstream
            .get_stream(stream)
            .await
            .map_err(|error| error.to_string())?;
        Ok(stream.cached_info().state.messages)
    }

    /// How many deliveries that go in order wait, and states of their keys. The marks of partitions, which lie among them
    /// for a moment now and then, do not count.
    pub(crate) async fn waiting_in_order(&self) -> Result<u64, String> {
        let stream = self.jetstream.get_stream_no_info("ORDERED").await;
        let stream = stream.map_err(|error| error.to_string())?;
        let subjects = stream.info_with_subjects(">").await;
        let subjects = subjects.map_err(|error| error.to_string())?;
        let held = subjects
            .map_err(|error| error.to_string())
            .try_filter(|(subject, _)| std::future::ready(!subject.starts_with("signalbox.orderedmark.")));
        held.try_fold(0, async |sum, (_, count)| Ok(sum + count as u64)).await
    }

    /// Runs a command of the program against this installation: exit code and standard output.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let (code, out, error) = self.command_in(&[], arguments).await;
        if code != 0 {
            eprintln!("signalbox {arguments:?}: {error}");
        }
        (code, out)
    }

    /// As [`Self::command`], with these variables in its environment; standard error comes last.
    pub(crate) async fn command_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
        let mut settings = Settings::from([
            ("SIGNALBOX_URL".to_owned(), self.api.clone()),
            ("SIGNALBOX_KEY".to_owned(), self.key.clone()),
        ]);
        for (name, value) in variables {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let running = Command::new(signalbox())
            .args(arguments)
            .env_clear()
            .envs(settings)
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(COMMAND_TIMEOUT, running).await {
            Ok(output) => output.expect("the program can be run"),
            Err(_) => panic!("signalbox {arguments:?} did not end within {COMMAND_TIMEOUT:?}"),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// As [`Self::command`], but it must succeed and print JSON.
    pub(crate) async fn command_json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let (code, out) = self.command(&all).await;
        assert_eq!(code, 0, "signalbox {all:?}: {out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("signalbox {all:?} printed no JSON ({error}): {out}"))
    }
}
