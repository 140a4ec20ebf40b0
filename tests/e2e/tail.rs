//! A tail shows what happens as it happens, misses and repeats nothing when the API goes away, and holds nobody up.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::subjects;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::harness::{Answer, Client, Publish, Target, Up, client::try_request, eventually, process};

const SOON: Duration = Duration::from_secs(20);

/// `signalbox tail` as a child process.
struct Tail {
    child: Child,
    out: mpsc::UnboundedReceiver<String>,
    err: mpsc::UnboundedReceiver<String>,
}

impl Tail {
    fn start(client: &Client, arguments: &[&str]) -> Self {
        let (url, key) = client.publishing();
        let mut child = Command::new(process::signalbox())
            .arg("tail")
            .args(arguments)
            .env_clear()
            .env("SIGNALBOX_URL", url)
            .env("SIGNALBOX_KEY", key)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be run");
        let out = lines(child.stdout.take().expect("standard output is piped"));
        let err = lines(child.stderr.take().expect("standard error is piped"));
        Self { child, out, err }
    }

    async fn line(&mut self) -> String {
        match timeout(SOON, self.out.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("the tail ended: {:?}", self.err.recv().await),
            Err(_) => panic!("no line came within {SOON:?}"),
        }
    }

    async fn json(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"))
    }

    /// Waits until it says something with this part on standard error.
    async fn says(&mut self, part: &str) {
        let said = timeout(SOON, async {
            let mut seen = Vec::new();
            while let Some(line) = self.err.recv().await {
                if line.contains(part) {
                    return;
                }
                seen.push(line);
            }
            panic!("the tail ended before it said {part:?}: {seen:?}");
        });
        said.await
            .unwrap_or_else(|_| panic!("it did not say {part:?} within {SOON:?}"));
    }

    async fn stop(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }
}

fn lines(from: impl AsyncRead + Send + Unpin + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn integration(target: &Target, name: &str, events: &[&str]) -> Value {
    json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": events,
        "retry": { "schedule": ["1s"] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tail_shows_what_its_filters_cover_from_the_past_and_live() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    target.script("/broken", [Answer::status(500), Answer::status(400)]);
    let list = [
        integration(&target, "ok", &["a.*"]),
        integration(&target, "broken", &["a.one", "b"]),
    ];
    client.apply(json!(list)).await;
    client
        .publish(Publish::of("a.one", &json!({ "n": 0 })).id("past"))
        .await;
    let settled = eventually(SOON, "both deliveries have ended", async || {
        let trace = client.trace("past").await?;
        let statuses: Vec<&str> = trace["deliveries"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["status"].as_str())
            .collect();
        if statuses == ["dead", "delivered"] {
            Ok(trace)
        } else {
            Err(trace.to_string())
        }
    })
    .await;

    let json_since = |more: &[&'static str]| [more, &["--since", "1m", "--output", "json"]].concat();
    let mut events = Tail::start(client, &json_since(&["events"]));
    let mut of_type = Tail::start(client, &json_since(&["events", "--type", "b"]));
    let mut matched = Tail::start(client, &json_since(&["events", "--integration", "ok"]));
    let mut deliveries = Tail::start(client, &json_since(&["deliveries", "--integration", "broken"]));
    let mut delivered = Tail::start(
        client,
        &json_since(&["deliveries", "--type", "a.*", "--integration", "ok"]),
    );
    let mut dead = Tail::start(client, &json_since(&["dead"]));
    let mut people = Tail::start(client, &["deliveries", "--since", "1m", "--integration", "broken"]);
    let mut foreign = Tail::start(client, &json_since(&["events", "--org", "acme"]));

    let event = events.json().await;
    assert_eq!(
        (&event["id"], &event["data"]),
        (&json!("past"), &json!({ "n": 0 })),
        "{event}"
    );
    assert_eq!(event["sequence"], settled["sequence"]);
    assert_eq!(matched.json().await["id"], "past");
    for outcome in ["retry", "reject"] {
        let attempt = deliveries.json().await;
        assert_eq!(
            (&attempt["outcome"], &attempt["integration"], &attempt["event_id"]),
            (&json!(outcome), &json!("broken"), &json!("past")),
            "{attempt}"
        );
    }
    assert_eq!(delivered.json().await["response_code"], 200);
    let letter = dead.json().await;
    assert_eq!(
        (&letter["reason"], &letter["event"]["id"]),
        (&json!("rejected"), &json!("past")),
        "{letter}"
    );
    for part in ["retry", "reject"] {
        let line = people.line().await;
        for part in [part, "a.one", "past", "broken", " ms"] {
            assert!(line.contains(part), "no {part:?} in {line:?}");
        }
        assert!(!line.contains('\x1b'), "no colours into a pipe: {line:?}");
    }

    // Live, and each its own alone: what comes first to a tail that filters is the last that was published.
    client.publish(Publish::of("a.two", &json!({})).id("live-a")).await;
    client.publish(Publish::of("b", &json!({})).id("live-b")).await;
    client
        .publish(Publish::to("signalbox.in.acme.b", "{}").id("acme-b"))
        .await;
    // What Signalbox tells about itself is an event, too.
    let mut live = Vec::new();
    while live.len() < 2 {
        let event = events.json().await;
        if event["type"] != "delivery.dead" {
            live.push(event["id"].clone());
        }
    }
    assert_eq!(live, ["live-a", "live-b"]);
    assert_eq!(of_type.json().await["id"], "live-b");
    assert_eq!(matched.json().await["id"], "live-a");
    assert_eq!(delivered.json().await["event_id"], "live-a");
    assert_eq!(deliveries.json().await["event_id"], "live-b");
    assert_eq!(dead.json().await["event"]["id"], "live-b");
    assert_eq!(foreign.json().await["id"], "acme-b");

    for (arguments, code) in [
        (&["tail", "events", "--integration", "nobody"][..], 3),
        (&["tail", "events", "--type", "a.**"], 4),
        (&["tail", "nothing"], 2),
    ] {
        assert_eq!(client.command(arguments).await.0, code, "{arguments:?}");
    }
    for tail in [events, of_type, matched, deliveries, delivered, dead, people, foreign] {
        tail.stop().await;
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_behind_the_last_entry_when_the_api_comes_back() {
    let (mut up, target) = (Up::start().await, Target::start().await);
    up.client().apply(json!([integration(&target, "ok", &[">"])])).await;
    let mut events = Tail::start(up.client(), &["events", "--since", "1m", "--output", "json"]);
    let mut deliveries = Tail::start(up.client(), &["deliveries", "--since", "1m", "--output", "json"]);
    let publish = async |client: &Client, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let event = json!({ "type": "a.one", "id": format!("e-{number}") });
            let answer = client.post_event(
                "",
                &[("content-type", "application/json")],
                event.to_string().into_bytes(),
            );
            answer.await.ok();
        }
    };
    let expect = async |events: &mut Tail, deliveries: &mut Tail, numbers: std::ops::Range<u32>| {
        let mut delivered = Vec::new();
        for number in numbers.clone() {
            assert_eq!(events.json().await["id"], format!("e-{number}"));
            delivered.push(
                deliveries.json().await["event_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        // Outcomes are written in the order in which targets answer.
        delivered.sort();
        let mut wanted: Vec<String> = numbers.map(|number| format!("e-{number}")).collect();
        wanted.sort();
        assert_eq!(delivered, wanted);
    };
    publish(up.client(), 0..20).await;
    expect(&mut events, &mut deliveries, 0..20).await;

    for round in 0..2 {
        let first = 20 + round * 20;
        if round == 0 {
            up.interrupt().await;
        } else {
            up.kill().await;
        }
        events.says("the API went away").await;
        up.restart().await;
        publish(up.client(), first..first + 20).await;
        expect(&mut events, &mut deliveries, first..first + 20).await;
        events.says("going on behind entry").await;
    }
    events.stop().await;
    deliveries.stop().await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_tails_nor_waits_hold_a_stop_up() {
    let (mut up, target) = (Up::start().await, Target::start().await);
    target.script("/hangs", [Answer::status(503)]);
    up.client().apply(json!([integration(&target, "hangs", &[">"])])).await;
    let mut tails = Vec::new();
    for what in ["events", "events", "deliveries"] {
        tails.push(Tail::start(up.client(), &[what, "--since", "1m", "--output", "json"]));
    }
    let client = up.client().clone();
    let waiting = tokio::spawn(async move {
        let event = json!({ "type": "a.one", "id": "waits" });
        client
            .post_event("", &[("prefer", "wait=60")], event.to_string().into_bytes())
            .await
    });
    for (tail, id) in tails.iter_mut().zip(["id", "id", "event_id"]) {
        assert_eq!(tail.json().await[id], "waits");
    }
    let began = Instant::now();
    up.interrupt().await;
    // Open answers have ten seconds; these need none.
    assert!(
        began.elapsed() < Duration::from_secs(7),
        "the stop took {:?}",
        began.elapsed()
    );
    let answer = waiting.await.expect("the wait ends");
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json()["events"][0]["settled"], false, "{}", answer.text());
    for mut tail in tails {
        tail.says("the API went away").await;
        tail.stop().await;
    }
    up.restart().await;
    up.stop().await;
}

/// A tail over a connection of its own, once its answer has begun.
async fn open(client: &Client) -> TcpStream {
    open_tail(client, "events").await
}

async fn open_tail(client: &Client, what: &str) -> TcpStream {
    open_with(client, what, "").await
}

/// With further headers, a line each.
async fn open_with(client: &Client, what: &str, headers: &str) -> TcpStream {
    let (url, key) = client.publishing();
    let mut stream = TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/'))
        .await
        .expect("the API takes a connection");
    let request = format!("GET /v1/tail/{what} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("the API reads");
    let mut begin = [0; 12];
    let read = timeout(SOON, stream.read_exact(&mut begin)).await;
    read.expect("an answer comes").expect("the API answers");
    assert_eq!(String::from_utf8_lossy(&begin), "HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_are_counted_and_one_that_ends_makes_room() {
    let up = Up::start().await;
    let client = up.client();
    let mut tails = Vec::new();
    for _ in 0..64 {
        tails.push(open(client).await);
    }
    let refused = client.request("GET", "/v1/tail/dead", None).await;
    assert_eq!(refused.problem(503), "too_many_tails");
    assert_eq!(refused.header("retry-after"), "10");
    drop(tails.pop());
    eventually(SOON, "there is room again", async || {
        let mut one_more = Tail::start(client, &["dead"]);
        match timeout(Duration::from_secs(2), one_more.child.wait()).await {
            Err(_) => Ok(()),
            Ok(status) => Err(format!("{status:?}")),
        }
    })
    .await;
    drop(tails);
    up.stop().await;
}

/// Consumers of the streams that tails follow.
async fn consumers(client: &Client) -> usize {
    let nats = async_nats::connect(client.nats_url()).await.expect("a connection");
    let jetstream = async_nats::jetstream::new(nats);
    let mut count = 0;
    for stream in [subjects::EVENTS, subjects::OUTCOMES, subjects::DEAD] {
        let stream = jetstream.get_stream(stream).await.expect("a stream");
        count += stream.cached_info().state.consumer_count;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_consumer_of_a_reader_that_went_is_left_on_the_server() {
    let up = Up::start().await;
    let client = up.client();
    let before = consumers(client).await;
    for _ in 0..3 {
        let mut tails = Vec::new();
        for what in ["events", "deliveries", "dead"].into_iter().cycle().take(30) {
            tails.push(open_tail(client, what).await);
        }
        assert_eq!(consumers(client).await, before + 30);
        drop(tails);
        eventually(SOON, "the server has forgotten them", async || {
            match consumers(client).await {
                left if left == before => Ok(()),
                left => Err(format!("{left} consumers, {before} before")),
            }
        })
        .await;
    }
    // One whose request is refused leaves none either.
    for refused in ["/v1/tail/events?integration=nobody", "/v1/tail/events?type=a.**"] {
        let answer = client.request("GET", refused, None).await;
        assert!(answer.status >= 400, "{}", answer.text());
    }
    assert_eq!(consumers(client).await, before);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_for_a_while_holds_nobody_up_and_misses_nothing() {
    const EVENTS: usize = 100;
    let up = Up::start().await;
    let client = up.client();
    // It reads nothing at first, and what is meant for it is more than sockets and buffers hold.
    let mut slow = open_tail(client, "events").await;
    let mut quick = Tail::start(client, &["events", "--since", "1m", "--output", "json"]);
    let data = json!({ "text": "x".repeat(200_000) });
    for number in 0..EVENTS {
        let id = format!("e-{number}");
        client.publish(Publish::of("a.one", &data).id(&id)).await;
    }
    let mut first = Vec::new();
    for _ in 0..EVENTS {
        let event = quick.json().await;
        first.push((event["sequence"].as_u64().expect("a sequence"), event["id"].to_string()));
    }
    assert!(first.is_sorted(), "{first:?}");
    let mut read = String::new();
    let mut buffer = vec![0; 1 << 20];
    let last = first.last().map_or_else(String::new, |(_, id)| format!("\"id\":{id}"));
    let whole = timeout(SOON, async {
        while !read.ends_with("\n\n\r\n") || !read.contains(&last) {
            let count = slow.read(&mut buffer).await.expect("the API writes");
            assert!(count > 0, "the tail ended");
            read.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        }
    });
    whole.await.expect("all comes in time");
    let mut ids: Vec<String> = read
        .split("\"id\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    // The order is that of EVENTS, for both.
    let quickly: Vec<&str> = first.iter().map(|(_, id)| id.trim_matches('"')).collect();
    assert_eq!(ids, quickly);
    let mut wanted: Vec<String> = (0..EVENTS).map(|number| format!("e-{number}")).collect();
    ids.sort();
    wanted.sort();
    assert_eq!(ids, wanted);
    quick.stop().await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_behind_any_place_that_it_gave_and_takes_no_other() {
    let (up, target) = (Up::start().await, Target::start().await);
    let client = up.client();
    client.apply(json!([integration(&target, "ok", &[">"])])).await;
    for number in 0..3 {
        client
            .publish(Publish::of("a.one", &json!({})).id(&format!("e-{number}")))
            .await;
    }
    let mut all = Tail::start(client, &["events", "--since", "1m", "--output", "json"]);
    let mut sequences = Vec::new();
    for _ in 0..3 {
        sequences.push(all.json().await["sequence"].as_u64().expect("a sequence"));
    }
    all.stop().await;
    let mut behind = open_with(client, "events", &format!("last-event-id: {}\r\n", sequences[0])).await;
    let mut read = String::new();
    let mut buffer = [0; 4096];
    let both = timeout(SOON, async {
        while !read.contains("\"id\":\"e-2\"") {
            let count = behind.read(&mut buffer).await.expect("the API writes");
            read.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        }
    });
    both.await.expect("what comes behind it");
    assert!(
        !read.contains("\"id\":\"e-0\"") && read.contains("\"id\":\"e-1\""),
        "{read}"
    );
    assert!(read.contains(&format!("id: {}", sequences[2])), "{read}");

    // What the stream has let go of is said, not passed by in silence.
    let nats = async_nats::connect(client.nats_url()).await.expect("a connection");
    let stream = async_nats::jetstream::new(nats).get_stream(subjects::EVENTS).await;
    let stream = stream.expect("the stream EVENTS");
    stream.purge().sequence(sequences[2]).await.expect("a purge");
    let mut gap = open_with(client, "events", &format!("last-event-id: {}\r\n", sequences[0])).await;
    let mut read = String::new();
    let told = timeout(SOON, async {
        while !read.contains("\"id\":\"e-2\"") {
            let count = gap.read(&mut buffer).await.expect("the API writes");
            read.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        }
    });
    told.await.expect("what is left");
    assert!(read.contains("event: gap") && read.contains("\"messages\":1"), "{read}");

    let (url, key) = client.publishing();
    let authorization = format!("Bearer {key}");
    for wrong in ["x", "7.", "-1", "1.x", "99999999999999999999"] {
        let headers = [("authorization", authorization.as_str()), ("last-event-id", wrong)];
        let answer = try_request(url, "GET", "/v1/tail/events", &headers, Vec::new()).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.problem(400), "invalid", "{wrong}");
        assert_eq!(answer.json()["field"], "last-event-id");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_tail_says_that_it_stands_and_how_far_it_has_looked() {
    let up = Up::start().await;
    let client = up.client();
    let mut tail = open_with(client, "dead", "").await;
    let mut read = String::new();
    let mut buffer = [0; 4096];
    let stands = timeout(SOON, async {
        // Once at the beginning, and again while nothing comes.
        while read.matches(": still here").count() < 2 {
            let count = tail.read(&mut buffer).await.expect("the API writes");
            assert!(count > 0, "the tail ended: {read}");
            read.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        }
    });
    stands.await.expect("a quiet tail is no dead one");
    assert!(read.contains("content-type: text/event-stream"), "{read}");
    assert!(read.contains("id: 0"), "a place to come back to: {read}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_ends_once_nobody_reads_it_though_nothing_more_comes() {
    let up = Up::start().await;
    let client = up.client();
    client.publish(Publish::of("tick", &json!({})).id("only")).await;
    let (url, key) = client.publishing();
    let mut child = Command::new(process::signalbox())
        .args(["tail", "events", "--since", "1h"])
        .env_clear()
        .env("SIGNALBOX_URL", url)
        .env("SIGNALBOX_KEY", key)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run");
    let mut out = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
    let first = timeout(SOON, out.next_line()).await.expect("the event is there");
    assert!(first.expect("it can be read").expect("a line").contains("only"));
    assert!(
        timeout(Duration::from_secs(1), child.wait()).await.is_err(),
        "it goes on while it is read"
    );
    drop(out);
    let ended = timeout(SOON, child.wait()).await.expect("it ends by itself");
    assert_eq!(ended.expect("it can be waited for").code(), Some(0));
    up.stop().await;
}
