use super::*;

fn body(witness: &Witness, run: u32, event: u64) -> String {
    let mut id = String::new();
    witness.write_id(run, event, &mut id);
    format!(r#"{{"id":"{id}","type":"bench.t","data":{{}}}}"#)
}

#[test]
fn an_arrival_is_counted_once_and_a_failed_one_not_at_all() {
    let witness = Witness::new(0);
    let run = witness.begin(1);
    witness.answer(3, Answer::Status(503));
    let event = body(&witness, run, 7);
    assert_eq!(witness.arrived(3, "a", event.as_bytes()), Reply::Status(503));
    assert_eq!(witness.book(|book| book.delivered(run)), 0);
    witness.answer(3, Answer::Ok);
    for again in [0, 1] {
        assert_eq!(witness.arrived(3, "a", event.as_bytes()), Reply::Ok);
        assert_eq!(witness.book(|book| (book.delivered(run), book.again(run))), (1, again));
    }
    let seen: Vec<(u64, bool, bool)> = witness.book(|book| {
        let of = book
            .of(run)
            .map(|arrival| (arrival.event, arrival.taken, arrival.first));
        of.collect()
    });
    assert_eq!(seen, [(7, false, false), (7, true, true), (7, true, false)]);
}

#[test]
fn the_members_of_a_digest_are_found_in_every_form() {
    let witness = Witness::new(0);
    let run = witness.begin(1);
    let (one, two) = (body(&witness, run, 1), body(&witness, run, 2));
    let check = |digest: &str, events: &[u64]| {
        let found: Vec<u64> = members(digest.as_bytes()).iter().map(|(_, event, _)| *event).collect();
        assert_eq!(found, events, "{digest}");
    };
    check(&one, &[1]);
    check(&format!("[{one}, {two}]"), &[1, 2]);
    let digest = format!(r#"{{"id":"own","type":"signalbox.digest","data":{{"batch":true,"events":[{one},{two}]}}}}"#);
    check(&digest, &[1, 2]);
    check(r#"{"id":"strange"}"#, &[]);
    check("no JSON", &[]);
    assert_eq!(witness.arrived(0, "a", b"no JSON"), Reply::Unreadable);
    assert_eq!(witness.book(Book::unreadable), 1);
}

#[test]
fn events_of_one_run_fail_and_those_of_another_do_not() {
    let witness = Witness::new(0);
    let (run, other) = (witness.begin(1), witness.begin(1));
    let answer = Answer::Fails {
        run,
        every: 5,
        below: 10,
    };
    witness.answer(0, answer);
    let fails = |run, event| witness.arrived(0, "a", body(&witness, run, event).as_bytes()) != Reply::Ok;
    assert!(fails(run, 0) && fails(run, 5));
    assert!(!fails(run, 1) && !fails(run, 10) && !fails(other, 0));
}

#[test]
fn the_same_seed_fails_the_same_requests() {
    let play = |seed| {
        let witness = Witness::new(seed);
        let run = witness.begin(1);
        witness.answer(0, Answer::Unsteady(50));
        let body = body(&witness, run, 1);
        let replies: Vec<bool> = (0..64)
            .map(|_| witness.arrived(0, "a", body.as_bytes()) == Reply::Status(503))
            .collect();
        replies
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}
