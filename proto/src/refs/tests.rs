use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[test]
fn a_doubt_lasts_from_before_the_request_until_the_answer_is_known() {
    let mut refs = Refs::default();
    assert_eq!(refs.doubt("issue"), None);
    assert_eq!(refs.begin("issue", at(1)), Ok(true));
    assert_eq!(refs.begin("issue", at(2)), Ok(false), "it is in doubt already");
    assert_eq!(refs.doubt("issue"), Some(at(1)));
    refs.learn("issue", "SHOP-1", at(3));
    assert_eq!((refs.doubt("issue"), refs.fact("issue")), (None, Some("SHOP-1")));
    assert_eq!(refs.begin("subtask-1", at(4)), Ok(true));
    refs.refuse("subtask-1");
    assert_eq!((refs.doubt("subtask-1"), refs.fact("subtask-1")), (None, None));
    refs.forget("issue");
    assert!(refs.is_empty());
}

#[test]
fn what_is_a_delivery_s_own_goes_when_it_has_arrived() {
    let mut refs = Refs::default();
    refs.learn("issue", "SHOP-1", at(1));
    refs.learn(&own("d1", "comment"), "10", at(2));
    assert_eq!(refs.begin(&own("d1", "link"), at(2)), Ok(true));
    refs.learn(&own("d10", "comment"), "11", at(3));
    assert!(refs.end("d1"));
    assert!(!refs.end("d1"));
    assert_eq!(refs.fact(&own("d1", "comment")), None);
    assert_eq!(refs.doubt(&own("d1", "link")), None);
    assert_eq!(refs.fact(&own("d10", "comment")), Some("11"));
    assert_eq!(refs.fact("issue"), Some("SHOP-1"));
}

#[test]
fn facts_are_found_by_the_beginning_of_their_names() {
    let mut refs = Refs::default();
    for name in ["issue", "subtask-1", "subtask-2", "url"] {
        refs.learn(name, &name.to_uppercase(), at(1));
    }
    let found: Vec<_> = refs.facts("subtask-").collect();
    assert_eq!(found, [("subtask-1", "SUBTASK-1"), ("subtask-2", "SUBTASK-2")]);
}

#[test]
fn of_too_many_the_oldest_of_deliveries_go_first() {
    let mut refs = Refs::default();
    refs.learn("issue", "SHOP-1", at(0));
    for n in 0..2 * FACTS_MAX as i64 {
        refs.learn(&own(&format!("d{n}"), "comment"), "1", at(n));
    }
    assert_eq!(refs.facts.len(), FACTS_MAX);
    assert_eq!(refs.fact("issue"), Some("SHOP-1"));
    assert_eq!(refs.fact(&own("d1", "comment")), None);
    assert_eq!(refs.fact(&own("d511", "comment")), Some("1"));
}

#[test]
fn of_too_many_facts_links_go_before_what_would_be_made_twice() {
    let mut refs = Refs::default();
    for n in 0..FACTS_MAX as i64 {
        let name = if n % 2 == 0 { "subtask" } else { "link" };
        refs.learn(&format!("{name}-{n}@1"), "yes", at(n));
    }
    refs.learn(&own("d1", "comment"), "1", at(1_000));
    assert_eq!(refs.facts.len(), FACTS_MAX);
    assert_eq!(refs.fact("link-1@1"), None, "the oldest link went");
    assert_eq!(refs.fact("subtask-0@1"), Some("yes"), "and no subtask");
    // What is learnt is known, though it is the least dear of all.
    assert_eq!(refs.fact(&own("d1", "comment")), Some("1"));
    refs.learn("subtask-new@1", "yes", at(1_001));
    assert_eq!(
        refs.fact(&own("d1", "comment")),
        None,
        "what is a delivery's own goes before all"
    );
    assert_eq!(refs.fact("link-3@1"), Some("yes"));
    for n in 0..FACTS_MAX as i64 {
        refs.learn(&format!("subtask-more-{n}@1"), "yes", at(2_000 + n));
    }
    assert_eq!(refs.facts(REPEATABLE).count(), 0);
    assert_eq!(refs.fact("subtask-0@1"), None, "then the oldest");
    refs.learn("link-new@1", "yes", at(3_000));
    assert_eq!(refs.fact("link-new@1"), Some("yes"));
}

#[test]
fn of_too_many_doubts_the_oldest_of_a_delivery_goes() {
    let mut refs = Refs::default();
    assert_eq!(refs.begin("subtask-1@1", at(0)), Ok(true));
    for n in 1..FACTS_MAX as i64 {
        assert_eq!(refs.begin(&own(&format!("d{n}"), "comment@1"), at(n)), Ok(true));
    }
    assert_eq!(refs.begin("subtask-2@1", at(1_000)), Ok(true));
    assert_eq!(refs.doubt(&own("d1", "comment@1")), None);
    assert_eq!(refs.doubt(&own("d2", "comment@1")), Some(at(2)));
    assert_eq!(refs.doubt("subtask-1@1"), Some(at(0)), "it would be made twice");
    assert_eq!(refs.begin(&own("d1", "comment@1"), at(1_001)), Ok(true));
    assert_eq!(refs.doubt(&own("d2", "comment@1")), None);
    assert_eq!(refs.doubts.len(), FACTS_MAX);
}

#[test]
fn no_doubt_is_forgotten_that_is_of_more_than_one_delivery() {
    let mut refs = Refs::default();
    for n in 0..FACTS_MAX as i64 {
        assert_eq!(refs.begin(&format!("part-{n}"), at(n)), Ok(true));
    }
    assert!(refs.begin("one more", at(1)).is_err());
    assert_eq!(refs.doubt("part-0"), Some(at(0)));
    assert!(Refs::default().begin(&"n".repeat(NAME_BYTES_MAX + 1), at(1)).is_err());
}

#[test]
fn a_long_value_keeps_its_beginning() {
    let mut refs = Refs::default();
    refs.learn("url", &"ü".repeat(VALUE_BYTES_MAX), at(1));
    assert_eq!(refs.fact("url").map(str::len), Some(VALUE_BYTES_MAX));
}
