//! Health checks by the clock: who is refused goes to `error`, who is taken comes back, and each check is made once.
//!
//! When a check is due follows from the integration's id. So many integrations are made, and those are looked at whose
//! check is due in a moment.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use signalbox_proto::{Timestamp, health};

use crate::harness::{Answer, Client, Cluster, Target, Up, eventually, pause, process::signal, target::Received};

const SOON: Duration = Duration::from_secs(20);
/// The least interval there is.
const EVERY_SECS: u32 = 300;
/// Checks of so many are two seconds apart.
const INTEGRATIONS: usize = 150;
/// How long a keeper may take until it has the lease of one that was killed.
const SETTLE: Duration = Duration::from_secs(10);
/// Longer than a lease lasts.
const FROZEN: Duration = Duration::from_secs(12);
/// How far ahead a check has to lie for a test to be prepared, and how far at most.
const AHEAD: std::ops::Range<u64> = 8..90;

fn ok() -> Answer {
    Answer::status(200).body(r#"{"ok":true,"team_id":"T1","user_id":"U1"}"#)
}

fn refuses() -> Answer {
    Answer::status(200).body(r#"{"ok":false,"error":"invalid_auth"}"#)
}

fn path(name: &str) -> String {
    format!("/{name}/api/auth.test")
}

/// Makes many integrations; gives the names of those that are checked next, with the time, the soonest first.
async fn many(client: &Client, target: &Target) -> Vec<(String, Timestamp)> {
    let all: Vec<Value> = (0..INTEGRATIONS)
        .map(|number| {
            json!({
                "name": format!("s{number}"), "provider": "slack", "events": ["tick"], "health_check": "5m",
                "config": { "channel": "#ops", "base_url": target.url(&format!("/s{number}")) },
                "credentials": { "bot_token": "xoxb-1" },
            })
        })
        .collect();
    for number in 0..INTEGRATIONS {
        target.script(&path(&format!("s{number}")), [ok()]);
    }
    client.apply(json!(all)).await;
    let now = Timestamp::now();
    let listed = client.get("/v1/integrations?limit=200&provider=slack").await;
    let items = listed["items"].as_array().expect("a list");
    let mut next: Vec<(String, Timestamp)> = items
        .iter()
        .map(|item| {
            let id = item["id"].as_str().expect("an id");
            (
                item["name"].as_str().expect("a name").to_owned(),
                health::next(id, EVERY_SECS, now),
            )
        })
        .filter(|(_, at)| AHEAD.contains(&at.since(now).as_secs()))
        .collect();
    next.sort_by_key(|(_, at)| *at);
    next
}

async fn status(up: &Up, name: &str, wanted: &str) -> Value {
    eventually(SOON, &format!("{name} is {wanted}"), async || {
        let found = up.client().integration(name).await;
        if found["status"] == wanted {
            Ok(found)
        } else {
            Err(found["status"].to_string())
        }
    })
    .await
}

/// Waits until its last check found this, and gives its settings.
async fn checked(up: &Up, name: &str, outcome: &str) -> Value {
    eventually(SOON, &format!("the check of {name} found {outcome}"), async || {
        let settings = up.client().get(&format!("/v1/integrations/{name}/settings")).await;
        if settings["health"]["outcome"] == outcome {
            Ok(settings)
        } else {
            Err(settings.to_string())
        }
    })
    .await
}

async fn wait_until(at: Timestamp) {
    pause(at.since(Timestamp::now())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_refused_makes_it_error_and_one_that_is_taken_brings_it_back() {
    let up = Up::start().await;
    let target = Target::start().await;
    up.client()
        .apply(json!([{
            "name": "owner", "provider": "webhook", "events": ["integration.*"], "config": { "url": target.url("/owner") },
        }]))
        .await;
    let next = many(up.client(), &target).await;
    let [(refused, refused_at), (mended, mended_at), (failing, failing_at), ..] = next.as_slice() else {
        panic!("too few checks are due soon: {next:?}");
    };
    target.script(&path(refused), [refuses()]);
    target.script(&path(failing), [Answer::status(503)]);
    // By a test that fails.
    target.script(&path(mended), [refuses(), ok()]);
    let test = up
        .client()
        .post(&format!("/v1/integrations/{mended}/test"), json!({}))
        .await;
    assert_eq!(test["integration_status"], "error", "{test}");

    wait_until(*refused_at).await;
    let found = status(&up, refused, "error").await;
    assert!(
        found["error_message"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_auth")),
        "{found}"
    );
    eventually(SOON, "the owner is told", async || {
        let told: Vec<Value> = target.received("/owner").iter().map(Received::json).collect();
        let is_it = |event: &Value| {
            event["type"] == "integration.suspended"
                && event["data"]["integration"] == json!(refused)
                && event["data"]["health_check"] == true
        };
        if told.iter().any(is_it) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    let settings = checked(&up, refused, "suspend").await;
    let next_at: Timestamp = settings["health"]["next_at"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .expect("a time");
    assert_eq!(
        next_at.since(*refused_at).as_secs(),
        u64::from(EVERY_SECS),
        "{settings}"
    );

    wait_until(*mended_at).await;
    status(&up, mended, "active").await;
    // What may pass by itself changes nothing, and is told.
    wait_until(*failing_at).await;
    let settings = checked(&up, failing, "retry").await;
    assert_eq!(settings["health"]["response_code"], 503, "{settings}");
    assert_eq!(up.client().integration(failing).await["status"], "active");
    // Each was checked once, beside the test.
    assert_eq!((target.count(&path(refused)), target.count(&path(mended))), (1, 2));
    let audit = eventually(SOON, "the suspension is in the audit", async || {
        let audit = up
            .client()
            .get("/v1/audit?action=integration.suspended&limit=200")
            .await;
        let named = audit["items"].as_array().expect("a list").iter();
        match named.filter(|entry| entry["object"]["name"] == json!(refused)).count() {
            0 => Err(audit.to_string()),
            count => Ok(count),
        }
    })
    .await;
    assert_eq!(audit, 1);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_of_a_check_leaves_one_out_and_repeats_none() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    let next = many(up.client(), &target).await;
    let (hanging, at) = next.first().expect("one is due soon");
    target.script(&path(hanging), [Answer::hang()]);
    wait_until(*at).await;
    target.wait_for(&path(hanging), 1, SOON).await;
    up.kill().await;
    up.restart().await;
    // The lease of the one that was killed runs out, and others are checked again.
    let mut later = next.iter().filter(|(_, at)| at.since(Timestamp::now()) > SETTLE);
    let (later, due) = later.next().expect("one is due later");
    wait_until(*due + Duration::from_secs(1)).await;
    target.wait_for(&path(later), 1, SOON * 2).await;
    assert_eq!(target.count(&path(hanging)), 1);
    let settings = up.client().get(&format!("/v1/integrations/{hanging}/settings")).await;
    assert_eq!(settings["health"]["outcome"], Value::Null, "{settings}");
    assert_eq!(up.client().integration(hanging).await["status"], "active");
    up.stop().await;
}

/// One of two keepers stands still while its checks are due, and goes on when the other has taken over. A check that it had
/// in hand then is left out, as after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_keepers_one_makes_each_check() {
    let mut cluster = Cluster::start().await;
    let (further, _) = cluster.further("keeper", &[]).await;
    let target = Target::start().await;
    let next = many(cluster.client(), &target).await;
    let (_, first) = next.first().expect("one is due soon");
    wait_until(*first).await;
    let frozen = [cluster.role("keeper").pid(), further.pid()];
    for pid in frozen {
        let pid = pid.expect("a keeper runs");
        signal(pid, Signal::STOP);
        pause(FROZEN).await;
        signal(pid, Signal::CONT);
        pause(FROZEN / 2).await;
    }
    let until = Timestamp::now() - SOON;
    let due: Vec<&str> = next
        .iter()
        .filter(|(_, at)| *at < until)
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(due.len() > 2 * frozen.len(), "{next:?}");
    eventually(SOON, "all but what was in hand is checked", async || {
        let missing: Vec<&&str> = due.iter().filter(|name| target.count(&path(name)) == 0).collect();
        if missing.len() <= frozen.len() {
            Ok(())
        } else {
            Err(format!("{missing:?} of {due:?}"))
        }
    })
    .await;
    for number in 0..INTEGRATIONS {
        let name = format!("s{number}");
        assert!(target.count(&path(&name)) <= 1, "{name} was checked twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_is_kept_shown_exported_and_refused_where_it_would_be_noise() {
    let up = Up::start().await;
    let webhook = json!({
        "name": "hook", "provider": "webhook", "events": [">"], "config": { "url": "http://127.0.0.1:1/" },
        "health_check": "1h",
    });
    let refused = up.client().request("POST", "/v1/integrations", Some(webhook)).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(problem["field"], "health_check", "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("no connection test")),
        "{problem}"
    );
    let slack = json!({
        "name": "bot", "provider": "slack", "events": [">"], "config": { "channel": "#ops" },
        "credentials": { "bot_token": "xoxb-1" }, "health_check": "1h",
    });
    let made = up.client().post("/v1/integrations", slack).await;
    assert_eq!(made["health_check"], "1h", "{made}");
    let exported = up.client().get("/v1/export").await;
    assert_eq!(exported["integrations"][0]["health_check"], "1h", "{exported}");
    let patch = async |body: Value| {
        up.client()
            .request("PATCH", "/v1/integrations/bot", Some(body))
            .await
            .ok()
    };
    assert_eq!(patch(json!({ "health_check": "5m" })).await["health_check"], "5m");
    assert_eq!(
        patch(json!({ "health_check": null })).await["health_check"],
        Value::Null
    );
    for wrong in ["1m", "8d"] {
        let body = json!({ "health_check": wrong });
        let answer = up.client().request("PATCH", "/v1/integrations/bot", Some(body)).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    up.stop().await;
}
