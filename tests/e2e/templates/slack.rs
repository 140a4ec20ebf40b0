//! Messages in Slack: what is previewed is what is posted, and what Slack answers inside a 200 counts.

use super::*;

/// Answers of Slack's web API.
fn ok_false(error: &str) -> Answer {
    Answer::status(200).body(&json!({ "ok": false, "error": error }).to_string())
}

const POST_MESSAGE: &str = "/api/chat.postMessage";
const AUTH_TEST: &str = "/api/auth.test";
const INCOMING: &str = "/services/T0/B0/planted-path-4714";

async fn slack(up: &Up, target: &Target) {
    target.script(INCOMING, [Answer::status(200).body("ok")]);
    target.script(
        POST_MESSAGE,
        [Answer::status(200).body(r#"{"ok":true,"channel":"C1","ts":"1.2"}"#)],
    );
    let template = json!({
        "title": "{{ event.title }} on {{ event.data.host }}",
        "body": "<{{ event.data.run }}|the run> said {{ event.data.error }}",
    });
    up.client()
        .apply(json!([
            {
                "name": "hook", "provider": "slack", "events": ["hook.>"], "retry": { "schedule": ["1s", "1s"] },
                "config": { "webhook_url": target.url(INCOMING), "mention_on_failure": ["@here"] },
            },
            {
                "name": "bot", "provider": "slack", "events": ["bot.>"], "retry": { "schedule": ["1s", "1s"] },
                "config": { "channel": "#ops", "base_url": target.url("") }, "credentials": { "bot_token": TOKEN },
            },
            {
                "name": "own", "provider": "slack", "events": ["execution.failed"], "template": template,
                "config": { "webhook_url": target.url(INCOMING), "mention_on_failure": ["@here"] },
            },
        ]))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_slack_is_what_its_preview_shows() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    slack(&up, &target).await;
    let data = json!({
        "host": "db-1 <prod>", "run": "\u{feff}!channel", "error": "he said \"no\" & <!here>\n* left", "message": "It broke",
    });
    for (name, event_type, path) in [
        ("hook", "hook.broke", INCOMING),
        ("bot", "bot.broke", POST_MESSAGE),
        ("own", "execution.failed", INCOMING),
    ] {
        let sent_before = target.count(path);
        let made_up = json!({ "type": event_type, "id": name, "time": "2026-01-31T09:30:00Z", "data": data });
        let shown = preview(client, name, json!({ "event": made_up })).await;
        assert_eq!(target.count(path), sent_before, "nothing is sent");
        let published = client
            .post_event(
                "",
                &[("content-type", "application/json")],
                made_up.to_string().into_bytes(),
            )
            .await;
        published.ok();
        let sent = target
            .wait_for(path, sent_before + 1, SOON)
            .await
            .pop()
            .expect("it came");
        assert_shown_is_sent(&shown, &sent);
        assert_no_secret(&shown.to_string());
        client.delivery(name, "delivered", SOON).await;
        let text = String::from_utf8(sent.body.clone()).expect("UTF-8");
        assert!(text.contains("&lt;!here&gt;"), "{text}");
        for mention in ["<!channel>", "<@"] {
            assert!(!text.contains(mention), "data calls nobody: {text}");
        }
        assert_eq!(
            text.contains("<!here>"),
            name == "own",
            "bad news calls whom the config names: {text}"
        );
    }
    client.settled(SOON).await;
    assert_no_secret(&up.log());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slack_says_inside_a_200_counts_and_its_limit_is_waited_for() {
    let up = Up::start().await;
    let target = Target::start().await;
    let client = up.client();
    slack(&up, &target).await;

    // A message that is never taken is dead, and says why.
    target.script(
        POST_MESSAGE,
        [ok_false("msg_too_long"), Answer::status(200).body(r#"{"ok":true}"#)],
    );
    client.publish(Publish::of("bot.a", &json!({})).id("long")).await;
    let dead = client.delivery("long", "dead", SOON).await;
    assert_eq!(dead["error_message"], "Slack answered msg_too_long", "{dead}");
    assert_eq!(target.count(POST_MESSAGE), 1, "once");

    // What passes by itself is tried again: an error inside a 200, a limit with a page for a body, a page with a 200.
    let page = "<html><body><h1>Slow down</h1></body></html>";
    for (id, refusal) in [
        ("internal", ok_false("internal_error")),
        ("limited", Answer::status(429).header("Retry-After", "3").body(page)),
        ("proxy", Answer::status(200).body(page)),
    ] {
        for (event_type, path, yes) in [("bot.a", POST_MESSAGE, r#"{"ok":true}"#), ("hook.a", INCOMING, "ok")] {
            let before = target.count(path);
            target.script(path, [refusal.clone(), Answer::status(200).body(yes)]);
            let id = format!("{id}-{event_type}");
            client.publish(Publish::of(event_type, &json!({})).id(&id)).await;
            let delivered = client.delivery(&id, "delivered", SOON).await;
            assert_eq!(delivered["attempts"], 2, "{id}: {delivered}");
            let tries = target.received(path).split_off(before);
            assert_eq!(tries.len(), 2, "{id}");
            assert_eq!(tries[0].body, tries[1].body, "{id}: the same message again");
            let apart = tries[1].at - tries[0].at;
            let least = if id.starts_with("limited") { 3_000 } else { 700 };
            assert!(apart >= Duration::from_millis(least), "{id}: again after {apart:?}");
        }
    }

    // A webhook that says nothing with its 200 has taken it.
    target.script(INCOMING, [Answer::status(200)]);
    client.publish(Publish::of("hook.a", &json!({})).id("silent")).await;
    client.delivery("silent", "delivered", SOON).await;

    // What a person must mend holds the integration's deliveries back; none is given up.
    target.script(POST_MESSAGE, [ok_false("not_in_channel")]);
    client.publish(Publish::of("bot.a", &json!({})).id("outside")).await;
    let waiting = eventually(SOON, "the refusal is recorded", async || {
        let story = client.trace("outside").await?;
        match story["deliveries"][0]["history"][0]["outcome"].as_str() {
            Some("suspend") => Ok(story["deliveries"][0].clone()),
            _ => Err(story.to_string()),
        }
    })
    .await;
    assert_eq!(
        waiting["error_message"], "Slack answered not_in_channel: invite the app to the channel",
        "{waiting}"
    );
    assert!(
        !matches!(waiting["status"].as_str(), Some("dead" | "expired")),
        "{waiting}"
    );

    // A test of a bot asks what nobody sees; one that is refused suspends at once, and one that is taken ends that.
    target.script(
        AUTH_TEST,
        [
            ok_false("token_revoked"),
            Answer::status(200).body(r#"{"ok":true,"team":"T"}"#),
        ],
    );
    let posted = target.count(POST_MESSAGE);
    let refused = test(client, "bot").await;
    assert_eq!(refused["status"], "failed", "{refused}");
    assert_eq!(
        refused["message"], "Slack answered token_revoked: install the app again and set bot_token",
        "{refused}"
    );
    assert_eq!(client.integration("bot").await["status"], "error");
    assert_eq!(target.count(POST_MESSAGE), posted, "a test of a bot posts nothing");
    target.script(POST_MESSAGE, [Answer::status(200).body(r#"{"ok":true}"#)]);
    let taken = test(client, "bot").await;
    assert_eq!(
        (&taken["status"], &taken["integration_status"]),
        (&json!("success"), &json!("active")),
        "{taken}"
    );
    let id = waiting["id"].as_str().expect("an id");
    client.post(&format!("/v1/deliveries/{id}/retry"), json!({})).await;
    client.delivery("outside", "delivered", SOON).await;
    client.settled(SOON).await;
    assert_no_secret(&up.log());
    up.stop().await;
}
