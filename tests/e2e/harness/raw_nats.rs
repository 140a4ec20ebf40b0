//! A NATS client that sends any bytes as subject, headers and body, since proper clients refuse to.

use std::{collections::HashMap, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How long the server may take to answer what was published.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// JetStream has stored it.
    Stored,
    /// JetStream took it for a repeat of the same `Nats-Msg-Id` within INGEST's window, and stored nothing.
    Repeated,
    /// JetStream refused it, or no stream listens there.
    Refused(String),
}

/// A connection; publishes are numbered, and answers come to their number.
pub(crate) struct RawNats {
    writer: BufWriter<OwnedWriteHalf>,
    reader: BufReader<OwnedReadHalf>,
}

impl RawNats {
    pub(crate) async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("nats://").unwrap_or(url);
        let stream = TcpStream::connect(address).await.expect("NATS takes a connection");
        let (reader, writer) = stream.into_split();
        let mut raw = Self {
            writer: BufWriter::new(writer),
            reader: BufReader::new(reader),
        };
        raw.write(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n")
            .await;
        raw.write(b"SUB answers.> 1\r\nPING\r\n").await;
        raw.flush().await;
        raw
    }

    /// Publishes with these bytes between `NATS/1.0` and the end of the headers; `headers` is whole lines.
    pub(crate) async fn publish(&mut self, number: usize, subject: &[u8], headers: &[u8], body: &[u8]) {
        self.publish_block(number, subject, &[b"NATS/1.0\r\n", headers, b"\r\n"].concat(), body)
            .await;
    }

    /// As [`Self::publish`], with the whole block of headers.
    pub(crate) async fn publish_block(&mut self, number: usize, subject: &[u8], block: &[u8], body: &[u8]) {
        self.write(b"HPUB ").await;
        self.write(subject).await;
        self.write(format!(" answers.{number} {} {}\r\n", block.len(), block.len() + body.len()).as_bytes())
            .await;
        self.write(block).await;
        self.write(body).await;
        self.write(b"\r\n").await;
        self.flush().await;
    }

    /// Reads until each of so many numbers has its answer, or the server has been silent for too long.
    pub(crate) async fn fates(&mut self, count: usize) -> HashMap<usize, Fate> {
        let mut fates = HashMap::new();
        while fates.len() < count {
            match tokio::time::timeout(ANSWER_TIMEOUT, self.answer()).await {
                Ok(Some((number, fate))) => {
                    fates.insert(number, fate);
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
        fates
    }

    /// Reads one operation of the server; `None` where it answers no publish.
    async fn answer(&mut self) -> Option<(usize, Fate)> {
        let mut line = Vec::new();
        let read = self
            .reader
            .read_until(b'\n', &mut line)
            .await
            .expect("NATS keeps the connection");
        assert!(read > 0, "NATS has closed the connection");
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["PING"] => {
                self.write(b"PONG\r\n").await;
                self.flush().await;
                None
            }
            ["MSG", subject, _, bytes] => {
                let body = self.payload(bytes).await;
                let text = String::from_utf8_lossy(&body).into_owned();
                let fate = if text.contains("\"error\"") {
                    Fate::Refused(text)
                } else if text.contains("\"duplicate\"") {
                    Fate::Repeated
                } else {
                    Fate::Stored
                };
                Some((number_of(subject), fate))
            }
            // Only "no responders" comes with headers.
            ["HMSG", subject, _, _, bytes] => {
                let body = self.payload(bytes).await;
                Some((
                    number_of(subject),
                    Fate::Refused(String::from_utf8_lossy(&body).trim().to_owned()),
                ))
            }
            ["-ERR", ..] => panic!("NATS says {line}"),
            _ => None,
        }
    }

    async fn payload(&mut self, bytes: &str) -> Vec<u8> {
        let count: usize = bytes.parse().expect("the server counts bytes");
        let mut payload = vec![0; count + 2];
        self.reader
            .read_exact(&mut payload)
            .await
            .expect("NATS keeps the connection");
        payload.truncate(count);
        payload
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("NATS keeps the connection");
    }

    async fn flush(&mut self) {
        self.writer.flush().await.expect("NATS keeps the connection");
    }
}

fn number_of(subject: &str) -> usize {
    subject
        .rsplit('.')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("answers come to numbers")
}
