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
        (input(&[], ""), false),
    ] {
        assert_eq!(bears(&input, "x"), expected, "{input:?}");
    }
}

#[test]
fn no_more_than_the_newest_million_is_looked_at() {
    for (last, expected) in [(0, 1), (1, 1), (LOOKED_AT_MAX, 1), (LOOKED_AT_MAX + 5, 6)] {
        assert_eq!(floor(last), expected, "{last}");
    }
}
