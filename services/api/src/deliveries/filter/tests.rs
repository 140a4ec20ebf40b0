use super::*;

fn word(word: &'static str) -> Statuses {
    Statuses(Some(word))
}

#[test]
fn words_for_several_statuses_cover_them() {
    let all = [
        "pending",
        "retrying",
        "parked",
        "delivered",
        "dead",
        "expired",
        "discarded",
    ];
    let taken = |statuses: Statuses| {
        all.into_iter()
            .filter(|status| statuses.take(status))
            .collect::<Vec<_>>()
    };
    assert_eq!(taken(Statuses(None)), all);
    assert_eq!(taken(word("success")), ["delivered"]);
    assert_eq!(taken(word("failed")), ["dead", "expired"]);
    assert_eq!(taken(word("waiting")), ["pending", "retrying", "parked"]);
    for status in all {
        assert_eq!(taken(word(status)), [status]);
    }
}

#[test]
fn what_is_to_be_read_follows_from_the_statuses() {
    let reads = |statuses: Statuses| (statuses.wait(), statuses.deliver(), statuses.die());
    assert_eq!(reads(Statuses(None)), (true, true, true));
    assert_eq!(reads(word("parked")), (true, false, false));
    assert_eq!(reads(word("success")), (false, true, false));
    assert_eq!(reads(word("failed")), (false, false, true));
    assert_eq!(reads(word("discarded")), (false, false, true));
}

#[test]
fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
    let key = Key {
        seq: 4_711,
        id: "abcdefghijklmnopqrst-_".to_owned(),
    };
    assert_eq!(Key::parse(&key.to_string()).ok(), Some(key));
    for wrong in [
        "",
        "12",
        "12.",
        "x.abcdefghijklmnopqrst-_",
        "12.abcdefghijklmnopqrst*.",
        "-1.abcdefghijklmnopqrst-_",
        "+1.abcdefghijklmnopqrst-_",
        "01.abcdefghijklmnopqrst-_",
    ] {
        assert!(Key::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_newest_event_comes_first_and_its_deliveries_in_one_order() {
    let key = |seq, id: &str| Key { seq, id: id.to_owned() };
    let mut keys = vec![key(9, "b"), key(10, "a"), key(9, "a")];
    keys.sort_by(|a, b| b.cmp(a));
    assert_eq!(keys, [key(10, "a"), key(9, "b"), key(9, "a")]);
}
