use serde_json::json;

use super::*;

#[test]
fn a_group_is_shown_with_its_examples_and_the_line_that_replays_it() {
    let answer = json!({
        "items": [{
            "fingerprint": "Xk2", "count": 12, "settled": 2, "stage": "delivery", "reason": "rejected",
            "message": "HTTP 400", "provider": "webhook", "integration_id": "0199", "integration": "oncall",
            "first_at": "2026-11-20T08:00:00.5Z", "last_at": "2026-11-20T09:00:00Z", "examples": ["dl_9", "dl_7"],
        }],
        "truncated": true,
    });
    let acme: Name = "acme".parse().expect("a name");
    assert_eq!(
        groups(&answer, &acme.into()),
        "12 rejected at stage delivery, 2 of them settled: HTTP 400\n  \
         target    webhook oncall\n  \
         first     2026-11-20T08:00:00Z\n  \
         last      2026-11-20T09:00:00Z\n  \
         examples  dl_9, dl_7\n  \
         replay    signalbox dead replay --fingerprint Xk2 --org acme\n\n\
         there are more groups: narrow the filter, or raise --limit"
    );
    let none = json!({ "items": [], "truncated": false });
    assert_eq!(groups(&none, &Org::default()), "there are no dead letters");
}

#[test]
fn of_a_digest_the_first_event_stands_for_all() {
    let item = |ids: serde_json::Value| json!({ "event": { "id": "e1" }, "event_ids": ids });
    assert_eq!(events(&item(json!(null))), "e1");
    assert_eq!(events(&item(json!(["e1"]))), "e1");
    assert_eq!(events(&item(json!(["e1", "e2", "e3"]))), "e1 +2");
}
