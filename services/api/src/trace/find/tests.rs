use super::*;

fn input(headers: &[(&str, &str)], body: &str) -> Input {
    Input {
        subject: "signalbox.in.default.a".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn an_input_bears_the_id_that_would_have_been_the_events() {
    for (input, expected) in [
        (input(&[("ce-id", "x")], ""), true),
        (input(&[("Ce-Id", "x")], "not json"), true),
        (input(&[("Nats-Msg-Id", "x")], "{}"), true),
        (input(&[("ce-id", "y"), ("Nats-Msg-Id", "x")], ""), false),
        (input(&[], r#"{"specversion":"1.0","id":"x","type":"?"}"#), true),
        (input(&[], r#"{"id":"y"}"#), false),
        (input(&[], r#"{"id":7}"#), false),
        // A batch that waits in INGEST, or that could not be read as one.
        (input(&[], r#" [{"id":"y"},{"id":"x"}]"#), true),
        (input(&[], r#"[{"id":"y"}]"#), false),
        (input(&[], ""), false),
    ] {
        assert_eq!(bears(&input, "x"), expected, "{input:?}");
    }
}

#[test]
fn no_more_than_the_newest_so_many_are_looked_at() {
    for (last, most, expected) in [
        (0, LOOKED_AT_MAX, 1),
        (1, LOOKED_AT_MAX, 1),
        (LOOKED_AT_MAX, LOOKED_AT_MAX, 1),
        (LOOKED_AT_MAX + 5, LOOKED_AT_MAX, 6),
        (LOOKED_AT_MAX, SURE_MAX, LOOKED_AT_MAX - SURE_MAX + 1),
        (LOOKED_AT_MAX, u64::MAX, 1),
    ] {
        assert_eq!(floor(last, most), expected, "{last} {most}");
    }
}

#[test]
fn steps_grow_and_none_goes_beyond_the_bound() {
    assert!(
        STEPS.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1 && a != b),
        "{STEPS:?}"
    );
    assert_eq!(STEPS.map(|(_, most)| most).into_iter().max(), Some(LOOKED_AT_MAX));
}

#[test]
fn only_an_id_that_says_when_it_was_made_is_looked_for_there() {
    // The example of RFC 9562, A.6: 2022-02-22 14:22:22 at five hours behind UTC.
    let seven = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F";
    assert_eq!(made_at(seven), Some(Timestamp::from_secs(1_645_557_742)));
    for other in ["919108f7-52d1-4320-9bac-f847db4148a8", "e-1", "", "7"] {
        assert_eq!(made_at(other), None, "{other}");
    }
}
