//! Bulk acts: many dead letters and many events of the past, beside live traffic, stopped, resumed, crashed.

use std::{
    collections::{BTreeMap, HashMap},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    task::JoinHandle,
};

use crate::harness::{
    Answer, Client, Cluster, Load, Publish, Target, Up, eventually, pause,
    process::{Settings, signalbox},
};

mod numbers;
mod past;
mod storm;
mod unwell;

const SOON: Duration = Duration::from_secs(30);
/// A killed keeper's leases and what it held run out after at most this.
const AFTER_CRASH: Duration = Duration::from_secs(90);

/// How much is done in a form of a scenario.
struct Size {
    letters: usize,
    /// Events a second that become dead letters.
    dying_per_second: u64,
    /// Dead letters a second that are replayed.
    replay_per_second: u32,
    /// Events a second that live traffic has, and for how long it is measured without a replay.
    live_per_second: u64,
    alone: Duration,
    deadline: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_dead_letters_are_replayed_beside_live_traffic_stopped_gone_on_with_and_sent_once() {
    let size = Size {
        letters: 2_000,
        dying_per_second: 1_000,
        replay_per_second: 400,
        live_per_second: 100,
        alone: Duration::from_secs(3),
        deadline: AFTER_CRASH,
    };
    many_dead_letters(size).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 dead letters"]
async fn soak_a_hundred_thousand_dead_letters_are_replayed_beside_live_traffic() {
    let size = Size {
        letters: 100_000,
        dying_per_second: 2_500,
        replay_per_second: 500,
        live_per_second: 500,
        alone: Duration::from_secs(30),
        deadline: Duration::from_secs(900),
    };
    many_dead_letters(size).await;
}

fn webhook(name: &str, events: &[&str], target: &Target) -> Value {
    json!({
        "name": name, "provider": "webhook", "events": events, "config": { "url": target.url(&format!("/{name}")) },

    })
}

/// Live traffic that knows when each event was published.
struct Live {
    stop: tokio::sync::watch::Sender<bool>,
    publishing: JoinHandle<BTreeMap<String, Instant>>,
}

impl Live {
    fn start(client: &Client, prefix: &'static str, per_second: u64) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let client = client.clone();
        let publishing = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(per_second).expect("small"));
            let mut acks = tokio::task::JoinSet::new();
            let mut sent = BTreeMap::new();
            while !*stopped.borrow() {
                tick.tick().await;
                let id = format!("{prefix}-{}", sent.len());
                let publish = Publish::of("live", &json!({})).id(&id);
                sent.insert(id, Instant::now());
                let client = client.clone();
                acks.spawn(async move { client.publish(publish).await });
            }
            acks.join_all().await;
            sent
        });
        Self { stop, publishing }
    }

    /// Stops, waits until all have come, and gives how long each took from publish to request.
    async fn finish(self, target: &Target, deadline: Duration) -> Latencies {
        self.stop.send_replace(true);
        let sent = self.publishing.await.expect("the producer does not panic");
        let arrived = eventually(deadline, "all live events have come", async || {
            let arrived: HashMap<String, Instant> = target
                .received("/live")
                .into_iter()
                .map(|received| (received.event, received.at))
                .collect();
            match sent.keys().filter(|id| !arrived.contains_key(*id)).count() {
                0 => Ok(arrived),
                missing => Err(format!("{missing} are missing")),
            }
        })
        .await;
        let took = sent
            .iter()
            .map(|(id, at)| (*at, arrived[id].saturating_duration_since(*at)));
        Latencies(took.collect())
    }
}

/// When each event was published, and how long it took.
struct Latencies(Vec<(Instant, Duration)>);

impl Latencies {
    /// Median and 99th percentile of what was published within a time.
    fn within(&self, from: Instant, to: Instant) -> String {
        let published = self.0.iter().filter(|(at, _)| *at >= from && *at < to);
        let mut took: Vec<Duration> = published.map(|(_, took)| *took).collect();
        took.sort_unstable();
        let at = |part: usize| {
            took.get(took.len().saturating_sub(1) * part / 100)
                .copied()
                .unwrap_or_default()
        };
        format!("p50 {:.1?}, p99 {:.1?} of {}", at(50), at(99), took.len())
    }
}

/// Waits until an act has this status.
async fn act_is(client: &Client, id: &str, status: &str, deadline: Duration) -> Value {
    eventually(deadline, &format!("the act is {status}"), async || {
        let act = client.get(&format!("/v1/acts/{id}")).await;
        if act["status"] == status {
            Ok(act)
        } else {
            Err(act.to_string())
        }
    })
    .await
}

/// Waits until so many are done, by asking for the act: counting at the target would hold it up, and with it the live
/// traffic that is measured.
async fn done_are(client: &Client, id: &str, count: usize, deadline: Duration) {
    eventually(deadline, &format!("{count} are done"), async || {
        let act = client.get(&format!("/v1/acts/{id}")).await;
        match act["done"].as_u64() {
            Some(done) if done >= count as u64 => Ok(()),
            _ => Err(act.to_string()),
        }
    })
    .await;
}

fn id_of(act: &Value) -> String {
    act["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {act}"))
        .to_owned()
}

async fn many_dead_letters(size: Size) {
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([
            webhook("mends", &["tick"], &target),
            webhook("live", &["live"], &target)
        ]))
        .await;
    target.script("/mends", [Answer::status(400)]);
    let letters = size.letters;
    Load::start(&client, "tick", Some("e"), size.dying_per_second, letters)
        .finish()
        .await;
    let began = Instant::now();
    let counted = eventually(size.deadline, "all are dead letters", async || {
        let began = Instant::now();
        let wanted = json!({ "filter": { "integration": "mends" }, "dry_run": true });
        let counted = client.post("/v1/dead-letters/replay", wanted).await;
        if counted["matched"] == letters {
            Ok(began.elapsed())
        } else {
            Err(counted.to_string())
        }
    })
    .await;
    let grouping = Instant::now();
    let groups = client.command_json(&["dead", "list", "--group"]).await;
    eprintln!(
        "{letters} dead letters, {:?} after the last was published: counted in {counted:?}, grouped in {:?}",
        began.elapsed(),
        grouping.elapsed()
    );
    let group = &groups["items"][0];
    assert_eq!(
        (&group["count"], &group["integration"]),
        (&json!(letters), &json!("mends")),
        "{groups}"
    );
    assert_eq!(group["examples"].as_array().map(Vec::len), Some(3), "{groups}");

    let began = Instant::now();
    let live = Live::start(&client, "alone", size.live_per_second);
    pause(size.alone).await;
    let alone = live.finish(&target, size.deadline).await;
    eprintln!(
        "live traffic at {}/s alone: {}",
        size.live_per_second,
        alone.within(began, Instant::now())
    );

    target.script("/mends", [Answer::status(200)]);
    let live = Live::start(&client, "beside", size.live_per_second);
    let wanted = json!({
        "filter": { "fingerprint": group["fingerprint"] }, "rate": size.replay_per_second, "by": "the test",
    });
    let asked = Instant::now();
    let act = client.post("/v1/dead-letters/replay", wanted).await;
    let begun = Instant::now();
    let id = id_of(&act);
    assert_eq!(
        (&act["total"], &act["status"]),
        (&json!(letters), &json!("running")),
        "{act}"
    );
    assert_eq!(act["asked_by"], "admin key, by the test", "{act}");

    // Stopped after a quarter: nothing more is sent, and what was sent is told.
    done_are(&client, &id, letters / 4, size.deadline).await;
    let stop = Instant::now();
    client.post(&format!("/v1/acts/{id}/cancel"), json!({})).await;
    let stopped = eventually(SOON, "the act tells all that it sent", async || {
        let act = client.get(&format!("/v1/acts/{id}")).await;
        let sent = target.count("/mends") - letters;
        if act["status"] == "cancelled" && act["done"] == sent {
            Ok(act)
        } else {
            Err(format!("{sent} sent, {act}"))
        }
    })
    .await;
    pause(Duration::from_secs(2)).await;
    assert_eq!(
        target.count("/mends") - letters,
        stopped["done"],
        "nothing comes behind a cancellation"
    );
    let list = client.get("/v1/acts?status=cancelled").await;
    assert_eq!(list["items"][0]["id"], *id, "{list}");

    // Gone on with, and its keeper killed in the middle.
    client.post(&format!("/v1/acts/{id}/resume"), json!({})).await;
    done_are(&client, &id, letters / 2, size.deadline).await;
    let crash = Instant::now();
    cluster.role("keeper").kill().await;
    cluster.role("keeper").restart().await;
    done_are(&client, &id, letters * 3 / 5, size.deadline).await;
    let mended = Instant::now();
    let act = act_is(&client, &id, "done", size.deadline).await;
    let done = Instant::now();
    let beside = live.finish(&target, size.deadline).await;

    assert_eq!(
        (&act["done"], &act["skipped"], &act["failed"]),
        (&json!(letters), &json!(0), &json!(0)),
        "{act}"
    );
    let ledger = client.settled(size.deadline).await;
    let all = letters + alone.0.len() + beside.0.len();
    assert_eq!(
        (&ledger["deliveries"], &ledger["delivered"], &ledger["dead"]),
        (&json!(all), &json!(all), &json!(0)),
        "{ledger}"
    );
    let mut sends: BTreeMap<String, usize> = BTreeMap::new();
    for received in target.received("/mends") {
        *sends.entry(received.delivery().to_owned()).or_default() += 1;
    }
    assert_eq!(sends.len(), letters);
    let odd: Vec<_> = sends.iter().filter(|(_, count)| **count != 2).collect();
    assert!(odd.is_empty(), "each is sent once more: {odd:?}");
    let refused = client
        .request("POST", &format!("/v1/acts/{id}/resume"), Some(json!({})))
        .await;
    assert_eq!(refused.problem(409), "act_done");
    eprintln!(
        "beside a replay at {}/s: {}",
        size.replay_per_second,
        beside.within(asked, done)
    );
    for (phase, from, to) in [
        ("while they are counted", asked, begun),
        ("until it is stopped", begun, stop),
        ("stopped, resumed", stop, crash),
        ("its keeper killed", crash, mended),
        ("until it is done", mended, done),
    ] {
        eprintln!("  {phase} ({:.1?}): {}", to - from, beside.within(from, to));
    }
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_refused_by_name_before_anything_is_written() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    client.apply(json!([webhook("ops", &["a"], &target)])).await;
    let refused = async |path: &str, body: Value| {
        let answer = client.request("POST", path, Some(body)).await;
        (
            answer.status,
            answer.json()["field"].as_str().unwrap_or_default().to_owned(),
        )
    };
    for (body, status, field) in [
        (json!({ "to": "ops" }), 400, "since"),
        (json!({ "since": "1h" }), 400, "to"),
        (json!({ "since": "1h", "to": "nobody" }), 404, "to"),
        (json!({ "since": "soon", "to": "ops" }), 400, "since"),
        (json!({ "since": "1h", "until": "2h", "to": "ops" }), 400, "until"),
        (json!({ "since": "1h", "to": "ops", "type": "a..b" }), 400, "type"),
        (json!({ "since": "1h", "to": "ops", "rate": 0 }), 400, "rate"),
        (json!({ "since": "1h", "to": "ops", "bird": 1 }), 400, "bird"),
    ] {
        let text = body.to_string();
        assert_eq!(
            refused("/v1/events/replay", body).await,
            (status, field.to_owned()),
            "{text}"
        );
    }
    let unknown = "/v1/acts/0199c0de-0000-7000-8000-0000000000ac";
    for path in [unknown.to_owned(), "/v1/acts/none".to_owned()] {
        let answer = client.request("GET", &path, None).await;
        assert_eq!(answer.problem(404), "not_found");
    }
    for verb in ["cancel", "resume"] {
        assert_eq!(refused(&format!("{unknown}/{verb}"), json!({})).await.0, 404);
    }
    assert_eq!(client.get("/v1/acts").await["items"], json!([]), "nothing was written");
    let (code, _) = client.command(&["acts", "show", "none"]).await;
    assert_eq!(code, 3);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_that_is_left_with_ctrl_c_goes_on_and_a_short_one_does_not_wait_for_it() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    target.script("/slow", [Answer::status(400)]);
    target.script("/short", [Answer::status(400)]);
    client
        .apply(json!([
            webhook("slow", &["s"], &target),
            webhook("short", &["q"], &target)
        ]))
        .await;
    for n in 0..40 {
        client.publish(Publish::of("s", &json!({})).id(&format!("s-{n}"))).await;
    }
    client.publish(Publish::of("q", &json!({})).id("q")).await;
    eventually(SOON, "all are dead letters", async || {
        match client.dead_letters("?limit=200").await.len() {
            41 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    for path in ["/slow", "/short"] {
        target.script(path, [Answer::status(200)]);
    }
    let (url, key) = client.publishing();
    let mut command = Command::new(signalbox())
        .args(["dead", "replay", "--integration", "slow", "--rate", "1"])
        .env_clear()
        .envs(Settings::from([
            ("SIGNALBOX_URL".to_owned(), url.to_owned()),
            ("SIGNALBOX_KEY".to_owned(), key.to_owned()),
        ]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run");
    let mut told = BufReader::new(command.stderr.take().expect("it is piped")).lines();
    target.wait_for("/slow", 42, SOON).await;
    // It says every few seconds how far it is, where there is no terminal.
    let first = told.next_line().await.expect("a line").unwrap_or_default();
    assert!(first.contains("has begun"), "{first}");
    let progress = told.next_line().await.expect("a line").unwrap_or_default();
    assert!(progress.contains(" of 40, ") && progress.contains("left"), "{progress}");
    let pid = Pid::from_raw(command.id().expect("it runs").cast_signed()).expect("not 0");
    kill_process(pid, Signal::INT).expect("it takes a signal");
    let mut rest = String::new();
    while let Some(line) = told.next_line().await.expect("a line") {
        rest.push_str(&line);
        rest.push('\n');
    }
    let status = command.wait().await.expect("it ends");
    assert!(status.success(), "{status}: {rest}");
    let running = client.get("/v1/acts?status=running").await;
    let id = id_of(&running["items"][0]);
    for hint in [
        format!("acts cancel {id}"),
        format!("acts resume {id}"),
        format!("acts show {id}"),
    ] {
        assert!(rest.contains(&hint), "{hint} is not in {rest}");
    }

    // Another act has its turn meanwhile, although this one would take most of a minute.
    let short = client.command_json(&["dead", "replay", "--integration", "short"]).await;
    assert_eq!(
        (&short["status"], &short["done"]),
        (&json!("done"), &json!(1)),
        "{short}"
    );
    assert_eq!(client.get(&format!("/v1/acts/{id}")).await["status"], "running");

    // Stopped, it stops within a moment, however slow it is.
    let act = client.command_json(&["acts", "cancel", &id]).await;
    assert_eq!(act["status"], "cancelled", "{act}");
    let list = client.command_json(&["acts", "list"]).await;
    let kinds: Vec<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|act| &act["status"])
        .collect();
    assert_eq!(kinds, ["done", "cancelled"], "the newest first: {list}");
    let page = client.get("/v1/acts?limit=1").await;
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = client.get(&format!("/v1/acts?limit=1&cursor={cursor}")).await;
    assert_eq!(
        (&rest["items"][0]["id"], &rest["next_cursor"]),
        (&json!(id), &Value::Null)
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_inputs_are_found_by_the_type_that_they_were_published_as() {
    let up = Up::start().await;
    let client = up.client();
    for subject in ["signalbox.in.default.order.placed", "signalbox.in.default.order.packed"] {
        client.publish(Publish::to(subject, "{broken")).await;
    }
    let found = eventually(SOON, "its dead letter is listed by its type", async || {
        let found = client.dead_letters("?event_type=order.placed&stage=ingest").await;
        if found.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(found)
        }
    })
    .await;
    assert_eq!(found.len(), 1, "{found:?}");
    let act = client
        .command_json(&["dead", "discard", "--type", "order.placed", "--stage", "ingest"])
        .await;
    assert_eq!((&act["total"], &act["done"]), (&json!(1), &json!(1)), "{act}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_an_org_and_all_are_paused_and_resumed_at_a_rate_and_without_what_is_too_old() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    let of = |org: &str| {
        json!({
            "name": org, "org": org, "provider": "webhook", "events": ["tick"],
            "config": { "url": target.url(&format!("/{org}")) },
        })
    };
    client.apply(json!([of("acme"), of("other")])).await;
    let publish = async |org: &str, id: &str| {
        let event = Publish::to(&format!("signalbox.in.{org}.tick"), "{}").id(id);
        client.publish(event).await;
    };
    let parked = async |org: &str, count: u64| {
        eventually(SOON, "all of them are parked", async || {
            match client.waiting(org).await? {
                (0, 0, parked) if parked == count => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    };
    let statuses = async |arguments: &[&str]| {
        let answer = client.command_json(arguments).await;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| {
                format!(
                    "{} {}",
                    item["org"].as_str().unwrap_or_default(),
                    item["status"].as_str().unwrap_or_default()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        statuses(&["pause", "--provider", "webhook"]).await,
        ["acme paused", "other paused"]
    );
    for n in 0..60 {
        publish("acme", &format!("a-{n}")).await;
    }
    publish("other", "too-old").await;
    parked("acme", 60).await;
    parked("other", 1).await;
    assert_eq!((target.count("/acme"), target.count("/other")), (0, 0));

    assert_eq!(
        statuses(&["resume", "--org", "acme", "--rate", "30"]).await,
        ["acme active"]
    );
    let received = target.wait_for("/acme", 60, SOON).await;
    let took = received[59].at - received[0].at;
    assert!(took >= Duration::from_millis(1_500), "60 at 30 a second took {took:?}");
    assert_eq!(target.count("/other"), 0, "another org stays held");

    pause(Duration::from_millis(1_200)).await;
    publish("other", "young").await;
    parked("other", 2).await;
    let resumed = statuses(&["resume", "--all", "--drop-older-than", "1s"]).await;
    assert_eq!(resumed, ["acme active", "other active"]);
    let received = target.wait_for("/other", 1, SOON).await;
    assert_eq!(received[0].event, "young");
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["discarded"]),
        (&json!(61), &json!(1)),
        "{ledger}"
    );
    let (code, _) = client.command(&["pause", "--provider", "slack"]).await;
    assert_eq!(code, 3, "nothing to pause");
    up.stop().await;
}
