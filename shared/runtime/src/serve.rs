//! Serving HTTP so that no caller can hold a process: connections are counted, and what a caller sends has a time.
//!
//! How long an answer may take to make is left to the routes. It has to be read, though.

mod stall;
pub mod tls;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, HttpBody as _},
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use hyper::{
    Request as Received,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use crate::{Problem, Shutdown, request_id};
use stall::Stalling;
use tls::Tls;

/// Open connections of a server that publishers and operators call.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Open connections of the admin server.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// How long the head of a request may take; a connection that is idle for so long is closed, too.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's body may take, from the end of its head.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a caller may read nothing of an answer that waits for it.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What callers may take of a server at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open connections. Those beyond wait until one of them ends.
    pub connections_max: usize,
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`BODY_TIMEOUT`]. A body that is late is answered with 408 `request_timeout`.
    pub body_timeout: Duration,
    /// See [`STALL_TIMEOUT`].
    pub stall_timeout: Duration,
    /// How long open requests may take after the end was asked for. What is left then is cut off.
    pub grace: Duration,
}

impl Bounds {
    /// The usual times, with so many connections and this grace.
    pub fn new(connections_max: usize, grace: Duration) -> Self {
        Self {
            connections_max,
            head_timeout: HEAD_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            grace,
        }
    }
}

/// Answers until `shutdown` is requested, then finishes the open requests. Routes find it as `Extension<Shutdown>`,
/// and the caller's address as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, routes: Router, bounds: Bounds, shutdown: Shutdown) {
    let limit = move |request, next| limit_body(bounds.body_timeout, request, next);
    // An answer that goes on by itself ends when it sees the shutdown.
    let routes = routes
        .layer(middleware::from_fn(limit))
        .layer(middleware::from_fn(request_id::carry))
        .layer(Extension(shutdown.clone()))
        .with_state(());
    let mut connections = JoinSet::new();
    let mut renewals = pin!(async {
        match &tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            () = renewals.as_mut() => {}
            Some(ended) = connections.join_next() => told(ended),
            stream = accept(&listener), if connections.len() < bounds.connections_max => {
                let tls = tls.as_ref().map(Tls::acceptor);
                connections.spawn(meet(stream, tls, routes.clone(), bounds, shutdown.clone()));
            }
        }
    }
    // Who comes now is refused by the system instead of waiting for nothing.
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            told(ended);
        }
    };
    // A client that does not read its answer must not keep the process.
    if timeout(bounds.grace, finish).await.is_err() {
        debug!("open requests were cut off");
    }
}

fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "answering a request failed");
    }
}

/// The next connection, whatever happens to others.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The caller's own doing, which says nothing about the next one.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections for a moment");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection, behind TLS where there is one.
async fn meet(stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router, bounds: Bounds, shutdown: Shutdown) {
    let peer = stream.peer_addr().ok();
    let stream = Stalling::new(stream, bounds.stall_timeout);
    let Some(tls) = tls else {
        return converse(stream, peer, routes, bounds, shutdown).await;
    };
    match timeout(bounds.head_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, peer, routes, bounds, shutdown).await,
        Ok(Err(error)) => debug!(%error, "a caller and this server do not agree about TLS"),
        Err(_) => debug!("a caller was late with TLS"),
    }
}

async fn converse<S>(stream: S, peer: Option<SocketAddr>, routes: Router, bounds: Bounds, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(routes);
    // Where a request comes from is known here alone.
    let service = service_fn(move |mut request: Received<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}

/// Refuses a request whose body is still coming after this time.
async fn limit_body(most: Duration, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Lives as long as the body, which goes when it is read or given up.
    let open = Arc::new(());
    let reading = Arc::downgrade(&open);
    let request = request.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _open = &open;
            frame
        }))
    });
    let mut answer = pin!(next.run(request));
    match timeout(most, answer.as_mut()).await {
        Ok(response) => response,
        Err(_) if reading.strong_count() == 0 => answer.await,
        Err(_) => {
            let detail = format!("the body did not come within {} seconds", most.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
                .header(header::CONNECTION, HeaderValue::from_static("close"))
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests;
