//! What targets answer, and how each delivery ends for it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Publish, Target, Up, eventually, target::Received};

/// How long a delivery with the short schedule may take to end.
const SOON: Duration = Duration::from_secs(20);
/// A wait of the schedule is at least this: a second, 20 % less for jitter.
const STEP_LEAST: Duration = Duration::from_millis(790);

/// An integration with a short schedule and timeout for events of the type `answer.<name>`, and its path.
fn integration(target: &Target, name: &str, extra: &Value) -> Value {
    let mut integration = json!({
        "name": name,
        "provider": "webhook",
        "config": { "url": target.url(&format!("/{name}")) },
        "events": [format!("answer.{name}")],
        "retry": { "schedule": ["1s", "1s"] },
        "timeout": "1s",
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        integration[field] = value.clone();
    }
    integration
}

struct Scene {
    up: Up,
    target: Target,
}

impl Scene {
    async fn start() -> Self {
        Self {
            up: Up::start().await,
            target: Target::start().await,
        }
    }

    fn client(&self) -> &Client {
        self.up.client()
    }

    /// Applies an integration whose target answers so, publishes one event for it, and gives the event's id.
    async fn play(&self, name: &str, answers: impl IntoIterator<Item = Answer>) -> String {
        self.target.script(&format!("/{name}"), answers);
        self.client()
            .apply(json!([integration(&self.target, name, &json!({}))]))
            .await;
        let id = format!("event-{name}");
        self.client()
            .publish(Publish::of(&format!("answer.{name}"), &json!({ "name": name })).id(&id))
            .await;
        id
    }

    /// Waits until the delivery has ended so after so many requests, all of them with one delivery id.
    async fn ended(&self, name: &str, status: &str, requests: usize) -> (Value, Vec<Received>) {
        let event = format!("event-{name}");
        self.client().delivery(&event, status, SOON).await;
        // A dead letter is there a moment before the record of its last attempt.
        let delivery = eventually(SOON, &format!("{name} has {requests} attempts"), async || {
            let delivery = self.client().delivery(&event, status, SOON).await;
            if delivery["attempts"] == requests {
                Ok(delivery)
            } else {
                Err(delivery.to_string())
            }
        })
        .await;
        let received = self.target.received(&format!("/{name}"));
        assert_eq!(received.len(), requests, "{name}: {delivery}");
        for request in &received {
            assert_eq!(
                request.delivery(),
                delivery["id"],
                "{name}: every attempt carries the delivery's id"
            );
        }
        (delivery, received)
    }
}

fn outcomes(delivery: &Value) -> Vec<&str> {
    let history = delivery["history"].as_array().expect("a delivery has a history");
    history.iter().filter_map(|entry| entry["outcome"].as_str()).collect()
}

fn reasons(delivery: &Value) -> Vec<&str> {
    let history = delivery["history"].as_array().expect("a delivery has a history");
    history
        .iter()
        .filter_map(|entry| entry["error_message"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again_at_the_pace_of_the_schedule_and_not_before_retry_after() {
    let scene = Scene::start().await;
    let date_ahead = Duration::from_secs(4);
    scene.play("fails", [Answer::status(500), Answer::status(200)]).await;
    scene
        .play(
            "seconds",
            [Answer::status(429).header("Retry-After", "3"), Answer::status(200)],
        )
        .await;
    scene
        .play(
            "date",
            [Answer::status(429).retry_after_date_in(date_ahead), Answer::status(200)],
        )
        .await;
    scene.play("hangs", [Answer::hang(), Answer::status(204)]).await;
    scene.play("resets", [Answer::reset(), Answer::status(201)]).await;
    scene
        .play(
            "trickles",
            [Answer::status(200).after(Duration::from_secs(3)), Answer::status(200)],
        )
        .await;

    for name in ["fails", "seconds", "date", "hangs", "resets", "trickles"] {
        let (delivery, received) = scene.ended(name, "delivered", 2).await;
        assert_eq!(outcomes(&delivery), ["retry", "delivered"], "{name}: {delivery}");
        let between = received[1].at - received[0].at;
        assert!(between >= STEP_LEAST, "{name}: tried again after {between:?}");
        match name {
            "seconds" => assert!(
                between >= Duration::from_secs(3),
                "{name}: tried again after {between:?}"
            ),
            "date" => {
                let date = whole_second(received[0].wall + date_ahead);
                assert!(
                    received[1].wall >= date,
                    "{name}: tried again before the date, after {between:?}"
                );
            }
            _ => {}
        }
    }
    let (delivery, received) = scene.ended("hangs", "delivered", 2).await;
    let between = received[1].at - received[0].at;
    assert!(
        between < Duration::from_secs(8),
        "the timeout of the integration counts: {between:?}, {delivery}"
    );
    let ledger = scene.client().settled(SOON).await;
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"]),
        (&json!(6), &json!(0)),
        "{ledger}"
    );
    scene.up.stop().await;
}

fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_will_never_take_or_never_took_is_a_dead_letter() {
    let scene = Scene::start().await;
    scene.play("rejects", [Answer::status(400)]).await;
    scene.play("teapot", [Answer::status(418)]).await;
    scene.play("broken", [Answer::status(503)]).await;

    for (name, requests, reason, code) in [
        ("rejects", 1, "rejected", 400),
        ("teapot", 1, "rejected", 418),
        ("broken", 3, "exhausted", 503),
    ] {
        let (delivery, _) = scene.ended(name, "dead", requests).await;
        let letters = scene.client().dead_letters(&format!("?integration={name}")).await;
        let [letter] = letters.as_slice() else {
            panic!("one dead letter of {name}: {letters:?}")
        };
        assert_eq!(letter["id"], delivery["dead_letter_id"]);
        assert_eq!(
            (&letter["stage"], &letter["reason"]),
            (&json!("delivery"), &json!(reason)),
            "{letter}"
        );
        assert_eq!(letter["event"]["id"], format!("event-{name}"), "{letter}");
        assert_eq!(letter["event"]["data"], json!({ "name": name }), "{letter}");
        let attempts = letter["attempts"].as_array().expect("a dead letter has its attempts");
        assert_eq!(attempts.len(), requests, "{letter}");
        assert!(
            attempts.iter().all(|attempt| attempt["response_code"] == code),
            "{letter}"
        );
    }
    scene.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2xx_counts_whatever_its_body_does() {
    let scene = Scene::start().await;
    scene.play("endless", [Answer::endless(200)]).await;
    let (delivery, _) = scene.ended("endless", "delivered", 1).await;
    let stored = delivery["response_body"].as_str().unwrap_or_default().len();
    assert!(stored <= 4_096, "{stored} bytes of the body are kept");
    scene.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_the_reason_names_where_it_pointed() {
    let scene = Scene::start().await;
    let elsewhere = scene.target.url("/elsewhere");
    scene
        .play(
            "moved",
            [Answer::status(302).header("Location", &format!("{elsewhere}?token=secret"))],
        )
        .await;
    let delivery = eventually(SOON, "the redirect is on record", async || {
        let story = scene.client().trace("event-moved").await?;
        let delivery = &story["deliveries"][0];
        if delivery["attempts"] == 1 {
            Ok(delivery.clone())
        } else {
            Err(story.to_string())
        }
    })
    .await;
    assert_eq!(outcomes(&delivery), ["suspend"], "{delivery}");
    let reason = reasons(&delivery).concat();
    assert!(reason.contains(&elsewhere), "{reason}");
    assert!(!reason.contains("secret"), "what the query holds is not told: {reason}");
    assert_eq!(scene.target.count("/elsewhere"), 0, "a redirect is not followed");
    scene.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_410_suspends_at_once_tells_and_keeps_everything_until_a_person_resumes() {
    let scene = Scene::start().await;
    let client = scene.client();
    client
        .apply(json!([{
            "name": "owner", "provider": "webhook", "events": ["integration.*"],
            "config": { "url": scene.target.url("/owner") },
        }]))
        .await;
    scene.play("gone", [Answer::status(410)]).await;
    let integration = eventually(SOON, "the integration is suspended", async || {
        let integration = client.integration("gone").await;
        if integration["status"] == "error" {
            Ok(integration)
        } else {
            Err(integration.to_string())
        }
    })
    .await;
    assert!(
        integration["error_message"]
            .as_str()
            .unwrap_or_default()
            .contains("410"),
        "{integration}"
    );
    let told = scene.target.wait_for("/owner", 1, SOON).await;
    assert_eq!(told[0].json()["type"], "integration.suspended", "{}", told[0].json());

    for n in 0..20 {
        client
            .publish(Publish::of("answer.gone", &json!({ "n": n })).id(&format!("later-{n}")))
            .await;
    }
    eventually(SOON, "what comes later is parked", async || {
        match client.waiting("gone").await? {
            (0, _, 20) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(scene.target.count("/gone"), 1, "a suspended integration is left alone");

    scene.target.script("/gone", [Answer::status(200)]);
    client.resume("gone").await;
    scene.target.wait_for_events("/gone", 21, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(
        (&ledger["dead"], &ledger["discarded"]),
        (&json!(0), &json!(0)),
        "{ledger}"
    );
    assert_eq!(
        scene.target.count("/gone"),
        22,
        "one request was refused, each event was sent once more"
    );
    assert_eq!(client.integration("gone").await["status"], "active");
    scene.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: takes three minutes"]
async fn soak_three_401_over_a_minute_suspend_and_the_oldest_delivery_brings_the_integration_back() {
    let scene = Scene::start().await;
    let client = scene.client();
    let minutes = Duration::from_secs(150);
    client
        .apply(json!([{
            "name": "owner", "provider": "webhook", "events": ["integration.*"],
            "config": { "url": scene.target.url("/owner") },
        }]))
        .await;
    scene.play("keys", [Answer::status(401)]).await;
    let suspended = scene.target.wait_for("/owner", 1, minutes).await;
    assert_eq!(suspended[0].json()["type"], "integration.suspended");
    scene.target.script("/keys", [Answer::status(200)]);
    let refused = scene.target.received("/keys");
    assert!(refused.len() >= 3, "three in a row");
    let last = refused.len() - 1;
    let over = refused[last].at - refused[0].at;
    assert!(over >= Duration::from_secs(59), "suspended after {over:?}");
    client.publish(Publish::of("answer.keys", &json!({})).id("waits")).await;

    scene.target.wait_for_events("/keys", 2, minutes).await;
    let all = scene.target.received("/keys");
    assert_eq!(all.len(), refused.len() + 2, "the probe and what waited behind it");
    assert_eq!(all[last + 1].event, "event-keys", "the oldest delivery is the probe");
    let probed_after = all[last + 1].at - all[last].at;
    assert!(
        probed_after >= Duration::from_secs(59),
        "the first probe came after {probed_after:?}"
    );
    let told = scene.target.wait_for("/owner", 2, SOON).await;
    assert_eq!(told[1].json()["type"], "integration.recovered");
    client.settled(SOON).await;
    assert_eq!(client.integration("keys").await["status"], "active");
    scene.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: the least expiry is a minute"]
async fn soak_what_waits_longer_than_expire_after_is_kept_as_expired_and_can_be_replayed() {
    let scene = Scene::start().await;
    let client = scene.client();
    scene.target.script("/late", [Answer::status(503)]);
    let extra = json!({ "expire_after": "1m", "retry": { "schedule": ["30s", "45s", "60s"] } });
    client.apply(json!([integration(&scene.target, "late", &extra)])).await;
    client
        .publish(Publish::of("answer.late", &json!({})).id("event-late"))
        .await;
    let paused = json!({ "expire_after": "1m" });
    client.apply(json!([integration(&scene.target, "held", &paused)])).await;
    client.hold("held").await;
    client
        .publish(Publish::of("answer.held", &json!({})).id("event-held"))
        .await;

    let minutes = Duration::from_secs(180);
    client.delivery("event-late", "expired", minutes).await;
    client.delivery("event-held", "expired", minutes).await;
    assert_eq!(scene.target.count("/held"), 0);
    scene.target.script("/late", [Answer::status(200)]);
    let act = client
        .act(
            "/v1/dead-letters/replay",
            json!({ "filter": { "integration": "late" } }),
        )
        .await;
    assert_eq!(act["done"], 1, "{act}");
    client.delivery("event-late", "delivered", SOON).await;
    scene.up.stop().await;
}
