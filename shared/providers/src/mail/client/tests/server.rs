//! A mail server that does as it is told, and tells what it has seen.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How a server behaves.
#[derive(Default)]
pub(super) struct Manner {
    /// Its certificate, where it has one.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether it speaks TLS from the first byte.
    pub(super) implicit: bool,
    /// What `EHLO` offers besides `STARTTLS`, before TLS and after it.
    pub(super) offers: &'static [&'static str],
    /// What stands behind its `220` to `STARTTLS` in the same packet.
    pub(super) injects: &'static str,
    /// Replies to commands that begin so; `hello` to a connection, `.` to a message. Each is said once, in its order.
    /// `SILENCE` and `HANGUP` are no replies.
    pub(super) scripts: Vec<(String, Mutex<VecDeque<String>>)>,
}

impl Manner {
    pub(super) fn says(mut self, command: &str, replies: &[&str]) -> Self {
        let replies = replies.iter().map(|reply| (*reply).to_owned()).collect();
        self.scripts.push((command.to_owned(), Mutex::new(replies)));
        self
    }

    fn reply(&self, command: &str, usual: &str) -> String {
        let script = self.scripts.iter().find(|(begin, _)| command.starts_with(begin));
        let said = script.and_then(|(_, replies)| replies.lock().expect("a lock").pop_front());
        said.unwrap_or_else(|| usual.to_owned())
    }
}

#[derive(Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    mails: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

/// One server. It ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Seen>,
}

impl Server {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen::default());
        let (manner, kept) = (Arc::new(manner), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                kept.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, manner.clone(), kept.clone()));
            }
        });
        Self { port, seen }
    }

    /// What clients said, `tls ` before what was encrypted.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lines.lock().expect("a lock").clone()
    }

    /// The messages that it took or refused, as they were before the doubled points.
    pub(super) fn mails(&self) -> Vec<String> {
        self.seen.mails.lock().expect("a lock").clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }
}

/// Until somebody hangs up.
async fn serve(stream: TcpStream, manner: Arc<Manner>, seen: Arc<Seen>) {
    talk(stream, &manner, &seen).await.ok();
}

async fn encrypt(stream: Box<dyn Stream>, manner: &Manner) -> Option<Box<dyn Stream>> {
    let acceptor = TlsAcceptor::from(manner.tls.clone()?);
    Some(Box::new(acceptor.accept(stream).await.ok()?))
}

async fn talk(stream: TcpStream, manner: &Manner, seen: &Seen) -> Result<(), Option<()>> {
    let mut stream: Box<dyn Stream> = Box::new(stream);
    let mut encrypted = manner.implicit;
    if encrypted {
        stream = encrypt(stream, manner).await.ok_or(None)?;
    }
    let mut stream = BufReader::new(stream);
    say(&mut stream, &manner.reply("hello", "220 test ready")).await?;
    loop {
        let line = hear(&mut stream).await?;
        let mark = if encrypted { "tls " } else { "" };
        seen.lines.lock().expect("a lock").push(format!("{mark}{line}"));
        let command = line.split(' ').next().unwrap_or_default();
        match command {
            "EHLO" => {
                let starttls = (manner.tls.is_some() && !encrypted).then_some("STARTTLS");
                let offers = manner.offers.iter().copied().chain(starttls);
                let offers: String = offers.map(|offer| format!("250-{offer}\r\n")).collect();
                let usual = format!("250-test\r\n{offers}250 HELP");
                say(&mut stream, &manner.reply(&line, &usual)).await?;
            }
            "STARTTLS" => {
                let reply = manner.reply(&line, "220 go on");
                let injected = manner.injects;
                let more = if injected.is_empty() {
                    reply.clone()
                } else {
                    format!("{reply}\r\n{injected}")
                };
                say(&mut stream, &more).await?;
                if reply.starts_with('2') {
                    stream = BufReader::new(encrypt(stream.into_inner(), manner).await.ok_or(None)?);
                    encrypted = true;
                }
            }
            "AUTH" if line == "AUTH LOGIN" => {
                for question in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                    say(&mut stream, question).await?;
                    let answer = hear(&mut stream).await?;
                    seen.lines.lock().expect("a lock").push(format!("{mark}{answer}"));
                }
                say(&mut stream, &manner.reply(&line, "235 2.7.0 ok")).await?;
            }
            "AUTH" => say(&mut stream, &manner.reply(&line, "235 2.7.0 ok")).await?,
            "DATA" => {
                let reply = manner.reply(&line, "354 go on");
                say(&mut stream, &reply).await?;
                if reply.starts_with("354") {
                    let mail = message(&mut stream).await?;
                    seen.mails.lock().expect("a lock").push(mail);
                    say(&mut stream, &manner.reply(".", "250 2.0.0 queued")).await?;
                }
            }
            "QUIT" => {
                say(&mut stream, "221 bye").await?;
                return Ok(());
            }
            _ => say(&mut stream, &manner.reply(&line, "250 ok")).await?,
        }
    }
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, reply: &str) -> Result<(), Option<()>> {
    match reply {
        "SILENCE" => std::future::pending().await,
        "HANGUP" => Err(None),
        reply => {
            stream
                .write_all(format!("{reply}\r\n").as_bytes())
                .await
                .map_err(|_| None)?;
            stream.flush().await.map_err(|_| None)
        }
    }
}

async fn hear(stream: &mut BufReader<Box<dyn Stream>>) -> Result<String, Option<()>> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(1..) => Ok(line.trim_end().to_owned()),
        _ => Err(None),
    }
}

/// A message to its final point.
async fn message(stream: &mut BufReader<Box<dyn Stream>>) -> Result<String, Option<()>> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(1..) if line == ".\r\n" => return Ok(mail),
            Ok(1..) => mail.push_str(line.strip_prefix('.').unwrap_or(&line)),
            _ => return Err(None),
        }
    }
}
