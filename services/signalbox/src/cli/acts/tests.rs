use super::*;

#[test]
fn a_followed_act_says_how_far_it_is_how_quickly_and_how_long_it_will_take() {
    let act = |done: u64, total: Option<u64>| json!({ "done": done, "failed": 10, "total": total });
    let start = Instant::now();
    let meter = Meter::new(&act(100, Some(2_110)), start);
    assert_eq!(meter.line(&act(100, Some(2_110)), start), "110 of 2110, 0/s");
    let later = start + Duration::from_secs(10);
    assert_eq!(
        meter.line(&act(1_100, Some(2_110)), later),
        "1110 of 2110, 100/s, 10 s left"
    );
    assert_eq!(
        meter.line(&act(1_100, Some(100_000)), later),
        "1110 of 100000, 100/s, 17 min left"
    );
    assert_eq!(
        meter.line(&act(110, Some(100_000)), later),
        "120 of 100000, 1/s, 27 h 44 min left"
    );
    assert_eq!(meter.line(&act(1_100, None), later), "1110 done, 100/s");
}

#[test]
fn an_act_is_shown_with_what_it_is_about_and_who_asked() {
    let act = json!({
        "id": "a", "kind": "replay_events", "status": "done", "org": "acme", "to": "i", "to_name": "ops",
        "filter": { "since": "2026-11-20T08:00:00Z", "until": null, "type": "a.*", "ignore_subscription": false },
        "total": 2, "done": 2, "skipped": 0, "failed": 0, "message": "", "rate": 100, "asked_by": "admin key",
        "created_at": "2026-11-21T08:00:00.5Z", "updated_at": "2026-11-21T08:00:01Z",
    });
    let shown = people(&act);
    assert!(
        shown.contains("about       since 2026-11-20T08:00:00Z, type a.*\n"),
        "{shown}"
    );
    assert!(shown.contains("to          ops i\n"), "{shown}");
    assert!(shown.contains("asked_at    2026-11-21T08:00:00Z\n"), "{shown}");
    assert_eq!(summary(&act), "done: 2 done, 0 settled before, 0 failed");
}
