use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalbox_proto::{Name, RawJson};

use super::*;
use crate::conformance::hostile;

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
fn what_is_brief_is_the_same_without_the_fields() {
    let about = about();
    let mut links = 0;
    let same = |one: &Accepted| {
        let (whole, brief) = (Display::single(one, &about), Display::brief(one, &about));
        let without = Display {
            fields: Vec::new(),
            fields_more: 0,
            ..whole
        };
        assert_eq!(format!("{brief:?}"), format!("{without:?}"));
        brief.links.len()
    };
    for index in 0..60 {
        for one in &hostile::hostile(index).events {
            links += same(one);
        }
    }
    assert!(links > 0, "hostile events hold links");
    let url = "https://example.com/1";
    for data in [
        json!({ "spec": { "url": url }, "pr": { "url": url, "number": 1 }, "logs_url": url, "title": "a" }),
        json!({ "spec": url, "pr": [{ "url": url }], "logs_url": { "url": url } }),
        json!({ "spec": { "url": "javascript:x" }, "logs_url": 7, "message": "m" }),
        json!(["a"]),
        json!("a text"),
        json!(7),
        Value::Null,
    ] {
        for event_type in ["execution.failed", "own.type", "integration.test"] {
            same(&accepted(event_type, &data));
        }
    }
    let mut binary = accepted("own.type", &json!("AAEC"));
    binary.event.data_base64 = true;
    same(&binary);
}

#[test]
fn a_line_says_all_that_is_new_once() {
    let about = about();
    let line = |event_type: &str, data: Value| Display::single(&accepted(event_type, &data), &about).line();
    assert_eq!(line("alert.created", json!({})), "Alert Created");
    assert_eq!(
        line(
            "alert.created",
            json!({ "title": "Latency", "message": "p99 is\nabove 1 s" })
        ),
        "Alert Created: Latency: p99 is above 1 s"
    );
    assert_eq!(
        line("execution.failed", json!({ "title": "Nightly", "error": "disk full" })),
        "Execution Failed: Nightly: disk full"
    );
    assert_eq!(
        line("system.recovered", json!({ "title": "db-1" })),
        "System Recovered: db-1: System has recovered to healthy state"
    );
}

#[test]
fn a_list_of_events_is_shown_as_their_digest_is() {
    let about = about();
    let events: Vec<Accepted> = (0..3)
        .map(|_| accepted("execution.failed", &json!({ "error": "disk full" })))
        .collect();
    let listed = events.iter().collect::<Vec<_>>();
    let shown = Display::listed(&listed, &about);
    assert_eq!(
        (&*shown.title, &*shown.message, shown.entries.len()),
        ("3 events", "3 × Execution Failed", 3)
    );
    assert_eq!(
        shown.entries[0].line(),
        "2026-01-01T00:00:00Z · Execution Failed · disk full"
    );
    assert_eq!(
        format!("{shown:?}"),
        format!("{:?}", Display::of(&digest(events.clone()), &about))
    );
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
    assert_eq!(texts, [Some("Disk: fine"), Some("e0"), Some("e1"), Some("e2"),]);
}

#[test]
fn one_event_is_a_digest_where_it_was_gathered_and_else_itself() {
    let (mut delivery, about) = (digest(vec![accepted("execution.failed", &json!({}))]), about());
    assert_eq!(Display::of(&delivery, &about).event_type, "execution.failed");
    delivery.digest = true;
    let shown = Display::of(&delivery, &about);
    assert_eq!((shown.event_type, &*shown.title), ("signalbox.digest", "1 event"));
    assert_eq!(shown.entries.len(), 1);
    assert_eq!(shown.tone, Tone::Bad);
}

#[test]
fn a_line_of_a_digest_says_once_what_happened_and_what_tells_most() {
    let about = about();
    let line = |event_type: &str, data: Value| {
        let delivery = digest(vec![accepted(event_type, &data), accepted("pr.merged", &json!({}))]);
        let shown = Display::of(&delivery, &about);
        shown.entries[0].text.clone()
    };
    for (event_type, data, expected) in [
        // Not the title again, in whatever case; but what only begins like it.
        ("execution.failed", json!({ "error": "disk full" }), Some("disk full")),
        ("canary.started", json!({ "version": "2" }), Some("for version 2")),
        ("alert.created", json!({ "message": "ALERT CREATED" }), None),
        (
            "alert.created",
            json!({ "message": "Alert createdness" }),
            Some("Alert createdness"),
        ),
        ("alert.created", json!({ "message": "שלום" }), Some("שלום")),
        // The headline first, then the message, on one line.
        (
            "alert.created",
            json!({ "title": "Disk", "message": "is\nfull\u{202e}\u{0}" }),
            Some("Disk: is full"),
        ),
        ("alert.created", json!({ "title": "Disk" }), Some("Disk")),
        (
            "alert.created",
            json!({ "title": "דיסק", "message": "full" }),
            Some("\u{2068}דיסק\u{2069}: full"),
        ),
        // Without a message: the error, the reason, the spec.
        (
            "implementation.failed",
            json!({ "error": { "message": "no schema" } }),
            Some("no schema"),
        ),
        (
            "implementation.failed",
            json!({ "reason": "too slow", "spec": { "id": "F-1" } }),
            Some("too slow"),
        ),
        (
            "spec.created",
            json!({ "spec": { "id": "F-1", "title": "Sign-in", "url": "https://example.com" } }),
            Some("F-1: Sign-in"),
        ),
        ("spec.created", json!({ "spec": "F-2" }), Some("F-2")),
        ("spec.created", json!({ "spec": [1] }), None),
        // Data that is no object.
        ("own.type", json!("just a text"), Some("just a text")),
        ("own.type", json!([1, 2]), None),
        ("own.type", json!({}), None),
    ] {
        assert_eq!(
            line(event_type, data.clone()).as_deref(),
            expected,
            "{event_type} {data}"
        );
    }
}

#[test]
fn a_line_of_a_digest_has_a_bound_and_is_cut_between_signs() {
    let about = about();
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    for (title, message) in [
        ("t".repeat(300), "m".repeat(300)),
        (family.repeat(60), family.repeat(60)),
        ("שלום ".repeat(60), "עולם ".repeat(60)),
    ] {
        let data = json!({ "title": title, "message": message });
        let delivery = digest(vec![accepted("own.type", &data), accepted("own.type", &data)]);
        let shown = Display::of(&delivery, &about);
        let text = shown.entries[0].text.as_deref().expect("a text");
        assert!(text.chars().count() <= ENTRY_CHARS_MAX && text.contains('…'), "{text}");
        assert_eq!(
            text.matches('\u{2068}').count(),
            text.matches('\u{2069}').count(),
            "{text}"
        );
        assert!(!text.contains("\u{200d}…"), "{text}");
    }
}

#[test]
fn a_digest_names_its_most_frequent_kinds_and_counts_the_others() {
    let mut events = Vec::new();
    for kind in 0..11 {
        for _ in 0..=kind {
            events.push(accepted(&format!("own.kind-{kind}"), &json!({})));
        }
    }
    let (delivery, about) = (digest(events), about());
    let shown = Display::of(&delivery, &about);
    assert!(
        shown.message.starts_with("11 × own.kind-10, 10 × own.kind-9, "),
        "{}",
        shown.message
    );
    assert!(
        shown.message.ends_with("4 × own.kind-3 and 3 more kinds"),
        "{}",
        shown.message
    );
}

#[test]
fn a_digest_has_the_newest_time_and_lines_of_each_event() {
    let mut events: Vec<Accepted> = (0..3).map(|_| accepted("alert.created", &json!({}))).collect();
    for (event, secs) in events.iter_mut().zip([50, 90, 70]) {
        event.event.time = Some(Timestamp::from_secs(secs));
    }
    let (delivery, about) = (digest(events), about());
    let shown = Display::of(&delivery, &about);
    assert_eq!(shown.time, Timestamp::from_secs(90));
    let times: Vec<Timestamp> = shown.entries.iter().map(|entry| entry.time).collect();
    assert_eq!(times, [50, 90, 70].map(Timestamp::from_secs));
    assert!(shown.fields.is_empty() && shown.links.is_empty() && shown.entries_more == 0);
}

#[test]
fn a_message_behind_its_title_is_not_the_title_again() {
    let about = about();
    let behind = |event_type: &str, data: Value| {
        let accepted = accepted(event_type, &data);
        Display::single(&accepted, &about).message_behind_title().into_owned()
    };
    assert_eq!(behind("execution.failed", json!({ "error": "e" })), ": e");
    assert_eq!(behind("canary.started", json!({ "version": "2" })), " for version 2");
    assert_eq!(behind("alert.created", json!({ "message": "m" })), ": m");
    assert_eq!(behind("alert.created", json!({})), "");
    assert_eq!(behind("own.type", json!({ "message": "öwn.type" })), ": öwn.type");
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

#[test]
fn a_gist_says_the_title_once_and_what_tells_most() {
    let about = about();
    let said = |event_type: &str, data: Value| {
        let accepted = accepted(event_type, &data);
        let gist = Gist::of(&accepted, &about);
        (gist.text(), gist.tone)
    };
    for (event_type, data, text, tone) in [
        (
            "alert.created",
            json!({ "title": "Latency rises", "message": "p99 is 840 ms\nsince 10:30" }),
            "Alert Created: Latency rises\np99 is 840 ms\nsince 10:30",
            Tone::Bad,
        ),
        (
            "execution.failed",
            json!({ "error": "disk full" }),
            "Execution Failed: disk full",
            Tone::Bad,
        ),
        ("alert.resolved", json!({}), "Alert Resolved", Tone::Good),
        (
            "alert.resolved",
            json!({ "title": "Latency rises" }),
            "Alert Resolved: Latency rises",
            Tone::Good,
        ),
        (
            "shop.order-paid",
            json!({ "message": "7 was paid" }),
            "shop.order-paid: 7 was paid",
            Tone::Neutral,
        ),
        (
            "implementation.failed",
            json!({ "error": "no schema" }),
            "Implementation Failed: no schema",
            Tone::Bad,
        ),
    ] {
        assert_eq!(said(event_type, data), (text.to_owned(), tone));
    }
    let (test, _) = said("integration.test", json!({}));
    assert!(test.starts_with("Test: This is a test from Signalbox"), "{test}");
    let (turned, _) = said("alert.created", json!({ "title": "שלום" }));
    assert_eq!(turned, "Alert Created: \u{2068}שלום\u{2069}");
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
