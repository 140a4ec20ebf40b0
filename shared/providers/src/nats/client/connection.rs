//! One connection: getting in, and one message after another.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use ::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use nkeys::KeyPair;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    Error, Publish,
    protocol::{self, Connect, Info, Message, Op},
};
use crate::{
    Egress,
    http::Response,
    nats::{Login, Server, header_name},
};

/// Room for what is read at once, in bytes.
const READ_BYTES: usize = 8 * 1024;
/// Random bytes of an inbox: nobody else on the server is to guess where acknowledgements come.
const INBOX_BYTES: usize = 16;

/// Bytes to a server and back, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection that was let in.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    read: BytesMut,
    info: Info,
    /// What the subjects of acknowledgements begin with, once the server sends us what comes there.
    inbox: Option<String>,
    /// Messages that were published with an acknowledgement.
    count: u64,
    /// Whether all that was asked for has been answered, so that the next message can be sent.
    good: bool,
}

/// What a stream says of a message.
#[derive(Deserialize)]
struct Acknowledged {
    stream: Option<String>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: u16,
}

impl Connection {
    /// Connects to a server and proves who we are.
    pub(super) async fn open(
        server: &Server,
        login: &Login,
        egress: &Arc<Egress>,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, Error> {
        let addresses = egress.addresses(server.url(), server.port()).await;
        let addresses = addresses.map_err(Error::Connection)?;
        let stream = TcpStream::connect(&addresses[..]).await.map_err(Error::of_io)?;
        stream.set_nodelay(true).map_err(Error::of_io)?;
        let mut connection = Self {
            stream: Box::new(stream),
            read: BytesMut::new(),
            info: Info::default(),
            inbox: None,
            count: 0,
            good: false,
        };
        match connection.op().await? {
            Op::Info(info) => connection.info = *info,
            _ => return Err(Error::Protocol("no INFO at first")),
        }
        if !connection.info.headers {
            return Err(Error::NoHeaders);
        }
        if server.is_tls() || connection.info.tls_required {
            connection = connection.with_tls(server, tls).await?;
        }
        connection.log_in(login, server).await?;
        connection.good = true;
        Ok(connection)
    }

    async fn with_tls(self, server: &Server, tls: &Arc<ClientConfig>) -> Result<Self, Error> {
        if !self.read.is_empty() {
            // It could be a stranger's, put in before anything was encrypted.
            return Err(Error::Protocol("more than INFO before TLS"));
        }
        let connecting = TlsConnector::from(tls.clone()).connect(server.name().clone(), self.stream);
        let stream = connecting.await.map_err(Error::of_io)?;
        Ok(Self {
            stream: Box::new(stream),
            ..self
        })
    }

    async fn log_in(&mut self, login: &Login, server: &Server) -> Result<(), Error> {
        let mut connect = Connect {
            tls_required: server.is_tls() || self.info.tls_required,
            name: "signalbox",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            ..Connect::default()
        };
        match login {
            Login::Anonymous => {}
            Login::User { user, password } => {
                connect.user = Some(user);
                connect.pass = Some(password.expose());
            }
            Login::Token(token) => connect.auth_token = Some(token.expose()),
            Login::Nkey(key) => {
                connect.nkey = Some(key.public_key());
                connect.sig = Some(signed(key, &self.info.nonce)?);
            }
            Login::Jwt { jwt, key } => {
                connect.jwt = Some(jwt.expose());
                connect.sig = Some(signed(key, &self.info.nonce)?);
            }
        }
        let mut out = b"CONNECT ".to_vec();
        serde_json::to_writer(&mut out, &connect).expect("it is written to memory");
        out.extend_from_slice(b"\r\nPING\r\n");
        self.write(&out).await?;
        loop {
            match self.op().await? {
                Op::Pong => return Ok(()),
                Op::Error(text) => return Err(refused(&text, "")),
                other => self.hear(other).await?,
            }
        }
    }

    /// Whether the next message can be sent by it.
    pub(super) fn is_good(&self) -> bool {
        self.good && !self.info.ldm
    }

    /// Publishes a message and waits for its acknowledgement; without one asks whether the server is there.
    pub(super) async fn exchange(&mut self, publish: Option<&Publish>) -> Result<Response, Error> {
        // Whoever gives up in the midst leaves a connection on which an old answer could come for a new question.
        self.good = false;
        let result = self.ask(publish).await;
        self.good = match &result {
            Ok(_) => true,
            Err(error) => matches!(error, Error::TooLarge { .. } | Error::NoStream { .. }),
        };
        result
    }

    async fn ask(&mut self, publish: Option<&Publish>) -> Result<Response, Error> {
        let Some(publish) = publish else {
            self.write(b"PING\r\n").await?;
            self.answered("", None).await?;
            return Ok(response(200, Bytes::new()));
        };
        let block = block(&publish.headers);
        let bytes = block.len() + publish.body.len();
        if bytes > self.info.max_payload {
            return Err(Error::TooLarge {
                bytes,
                bytes_max: self.info.max_payload,
            });
        }
        let subject = publish.subject.as_str();
        let reply = if publish.jetstream {
            self.count += 1;
            let count = self.count;
            Some(format!("{}{count}", self.inbox().await?))
        } else {
            None
        };
        let mut out = Vec::with_capacity(bytes + subject.len() + 128);
        let to = reply.as_deref().map(|reply| format!("{reply} ")).unwrap_or_default();
        write!(out, "HPUB {subject} {to}{} {bytes}\r\n", block.len()).expect("it is written to memory");
        out.extend_from_slice(&block);
        out.extend_from_slice(&publish.body);
        // What the server has against it is said before it answers this.
        out.extend_from_slice(b"\r\nPING\r\n");
        self.write(&out).await?;
        match self.answered(subject, reply.as_deref()).await? {
            None => Ok(response(200, Bytes::new())),
            Some(message) if message.is_no_responders() => Err(Error::NoStream {
                subject: subject.to_owned(),
            }),
            Some(message) => acknowledged(message),
        }
    }

    /// Waits until the server has answered the last ping, and for what comes to `reply`.
    async fn answered(&mut self, subject: &str, reply: Option<&str>) -> Result<Option<Message>, Error> {
        let mut is_taken = false;
        let mut answer = None;
        while !(is_taken && answer.is_some() == reply.is_some()) {
            match self.op().await? {
                Op::Pong => is_taken = true,
                Op::Message(message) if Some(message.subject.as_str()) == reply => answer = Some(message),
                Op::Error(text) => return Err(refused(&text, subject)),
                other => self.hear(other).await?,
            }
        }
        Ok(answer)
    }

    /// What the subjects of acknowledgements begin with. Asked for before the first message, so that none is stored whose
    /// acknowledgement nobody would hear.
    async fn inbox(&mut self) -> Result<&str, Error> {
        if self.inbox.is_none() {
            let mut random = [0; INBOX_BYTES];
            getrandom::fill(&mut random).map_err(|error| Error::Io(io::Error::other(error.to_string())))?;
            let inbox = format!("_INBOX.{}.", URL_SAFE_NO_PAD.encode(random));
            self.write(format!("SUB {inbox}* 1\r\nPING\r\n").as_bytes()).await?;
            self.answered("", None).await?;
            self.inbox = Some(inbox);
        }
        Ok(self.inbox.as_deref().unwrap_or_default())
    }

    /// Does what a server asks for by the way.
    async fn hear(&mut self, op: Op) -> Result<(), Error> {
        match op {
            Op::Ping => self.write(b"PONG\r\n").await,
            Op::Info(info) => {
                self.info = *info;
                Ok(())
            }
            // What is for nobody: a message to our inbox that nobody waits for.
            Op::Message(_) | Op::Pong | Op::Ok | Op::Error(_) => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(Error::of_io)?;
        self.stream.flush().await.map_err(Error::of_io)
    }

    /// The next thing that the server says.
    async fn op(&mut self) -> Result<Op, Error> {
        loop {
            if let Some(op) = protocol::next(&mut self.read)? {
                return Ok(op);
            }
            self.read.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.read).await.map_err(Error::of_io)? == 0 {
                return Err(Error::Closed);
            }
        }
    }
}

fn signed(key: &KeyPair, nonce: &str) -> Result<String, Error> {
    let signature = key.sign(nonce.as_bytes()).map_err(|_| Error::Login)?;
    Ok(URL_SAFE_NO_PAD.encode(signature))
}

/// Headers as they are sent.
fn block(headers: &HeaderMap) -> Vec<u8> {
    let mut block = b"NATS/1.0\r\n".to_vec();
    for (name, value) in headers {
        block.extend_from_slice(header_name(name).as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\r\n");
    block
}

/// What a stream answers: its code is the status.
fn acknowledged(message: Message) -> Result<Response, Error> {
    let read = serde_json::from_slice::<Acknowledged>(&message.body);
    match read.map_err(|_| Error::Protocol("an acknowledgement that is none"))? {
        Acknowledged { error: Some(error), .. } => Ok(response(error.code, message.body)),
        Acknowledged { stream: Some(_), .. } => Ok(response(200, message.body)),
        // Somebody who is no stream listens to the subject and has answered.
        Acknowledged { .. } => Err(Error::Protocol("an acknowledgement that is none")),
    }
}

fn response(status: u16, body: Bytes) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body,
        truncated: false,
    }
}

/// What the server has against us, by the words that nats-server uses (`server/errors.go` and `server/client.go`).
fn refused(text: &str, subject: &str) -> Error {
    let text = text.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    let subject = || subject.to_owned();
    if begins(&["permissions violation for subscription"]) {
        Error::ForbiddenInbox
    } else if begins(&["permissions violation"]) {
        Error::Forbidden { subject: subject() }
    } else if begins(&[
        "authorization violation",
        "user authentication",
        "account authentication",
        "authorization",
    ]) {
        Error::Login
    } else if begins(&["authentication timeout"]) {
        Error::Busy("authentication took too long")
    } else if begins(&[
        "maximum connections exceeded",
        "maximum account active connections exceeded",
    ]) {
        Error::Busy("it has as many as it takes")
    } else if begins(&[
        "stale connection",
        "slow consumer",
        "server shutdown",
        "connection throttling",
    ]) {
        Error::Busy("it ended this one")
    } else if begins(&["invalid publish subject", "invalid subject"]) {
        Error::Subject { subject: subject() }
    } else {
        Error::Unknown
    }
}
