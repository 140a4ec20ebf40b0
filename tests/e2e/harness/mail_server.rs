//! A real mail server that others wrote (aiosmtpd), with TLS and AUTH. What it has taken is read by Python's parser.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    process::{Folder, Program, Settings, free_port, settings, workspace},
    wait::eventually,
};
use crate::foreign;

/// How long a start may take.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Another port on which TLS begins with the first byte; 465 is for the system's own programs.
const IMPLICIT_TLS_PORT: u16 = 2465;

/// A mail server, whose mails outlive its restarts.
pub(crate) struct MailServer {
    program: Option<Program>,
    folder: Folder,
    host: String,
    port: u16,
    how: &'static str,
}

/// A mail as its reader sees it, and how it came.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mail {
    pub(crate) id: String,
    pub(crate) subject: String,
    /// Each header by its name, decoded.
    pub(crate) headers: BTreeMap<String, String>,
    /// The names of all headers, in their order.
    pub(crate) names: Vec<String>,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    /// The content types of the mail and its parts.
    pub(crate) types: Vec<String>,
    /// What the parser finds wrong.
    pub(crate) defects: Vec<String>,
    pub(crate) text: String,
    pub(crate) html: String,
    /// Bytes of the longest line.
    pub(crate) longest_line: usize,
    pub(crate) is_ascii: bool,
    /// Of all its bytes.
    pub(crate) sha256: String,
    /// Whom the server was told of, besides the headers.
    pub(crate) mail_from: String,
    pub(crate) rcpt_to: Vec<String>,
    pub(crate) by_tls: bool,
    /// Who proved to be who.
    pub(crate) login: Option<String>,
}

impl MailServer {
    /// One that asks for `STARTTLS` and a login.
    pub(crate) async fn start() -> Self {
        Self::of("127.0.0.1".to_owned(), free_port(), "starttls").await
    }

    /// One that speaks TLS from the first byte and asks for a login.
    pub(crate) async fn start_implicit() -> Self {
        // The port is always the same, so that each process has a loopback address of its own.
        let [_, top, high, low] = std::process::id().to_be_bytes();
        Self::of(
            format!("127.{}.{high}.{low}", 2 + top % 200),
            IMPLICIT_TLS_PORT,
            "implicit",
        )
        .await
    }

    async fn of(host: String, port: u16, how: &'static str) -> Self {
        let folder = Folder::new();
        certify(&folder, &host);
        let mut server = Self {
            program: None,
            folder,
            host,
            port,
            how,
        };
        server.restart().await;
        server
    }

    /// What lets a program trust the certificates of all these servers.
    pub(crate) fn trusted(servers: &[&Self]) -> Settings {
        let all: String = servers
            .iter()
            .map(|server| fs::read_to_string(server.file("authority.pem")).expect("it was written"))
            .collect();
        let first = servers.first().expect("one is there").file("authorities.pem");
        fs::write(&first, all).expect("a file can be written");
        let mut settings = settings();
        settings.insert("SSL_CERT_FILE".to_owned(), first.display().to_string());
        settings
    }

    /// An integration that sends by it, with these in its config.
    pub(crate) fn integration(&self, name: &str, events: &[&str], more: Value) -> Value {
        let mut integration = json!({
            "name": name, "provider": "email", "events": events, "rate_limit": "none",
            "config": { "smtp": { "host": self.host, "port": self.port }, "from": "Signalbox <signalbox@example.com>" },
            "credentials": { "username": "signalbox", "password": "hush hush" },
        });
        let config = integration["config"].as_object_mut().expect("an object");
        config.extend(more.as_object().expect("an object").clone());
        integration
    }

    /// All that it has taken, in its order.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        let written = fs::read_to_string(self.file("mails.jsonl")).unwrap_or_default();
        // The last line may be in the making.
        let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        whole.lines().map(read).collect()
    }

    /// Waits until there are so many.
    pub(crate) async fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Mail> {
        eventually(deadline, &format!("{count} mails are there"), async || {
            let mails = self.mails();
            if mails.len() >= count {
                Ok(mails)
            } else {
                Err(format!("{} mails", mails.len()))
            }
        })
        .await
    }

    /// Asks it to stop: it answers what it has begun.
    pub(crate) async fn stop(&mut self) {
        let status = self.running().stop().await;
        assert!(status.success(), "it ended with {status}");
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.running().kill().await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, deadline: Duration) {
        let waiting = tokio::time::timeout(deadline, self.running().child().wait()).await;
        waiting.expect("it ends in time").expect("a child can be waited for");
    }

    /// Starts it again, with the mails that it has.
    pub(crate) async fn restart(&mut self) {
        let script = workspace().join("tests/e2e/foreign/smtpd.py").display().to_string();
        let file = |name: &str| self.file(name).display().to_string();
        let (mails, certificate, key) = (file("mails.jsonl"), file("certificate.pem"), file("key.pem"));
        let port = self.port.to_string();
        let arguments = [&*script, &mails, &self.host, &port, &certificate, &key, self.how];
        let log = self.file("smtpd.log");
        let python = foreign::python();
        self.program = Some(Program::start(
            "smtpd",
            &python,
            &arguments,
            &Settings::new(),
            &log,
            false,
        ));
        eventually(READY_TIMEOUT, "the mail server listens", async || {
            let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
            connected.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("it was started")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// An authority, and what it says of the server's address.
fn certify(folder: &Folder, host: &str) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([host.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key));
    for (name, text) in [
        ("authority.pem", authority_pem),
        ("certificate.pem", certificate.expect("a certificate").pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        fs::write(folder.path().join(name), text).expect("a file can be written");
    }
}
