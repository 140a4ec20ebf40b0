use serde_json::json;

use super::*;

fn entry(id: Option<&str>, kind: &str, data: &str) -> Entry {
    Entry {
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
        data: data.to_owned(),
    }
}

#[test]
fn entries_are_read_from_pieces_of_any_size() {
    let text = ": still here\nid: 7\n\nid: 8.1\r\ndata: {\"a\":\"é:b\"}\r\n\r\n: x\n\nevent: gap\ndata:{}\n\nid: 9\nunknown: y\ndata: 1\n\ndata: unfinished\n";
    let expected = [
        entry(Some("7"), "", ""),
        entry(Some("8.1"), "", "{\"a\":\"é:b\"}"),
        entry(None, "gap", "{}"),
        entry(Some("9"), "", "1"),
    ];
    for size in 1..=text.len() {
        let mut reader = Reader::default();
        let mut entries = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            entries.extend(reader.read(piece).expect("short lines"));
        }
        assert_eq!(entries, expected, "pieces of {size} bytes");
    }
}

#[test]
fn a_line_without_an_end_is_refused() {
    let mut reader = Reader::default();
    assert!(reader.read(&vec![b'x'; LINE_BYTES_MAX]).is_ok());
    assert!(reader.read(b"x").is_err());
}

#[test]
fn a_line_says_who_what_and_how_it_went() {
    let attempt = json!({
        "at": "2026-11-21T10:00:00.1234567Z", "event_type": "execution.failed", "event_id": "e-1", "integration": "oncall",
        "integration_id": "i", "outcome": "retry", "response_code": 503, "duration_ms": 12, "error_message": "busy\u{1b}[2J",
        "next": "retrying",
    });
    let held = json!({
        "at": "2026-11-21T10:00:00Z", "event_type": "a", "event_id": "e-2", "integration": null, "integration_id": "i",
        "outcome": null, "duration_ms": 0, "next": "parked",
    });
    let event = json!({
        "accepted_at": "2026-11-21T10:00:00.5Z", "type": "canary.promoted", "id": "e-3", "severity": "low", "source": "/acme",
    });
    let letter = json!({
        "last_at": "2026-11-21T10:00:00.5Z", "event": { "type": "a.b" }, "id": "dl_3", "integration": "hook",
        "reason": "rejected", "message": "422",
    });
    for (what, value, expected) in [
        (
            What::Deliveries,
            attempt,
            "2026-11-21T10:00:00.123Z  execution.failed          e-1  oncall  retry  503  12 ms  busy [2J",
        ),
        (
            What::Deliveries,
            held,
            "2026-11-21T10:00:00Z  a                         e-2  i  parked",
        ),
        (
            What::Events,
            event,
            "2026-11-21T10:00:00.500Z  canary.promoted           e-3  low  /acme",
        ),
        (
            What::Dead,
            letter,
            "2026-11-21T10:00:00.500Z  a.b                       dl_3  hook  rejected  422",
        ),
    ] {
        assert_eq!(line(what, &value, Paint::none()), expected);
    }
}
