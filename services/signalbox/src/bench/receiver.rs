//! The target of the benchmark: answers POSTs as whoever takes them says, by default with 200 for an event of ours.
//!
//! It speaks just enough HTTP/1.1 to be cheap, so that the figures are of what calls it: requests with a
//! `content-length`, kept-alive connections, pipelining. Anything else is answered with an error.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::tally::Tally;

/// Longest request, head and body.
const REQUEST_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// What a connection reads at once, at first.
const BUFFER_BYTES: usize = 8 * 1_024;
/// What a body in a product's own form begins with.
const ID_PREFIX: &[u8] = b"{\"id\":\"";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const REDIRECT: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";

/// Who notes the requests and says what they are answered.
pub(super) trait Takes: Send + Sync + 'static {
    /// A request for an integration has come.
    fn take(&self, integration: u64, request: &Request<'_>) -> Reply;
}

/// What a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// 200.
    Ok,
    /// 422: not an event of ours.
    Unreadable,
    /// This status.
    Status(u16),
    /// 302 to elsewhere.
    Redirect,
    /// 200 after a while.
    Slow(Duration),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
}

impl Takes for Tally {
    fn take(&self, integration: u64, request: &Request<'_>) -> Reply {
        match event_id(request.body) {
            Some(id) if self.arrived(integration, &id).is_ok() => Reply::Ok,
            _ => Reply::Unreadable,
        }
    }
}

/// A receiver on a free port of the loopback.
#[derive(Debug)]
pub(super) struct Receiver {
    port: u16,
    accept: JoinHandle<()>,
}

impl Receiver {
    /// Listens. Needs a runtime.
    pub(super) async fn start(taker: impl Takes) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen for deliveries")?;
        let port = listener.local_addr()?.port();
        let accept = tokio::spawn(accept(listener, Arc::new(taker)));
        Ok(Self { port, accept })
    }

    /// The URL of an integration whose target answers.
    pub(super) fn url(&self, integration: u64) -> String {
        format!("http://127.0.0.1:{}/i/{integration}", self.port)
    }

    /// The URL of a target that takes requests and never answers.
    pub(super) fn hanging_url(&self) -> String {
        format!("http://127.0.0.1:{}/hang", self.port)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, taker: Arc<impl Takes>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let taker = Arc::clone(&taker);
                tokio::spawn(async move {
                    // A client that resets its connection is the client's affair; what is lost shows in the counts.
                    if let Err(error) = serve(stream, &*taker).await {
                        tracing::debug!(%error, "a connection to the receiver ended");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "the receiver cannot accept a connection");
                // Out of descriptors: let some go before the next try.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, taker: &impl Takes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut answers = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut begin = 0;
        answers.clear();
        loop {
            let rest = buffer.get(begin..).unwrap_or_default();
            let request = match parse(rest) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(refusal) => {
                    answers.extend_from_slice(refusal.answer().as_bytes());
                    return stream.write_all(&answers).await;
                }
            };
            let reply = match request.target {
                Target::Integration(integration) => taker.take(integration, &request),
                Target::Hanging => Reply::Hang,
            };
            match reply {
                Reply::Ok => answers.extend_from_slice(OK),
                Reply::Unreadable => answers.extend_from_slice(Refusal::Body.answer().as_bytes()),
                Reply::Status(status) => {
                    answers.extend_from_slice(format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").as_bytes());
                }
                Reply::Redirect => answers.extend_from_slice(REDIRECT),
                Reply::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    answers.extend_from_slice(OK);
                }
                Reply::Hang => {
                    stream.write_all(&answers).await?;
                    return hang(stream).await;
                }
                Reply::Reset => {
                    stream.write_all(&answers).await?;
                    return stream.set_zero_linger();
                }
            }
            begin += request.bytes;
        }
        buffer.drain(..begin);
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
        }
    }
}

/// Reads until the client gives up, and never answers.
async fn hang(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1_024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// One request in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    target: Target,
    head: &'a str,
    pub body: &'a [u8],
    /// Head and body.
    bytes: usize,
}

impl<'a> Request<'a> {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Integration(u64),
    Hanging,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Head,
    Path,
    Length,
    TooLarge,
    Body,
}

impl Refusal {
    fn answer(self) -> &'static str {
        match self {
            Self::Head => "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            Self::Path => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            Self::Length => "HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            Self::TooLarge => "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            // The request itself was read to its end, so the connection stays.
            Self::Body => "HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 0\r\n\r\n",
        }
    }
}

/// Reads the request that a buffer begins with; `None` while some of it is missing.
fn parse(buffer: &[u8]) -> Result<Option<Request<'_>>, Refusal> {
    let Some(head_bytes) = buffer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
    else {
        return if buffer.len() > REQUEST_BYTES_MAX {
            Err(Refusal::TooLarge)
        } else {
            Ok(None)
        };
    };
    let head = buffer
        .get(..head_bytes)
        .and_then(|head| str::from_utf8(head).ok())
        .ok_or(Refusal::Head)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some("POST"), Some(path), Some("HTTP/1.1"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Head);
    };
    let target = if path == "/hang" {
        Target::Hanging
    } else {
        let integration = path.strip_prefix("/i/").and_then(|number| number.parse().ok());
        Target::Integration(integration.ok_or(Refusal::Path)?)
    };
    let length = header(head, "content-length")
        .and_then(|value| value.parse::<usize>().ok())
        .ok_or(Refusal::Length)?;
    if length > REQUEST_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let bytes = head_bytes + length;
    Ok(buffer.get(head_bytes..bytes).map(|body| Request {
        target,
        head,
        body,
        bytes,
    }))
}

/// The value of a header in a head.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The `id` of a body: at its begin, where Signalbox writes it, else wherever a JSON reader finds it.
pub(super) fn event_id(body: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    if let Some(rest) = body.strip_prefix(ID_PREFIX)
        && let Some(end) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))
        && rest.get(end) == Some(&b'"')
    {
        return str::from_utf8(rest.get(..end)?).ok().map(Into::into);
    }
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(value.get("id")?.as_str()?.to_owned().into())
}

#[cfg(test)]
mod tests;
