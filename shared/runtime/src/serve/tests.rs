use std::net::SocketAddr;

use axum::routing::post;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;

/// Long enough that only a bound that does not hold reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

/// A server that answers with the body it got, or after the shutdown where the body is `wait`.
async fn server(bounds: Bounds) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let end = shutdown.clone();
    let echo = |body: String| async move {
        if body == "wait" {
            end.requested().await;
        }
        body
    };
    let routes = Router::new().route("/", post(echo));
    let task = tokio::spawn(serve(listener, None, routes, bounds, shutdown.clone()));
    Server {
        address,
        shutdown,
        task,
    }
}

fn bounds() -> Bounds {
    Bounds::new(8, PATIENCE)
}

fn short() -> Duration {
    Duration::from_millis(50)
}

impl Server {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// All that comes until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    timeout(PATIENCE, read).await.expect("the server closes").unwrap();
    text
}

#[tokio::test]
async fn a_head_that_does_not_end_and_an_idle_connection_are_closed() {
    let server = server(Bounds {
        head_timeout: short(),
        ..bounds()
    })
    .await;
    for begun in ["", "POST / HTTP/1.1\r\nhost: x\r\n"] {
        let answer = rest(server.send(begun).await).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let whole = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    let answer = rest(server.send(whole).await).await;
    assert!(answer.contains("200 OK") && answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let server = server(Bounds {
        body_timeout: short(),
        ..bounds()
    })
    .await;
    let answer = rest(
        server
            .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi")
            .await,
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_body() {
    let server = server(Bounds {
        body_timeout: short(),
        ..bounds()
    })
    .await;
    let stream = server
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nwait")
        .await;
    // Another body is given up meanwhile, so the time of the first is over, too.
    let late = rest(
        server
            .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi")
            .await,
    )
    .await;
    assert!(late.starts_with("HTTP/1.1 408"), "{late}");
    server.shutdown.trigger();
    let answer = rest(stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("wait"),
        "{answer}"
    );
    timeout(PATIENCE, server.task).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let server = server(Bounds {
        connections_max: 1,
        ..bounds()
    })
    .await;
    let request = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    let first = server.send("POST / HTTP/1.1\r\n").await;
    let mut second = server.send(request).await;
    let early = timeout(short(), second.read_u8()).await;
    assert!(early.is_err(), "answered although another connection is open");
    drop(first);
    let answer = rest(second).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_hangs_is_cut_off_after_the_grace() {
    let server = server(Bounds {
        grace: short(),
        ..bounds()
    })
    .await;
    let _hanging = server
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi")
        .await;
    server.shutdown.trigger();
    timeout(PATIENCE, server.task).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn an_answer_that_goes_on_by_itself_sees_the_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = |Extension(shutdown): Extension<Shutdown>| async move {
        let frames = futures::stream::unfold(0_u64, move |number| {
            let shutdown = shutdown.clone();
            async move {
                tokio::select! {
                    () = shutdown.requested() => None,
                    () = sleep(short()) => Some((Ok::<_, io::Error>(format!("{number};")), number + 1)),
                }
            }
        });
        Body::from_stream(frames)
    };
    let routes = Router::new().route("/", axum::routing::get(endless));
    let shutdown = Shutdown::new();
    let task = tokio::spawn(serve(listener, None, routes, bounds(), shutdown.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut begin = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut begin)).await.unwrap().unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    shutdown.trigger();
    // Well below the grace of open answers.
    timeout(PATIENCE / 4, task).await.unwrap().unwrap();
    assert!(
        rest(stream).await.ends_with("0\r\n\r\n"),
        "the answer was finished, not cut off"
    );
}

/// An answer that never ends, and how often it was given up.
fn endless(given_up: &Shutdown) -> Router {
    struct Given(Shutdown);
    impl Drop for Given {
        fn drop(&mut self) {
            self.0.trigger();
        }
    }
    let given_up = given_up.clone();
    let answer = || async move {
        let given = Given(given_up);
        Body::from_stream(futures::stream::repeat_with(move || {
            let _given = &given;
            Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(&[b'x'; 64 * 1024]))
        }))
    };
    Router::new().route("/", axum::routing::get(answer))
}

async fn serving(routes: Router, bounds: Bounds) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, None, routes, bounds, Shutdown::new()));
    address
}

const ENDLESS: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn who_does_not_read_its_answer_loses_the_connection() {
    let given_up = Shutdown::new();
    let stall_timeout = Duration::from_millis(200);
    let address = serving(
        endless(&given_up),
        Bounds {
            stall_timeout,
            ..bounds()
        },
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ENDLESS).await.unwrap();
    let ended = timeout(PATIENCE, given_up.requested()).await;
    assert!(ended.is_ok(), "the answer is made for nobody");
}

#[tokio::test]
async fn who_reads_slowly_keeps_the_connection() {
    let given_up = Shutdown::new();
    let stall_timeout = Duration::from_secs(2);
    let address = serving(
        endless(&given_up),
        Bounds {
            stall_timeout,
            ..bounds()
        },
    )
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ENDLESS).await.unwrap();
    // More than the system keeps for a connection, in pieces with a wait before each.
    let mut piece = vec![0; 1024 * 1024];
    for _ in 0..15 {
        sleep(Duration::from_millis(200)).await;
        stream.read_exact(&mut piece).await.expect("the answer goes on");
    }
    assert!(!given_up.is_requested());
}

#[tokio::test]
async fn a_route_finds_where_a_request_comes_from_and_its_answer_has_an_id() {
    let whence = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let address = serving(Router::new().route("/", post(whence)), bounds()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let own = stream.local_addr().unwrap();
    let ask = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: mine\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let answer = rest(stream).await;
    assert!(
        answer.ends_with(&own.to_string()) && answer.contains("x-request-id: mine"),
        "{answer}"
    );
}
