//! Publishing over HTTP by clients that send too much, too little, something packed, or several requests at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Client, Publish, Up, eventually};

const SOON: Duration = Duration::from_secs(20);

/// The head of a publish of JSON, with further lines.
fn head(client: &Client, lines: &str) -> String {
    let (_, key) = client.publishing();
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: signalbox\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{lines}\r\n"
    )
}

fn request(client: &Client, body: &str) -> String {
    head(client, &format!("content-length: {}\r\n", body.len())) + body
}

async fn connect(client: &Client) -> TcpStream {
    let (ingest, _) = client.publishing();
    let address = ingest.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).await.expect("ingest takes a connection")
}

/// Reads until so many answers have begun; the whole of what came.
async fn answers(stream: &mut TcpStream, count: usize) -> String {
    let mut read = Vec::new();
    let reading = async {
        let mut chunk = [0; 4_096];
        loop {
            let length = stream.read(&mut chunk).await.expect("the connection holds");
            read.extend(chunk.iter().take(length));
            let text = String::from_utf8_lossy(&read);
            let begun = text.matches("HTTP/1.1 ").count();
            if length == 0 || begun >= count && text.ends_with('}') {
                return text.into_owned();
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("answers come in time")
}

async fn stored(client: &Client) -> u64 {
    client.messages("EVENTS").await.expect("EVENTS can be asked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_one_connection_are_judged_one_by_one_and_one_cut_off_stores_nothing() {
    let up = Up::start().await;
    let client = up.client();
    let mut stream = connect(client).await;
    let three = [r#"{"type":"a.b"}"#, r#"{"typ"#, r#"[{"type":"a.b"},{"type":"a.c"}]"#]
        .map(|body| request(client, body))
        .concat();
    stream
        .write_all(three.as_bytes())
        .await
        .expect("the connection takes it");
    let read = answers(&mut stream, 3).await;
    let statuses: Vec<&str> = read
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.split(' ').next())
        .collect();
    assert_eq!(statuses, ["202", "400", "202"], "{read}");
    assert_eq!(stored(client).await, 3);

    // Whole in itself, but its sender has announced more, and goes.
    let mut stream = connect(client).await;
    let cut_off = head(client, "content-length: 100\r\n") + r#"{"type":"a.b"}"#;
    stream
        .write_all(cut_off.as_bytes())
        .await
        .expect("the connection takes it");
    stream.shutdown().await.expect("it can be closed");
    let read = answers(&mut stream, 1).await;
    assert!(
        read.starts_with("HTTP/1.1 400 ") && read.contains("malformed"),
        "{read}"
    );
    assert_eq!(stored(client).await, 3);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_too_much_is_told_so() {
    const MIB: usize = 1024 * 1024;
    let up = Up::start().await;
    let client = up.client();
    // It looks for the answer when it has sent all of it.
    let mut stream = connect(client).await;
    let large = request(client, &" ".repeat(30 * MIB));
    stream.write_all(large.as_bytes()).await.expect("all of it is read");
    let read = answers(&mut stream, 1).await;
    assert!(
        read.starts_with("HTTP/1.1 413 ") && read.contains("too_large"),
        "{read}"
    );
    // The connection goes on.
    let next = request(client, r#"{"type":"a.b"}"#);
    stream
        .write_all(next.as_bytes())
        .await
        .expect("the connection takes it");
    let read = answers(&mut stream, 1).await;
    assert!(read.starts_with("HTTP/1.1 202 "), "{read}");

    // It asks before it sends.
    let mut stream = connect(client).await;
    let asks = head(client, "expect: 100-continue\r\ncontent-length: 1000000000\r\n");
    stream
        .write_all(asks.as_bytes())
        .await
        .expect("the connection takes it");
    let read = answers(&mut stream, 1).await;
    assert!(
        read.starts_with("HTTP/1.1 413 ") && !read.contains("100 Continue"),
        "{read}"
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_packed_is_refused_on_both_ways_in() {
    let up = Up::start().await;
    let client = up.client();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let packed = [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("ce-specversion", "1.0"),
        ("ce-id", "packed"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
    ];
    let answer = client.post_event("", &packed, gzip.to_vec()).await;
    assert_eq!(answer.problem(415), "unsupported_media_type");
    assert_eq!(answer.json()["field"], "content-encoding", "{}", answer.text());
    let mut publish = Publish::to("signalbox.in.default.a.b", gzip.to_vec());
    for (name, value) in packed {
        publish = publish.header(name, value);
    }
    client.publish(publish).await;
    eventually(SOON, "it is a dead letter", async || {
        let letters = client.dead_letters("?stage=ingest").await;
        let message = letters.first().and_then(|letter| letter["message"].as_str());
        match message {
            Some(message) if message.contains("content-encoding: \"gzip\"") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(stored(client).await, 0);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_which_only_a_part_could_be_stored_says_which() {
    let up = Up::start().await;
    let client = up.client();
    let json = [("content-type", "application/json")];
    let post = async |list: &Value| client.post_event("", &json, list.to_string().into_bytes()).await;
    let known = json!([{ "type": "a.b", "id": "known" }]);
    assert_eq!(post(&known).await.status, 202);
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = async_nats::jetstream::new(nats);
    let mut stream = jetstream.get_stream("EVENTS").await.expect("EVENTS is there");
    let before = stream.info().await.expect("EVENTS can be asked").config.clone();
    let bounded = |max_messages| async_nats::jetstream::stream::Config {
        max_messages,
        ..before.clone()
    };
    let update = async |max_messages| {
        let updated = jetstream.update_stream(bounded(max_messages)).await;
        updated.expect("EVENTS can be changed");
    };
    update(3).await;
    // As one of them is known, they are no batch; and only two more have room.
    let list = json!([
        { "type": "a.b", "id": "1" }, { "type": "a.b", "id": "known" }, { "type": "a.b", "id": "2" },
        { "type": "a.b", "id": "3" }, { "type": "a.b", "id": "1" },
    ]);
    let answer = post(&list).await;
    assert_eq!(answer.problem(503), "unavailable");
    assert_ne!(answer.header("retry-after"), "");
    let problem = answer.json();
    let told: Vec<_> = problem["events"]
        .as_array()
        .expect("it names the events")
        .iter()
        .map(|event| (event["id"].as_str().unwrap_or_default(), event["stored"] == true))
        .collect();
    assert_eq!(
        told,
        [("1", true), ("known", true), ("2", true), ("3", false), ("1", true)],
        "{problem}"
    );
    assert!(
        problem["detail"].as_str().is_some_and(|text| text.contains("4 of 5")),
        "{problem}"
    );
    assert_eq!(stored(client).await, 3);

    // A list of new events is all or nothing, and there is nothing to name.
    let new = json!([{ "type": "a.b", "id": "4" }, { "type": "a.b", "id": "5" }]);
    let problem = post(&new).await;
    assert_eq!(problem.problem(503), "unavailable");
    assert_eq!(problem.json()["events"], Value::Null, "{}", problem.text());
    update(before.max_messages).await;
    assert_eq!(post(&list).await.status, 202);
    assert_eq!(stored(client).await, 4, "only the missing one is stored again");
    up.stop().await;
}
