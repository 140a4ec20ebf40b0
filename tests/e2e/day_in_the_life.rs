//! One day of one service, told to all providers at once: what each target was sent is a file that a person reads.
//!
//! The files lie in `day_in_the_life/`, one for each target. `SIGNALBOX_GOLDEN_UPDATE=1` writes them anew; look at the
//! difference before it is kept. Ids and the times of requests, which no two runs share, are written as their names.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::harness::{
    Client, MailServer, Publish, Target, Up,
    process::Folder,
    server::Server,
    transcript::{self, Transcript},
    vendors,
};

const SOON: Duration = Duration::from_secs(60);
/// Where the files lie.
const FOLDER: &str = "day_in_the_life";
/// The stream of the other NATS server.
const STREAM: &str = "ONCALL";
/// What all of them subscribe to.
const EVENTS: [&str; 5] = ["alert.*", "execution.*", "invocation.*", "canary.*", "system.*"];

/// What happens: type and data, all of one service.
fn day() -> Vec<(&'static str, Value)> {
    let runs = "https://runs.example.com/r/7";
    vec![
        (
            "alert.created",
            json!({
                "title": "Latency of checkout is rising", "message": "p99 is above 800 ms for five minutes",
                "severity": "high", "latency_ms": 840, "affected_agents": ["pricing", "payment"],
                "logs_url": "https://logs.example.com/q/1",
            }),
        ),
        (
            "execution.failed",
            json!({
                "agent_name": "pricing", "error": "connection to db-1 timed out\nafter 3 attempts", "success_rate": 0.925,
                "logs_url": runs,
            }),
        ),
        (
            "invocation.failed",
            json!({ "message": "POST /checkout answered 503", "agent_name": "payment", "reason": "upstream timeout", "latency_ms": 5_000 }),
        ),
        (
            "canary.rolled_back",
            json!({
                "version": "1.4.2", "reason": "error rate above 2 %", "branch": "release/1.4",
                "pr": { "number": 42, "url": "https://git.example.com/shop/pull/42" },
                "repository": { "owner": "acme", "name": "shop" }, "reviewers": ["ann", "bob"],
            }),
        ),
        (
            "system.degraded",
            json!({ "reason": "db-1 is read-only", "affected_agents": ["pricing", "payment", "cart"] }),
        ),
        ("system.recovered", json!({ "message": "db-2 has taken over" })),
        (
            "alert.resolved",
            json!({ "title": "Latency of checkout is back to normal", "latency_ms": 120, "logs_url": "https://logs.example.com/q/2" }),
        ),
    ]
}

/// Another installation's NATS server, with the stream that our events go to.
async fn other_server(folder: &Folder) -> (Server, jetstream::Context) {
    let mut server = Server::prepare(folder.path());
    server.restart().await;
    let client = async_nats::connect(server.url())
        .await
        .expect("NATS takes a connection");
    let jetstream = jetstream::new(client);
    let stream = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["oncall.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(stream).await.expect("a stream can be made");
    (server, jetstream)
}

/// Publishes the day, each event behind the deliveries of the one before.
async fn live(client: &Client) {
    let mut delivered = 0;
    for (number, (event_type, data)) in day().into_iter().enumerate() {
        let event = Publish::of(event_type, &data)
            .id(&format!("day-{number}"))
            .header("ce-subject", "checkout")
            .header("ce-source", "/acme/shop")
            .header("ce-time", &format!("2026-11-20T{:02}:00:00Z", 9 + number));
        client.publish(event).await;
        let ledger = client.settled(SOON).await;
        let count = ledger["delivered"].as_u64().expect("a count");
        assert!(count > delivered, "{event_type}: {ledger}");
        delivered = count;
    }
    let doors = u64::try_from(
        client.get("/v1/integrations?limit=200").await["items"]
            .as_array()
            .map_or(0, Vec::len),
    );
    assert_eq!(Ok(delivered), doors.map(|doors| doors * day().len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_one_service_is_told_to_every_provider_and_what_it_opened_it_closes() {
    let mail_server = MailServer::start().await;
    let up = Up::start_with(MailServer::trusted(&[&mail_server])).await;
    let folder = Folder::new();
    let (server, jetstream) = other_server(&folder).await;
    let target = Target::start().await;
    let doors = vendors::doors(&target);
    let mut integrations: Vec<Value> = doors.iter().map(|door| door.integration(&EVENTS)).collect();
    integrations.push(json!({
        "name": "nats", "provider": "nats", "events": EVENTS,
        "config": { "url": server.url(), "subject": "oncall.{type}", "anonymous": true },
    }));
    let recipients =
        json!({ "to_addresses": ["shop@example.com"], "recipients": { "alert.*": ["On Call <oncall@example.com>"] } });
    integrations.push(mail_server.integration("email", &EVENTS, recipients));
    up.client().apply(json!(integrations)).await;
    live(up.client()).await;

    let names = transcript::names(up.client()).await;
    let mut wrong = Vec::new();
    for door in &doors {
        let requests = target.received_below(&format!("/{}", door.name));
        let told = Transcript::of_requests(&requests, &target, &names);
        told.check_that_it_is_known(FOLDER, door.name, &mut wrong);
        if let Some((opens, closes)) = key_of_an_incident(door.name, &told) {
            assert_eq!(opens, closes, "{}: what the alert opened is closed", door.name);
        }
    }
    let told = Transcript::of_stream(&jetstream, STREAM, &names).await;
    told.check_that_it_is_known(FOLDER, "nats", &mut wrong);
    let told = Transcript::of_mails(&mail_server.mails(), &names);
    told.check_that_it_is_known(FOLDER, "email", &mut wrong);
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "SIGNALBOX_GOLDEN_UPDATE=1 writes them anew"
    );
    up.stop().await;
}

/// The keys of the incident that the first event opened and that the last one closed, at targets that keep incidents.
fn key_of_an_incident(name: &str, told: &Transcript) -> Option<(String, String)> {
    let (first, last) = (told.requests.first()?, told.requests.last()?);
    match name {
        "pagerduty" => {
            assert_eq!(
                (&first.body["event_action"], &last.body["event_action"]),
                (&json!("trigger"), &json!("resolve"))
            );
            Some((first.body["dedup_key"].to_string(), last.body["dedup_key"].to_string()))
        }
        "opsgenie" => {
            let alias = first.body["alias"].as_str()?.replace('/', "%2F");
            let closed = last.path.split("/alerts/").nth(1)?.split("/close").next()?;
            Some((alias, closed.to_owned()))
        }
        _ => None,
    }
}
