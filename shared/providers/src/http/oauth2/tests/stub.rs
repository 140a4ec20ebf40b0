//! A token endpoint and a target in one: it counts, and does as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What it does.
#[derive(Clone)]
pub(super) struct Script {
    /// How long the token endpoint takes to answer.
    pub(super) takes: Duration,
    pub(super) life_secs: u64,
    /// What the token endpoint answers instead of a token: status, headers, body.
    pub(super) fails: Option<(u16, String, &'static str)>,
    /// The target takes tokens with a higher number.
    pub(super) revoked: u64,
}

struct State {
    script: Script,
    fetched: u64,
    carried: Vec<String>,
}

pub(super) struct Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Stub {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            script: Script {
                takes: Duration::from_millis(50),
                life_secs: 3_600,
                fails: None,
                revoked: 0,
            },
            fetched: 0,
            carried: Vec::new(),
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state.lock().expect("a lock").script);
    }

    /// How often a token was asked for.
    pub(super) fn fetched(&self) -> u64 {
        self.state.lock().expect("a lock").fetched
    }

    /// What the requests to the target had as `Authorization`.
    pub(super) fn carried(&self) -> Vec<String> {
        self.state.lock().expect("a lock").carried.clone()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(head) = read(&mut stream).await {
        let (takes, answer) = if head.starts_with("POST /token") {
            token(&mut state.lock().expect("a lock"))
        } else {
            (Duration::ZERO, target(&mut state.lock().expect("a lock"), &head))
        };
        tokio::time::sleep(takes).await;
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} As Told\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn token(state: &mut State) -> (Duration, String) {
    state.fetched += 1;
    let Script {
        takes,
        life_secs,
        fails,
        ..
    } = &state.script;
    let answer = match fails {
        Some((status, headers, body)) => answer(*status, headers, body),
        None => {
            let number = state.fetched;
            let body =
                format!(r#"{{"access_token":"token-hush-{number}","token_type":"bearer","expires_in":{life_secs}}}"#);
            answer(200, "cache-control: no-store\r\n", &body)
        }
    };
    (*takes, answer)
}

fn target(state: &mut State, head: &str) -> String {
    let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: "));
    let authorization = authorization.unwrap_or_default().to_owned();
    let number = authorization
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<u64>().ok());
    let status = if number.is_some_and(|number| number > state.script.revoked) {
        200
    } else {
        401
    };
    let answer = answer(
        status,
        &format!("x-you-sent: {authorization}\r\n"),
        &format!("you sent {authorization}"),
    );
    state.carried.push(authorization);
    answer
}

/// The head of a request, its body read.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(head.to_owned());
            }
        }
    }
}
