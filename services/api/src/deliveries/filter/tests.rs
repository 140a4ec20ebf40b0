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
fn the_database_is_asked_for_what_it_knows() {
    use Status::{Dead, Delivered, Expired, Parked, Retrying};
    for (statuses, expected) in [
        (Statuses(None), Some(vec![])),
        (word("pending"), None),
        (word("waiting"), Some(vec![Retrying, Parked])),
        (word("failed"), Some(vec![Dead, Expired])),
        (word("success"), Some(vec![Delivered])),
    ] {
        assert_eq!(statuses.recorded(), expected, "{statuses:?}");
    }
}

#[test]
fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
    let place = Cursor {
        created_at: Timestamp::from_nanos(4_711),
        id: "abcdefghijklmnopqrst-_".to_owned(),
    };
    assert_eq!(read_cursor(&cursor(&place)).ok(), Some(place));
    for wrong in [
        "",
        "12",
        "12.",
        "x.abcdefghijklmnopqrst-_",
        "12.abcdefghijklmnopqrst*.",
        "-1.abcdefghijklmnopqrst-_",
        "+1.abcdefghijklmnopqrst-_",
        "01.abcdefghijklmnopqrst-_",
        "18446744073709551615.abcdefghijklmnopqrst-_",
    ] {
        assert!(read_cursor(wrong).is_err(), "{wrong}");
    }
}
