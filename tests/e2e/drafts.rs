//! What would be, and what holds: a draft of a subscription asked about real events, and effective settings.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Publish, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(20);

async fn publish(up: &Up, id: &str, event_type: &str, data: Value) {
    up.client().publish(Publish::of(event_type, &data).id(id)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_says_what_it_would_have_taken_and_leaves_nothing() {
    let up = Up::start().await;
    let target = Target::start().await;
    up.client()
        .apply(json!([{
            "name": "oncall", "provider": "webhook", "events": ["pr.merged"], "filter": { "min_severity": "critical" },
            "config": { "url": target.url("/oncall") },
        }]))
        .await;
    for (id, event_type, data) in [
        ("e-1", "alert.created", json!({ "rate": 0.5 })),
        ("e-2", "alert.created", json!({ "rate": 0.95 })),
        ("e-3", "alert.created", json!({})),
        ("e-4", "alert.created", json!({ "rate": "half" })),
        ("e-5", "pr.merged", json!({ "severity": "critical" })),
    ] {
        publish(&up, id, event_type, data).await;
    }
    target.wait_for("/oncall", 1, SOON).await;
    let ask = async |body: Value| up.client().post("/v1/subscriptions/try", body).await;
    let draft = json!({ "events": ["alert.*"], "filter": { "where": "event.data.rate < 0.9" } });
    let events_before = up.client().messages("EVENTS").await.expect("EVENTS is there");
    let answer = eventually(SOON, "all five are in EVENTS", async || {
        let answer = ask(draft.clone()).await;
        if answer["looked_at"] == 5 {
            Ok(answer)
        } else {
            Err(answer.to_string())
        }
    })
    .await;
    assert_eq!(
        (&answer["matched"], &answer["errors"]),
        (&json!(1), &json!(1)),
        "{answer}"
    );
    assert_eq!(answer["reasons"], json!({ "type": 1, "where": 3 }));
    let told = |id: &str| {
        let mut items = answer["items"].as_array().expect("a list").iter();
        items
            .find(|item| item["id"] == id)
            .unwrap_or_else(|| panic!("no {id} in {answer}"))
    };
    assert_eq!(
        (&told("e-1")["matches"], &told("e-1")["why"]),
        (&json!(true), &Value::Null)
    );
    assert!(
        told("e-2")["why"]
            .as_str()
            .is_some_and(|why| why.contains("event.data.rate is 0.95")),
        "{answer}"
    );
    assert!(
        told("e-4")["why"]
            .as_str()
            .is_some_and(|why| why.contains("has no answer")),
        "{answer}"
    );
    assert_eq!(
        (&told("e-5")["reason"], &told("e-5")["near"]),
        (&json!("type"), &json!(false))
    );
    // The newest alone, and beginning with what an integration has.
    let last = ask(json!({ "integration": "oncall", "last": 1 })).await;
    assert_eq!((&last["looked_at"], &last["matched"]), (&json!(1), &json!(1)), "{last}");
    let wider = ask(json!({ "integration": "oncall", "events": [">"] })).await;
    assert_eq!(wider["reasons"], json!({ "min_severity": 4 }), "{wider}");

    // A fault is told by its field.
    for (body, status, field) in [
        (json!({ "events": ["a..b"] }), 422, "events/0"),
        (
            json!({ "events": [">"], "filter": { "where": "event.data.(" } }),
            422,
            "filter/where",
        ),
        (json!({ "filter": {} }), 422, "events"),
        (json!({ "events": [">"], "last": 1_001 }), 400, "last"),
        (json!({ "events": [">"], "colour": "red" }), 400, "colour"),
        (json!({ "integration": "nobody" }), 404, ""),
    ] {
        let answer = up
            .client()
            .request("POST", "/v1/subscriptions/try", Some(body.clone()))
            .await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        let told = answer.json();
        assert_eq!(told["field"].as_str().unwrap_or_default(), field, "{body}: {told}");
    }
    let arguments = [
        "integrations",
        "try",
        "--events",
        "alert.*",
        "--where",
        "event.data.rate < 0.9",
        "--last",
        "100",
    ];
    assert_eq!(up.client().command_json(&arguments).await, answer);
    let (code, text) = up.client().command(&arguments).await;
    assert!(code == 0 && text.contains("1 of the last 5 events match"), "{text}");
    let file = up.data_dir().join("draft.yaml");
    let draft = "integrations:\n  - name: draft\n    provider: webhook\n    config: { url: \"https://example.com/x\" }\n    \
                 events: [\"alert.*\"]\n    filter: { where: \"event.data.rate < 0.9\" }\n";
    std::fs::write(&file, draft).expect("a file can be written");
    let path = file.to_str().expect("the name is UTF-8");
    assert_eq!(
        up.client().command_json(&["integrations", "try", "-f", path]).await["matched"],
        1
    );

    // Nothing was made, sent or stored by all that.
    pause(Duration::from_millis(500)).await;
    let integrations = up.client().get("/v1/integrations").await;
    assert_eq!(
        integrations["items"].as_array().map(Vec::len),
        Some(1),
        "{integrations}"
    );
    assert_eq!(target.count("/oncall"), 1);
    let events_after = up.client().messages("EVENTS").await.expect("EVENTS is there");
    assert!(events_after <= events_before.max(5), "{events_before} {events_after}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_setting_that_holds_says_who_said_so() {
    let up = Up::start().await;
    up.client()
        .apply(json!([{
            "name": "oncall", "provider": "slack", "events": ["alert.*"], "timeout": "30s", "order_by": "event.agent_id",
            "config": { "channel": "#ops" }, "credentials": { "bot_token": "xoxb-1" }, "health_check": "1h",
        }]))
        .await;
    let answer = up.client().get("/v1/integrations/oncall/settings").await;
    for (name, value, origin) in [
        ("timeout", json!("30s"), "integration"),
        ("order_by", json!("event.agent_id"), "integration"),
        ("health_check", json!("1h"), "integration"),
        ("rate_limit", json!({ "per_minute": 60 }), "provider"),
        ("connect_timeout", json!("5s"), "default"),
        ("expire_after", json!("3d"), "default"),
        ("batch", Value::Null, "default"),
        ("order_on_dead", json!("release"), "default"),
        ("in_flight_max", json!(64), "default"),
        ("org_share_percent", json!(50), "org"),
    ] {
        let setting = &answer["settings"][name];
        assert_eq!(*setting, json!({ "value": value, "origin": origin }), "{name}");
    }
    assert_eq!(
        (&answer["integration"], &answer["provider"]),
        (&json!("oncall"), &json!("slack"))
    );
    let told = up
        .client()
        .command_json(&["integrations", "show", "oncall", "--effective"])
        .await;
    assert_eq!(told["settings"], answer["settings"]);
    let (code, text) = up
        .client()
        .command(&["integrations", "show", "oncall", "--effective"])
        .await;
    assert!(
        code == 0 && text.contains("rate_limit") && text.contains("provider"),
        "{text}"
    );
    assert_eq!(
        up.client()
            .request("GET", "/v1/integrations/nobody/settings", None)
            .await
            .status,
        404
    );
    up.stop().await;
}
