//! A receiver that answers as it is told and remembers every request.
//!
//! It speaks HTTP/1.1 by hand, since what it must be able to do (reset in mid-air, hang, never end a body) is what
//! servers are built not to do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::wait::eventually;

/// What the receiver does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    kind: Kind,
    headers: Vec<(String, Header)>,
    body: String,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    Status(u16),
    /// The connection is reset.
    Reset,
    /// Nothing ever comes.
    Hang,
    /// A body that never ends, as fast as it is read.
    Endless(u16),
    /// What this says.
    By(By),
}

/// Works out the answer to a request.
#[derive(Clone)]
struct By(Arc<dyn Fn(&Received) -> Answer + Send + Sync>);

impl fmt::Debug for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By")
    }
}

#[derive(Clone, Debug)]
enum Header {
    Text(String),
    /// An HTTP date this far ahead of the answer.
    DateIn(Duration),
}

impl Answer {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            headers: Vec::new(),
            body: String::new(),
            delay: Duration::ZERO,
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::of(Kind::Status(status))
    }

    pub(crate) fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    pub(crate) fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    pub(crate) fn endless(status: u16) -> Self {
        Self::of(Kind::Endless(status))
    }

    /// What this says of each request.
    pub(crate) fn by(answer: impl Fn(&Received) -> Self + Send + Sync + 'static) -> Self {
        Self::of(Kind::By(By(Arc::new(answer))))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), Header::Text(value.to_owned())));
        self
    }

    /// What the answer says, where it has a status.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// A `Retry-After` with a date this far ahead.
    pub(crate) fn retry_after_date_in(mut self, ahead: Duration) -> Self {
        self.headers.push(("Retry-After".to_owned(), Header::DateIn(ahead)));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The event's id: the `id` of the body, else `ce-id`; else the delivery's.
    pub(crate) event: String,
    /// Whether it is answered with 2xx.
    pub(crate) taken: bool,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The delivery's id.
    pub(crate) fn delivery(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    /// The answers of a path in order; the last one stays. No script: 200.
    scripts: Mutex<HashMap<String, VecDeque<Answer>>>,
    /// The answers of paths that begin so and have no script.
    below: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    /// The answer to an event, by its id, whatever the script says.
    of_events: Mutex<HashMap<String, Answer>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicU64,
}

/// The receiver. It ends with the value.
pub(crate) struct Target {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared::default());
        let known = shared.clone();
        let accepting = tokio::spawn(async move {
            // Connections end with this task, as they are in its set.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                known.connections.fetch_add(1, Ordering::Relaxed);
                let known = known.clone();
                // A connection that breaks is the client's business.
                open.spawn(async move { drop(serve(stream, &known).await) });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            port,
            shared,
            accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// From now on requests to a path get these answers in order, then the last one for ever.
    pub(crate) fn script(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.scripts).insert(path.to_owned(), answers.into_iter().collect());
    }

    /// As [`Self::script`] for all paths that begin so, where none names the path itself.
    pub(crate) fn script_below(&self, beginning: &str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.below).insert(beginning.to_owned(), answers.into_iter().collect());
    }

    /// From now on an event gets this answer, on whatever path it comes; `None`: what the script says.
    pub(crate) fn answer_event(&self, event: &str, answer: Option<Answer>) {
        let mut answers = lock(&self.shared.of_events);
        match answer {
            Some(answer) => drop(answers.insert(event.to_owned(), answer)),
            None => drop(answers.remove(event)),
        }
    }

    /// How many connections were opened to it, requests or not.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// All requests to a path so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        lock(&self.shared.received)
            .iter()
            .filter(|received| received.path == path)
            .cloned()
            .collect()
    }

    /// All requests so far to paths that begin so.
    pub(crate) fn received_below(&self, beginning: &str) -> Vec<Received> {
        let all = lock(&self.shared.received);
        let below = all.iter().filter(|received| received.path.starts_with(beginning));
        below.cloned().collect()
    }

    /// How many requests came to a path so far.
    pub(crate) fn count(&self, path: &str) -> usize {
        lock(&self.shared.received)
            .iter()
            .filter(|received| received.path == path)
            .count()
    }

    /// How many requests came to a path within a time.
    pub(crate) fn count_within(&self, path: &str, from: Instant, to: Instant) -> usize {
        let within = |received: &&Received| received.path == path && received.at >= from && received.at <= to;
        lock(&self.shared.received).iter().filter(within).count()
    }

    /// How many requests came for each event, by its id.
    pub(crate) fn by_event(&self, path: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for received in lock(&self.shared.received)
            .iter()
            .filter(|received| received.path == path)
        {
            *counts.entry(received.event.clone()).or_default() += 1;
        }
        counts
    }

    /// Requests beyond the first of each event, of those that were answered with 2xx.
    pub(crate) fn repeats(&self, path: &str) -> usize {
        let all = lock(&self.shared.received);
        let taken = || all.iter().filter(|received| received.path == path && received.taken);
        taken().count() - taken().map(|received| &received.event).collect::<BTreeSet<_>>().len()
    }

    /// Waits until so many requests have come to a path, and gives them.
    pub(crate) async fn wait_for(&self, path: &str, count: usize, deadline: Duration) -> Vec<Received> {
        eventually(deadline, &format!("{count} requests to {path}"), async || {
            match self.count(path) {
                enough if enough >= count => Ok(()),
                fewer => Err(format!("{fewer}")),
            }
        })
        .await;
        self.received(path)
    }

    /// Waits until so many different events have come to a path.
    pub(crate) async fn wait_for_events(&self, path: &str, count: usize, deadline: Duration) {
        eventually(deadline, &format!("{count} events at {path}"), async || {
            match self.by_event(path).len() {
                enough if enough >= count => Ok(()),
                fewer => Err(format!("{fewer}")),
            }
        })
        .await;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no one panics while holding it")
}

impl Shared {
    fn answer(&self, path: &str, event: &str) -> Answer {
        if let Some(answer) = lock(&self.of_events).get(event) {
            return answer.clone();
        }
        if let Some(script) = lock(&self.scripts).get_mut(path) {
            return next(script);
        }
        let mut below = lock(&self.below);
        let script = below.iter_mut().find(|(beginning, _)| path.starts_with(*beginning));
        script.map_or_else(|| Answer::status(200), |(_, script)| next(script))
    }
}

/// The next answer of a script; its last one stays.
fn next(script: &mut VecDeque<Answer>) -> Answer {
    match script.len() {
        0 | 1 => script.front().cloned().unwrap_or_else(|| Answer::status(200)),
        _ => script.pop_front().expect("more than one"),
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(mut received) = read(&mut stream).await? {
        let mut answer = shared.answer(&received.path, &received.event);
        while let Kind::By(By(by)) = &answer.kind {
            answer = by.clone()(&received);
        }
        received.taken = matches!(answer.kind, Kind::Status(200..=299) | Kind::Endless(200..=299));
        lock(&shared.received).push(received);
        tokio::time::sleep(answer.delay).await;
        let head = |status: u16, framing: &str| {
            let mut text = format!("HTTP/1.1 {status} As Told\r\n{framing}\r\n");
            for (name, value) in &answer.headers {
                let value = match value {
                    Header::Text(text) => text.clone(),
                    Header::DateIn(ahead) => http_date(OffsetDateTime::now_utc() + *ahead),
                };
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            text
        };
        match answer.kind {
            Kind::Status(status) => {
                let length = format!("Content-Length: {}", answer.body.len());
                let whole = head(status, &length) + &answer.body;
                stream.write_all(whole.as_bytes()).await?;
                stream.flush().await?;
            }
            Kind::Reset => {
                stream.into_inner().set_zero_linger()?;
                return Ok(());
            }
            Kind::Hang => {
                // Until the client gives up.
                stream.read_u8().await?;
                return Ok(());
            }
            Kind::Endless(status) => {
                stream
                    .write_all(head(status, "Transfer-Encoding: chunked").as_bytes())
                    .await?;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                loop {
                    stream.write_all(chunk.as_bytes()).await?;
                }
            }
            Kind::By(_) => unreachable!("it is worked out above"),
        }
    }
    Ok(())
}

/// Reads a request; `None` where the client has closed.
async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let (at, wall) = (Instant::now(), SystemTime::now());
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let event = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|body| Some(body.get("id")?.as_str()?.to_owned()));
    // A body nested as deeply as an event may be is one level too deep for this parser.
    let known = || headers.get("ce-id").or_else(|| headers.get("webhook-id")).cloned();
    let event = event.or_else(known).unwrap_or_default();
    Ok(Some(Received {
        at,
        wall,
        method,
        path,
        headers,
        body,
        event,
        taken: false,
    }))
}

/// The preferred form of an HTTP date (RFC 9110, 5.6.7); fractions of a second are cut.
fn http_date(time: OffsetDateTime) -> String {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    time.format(&format)
        .expect("every time of this century can be written so")
}
