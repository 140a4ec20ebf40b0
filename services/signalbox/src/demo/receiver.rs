//! The targets of the demonstration: one address, one path for each, every request told as it comes.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time::Instant};

use super::teller::{Mood, Teller, spoken};

/// How often the target that is away answers so before it comes back.
const SHAKY_FAILURES: u32 = 1;

/// The target that fails until it is repaired.
pub(super) const BROKEN: &str = "broken";
/// The target that is away for a moment.
pub(super) const SHAKY: &str = "shaky";
/// The target that is written to as Slack is.
pub(super) const CHAT: &str = "team-chat";

/// Listens on a free port of the loopback until it is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

/// What the targets have seen.
#[derive(Debug)]
struct Seen {
    teller: Teller,
    repaired: AtomicBool,
    shaky: AtomicU32,
    taken: AtomicU64,
    refused: AtomicU64,
    published: Mutex<HashMap<String, Instant>>,
    /// Requests by target and event.
    attempts: Mutex<HashMap<(String, String), u32>>,
    /// Requests that the failing target took.
    mended: AtomicU64,
    change: Notify,
}

impl Receiver {
    pub(super) async fn start(teller: Teller) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen for deliveries")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen {
            teller,
            repaired: AtomicBool::new(false),
            shaky: AtomicU32::new(0),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            published: Mutex::default(),
            attempts: Mutex::default(),
            mended: AtomicU64::new(0),
            change: Notify::new(),
        });
        let routes = Router::new().route("/{target}", post(arrive)).with_state(seen.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the targets of the demonstration have ended");
            }
        });
        Ok(Self { address, seen, server })
    }

    /// The address of a target.
    pub(super) fn url(&self, target: &str) -> String {
        format!("http://{}/{target}", self.address)
    }

    /// Remembers when an event was published.
    pub(super) fn published(&self, id: &str, at: Instant) {
        let mut published = self.seen.published.lock().expect("no holder of the lock panics");
        published.insert(id.to_owned(), at);
    }

    /// Lets the failing target take what comes from now on.
    pub(super) fn repair(&self) {
        self.seen.repaired.store(true, Ordering::Relaxed);
    }

    /// Requests that were taken, and those that were not.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.seen.taken), count(&self.seen.refused))
    }

    /// Waits until this many requests were taken.
    pub(super) async fn taken(&self, wanted: u64) {
        self.until(|| self.counts().0 >= wanted).await;
    }

    /// Waits until the failing target has taken one.
    pub(super) async fn mended(&self) {
        self.until(|| self.seen.mended.load(Ordering::Relaxed) > 0).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        loop {
            let change = self.seen.change.notified();
            if reached() {
                return;
            }
            change.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn arrive(State(seen): State<Arc<Seen>>, Path(target): Path<String>, body: Bytes) -> (StatusCode, &'static str) {
    let status = match target.as_str() {
        BROKEN if !seen.repaired.load(Ordering::Relaxed) => StatusCode::INTERNAL_SERVER_ERROR,
        SHAKY if seen.shaky.fetch_add(1, Ordering::Relaxed) < SHAKY_FAILURES => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = match body["type"].as_str() {
        Some(event_type) => event_type.to_owned(),
        None => format!("“{}”", body["text"].as_str().unwrap_or("?")),
    };
    let id = body["id"].as_str();
    let since = id.and_then(|id| {
        let published = seen.published.lock().expect("no holder of the lock panics");
        published.get(id).map(Instant::elapsed)
    });
    let attempt = id.map(|id| {
        let mut attempts = seen.attempts.lock().expect("no holder of the lock panics");
        let attempt = attempts.entry((target.clone(), id.to_owned())).or_default();
        *attempt += 1;
        *attempt
    });
    let (mood, sign, counter) = if status.is_success() {
        (Mood::Good, "✓", &seen.taken)
    } else {
        (Mood::Bad, "✗", &seen.refused)
    };
    let mut people = format!(
        "{}    {sign} {target:<9}  {}  {what}",
        seen.teller.clock(),
        status.as_u16()
    );
    if let Some(attempt @ 2..) = attempt {
        people.push_str(&format!(", attempt {attempt}"));
    }
    if let Some(since) = since {
        people.push_str(&format!(", {} after it was published", spoken(since)));
    }
    let fields = json!({
        "target": target,
        "what": what,
        "answered": status.as_u16(),
        "attempt": attempt,
        "after_ms": since.map(|since| (since.as_secs_f64() * 1e4).round() / 10.0),
    });
    seen.teller.step(mood, "arrived", &people, fields);
    counter.fetch_add(1, Ordering::Relaxed);
    if target == BROKEN && status.is_success() {
        seen.mended.fetch_add(1, Ordering::Relaxed);
    }
    seen.change.notify_waiters();
    // What Slack answers; the other targets' answers are not read.
    (status, "ok")
}
