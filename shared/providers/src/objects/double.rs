//! A store for tests: it checks signatures by code of its own, keeps objects, and does as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The secret that requests have to be signed with.
pub(crate) const SECRET: &str = "a-long-secret-of-an-access-key";

/// What it does with the next request, before it does what a store does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers this, and does nothing: status, headers, body.
    Answer(u16, String, String),
    /// Stores, and closes the connection without an answer.
    StoreAndHangUp,
    /// Answers 403 and repeats what it was sent as `Authorization`, in a header and the body.
    Repeat,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    seen: Vec<Seen>,
    objects: BTreeMap<String, Bytes>,
}

pub(crate) struct Double {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells it what to do with the next requests.
    pub(crate) fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.lock().expect("a lock").script.extend(acts);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().expect("a lock").seen.clone()
    }

    /// What it keeps, by path.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.state.lock().expect("a lock").objects.clone()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(request) = read(&mut stream).await {
        let answer = {
            let mut state = state.lock().expect("a lock");
            state.seen.push(request.clone());
            match state.script.pop_front() {
                Some(Act::Answer(status, headers, body)) => Some(answer(status, &headers, &body)),
                Some(Act::Repeat) => {
                    let sent = request.headers.get("authorization").cloned().unwrap_or_default();
                    Some(answer(
                        403,
                        &format!("x-you-sent: {sent}\r\n"),
                        &format!("you sent {sent}"),
                    ))
                }
                Some(Act::StoreAndHangUp) => {
                    act(&mut state, &request);
                    None
                }
                None => Some(act(&mut state, &request)),
            }
        };
        let Some(answer) = answer else { return };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

pub(crate) fn error(status: u16, code: &str) -> String {
    answer(status, "content-type: application/xml\r\n", &xml(code))
}

pub(crate) fn xml(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>")
}

/// What a store does.
fn act(state: &mut State, request: &Seen) -> String {
    if let Err(refused) = check(request) {
        return refused;
    }
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let is_there = state.objects.contains_key(&request.path);
    let only_new = header("if-none-match") == Some("*") || header("x-goog-if-generation-match") == Some("0");
    match (request.method.as_str(), is_there) {
        ("PUT", true) if only_new => error(412, "PreconditionFailed"),
        ("PUT", _) => {
            state.objects.insert(request.path.clone(), request.body.clone());
            answer(200, "etag: \"1\"\r\n", "")
        }
        ("GET", false) => error(404, "NoSuchKey"),
        ("GET", true) => answer(200, "etag: \"1\"\r\n", "here"),
        _ => error(405, "MethodNotAllowed"),
    }
}

/// Whether the request proves who sent it.
fn check(request: &Seen) -> Result<(), String> {
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    let authorization = header("authorization");
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        // A token is made of a head, what it claims, and a signature.
        return match token.split('.').map(str::len).collect::<Vec<_>>()[..] {
            [head, claims, signature] if head > 20 && claims > 20 && signature > 300 => Ok(()),
            _ => Err(error(401, "AuthenticationRequired")),
        };
    }
    let content = header("x-amz-content-sha256");
    if content != hex(&Sha256::digest(&request.body)) {
        return Err(error(400, "XAmzContentSHA256Mismatch"));
    }
    if signature(request).is_some_and(|right| authorization.ends_with(&format!("Signature={right}"))) {
        Ok(())
    } else {
        Err(error(403, "SignatureDoesNotMatch"))
    }
}

/// Signature Version 4, as its description says:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
fn signature(request: &Seen) -> Option<String> {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let authorization = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let field = |name: &str| {
        let mut fields = authorization.split(", ");
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let (_, scope) = field("Credential")?.split_once('/')?;
    let signed = field("SignedHeaders")?;
    let mut canonical = format!("{}\n{}\n\n", request.method, request.path);
    for name in signed.split(';') {
        canonical += &format!("{name}:{}\n", header(name)?.trim());
    }
    canonical += &format!("\n{signed}\n{}", header("x-amz-content-sha256")?);
    let hashed = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", header("x-amz-date")?);
    let first = format!("AWS4{SECRET}").into_bytes();
    let key = scope.split('/').fold(first, |key, part| mac(&key, part.as_bytes()));
    Some(hex(&mac(&key, text.as_bytes())))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).expect("text");
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .get("content-length")
                .map_or(0, |text| text.parse().expect("a number"));
            while bytes.len() < at + 4 + length {
                let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
                bytes.extend_from_slice(&buffer[..read]);
            }
            return Some(Seen {
                method: first.next()?.to_owned(),
                path: first.next()?.to_owned(),
                headers,
                body: bytes[at + 4..at + 4 + length].to_vec().into(),
            });
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// The lines of an object, unpacked by what its name says.
pub(crate) fn unpacked(path: &str, stored: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut lines = Vec::new();
    if path.ends_with(".gz") {
        let read = flate2::read::GzDecoder::new(stored).read_to_end(&mut lines);
        read.expect("a gzip file");
    } else if path.ends_with(".zst") {
        lines = zstd::decode_all(stored).expect("a Zstandard file");
    } else {
        lines.extend_from_slice(stored);
    }
    lines
}

/// What stores take, and what holds of every object.
pub(crate) fn accepts(request: &crate::http::Request, delivery: &signalbox_proto::Delivery) {
    let path = request.url.path();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    // Without the bucket, where it stands in the path.
    let bytes: usize = segments.iter().map(|segment| segment.len() + 1).sum();
    assert!((1..=1_024).contains(&bytes), "{path}");
    for segment in &segments {
        assert!(!matches!(*segment, "" | "." | ".."), "{path}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
        assert!(segment.bytes().all(is_plain), "{path}");
    }
    assert!(path.contains(&delivery.id), "{path} for {}", delivery.id);
    let content_type = request.headers["content-type"].to_str().expect("ASCII");
    let wanted = match path.rsplit('.').next() {
        Some("gz") => "application/gzip",
        Some("zst") => "application/zstd",
        _ => "application/x-ndjson",
    };
    assert_eq!(content_type, wanted, "{path}");
    let lines = unpacked(path, &request.body);
    let text = std::str::from_utf8(&lines).expect("UTF-8");
    assert!(text.ends_with('\n'), "a last line without its end");
    assert_eq!(
        text.matches('\n').count(),
        delivery.events.len(),
        "a line for each event"
    );
    for (line, accepted) in text.lines().zip(&delivery.events) {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(line["id"], accepted.event.id.as_str());
        assert_eq!(line["type"], accepted.event.event_type.as_str());
        let data = if accepted.event.data_base64 && line.get("specversion").is_some() {
            &line["data_base64"]
        } else {
            &line["data"]
        };
        assert_eq!(*data, accepted.event.data.value().expect("JSON"));
    }
}
