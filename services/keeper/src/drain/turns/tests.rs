use super::*;

#[test]
fn each_has_its_turn_where_more_wait_than_there_are_places() {
    let mut turns = Turns::default();
    let now = Instant::now();
    let all = ["a", "b", "c"];
    assert_eq!(turns.begin(all.into_iter(), 2, now), ["a", "b"]);
    assert_eq!(turns.begin(all.into_iter(), 2, now), [""; 0]);
    turns.end("b", false, now);
    assert_eq!(
        turns.begin(all.into_iter(), 2, now),
        ["c"],
        "who never drained comes first"
    );
    turns.end("a", false, now + Duration::from_millis(1));
    assert_eq!(
        turns.begin(all.into_iter(), 2, now + Duration::from_millis(2)),
        ["b"],
        "then who drained longest ago"
    );
}

#[test]
fn a_drain_that_failed_rests_and_leaves_its_place_to_others() {
    let mut turns = Turns::default();
    let now = Instant::now();
    assert_eq!(turns.begin(["a", "b"].into_iter(), 1, now), ["a"]);
    turns.end("a", true, now);
    assert_eq!(turns.next(now), Some(now + FAILED_REST));
    assert_eq!(turns.begin(["a"].into_iter(), 1, now), [""; 0]);
    assert_eq!(turns.begin(["a", "b"].into_iter(), 1, now), ["b"]);
    assert_eq!(turns.begin(["a", "b"].into_iter(), 2, now + FAILED_REST), ["a"]);
}

#[test]
fn who_waits_no_more_is_forgotten() {
    let mut turns = Turns::default();
    let now = Instant::now();
    assert_eq!(turns.begin(["a"].into_iter(), 1, now), ["a"]);
    turns.end("a", true, now);
    assert_eq!(turns.begin([].into_iter(), 1, now), [""; 0]);
    assert_eq!(turns.next(now + FAILED_REST), None);
}
