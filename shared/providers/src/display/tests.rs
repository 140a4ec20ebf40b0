use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalbox_proto::{Name, RawJson};

use super::*;

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "team-chat".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

fn accepted(event_type: &str, data: &Value) -> Accepted {
    serde_json::from_value(json!({
        "event": { "id": "1", "org": "acme", "type": event_type, "source": "/acme", "data": data },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event")
}

fn digest(events: Vec<Accepted>) -> Delivery {
    let provider: Name = "slack".parse().expect("a name");
    let mut delivery = Delivery::first(events[0].clone(), "0197", &provider, 1, 1);
    delivery.events = events;
    delivery
}

#[test]
fn a_type_looks_as_it_is_built_in_as_it_was_registered_or_like_itself() {
    let about = about();
    let look = |accepted: &Accepted| {
        let shown = Display::single(accepted, &about);
        (shown.title.to_string(), shown.emoji.to_string(), shown.tone)
    };
    assert_eq!(
        look(&accepted("execution.failed", &json!({}))),
        ("Execution Failed".to_owned(), "❌".to_owned(), Tone::Bad)
    );
    assert_eq!(
        look(&accepted("shop.order-paid", &json!({}))),
        ("shop.order-paid".to_owned(), "ℹ️".to_owned(), Tone::Neutral)
    );
    let mut own = accepted("execution.failed", &json!({}));
    own.event.look = Some(types::Look {
        title: Some(" Run\n\u{202e}broke ".to_owned()),
        emoji: None,
        tone: Some(Tone::Neutral),
    });
    assert_eq!(look(&own), ("Run broke".to_owned(), "❌".to_owned(), Tone::Neutral));
}

#[test]
fn a_message_is_the_events_the_types_or_the_title() {
    let about = about();
    let message = |event_type: &str, data: Value| {
        let accepted = accepted(event_type, &data);
        let shown = Display::single(&accepted, &about);
        (shown.message.to_string(), shown.says_more())
    };
    assert_eq!(
        message("alert.created", json!({ "message": "m" })),
        ("m".to_owned(), true)
    );
    assert_eq!(
        message("canary.started", json!({ "version": "2" })),
        ("Canary deployment started for version 2".to_owned(), true)
    );
    assert_eq!(
        message("canary.started", json!({})),
        ("Canary Deployment Started".to_owned(), false)
    );
    let (test, _) = message("integration.test", json!({}));
    assert!(
        test.contains("This is a test from Signalbox") && test.contains("team-chat"),
        "{test}"
    );
}

#[test]
fn the_time_is_the_producers_else_that_of_acceptance() {
    let about = about();
    let mut event = accepted("alert.created", &json!({}));
    assert_eq!(Display::single(&event, &about).time, event.at);
    event.event.time = Some(Timestamp::from_secs(7));
    assert_eq!(Display::single(&event, &about).time, Timestamp::from_secs(7));
}

#[test]
fn a_digest_is_as_bad_as_its_worst_and_counts_its_kinds() {
    let mut events = vec![accepted(
        "alert.resolved",
        &json!({ "title": "Disk", "message": "fine" }),
    )];
    events.extend((0..3).map(|n| accepted("execution.failed", &json!({ "error": format!("e{n}") }))));
    events[2].event.severity = Severity::Critical;
    let (delivery, about) = (digest(events), about());
    let shown = Display::of(&delivery, &about);
    assert_eq!(
        (shown.title.as_ref(), shown.tone, shown.severity),
        ("4 events", Tone::Bad, Severity::Critical)
    );
    assert_eq!(shown.message, "3 × Execution Failed, 1 × Alert Resolved");
    assert_eq!(shown.event_type, "signalbox.digest");
    let texts: Vec<Option<&str>> = shown.entries.iter().map(|entry| entry.text.as_deref()).collect();
    assert_eq!(
        texts,
        [
            Some("Disk: fine"),
            Some("Execution failed: e0"),
            Some("Execution failed: e1"),
            Some("Execution failed: e2"),
        ]
    );
}

#[test]
fn a_digest_of_good_news_is_good_and_a_mixed_one_neutral() {
    let about = about();
    let tone = |types: &[&str]| {
        let delivery = digest(types.iter().map(|name| accepted(name, &json!({}))).collect());
        Display::of(&delivery, &about).tone
    };
    assert_eq!(tone(&["alert.resolved", "pr.merged"]), Tone::Good);
    assert_eq!(tone(&["alert.resolved", "pr.created"]), Tone::Neutral);
    assert_eq!(tone(&["pr.created", "execution.failed", "pr.merged"]), Tone::Bad);
}

#[test]
fn a_long_digest_shows_the_most_serious_in_their_order() {
    let mut events: Vec<Accepted> = (0..100)
        .map(|n| accepted("alert.created", &json!({ "title": format!("a{n}") })))
        .collect();
    events[99].event.severity = Severity::Critical;
    let (delivery, about) = (digest(events), about());
    let shown = Display::of(&delivery, &about);
    assert_eq!(shown.entries.len(), ENTRIES_MAX);
    assert_eq!(shown.entries_more, 60);
    assert_eq!(shown.entries[0].text.as_deref(), Some("a0"));
    assert_eq!(shown.entries[ENTRIES_MAX - 1].text.as_deref(), Some("a99"));
}

/// A guard against work that grows with the square of the data: the worst shapes that fit in an event.
#[test]
fn the_largest_event_is_read_in_bounded_time() {
    let words = format!("\"{}\"", "word ".repeat(50_000));
    let escapes = format!("\"{}\"", "\\u00e9\\n".repeat(30_000));
    let wide: Vec<String> = (0..15_000).map(|n| format!("\"key{n}\":{n}")).collect();
    let nested = format!("{}1{}", "{\"a\":".repeat(60), "}".repeat(60));
    let flags = "🇩🇪".repeat(30_000);
    let shapes = [
        format!("{{\"message\":{words}}}"),
        format!("{{\"error\":{escapes}}}"),
        format!("{{{}}}", wide.join(",")),
        format!("{{\"spec\":{{{}}}}}", wide.join(",")),
        format!("{{\"list\":[{}]}}", vec!["{\"a\":[1,2,3]}"; 15_000].join(",")),
        format!("{{\"deep\":{nested},\"flags\":\"{flags}\"}}"),
    ];
    let about = about();
    for shape in shapes {
        let mut event = accepted("execution.failed", &json!({}));
        event.event.data = RawJson::from_checked(shape.into());
        let begun = Instant::now();
        let shown = Display::single(&event, &about);
        assert!(shown.fields.len() <= FIELDS_MAX);
        // Unoptimised and on a busy machine it takes some 20 ms.
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
