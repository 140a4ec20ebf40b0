use super::*;

#[test]
fn a_dry_run_tells_both_counts_and_how_far_back_events_are_kept() {
    let answer = json!({
        "matched": 3, "in_range": 9, "selected": 3, "unanswered": 1, "available_since": "2026-11-14T08:00:00.123Z",
    });
    assert_eq!(
        counted(&answer, "ops"),
        "3 of 9 accepted events would be sent to ops; its own subscription selects 3\n\
         --all-types sends the others too\n\
         for 1 the filter's `where` has no answer: they would count as failed\n\
         events are kept since 2026-11-14T08:00:00Z"
    );
    let all = json!({
        "matched": 9, "in_range": 9, "selected": 3, "unanswered": 0, "available_since": null,
    });
    assert_eq!(
        counted(&all, "ops"),
        "9 of 9 accepted events would be sent to ops; its own subscription selects 3\nno events are kept at the moment"
    );
}
