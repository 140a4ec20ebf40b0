use serde_json::json;

use super::*;
use crate::conformance::hostile;

fn of_type(event_type: &str) -> Delivery {
    hostile::delivery(hostile::event(event_type, &json!({})), 1)
}

fn key(prefix: Option<&str>, template: &str, delivery: &Delivery) -> String {
    let key = Key::read("config/key_template", prefix, template, "").expect("a template");
    key.of(delivery).to_string()
}

fn refused(prefix: Option<&str>, template: &str) -> String {
    let error = Key::read("config/key_template", prefix, template, "").expect_err("it is refused");
    assert_eq!(error.pointer, "config/key_template");
    error.message
}

#[test]
fn every_placeholder_is_filled_in_from_the_delivery() {
    let delivery = of_type("alert.created");
    let id = &delivery.id;
    assert_eq!(
        key(None, DEFAULT, &delivery),
        format!("acme/alert.created/2025/12/31/23/{id}.jsonl"),
    );
    assert_eq!(
        key(Some("a/b"), "i={integration}/s={severity}/{delivery}", &delivery),
        format!(
            "a/b/i=0197c0de-0000-7000-8000-000000000001/s={}/{id}",
            delivery.event().event.severity
        ),
    );
}

#[test]
fn a_key_depends_on_nothing_that_changes_from_attempt_to_attempt_or_in_a_replay() {
    let first = of_type("alert.created");
    let mut later = first.clone();
    later.attempt = 7;
    later.retries = 6;
    later.hop = 9;
    later.generation = 2;
    later.since = Timestamp::from_secs(1_800_000_000);
    later.due = Some(Timestamp::from_secs(1_800_000_001));
    later.revision = 12;
    assert_eq!(key(None, DEFAULT, &first), key(None, DEFAULT, &later));
}

#[test]
fn a_digest_has_the_type_of_its_events_or_that_of_digests_and_the_hour_of_its_first() {
    let mut digest = of_type("alert.created");
    digest.digest = true;
    let mut second = digest.event().clone();
    second.at = Timestamp::from_secs(1_800_000_000);
    second.event.severity = signalbox_proto::Severity::Critical;
    digest.events.push(second);
    let template = "{type}/{severity}/{yyyy}-{mm}-{dd}-{hh}/{delivery}";
    let id = digest.id.clone();
    assert_eq!(
        key(None, template, &digest),
        format!("alert.created/critical/2025-12-31-23/{id}")
    );
    digest.events[1].event.event_type = "alert.resolved".parse().expect("a type");
    assert_eq!(
        key(None, template, &digest),
        format!("signalbox.digest/critical/2025-12-31-23/{id}")
    );
}

#[test]
fn what_is_filled_in_cannot_leave_its_folder() {
    for (hostile, harmless) in [
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("..", "_."),
        (".", "_"),
        ("", "_"),
        ("a\0b\r\nc", "a_b__c"),
        ("%2e%2e", "_2e_2e"),
        ("ä\u{202e}/", "___"),
        ("{delivery}", "_delivery_"),
    ] {
        let mut delivery = of_type("alert.created");
        delivery.id = hostile.to_owned();
        delivery.integration = hostile.to_owned();
        assert_eq!(
            key(None, "x/{integration}/{delivery}", &delivery),
            format!("x/{harmless}/{harmless}")
        );
        assert_eq!(key(None, "x/.{delivery}", &delivery), format!("x/.{harmless}"));
    }
}

#[test]
fn what_makes_no_key_is_refused() {
    for (template, says) in [
        ("", "is empty"),
        ("  ", "is empty"),
        ("{org}/{type}.jsonl", "{delivery}"),
        ("/{delivery}", "begins or ends"),
        ("{delivery}/", "begins or ends"),
        ("a//{delivery}", "empty"),
        ("../{delivery}", ".."),
        ("a/./{delivery}", "."),
        ("{delivery", "without its }"),
        ("}{delivery}", "holds something else"),
        ("{event}/{delivery}", "{severity}"),
        ("{Delivery}", "one of {org}"),
        ("a b/{delivery}", "holds something else"),
        ("a\u{7}{delivery}", "holds something else"),
        ("ä/{delivery}", "holds something else"),
        ("a%2f{delivery}", "holds something else"),
    ] {
        let message = refused(None, template);
        assert!(message.contains(says), "{template:?}: {message}");
    }
}

#[test]
fn no_template_makes_a_key_that_is_longer_than_stores_take() {
    let long = "x".repeat(KEY_BYTES_MAX - ID_BYTES_MAX - 1);
    let delivery = of_type("alert.created");
    assert!(key(None, &format!("{long}/{{delivery}}"), &delivery).len() <= KEY_BYTES_MAX);
    assert!(refused(None, &format!("{long}x/{{delivery}}")).contains("longer than 1024"));
    assert!(refused(Some("p"), &format!("{long}/{{delivery}}")).contains("longer than 1024"));
    assert!(refused(None, &format!("{}{{delivery}}", "{type}".repeat(8))).contains("longer"));
}

#[test]
fn the_name_of_a_compressed_object_says_so_once() {
    let delivery = of_type("alert.created");
    let id = &delivery.id;
    for template in ["{delivery}.jsonl", "{delivery}.jsonl.gz"] {
        let key = Key::read("config/key_template", None, template, ".gz").expect("a template");
        assert_eq!(key.of(&delivery).to_string(), format!("{id}.jsonl.gz"));
    }
}

#[test]
fn a_prefix_is_a_folder() {
    let read = |text: &str| prefix("config/prefix", text);
    assert_eq!(read("/a/b/").expect("a prefix"), Some("a/b".to_owned()));
    assert_eq!(read(" / ").expect("none"), None);
    for wrong in ["a/../b", "..", "a//b", "{org}", "a b"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
