//! What an org asks about another org's things costs the same questions to NATS and to the database as what nobody has.
//!
//! Measured are the requests that an API process sends to NATS, by a relay between the two (how many to which subject,
//! ids left out), and its statements to the database, by its log (which, and how often). Not measured is how long they
//! take: that nobody can tell two rows that are not found from each other by time is left to the database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_nats::jetstream;
use serde_json::json;
use signalbox_proto::subjects;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{
    document::{Document, Operation},
    orgs::questions,
    world,
};
use crate::harness::{Client, Cluster, Target};

/// How often a pair of questions is asked where they seem to differ: what the process does by itself comes in between.
const TRIES: u32 = 8;

/// The lease of who works on erasures, which takes tens of seconds and many requests.
const ERASING: &str = "erasing";

/// What a process asked for, by kind, with how often.
type Asked = BTreeMap<String, usize>;

/// A relay before NATS that counts what is published through it.
struct Relay {
    url: String,
    asked: Arc<Mutex<Asked>>,
}

impl Relay {
    async fn before(nats: &str) -> Self {
        let target = nats.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let counted = asked.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, counted) = (target.clone(), counted.clone());
                // A connection that breaks is the client's business.
                tokio::spawn(async move { drop(relay(client, &target, &counted).await) });
            }
        });
        Self { url, asked }
    }

    fn take(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().expect("no one panics while holding it"))
    }
}

async fn relay(client: TcpStream, target: &str, asked: &Mutex<Asked>) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_server) = server.into_split();
    let (from_client, mut to_client) = client.into_split();
    let back = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) };
    let there = async {
        let mut from_client = BufReader::new(from_client);
        let mut line = Vec::new();
        loop {
            line.clear();
            if from_client.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let words: Vec<&str> = text.split(' ').collect();
            if let ["PUB" | "HPUB", subject, .., bytes] = words.as_slice() {
                let length: usize = bytes.parse().map_err(std::io::Error::other)?;
                let mut body = vec![0; length + 2];
                from_client.read_exact(&mut body).await?;
                line.extend_from_slice(&body);
                // That the process would work on erasures is no part of any answer.
                if !subject.ends_with(ERASING) {
                    let mut asked = asked.lock().expect("no one panics while holding it");
                    *asked.entry(kind(subject)).or_default() += 1;
                }
            }
            to_server.write_all(&line).await?;
        }
    };
    tokio::select! {
        ended = back => ended,
        ended = there => ended,
    }
}

/// A subject without what names one thing.
fn kind(subject: &str) -> String {
    let tokens = subject.split('.').map(|token| {
        let names_one = token.len() >= 20 || token.bytes().all(|byte| byte.is_ascii_digit());
        if names_one || ["acme", "bolt", "nope"].contains(&token) {
            "_"
        } else {
            token
        }
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// The statements that one request made, by its lines in the log.
fn statements(log: &str, request: &str) -> Asked {
    let mut asked = Asked::new();
    let own = format!("request.id=\"{request}\"");
    let bare = format!("request.id={request}");
    for line in log
        .lines()
        .filter(|line| line.contains("sqlx::query") && (line.contains(&own) || line.contains(&bare)))
    {
        let summary = line.split("summary=").nth(1).unwrap_or(line);
        let summary = summary.split(" db.").next().unwrap_or(summary);
        *asked.entry(format!("sql {summary}")).or_default() += 1;
    }
    asked
}

/// Keeps every process from working on what the questions ask it to erase.
async fn hold_erasures(cluster: &Cluster) {
    let nats = async_nats::connect(cluster.server.url()).await;
    let jetstream = jetstream::new(nats.expect("NATS takes a connection"));
    let key = format!("$KV.{}.{ERASING}", subjects::LEASE);
    let written = jetstream.publish(key, "a test".into()).await;
    written.expect("it is sent").await.expect("it is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_what_another_org_has_asks_what_looking_for_nothing_asks() {
    let no_limit = ("SIGNALBOX_AUTH__REQUESTS_PER_SECOND", "0");
    let cluster = Cluster::start_with(&[no_limit]).await;
    let (_recorder, _) = cluster.further("recorder", &[]).await;
    let relay = Relay::before(&cluster.server.url()).await;
    let level = ("SIGNALBOX_LOG__LEVEL", "info,async_nats=warn,sqlx=debug");
    let (api, base) = cluster
        .further("api", &[("SIGNALBOX_NATS__URL", &relay.url), level])
        .await;
    let target = Target::start().await;
    let root = cluster.client();
    let acme = world::org(root, &target, "acme").await;
    let bolt = world::org(root, &target, "bolt").await;
    for org in [&acme, &bolt] {
        org.erased(root).await;
    }
    hold_erasures(&cluster).await;
    let watched = Client::new(&base, &base, &cluster.server.url(), root.key()).await;
    let document = Document::of(&watched, &target).await;
    let key = acme.key.text.as_str();
    let (mut pairs, mut with_statements, mut with_requests, mut number, mut read) = (0, 0, 0, 0, api.log().len());
    let mut unlike = Vec::new();
    // Who reads comes first: what is changed would be seen by it. An erasure comes last: it takes the asker's own.
    let operations = document.behind_a_key().filter(|it| it.takes_org() && !it.is_stream());
    let mut operations: Vec<&Operation> = operations.collect();
    operations.sort_by_key(|operation| (operation.leaves_something(), operation.erases()));
    for operation in operations {
        // Publishing is the role ingest's.
        if operation.path == "/v1/events" {
            continue;
        }
        // A cursor is a place and names nothing: what is asked depends on how far behind it is.
        let questions = questions(operation, &acme)
            .into_iter()
            .filter(|it| it.what != "query cursor");
        for question in questions {
            for (theirs, nobodys) in bolt.twins() {
                let mut differences = Vec::new();
                for _ in 0..TRIES {
                    let mut both = Vec::new();
                    for id in [&theirs, &nobodys] {
                        number += 1;
                        let request = format!("query-{number}");
                        relay.take();
                        let answer = question.ask(&watched, key, operation, id, &request).await;
                        let asked = relay.take().into_iter();
                        let mut asked: Asked = asked.map(|(kind, count)| (kind.replace(id, "_"), count)).collect();
                        let (log, length) = api.log_behind(read);
                        read = length;
                        with_requests += usize::from(!asked.is_empty());
                        let statements = statements(&log, &request);
                        with_statements += usize::from(!statements.is_empty());
                        asked.extend(statements);
                        both.push((asked, answer.status));
                    }
                    if both[0] == both[1] {
                        differences.clear();
                        break;
                    }
                    differences.push(json!(both).to_string());
                }
                if let Some(both) = differences.pop() {
                    unlike.push(format!(
                        "{operation}, {} = {theirs} or {nobodys}: {both}",
                        question.what
                    ));
                }
                pairs += 1;
            }
        }
    }
    eprintln!("{pairs} pairs; {with_statements} requests asked the database, {with_requests} asked NATS");
    assert_eq!(unlike, Vec::<String>::new());
    // A measure that sees nothing shows nothing.
    assert!(
        with_statements > pairs / 4 && with_requests > pairs / 20,
        "{with_statements}, {with_requests} of {pairs}"
    );
}
