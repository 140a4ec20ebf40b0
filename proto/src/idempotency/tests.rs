use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn record() -> Record {
    Record {
        request: "hash".to_owned(),
        seed: "seed".to_owned(),
        hold_ms: 10,
        tries: Vec::new(),
        ids: None,
    }
}

#[test]
fn who_takes_over_knows_when_events_may_have_been_stored() {
    let second = record().taken_over(at(10), at(25), 20);
    let spans = vec![Try {
        from: at(10),
        until: at(25),
    }];
    assert_eq!((&second.tries, second.hold_ms, second.ids.as_ref()), (&spans, 20, None));
    assert_eq!((&second.request, &second.seed), (&record().request, &record().seed));
    let third = second.taken_over(at(25), at(40), 20);
    assert_eq!(third.tries.len(), 2);
    let done = third.done(vec!["1".to_owned()]);
    assert_eq!((done.tries.len(), done.ids), (0, Some(vec!["1".to_owned()])));
}

#[test]
fn tries_are_bounded_and_none_is_forgotten() {
    let mut many = record();
    for number in 0..100 {
        many = many.taken_over(at(number * 10), at(number * 10 + 5), 1);
    }
    assert_eq!(many.tries.len(), TRIES_MAX);
    for number in 0..100 {
        let stored = at(number * 10 + 2);
        assert!(
            many.tries
                .iter()
                .any(|span| span.from <= stored && stored <= span.until),
            "{number}"
        );
    }
}
