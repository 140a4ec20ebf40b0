use super::*;

const DEFAULT: Duration = Duration::from_secs(100);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn of(secs: u64) -> impl Fn(&str) -> Option<Duration> {
    move |_| Some(Duration::from_secs(secs))
}

#[test]
fn a_part_is_read_again_when_the_first_of_it_expires() {
    let mut seen = Seen::default();
    seen.look((1, 30), of(50), DEFAULT);
    assert_eq!((seen.next(), seen.due(at(0))), (1, vec![]));
    seen.read(1, 10, Some(at(50)));
    seen.read(11, 30, Some(at(40)));
    assert_eq!((seen.next(), seen.due(at(39))), (31, vec![]));
    assert_eq!(seen.due(at(40)), [(11, 30)]);
    seen.read(11, 30, Some(at(90)));
    assert_eq!(seen.due(at(60)), [(1, 10)]);
    seen.read(1, 10, None);
    assert_eq!((seen.next(), seen.due(at(60))), (31, vec![]));
    assert_eq!(seen.due(at(90)), [(11, 30)]);
}

#[test]
fn what_the_stream_let_go_of_is_forgotten() {
    let mut seen = Seen::default();
    seen.look((1, 30), of(50), DEFAULT);
    seen.read(1, 10, Some(at(50)));
    seen.read(11, 30, Some(at(50)));
    seen.look((11, 40), of(50), DEFAULT);
    assert_eq!((seen.next(), seen.due(at(50))), (31, vec![(11, 30)]));
    seen.look((35, 40), of(50), DEFAULT);
    assert_eq!((seen.next(), seen.due(at(50))), (35, vec![]));
}

#[test]
fn all_is_read_again_in_a_stream_that_was_made_anew() {
    let mut seen = Seen::default();
    seen.look((1, 30), of(50), DEFAULT);
    seen.read(1, 30, Some(at(50)));
    seen.look((1, 30), of(50), DEFAULT);
    assert_eq!(seen.next(), 31);
    seen.look((1, 3), of(50), DEFAULT);
    assert_eq!((seen.next(), seen.due(at(50))), (1, vec![]));
}

#[test]
fn all_is_read_again_when_an_integration_gives_less_time() {
    let mut seen = Seen::default();
    seen.look((1, 30), of(50), DEFAULT);
    seen.judged_by("a", Some(Duration::from_secs(50)));
    seen.judged_by("gone", None);
    seen.read(1, 30, Some(at(50)));
    let more = |id: &str| (id == "a").then_some(Duration::from_secs(60));
    seen.look((1, 30), more, DEFAULT);
    assert_eq!(seen.next(), 31, "more time, and one that is still unknown");
    let less = |id: &str| (id == "a").then_some(Duration::from_secs(49));
    seen.look((1, 30), less, DEFAULT);
    assert_eq!(seen.next(), 1);
}

#[test]
fn many_parts_become_fewer_and_none_is_due_later_than_before() {
    let mut seen = Seen::default();
    let parts = PARTS_MAX as u64 + 1;
    seen.look((1, parts), of(50), DEFAULT);
    for seq in 1..=parts {
        seen.read(seq, seq, Some(at(1_000 + i64::try_from(seq % 7).unwrap())));
    }
    assert!(seen.parts.len() <= PARTS_MAX / 2 + 1);
    let covered: u64 = seen.parts.iter().map(|(first, part)| part.last - first + 1).sum();
    assert_eq!(covered, parts);
    let due: u64 = seen.due(at(1_000)).iter().map(|(first, last)| last - first + 1).sum();
    assert!(due >= parts / 7);
}
