//! A real server that can be stopped and started again, and somebody who looks at what it has.

use std::{path::PathBuf, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::super::protocol::{self, Message, Op};

/// How long anything that must happen may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn binary() -> PathBuf {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([tools])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("these tests need a nats-server: install one with `make tools`")
}

/// One server with a store of its own. It ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    store: TempDir,
    child: Option<Child>,
}

impl Server {
    /// With JetStream and what else its config is to say.
    pub(super) async fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), config).await
    }

    /// In a folder that holds what the config names.
    pub(super) async fn start_in(store: TempDir, config: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, max_file_store: 1GB }}\n{config}\n",
            store.path().join("jetstream")
        );
        std::fs::write(store.path().join("nats-server.conf"), text).expect("a config");
        let mut server = Self {
            port,
            store,
            child: None,
        };
        server.restart().await;
        server
    }

    /// Starts it on the port and the store that it had.
    pub(super) async fn restart(&mut self) {
        let log = std::fs::File::create(self.store.path().join("server.log")).expect("a log");
        let child = Command::new(binary())
            .arg("-c")
            .arg(self.store.path().join("nats-server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.expect("a server"));
        let deadline = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let log = std::fs::read_to_string(self.store.path().join("server.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no server: {log}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it can be killed");
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Somebody else on the server, who speaks its protocol by hand.
pub(super) struct Other {
    stream: TcpStream,
    read: BytesMut,
}

impl Other {
    /// `login` is what `CONNECT` says of it, as JSON.
    pub(super) async fn connect(server: &Server, login: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("a server");
        let mut other = Self {
            stream,
            read: BytesMut::new(),
        };
        other.say(&format!("CONNECT {login}\r\nPING\r\n")).await;
        other.until(|op| matches!(op, Op::Pong)).await;
        other
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("a connection");
    }

    async fn until(&mut self, wanted: impl Fn(&Op) -> bool) -> Op {
        let reading = async {
            loop {
                match protocol::next(&mut self.read).expect("the protocol") {
                    Some(Op::Error(text)) => panic!("{text}"),
                    Some(op) if wanted(&op) => return op,
                    Some(_) => {}
                    None => {
                        let read = self.stream.read_buf(&mut self.read).await.expect("a connection");
                        assert_ne!(read, 0, "the server hung up");
                    }
                }
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("it comes soon")
    }

    pub(super) async fn subscribe(&mut self, subject: &str) {
        self.say(&format!("SUB {subject} 9\r\nPING\r\n")).await;
        self.until(|op| matches!(op, Op::Pong)).await;
    }

    pub(super) async fn message(&mut self) -> Message {
        match self.until(|op| matches!(op, Op::Message(_))).await {
            Op::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Asks JetStream's API.
    pub(super) async fn ask(&mut self, subject: &str, body: &Value) -> Value {
        let body = body.to_string();
        let deadline = Instant::now() + SOON;
        loop {
            self.say(&format!(
                "SUB answers 1\r\nPUB {subject} answers {}\r\n{body}\r\nUNSUB 1 1\r\n",
                body.len()
            ))
            .await;
            let answer = self.message().await;
            if !answer.is_no_responders() && !answer.body.is_empty() {
                return serde_json::from_slice(&answer.body).expect("JSON");
            }
            assert!(Instant::now() < deadline, "JetStream does not answer");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the stream `S` of these subjects.
    pub(super) async fn make_stream(&mut self, subjects: &[&str], more: &Value) {
        let mut config = serde_json::json!({ "name": "S", "subjects": subjects, "storage": "file" });
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        let made = self.ask("$JS.API.STREAM.CREATE.S", &config).await;
        assert!(made["error"].is_null(), "{made}");
    }

    /// How many messages the stream `S` has.
    pub(super) async fn stored(&mut self) -> u64 {
        let info = self.ask("$JS.API.STREAM.INFO.S", &serde_json::json!({})).await;
        info["state"]["messages"].as_u64().expect("a count")
    }

    /// A message of the stream `S`: its subject, its block of headers, its body.
    pub(super) async fn stored_message(&mut self, seq: u64) -> (String, String, String) {
        let answer = self
            .ask("$JS.API.STREAM.MSG.GET.S", &serde_json::json!({ "seq": seq }))
            .await;
        let text = |name: &str| {
            let encoded = answer["message"][name].as_str().unwrap_or_default();
            String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text")
        };
        let subject = answer["message"]["subject"].as_str().expect("a subject");
        (subject.to_owned(), text("hdrs"), text("data"))
    }
}
