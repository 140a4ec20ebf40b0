//! Property-based tests of the whole API, by a tool that no one here wrote: it makes requests from the document, right
//! ones and wrong ones, and holds each answer against it.
//!
//! The seed is printed and `SIGNALBOX_E2E_SEED` plays it again. `SIGNALBOX_FUZZ_EXAMPLES` makes more requests of each
//! operation, and `SIGNALBOX_FUZZ_SECONDS` goes on for that long:
//!
//!     SIGNALBOX_FUZZ_SECONDS=3600 cargo test -p signalbox-tests --test e2e -- --nocapture generated::fuzz

use std::{collections::BTreeMap, env, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use super::{document::Document, world::World};
use crate::{
    foreign,
    harness::{Publish, Seed, process::workspace},
};

/// Names how many requests of each operation are made in each phase.
const EXAMPLES_VARIABLE: &str = "SIGNALBOX_FUZZ_EXAMPLES";
/// So many where the environment does not say.
const EXAMPLES: &str = "12";
/// Names for how many seconds the tool goes on.
const SECONDS_VARIABLE: &str = "SIGNALBOX_FUZZ_SECONDS";
/// What the tool may take beyond that.
const PATIENCE: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(20);

/// How often each operation answered with each status.
type Answered = BTreeMap<String, BTreeMap<String, u64>>;

/// What is there for the installation's own key, by the path and the name of its open part.
async fn things(world: &World) -> Value {
    let client = world.up.client();
    let hook = json!([{
        "name": "oncall", "provider": "webhook", "events": ["order.*"], "config": { "url": world.target.url("/takes") },
    }]);
    client.apply(hook).await;
    client
        .publish(Publish::of("order.placed", &json!({ "total": 3 })).id("e-1"))
        .await;
    let delivery = client.delivery("e-1", "delivered", SOON).await["id"].clone();
    let mut things = json!({});
    for operation in &world.document.operations {
        let (Some(open), Some(kind)) = (operation.open(), World::kind_of(operation)) else {
            continue;
        };
        things[&operation.path][&open.name] = match kind {
            "integration" => json!("oncall"),
            "event" => json!("e-1"),
            "delivery" => delivery.clone(),
            // The own key sees those of all orgs.
            other => json!(world.acme.thing(other)),
        };
    }
    things
}

async fn fuzz(world: &World, document: &Document) -> Answered {
    let file = world.up.data_dir().join("openapi.json");
    std::fs::write(&file, document.whole.to_string()).expect("the document can be written");
    let seed = Seed::of("fuzz").number(0..u64::from(u32::MAX));
    let examples = env::var(EXAMPLES_VARIABLE).unwrap_or_else(|_| EXAMPLES.to_owned());
    let seconds: Option<u64> = env::var(SECONDS_VARIABLE)
        .ok()
        .map(|text| text.parse().expect("a number of seconds"));
    let (base, _) = world.up.client().publishing();
    let mut child = Command::new(foreign::python())
        .arg(workspace().join("tests/e2e/foreign/fuzz.py"))
        .arg(&file)
        .args([base, &seed.to_string(), &examples])
        .args(seconds.map(|seconds| seconds.to_string()))
        .current_dir(world.up.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let given = format!("{}\n{}", world.root(), things(world).await);
    stdin
        .write_all(given.as_bytes())
        .await
        .expect("it reads what it is given");
    drop(stdin);
    let patience = PATIENCE + Duration::from_secs(seconds.unwrap_or(0));
    let output = timeout(patience, child.wait_with_output())
        .await
        .expect("it ends in time")
        .expect("it can be waited for");
    let out = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{out}\n{errors}\n(`make tools` installs what it needs; SIGNALBOX_E2E_SEED as printed above plays it again)"
    );
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let world = World::start().await;
    let answered = fuzz(&world, &world.document).await;
    eprintln!("{answered:#?}");
    for operation in world.document.operations.iter().filter(|it| !it.is_stream()) {
        let statuses = answered.get(&operation.to_string());
        assert!(
            statuses.is_some_and(|statuses| statuses.len() > 1),
            "{operation} was not asked in earnest: {statuses:?}"
        );
    }
    world.up.stop().await;
}

/// What a tail has sent: its head, and the data of its first entry.
async fn first_entry(base: &str, key: &str, path: &str) -> (String, Value) {
    let authority = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).await.expect("the API takes a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut lines = BufReader::new(stream).lines();
    let mut head = String::new();
    let read = async {
        let mut in_head = true;
        while let Some(line) = lines.next_line().await.expect("the tail goes on") {
            if line.is_empty() {
                in_head = false;
            } else if in_head {
                head.push_str(&line.to_ascii_lowercase());
                head.push('\n');
            } else if let Some(data) = line.strip_prefix("data:") {
                return serde_json::from_str(data.trim()).expect("data is JSON");
            }
        }
        panic!("the tail ended: {head}");
    };
    let data = timeout(SOON, read)
        .await
        .unwrap_or_else(|_| panic!("{path}: no entry within {SOON:?}"));
    (head, data)
}

/// The route that the tool leaves out, as its answer never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ends_is_answered_as_the_document_says_too() {
    let world = World::start().await;
    let streams: Vec<_> = world.document.operations.iter().filter(|it| it.is_stream()).collect();
    assert_eq!(
        streams.len(),
        1,
        "another stream needs a test here, and a line in fuzz.py"
    );
    let tail = streams[0];
    let (client, key) = (world.up.client(), &world.acme.key.text);
    let subject = "signalbox.in.acme.order.placed";
    client.publish(Publish::to(subject, "{}").id("seen")).await;
    let schema =
        &world.document.whole["paths"][&tail.path]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"];
    let mut answers = Vec::new();
    for what in ["events", "deliveries", "dead"] {
        let queries = ["?since=1h", "?since=1h&type=order.*"];
        for query in queries {
            let path = format!("{}{query}", tail.address(what));
            let (head, data) = first_entry(client.api(), key, &path).await;
            assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
            assert!(head.contains("content-type: text/event-stream"), "{path}: {head}");
            assert!(head.contains("x-request-id: "), "{path}: {head}");
            answers.push(data);
        }
    }
    let given = json!({ "document": world.document.whole, "schema": schema, "values": answers });
    let faults = foreign::run("values.py", &[], &given.to_string()).await;
    assert_eq!(faults.trim(), "");
    // What it refuses ends.
    let mut told = super::document::Told::default();
    for query in [
        "?since=tomorrow",
        "?type=..",
        "?integration=none",
        "?bogus=1",
        "?limit=1",
        "?type=a.*&type=b.*",
    ] {
        let answer = world
            .ask(key, "GET", &format!("{}{query}", tail.address("events")), None)
            .await;
        assert!(answer.status >= 400, "{query}: {}", answer.text());
        told.add(tail, query, &answer);
    }
    let answer = world.ask(key, "GET", &tail.address("nothing"), None).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    told.add(tail, "of nothing", &answer);
    let answer = world
        .ask_with(key, "GET", &tail.address("events"), &[("last-event-id", "x")], None)
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    told.add(tail, "behind nothing", &answer);
    world.document.holds(&told).await;
    world.up.stop().await;
}
