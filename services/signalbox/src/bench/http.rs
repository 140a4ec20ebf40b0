//! Publishes events to `POST /v1/events`, one a request, over connections that are kept.
//!
//! It speaks just enough HTTP/1.1 to be cheap, as the receiver does, so that the figures are of what answers it.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use super::publisher::Pace;

/// Requests that wait for their answer at once, each on a connection of its own.
const REQUESTS_MAX: usize = 64;
/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer, head and body.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// What every event is answered with.
const ACCEPTED: u16 = 202;

/// Publishes over HTTP. Holds as many connections as requests were ever under way at once.
#[derive(Debug)]
pub(super) struct HttpPublisher {
    /// Host and port.
    address: String,
    /// What every request begins with, up to the value of its `content-length`.
    head: String,
    idle: Vec<Connection>,
}

impl HttpPublisher {
    /// Publishes to an API at `http://<host>:<port>`.
    pub(super) fn new(api: &str, key: &str) -> anyhow::Result<Self> {
        let address = api
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .with_context(|| format!("cannot publish to {api}: it does not begin with http://"))?;
        Ok(Self {
            address: address.to_owned(),
            head: format!(
                "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
                 content-type: application/json\r\ncontent-length: "
            ),
            idle: Vec::new(),
        })
    }

    /// Publishes events whose JSON `write` appends for each number, and returns when the last is accepted.
    pub(super) async fn publish(&mut self, pace: Pace, mut write: impl FnMut(u64, &mut String)) -> anyhow::Result<()> {
        let Self { address, head, idle } = self;
        let began = Instant::now();
        let mut sent = 0;
        let mut body = String::new();
        let mut requests = FuturesUnordered::new();
        let mut wake = pin!(sleep_until(began));
        loop {
            let due = pace.due(began.elapsed());
            while sent < due && requests.len() < REQUESTS_MAX {
                body.clear();
                write(sent, &mut body);
                let request = format!("{head}{}\r\n\r\n{body}", body.len());
                // The one used last, so that at a low rate few are in use.
                requests.push(post(idle.pop(), address, request));
                sent += 1;
            }
            if sent == pace.events && requests.is_empty() {
                return Ok(());
            }
            wake.as_mut().reset(began + pace.at(sent));
            let waits_for_time = sent < pace.events && requests.len() < REQUESTS_MAX;
            tokio::select! {
                biased;
                Some(answered) = requests.next() => idle.push(answered?),
                () = &mut wake, if waits_for_time => {}
            }
        }
    }
}

/// Posts an event on a connection, a new one where none is given, and gives that back. Fails when the event is not
/// accepted.
async fn post(connection: Option<Connection>, address: &str, request: String) -> anyhow::Result<Connection> {
    let exchange = async {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        connection.exchange(request.as_bytes()).await?;
        Ok(connection)
    };
    timeout(REQUEST_TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| bail!("no answer in {} s", REQUEST_TIMEOUT.as_secs()))
        .with_context(|| format!("cannot publish to http://{address}/v1/events"))
}

/// A connection that carries one request after the other.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the connection was closed"
            );
            if let Some(answer) = parse(&self.buffer)? {
                ensure!(
                    answer.status == ACCEPTED,
                    "it answered {}: {}",
                    answer.status,
                    String::from_utf8_lossy(answer.body)
                );
                return Ok(());
            }
            ensure!(
                self.buffer.len() <= ANSWER_BYTES_MAX,
                "the answer has more than {ANSWER_BYTES_MAX} bytes"
            );
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

/// Reads the one answer that a buffer holds; `None` while some of it is missing.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<Answer<'_>>> {
    let Some(head_bytes) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = buffer.split_at(head_bytes);
    let head = str::from_utf8(head).context("the answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .with_context(|| format!("not an answer of HTTP/1.1: {head:?}"))?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .with_context(|| format!("the answer {status} does not say its length"))?;
    let body = rest.get(4..).unwrap_or_default();
    ensure!(body.len() <= length, "the answer {status} is longer than it says");
    Ok((body.len() == length).then_some(Answer { status, body }))
}

#[cfg(test)]
mod tests;
