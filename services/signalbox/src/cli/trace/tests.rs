use serde_json::json;

use super::*;

#[test]
fn the_tree_has_attempts_replays_reasons_and_who_was_not_matched() {
    let answer = json!({
        "event": { "id": "e-1", "type": "a.b", "org": "acme", "source": "/s\u{7}", "severity": "high" },
        "accepted_at": "2026-11-21T10:00:00.5Z",
        "sequence": 7,
        "status": "routed",
        "why": "1 of 103 integrations of org acme have it",
        "next": "see its deliveries",
        "data_expired": false,
        "deliveries": [{
            "id": "d-1", "integration": "oncall", "provider": "webhook", "status": "delivered", "waiting_for": null,
            "history": [
                { "generation": 0, "at": "2026-11-21T10:00:01.5Z", "outcome": "reject", "response_code": 400,
                  "duration_ms": 3, "error_message": "no" },
                { "generation": 9, "at": "2026-11-21T11:00:01Z", "outcome": "delivered", "response_code": 200,
                  "duration_ms": 4, "error_message": null },
            ],
            "replays": [
                { "generation": 9, "act": "act-1", "at": "2026-11-21T11:00:00.7Z", "dead_letter_id": "dl_4" },
                { "generation": 11, "act": null, "at": null, "dead_letter_id": null },
            ],
            "why": "the target answered 200, at the first attempt", "next": "nothing more",
        }],
        "not_matched": [{
            "integration_id": "i-2", "integration": "picky", "provider": "webhook",
            "why": "min_severity: critical, the event is high", "next": "lower it",
        }],
        "not_matched_more": 101,
    });
    let expected = "\
a.b e-1
├ org acme, source /s , severity high
├ accepted 2026-11-21T10:00:00.5Z as 7 of EVENTS
├ routed
│ └ why: 1 of 103 integrations of org acme have it
├ oncall (webhook) delivered  d-1
│ ├ 2026-11-21T10:00:01Z reject 400, took 3 ms: no
│ ├ 2026-11-21T11:00:00Z replayed by act act-1 from dead letter dl_4
│ ├ 2026-11-21T11:00:01Z delivered 200, took 4 ms
│ ├ replayed
│ ├ why: the target answered 200, at the first attempt
│ └ next: nothing more
└ not matched: 102
  ├ picky (webhook)
  │ ├ why: min_severity: critical, the event is high
  │ └ next: lower it
  └ and 101 more";
    assert_eq!(tree(&answer, Paint::none()), expected);
}

#[test]
fn an_event_without_deliveries_says_what_can_be_done() {
    let answer = json!({
        "event": { "id": "e-1", "type": "a.b", "org": "acme", "source": "/s" },
        "accepted_at": null,
        "sequence": 7,
        "status": "no_route",
        "why": "org acme has no integrations",
        "next": "subscribe one",
        "data_expired": true,
        "deliveries": [],
        "not_matched": [],
    });
    let expected = "\
a.b e-1
├ org acme, source /s
├ accepted as 7 of EVENTS
├ its data has left EVENTS
└ no route
  ├ why: org acme has no integrations
  └ next: subscribe one";
    assert_eq!(tree(&answer, Paint::none()), expected);
}
