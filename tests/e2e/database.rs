//! The database goes away under load: deliveries go on at full speed, and history is whole afterwards.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use signalbox_proto::Timestamp;
use signalbox_store::{
    Config, Store,
    history::{DeliveryFilter, Status},
};
use sqlx::{AnyConnection, Connection as _};

use crate::harness::{
    Answer, Client, Cluster, Load, Publish, Target, Up, eventually, pause,
    postgres::{Process, installed},
};

const SOON: Duration = Duration::from_secs(60);
const PER_SECOND: u64 = 300;
/// Before the database goes, and after it is back.
const AROUND: Duration = Duration::from_secs(3);
/// How late a delivery may be on a busy machine, and still not have waited for a database.
const LATE: Duration = Duration::from_secs(5);
const PATH: &str = "/all";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_on_without_the_database_and_history_follows() {
    goes_away(Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: two minutes without a database"]
async fn soak_two_minutes_without_the_database() {
    goes_away(Duration::from_secs(120)).await;
}

async fn goes_away(away: Duration) {
    let Some(programs) = installed() else { return };
    let postgres = Process::start(programs).await;
    let url = postgres.url("postgres");
    let mut cluster = Cluster::start_with(&[("SIGNALBOX_STORE__URL", &url)]).await;
    let (mut recorder, _) = cluster.further("recorder", &[]).await;
    let client = cluster.client().clone();
    let target = Target::start().await;
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
            "retry": { "schedule": ["1s", "1s", "1s"] }, "rate_limit": "none",
        }]))
        .await;
    let count = ((away + AROUND * 2).as_secs() * PER_SECOND) as usize;
    let answer = |number: usize| Answer::status(if number.is_multiple_of(20) { 503 } else { 200 });
    target.script(PATH, (0..=count).map(answer).chain([Answer::status(200)]));
    let load = Load::start(&client, "tick", Some("e"), PER_SECOND, count);
    pause(AROUND).await;

    postgres.stop();
    let stopped = Instant::now();
    pause(away / 2).await;
    told(&client, &recorder, &target).await;
    api_begins_without(&mut cluster).await;
    pause(away.saturating_sub(stopped.elapsed())).await;
    let back = Instant::now();
    postgres.start_again().await;

    let accepted = load.finish().await;
    target.wait_for_events(PATH, accepted.len(), SOON).await;
    let arrived: BTreeMap<String, Instant> = target
        .received(PATH)
        .iter()
        .rev()
        .map(|request| (request.event.clone(), request.at))
        .collect();
    let meanwhile = accepted.ids.iter().zip(&accepted.at);
    let late: Vec<&String> = meanwhile
        .filter(|(_, at)| **at > stopped && **at < back)
        .filter(|(id, at)| {
            arrived
                .get(*id)
                .is_none_or(|came| came.saturating_duration_since(**at) > LATE)
        })
        .map(|(id, _)| id)
        .collect();
    assert!(late.is_empty(), "{} were late: {late:?}", late.len());
    let sent = accepted.within(stopped, back);
    assert!(
        sent > (away.as_secs() * PER_SECOND) as usize / 2,
        "only {sent} were published meanwhile"
    );

    client.settled(SOON).await;
    recorder.assert_alive();
    let requests = target.by_event(PATH);
    let store = Store::open(
        &Config {
            url: url.into(),
            url_file: String::new(),
            connections_max: 2,
        },
        std::path::Path::new(""),
    )
    .await
    .expect("the database opens");
    let rows = eventually(SOON, "all is recorded", async || {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let page = store.deliveries(&DeliveryFilter::default(), after.as_ref(), 200).await;
            let page = page.map_err(|error| error.to_string())?;
            rows.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let ended = rows.iter().filter(|row| row.status() == Status::Delivered).count();
        if ended == accepted.len() {
            Ok(rows)
        } else {
            Err(format!("{ended} of {}", accepted.len()))
        }
    })
    .await;
    assert_eq!(rows.len(), accepted.len(), "each has one row");
    for row in &rows {
        let id = &row.about().event_id;
        assert_eq!(row.attempts(), requests[id] as u64, "{id}: {row:?}");
        assert_eq!(
            row.history().entries().len() as u64,
            row.attempts(),
            "{id}: each attempt once"
        );
    }
    assert!(rows.iter().any(|row| row.attempts() > 1), "some were tried again");
    assert_eq!(store.gaps(Timestamp::MIN).await.expect("gaps"), []);
    store.close().await;
}

/// The row of a delivery is broken, as a disk or a person may leave it, and the next record of it is the only one there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_database_refuses_holds_up_no_other_though_it_is_alone() {
    let mut up = Up::start().await;
    let client = up.client().clone();
    let target = Target::start().await;
    target.script(PATH, [Answer::status(503), Answer::status(200)]);
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
            "retry": { "schedule": ["8s"] },
        }]))
        .await;
    let store = Store::open(
        &Config {
            url: up.store_url().into(),
            url_file: String::new(),
            connections_max: 2,
        },
        &up.data_dir(),
    )
    .await
    .expect("the database opens");
    let status = async |event: &str| -> Result<Status, String> {
        let found = store.deliveries_of_event("default", event, None, None, 1).await;
        let found = found.map_err(|error| error.to_string())?;
        found
            .first()
            .map(|row| row.status())
            .ok_or("it is not recorded".to_owned())
    };
    client.publish(Publish::of("tick", &json!({})).id("broken")).await;
    eventually(SOON, "the first attempt is recorded", async || status("broken").await).await;
    let file = || format!("sqlite://{}", up.data_dir().join("signalbox.db").display());
    let mut connection = AnyConnection::connect(&up.database().unwrap_or_else(file))
        .await
        .expect("the database answers");
    sqlx::query("update deliveries set history_json = '{'")
        .execute(&mut connection)
        .await
        .expect("a row can be changed");
    target.wait_for(PATH, 2, SOON).await;
    eventually(SOON, "it is left out", async || {
        let log = up.log();
        if log.contains("the database refuses this for good") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    client.publish(Publish::of("tick", &json!({})).id("next")).await;
    let next = eventually(SOON, "the next one is recorded", async || status("next").await).await;
    assert_eq!(next, Status::Delivered);
    assert!(status("broken").await.is_err(), "the row is as it was left");
    up.assert_alive();
    store.close().await;
    up.stop().await;
}

/// What each door says while the database is away.
async fn told(client: &Client, recorder: &crate::harness::role::Role, target: &Target) {
    eventually(
        SOON,
        "the recorder says what it waits for, and is no less ready",
        async || {
            let ready = recorder.ask("/readyz").await?;
            assert_eq!(ready.status, 200, "{}", ready.text());
            if ready.text().contains("database") {
                Ok(())
            } else {
                Err(ready.text())
            }
        },
    )
    .await;
    let report = client.get("/v1/doctor").await;
    assert_eq!(report["status"], "error", "{report}");
    assert!(report.to_string().contains("the database does not answer"), "{report}");
    // What needs it says so; what does not, answers.
    let refused = client.request("GET", "/v1/integrations", None).await;
    assert_eq!(refused.problem(503), "unavailable", "{}", refused.text());
    assert_ne!(refused.header("retry-after"), "");
    let hook =
        json!({ "name": "new", "provider": "webhook", "config": { "url": target.url("/new") }, "events": [">"] });
    let refused = client.request("POST", "/v1/integrations", Some(hook)).await;
    assert_eq!(refused.problem(503), "unavailable", "{}", refused.text());
    let listed = client.get("/v1/deliveries?limit=5").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(5), "{listed}");
    assert_eq!(listed["truncated"], true, "{listed}");
}

/// An API that starts while there is no database answers what it can.
async fn api_begins_without(cluster: &mut Cluster) {
    let client = cluster.client().clone();
    cluster.role("api").kill().await;
    cluster.role("api").begin();
    let report = eventually(SOON, "the API says what is wrong", async || client.try_doctor().await).await;
    assert!(
        report
            .to_string()
            .contains("has not answered since this process started"),
        "{report}"
    );
    let refused = client.request("GET", "/v1/integrations", None).await;
    assert_eq!(refused.problem(503), "unavailable", "{}", refused.text());
}
