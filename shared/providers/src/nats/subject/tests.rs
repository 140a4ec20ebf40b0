use signalbox_proto::{Accepted, Delivery};

use super::*;

fn delivery(event_type: &str) -> Delivery {
    let accepted: Accepted = serde_json::from_value(serde_json::json!({
        "event": {
            "id": "evt-1", "org": "acme", "type": event_type, "source": "/acme", "severity": "high",
            "severity_named": true, "data": {},
        },
        "seq": 1,
        "at": "2026-01-01T00:00:00Z",
    }))
    .expect("an accepted event");
    Delivery::first(accepted, "0197", &"nats".parse().expect("a name"), 1, 1)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

#[test]
fn placeholders_are_filled_in_for_each_event() {
    let delivery = delivery("canary.rolled_back");
    let message = Message::of(&delivery);
    for (written, expected) in [
        ("events", "events"),
        (" events.all ", "events.all"),
        ("events.{type}", "events.canary.rolled_back"),
        ("a.{org}.{severity}.{type}.z", "a.acme.high.canary.rolled_back.z"),
        ("a.$b.c:d/e=f", "a.$b.c:d/e=f"),
        ("signalbox.in.acme.relayed", "signalbox.in.acme.relayed"),
        ("signalbox.in.{org}.{type}", "signalbox.in.acme.canary.rolled_back"),
        ("signalboxes.{type}", "signalboxes.canary.rolled_back"),
    ] {
        let subject = Subject::read("config/subject", written).expect(written);
        assert_eq!(subject.place(&message), expected);
        assert_eq!(subject.check_org(&name("acme")), Ok(()), "{written}");
    }
}

#[test]
fn what_is_the_servers_or_signalboxs_own_is_refused() {
    for written in [
        "$JS.API.STREAM.DELETE.EVENTS",
        "$KV.SIGNALBOX_CONFIG.x",
        "$SYS.REQ.SERVER.PING",
        "$",
        "_INBOX.abc",
        "_inbox.abc",
        "signalbox",
        "signalbox.in",
        "signalbox.in.acme",
        "signalbox.in.acme.",
        "signalbox.event.0.acme.tick",
        "signalbox.ingest.0.acme.tick",
        "signalbox.deliver.slack.live.acme.i1",
        "signalbox.dead.ingest.acme.-.-",
        "SIGNALBOX.in.acme.tick",
        "Signalbox.in.acme.tick",
        "signalbox.IN.acme.tick",
        // The rest could be chosen by an event, or by the name of an org.
        "{type}",
        "{type}.x",
        "{org}.in.acme.tick",
        "signalbox.{org}.acme.tick",
        "signalbox.{type}",
        "signalbox.in.{type}",
        "signalbox.in.{type}.{org}",
        "signalbox.in.{severity}.tick",
        "signalbox.in.acme.{type}.more",
        "signalbox.in.acme.{org}",
        "signalbox.in.acme.a.{type}",
        "signalbox.in.Acme.tick",
        "signalbox.in.acme.not a type",
        "signalbox.in.acme.a:b",
    ] {
        let error = Subject::read("config/subject", written).expect_err(written);
        assert_eq!(error.pointer, "config/subject", "{written}");
    }
}

#[test]
fn the_input_of_another_org_is_refused_and_of_its_own_is_not() {
    let subject = Subject::read("config/subject", "signalbox.in.acme.{type}").expect("an input");
    assert!(subject.is_input());
    assert_eq!(subject.check_org(&name("acme")), Ok(()));
    let message = subject.check_org(&name("globex")).expect_err("another org");
    assert_eq!(
        message,
        "is the input of another org: an integration may publish to signalbox.in.globex alone"
    );
    let any = Subject::read("config/subject", "signalbox.in.{org}.{type}").expect("an input");
    assert_eq!(any.check_org(&name("globex")), Ok(()));
    let other = Subject::read("config/subject", "events.{type}").expect("a subject");
    assert!(!other.is_input());
    assert_eq!(other.input_type("events.tick"), None);
}

#[test]
fn the_type_of_a_new_event_is_what_the_subject_says() {
    let delivery = delivery("alert.created");
    for (written, expected) in [
        ("signalbox.in.acme.{type}", "alert.created"),
        ("signalbox.in.{org}.page.needed", "page.needed"),
    ] {
        let subject = Subject::read("config/subject", written).expect(written);
        let place = subject.place(&Message::of(&delivery));
        assert_eq!(subject.input_type(&place), Some(expected));
    }
}

#[test]
fn what_is_no_plain_subject_is_refused() {
    for written in [
        "",
        "  ",
        ".",
        "a..b",
        ".a",
        "a.",
        "a.*",
        "a.>",
        ">",
        "a*b",
        "a.b>",
        "a b",
        "a.\tb",
        "a.b\r\nPUB x 0",
        "a.é",
        "a.{id}",
        "a.x{type}",
        "a.{type",
        "a.{}",
        "a.".repeat(20).trim_end_matches('.'),
        &"a".repeat(257),
    ] {
        Subject::read("config/subject", written).expect_err(written);
    }
    Subject::read("config/subject", &"a".repeat(256)).expect("the longest");
}
