use proptest::prelude::*;

use super::*;

/// Texts that are no name and no type, in whatever alphabet an attacker likes.
const HOSTILE: [&str; 22] = [
    "",
    " ",
    ".",
    "*",
    ">",
    "a b",
    "a\tb",
    "a\0b",
    "a\r\nb",
    "a/b",
    "../a",
    "a>",
    "a.*",
    "a.>",
    "$JS.API",
    "ü",
    "аcme",
    "a\u{200b}b",
    "\u{202e}a",
    "\u{feff}a",
    "🦀",
    "a,b",
];

#[test]
fn a_name_is_one_lower_case_token() {
    let longest = "a".repeat(NAME_CHARS_MAX);
    for text in [
        "a",
        "0",
        "acme",
        "acme-2",
        "acme_eu",
        "9-_",
        "default",
        longest.as_str(),
    ] {
        assert_eq!(text.parse::<Name>().expect(text).as_str(), text);
    }
    let too_long = "a".repeat(NAME_CHARS_MAX + 1);
    for text in HOSTILE
        .into_iter()
        .chain(["-a", "_a", "Acme", "ACME", "a.b", too_long.as_str()])
    {
        assert_eq!(
            text.parse::<Name>(),
            Err(InvalidName::Name(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn an_event_type_is_one_to_eight_tokens() {
    let longest = format!("{}.{}", "a".repeat(63), "b".repeat(64));
    assert_eq!(longest.len(), TYPE_CHARS_MAX);
    for text in [
        "a",
        "execution.failed",
        "A-1._.x",
        "a.b.c.d.e.f.g.h",
        "-",
        "0.0",
        longest.as_str(),
    ] {
        let event_type: EventType = text.parse().expect(text);
        assert_eq!(event_type.as_str(), text);
        assert_eq!(event_type.tokens().collect::<Vec<_>>().join("."), text);
    }
    let too_long = format!("{longest}b");
    for text in HOSTILE
        .into_iter()
        .chain([".a", "a.", "a..b", "a.b.c.d.e.f.g.h.i", "a.ü", too_long.as_str()])
    {
        assert_eq!(
            text.parse::<EventType>(),
            Err(InvalidName::Type(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn an_event_id_is_visible_ascii() {
    let longest = "x".repeat(EVENT_ID_CHARS_MAX);
    for text in ["1", "a.b/c?d=e&f", "{\"id\":1}", "~!", "*.>", longest.as_str()] {
        assert_eq!(check_event_id(text), Ok(()), "{text:?}");
    }
    let too_long = "x".repeat(EVENT_ID_CHARS_MAX + 1);
    for text in [
        "",
        " ",
        "a b",
        "a\n",
        "\t",
        "\0",
        "a\u{7f}",
        "é",
        "a\u{200b}",
        too_long.as_str(),
    ] {
        assert_eq!(
            check_event_id(text),
            Err(InvalidName::EventId(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn a_message_says_what_would_be_a_name_and_repeats_little_of_a_hostile_text() {
    let message = "Ä".parse::<Name>().expect_err("no name").to_string();
    assert_eq!(
        message,
        "\"Ä\" is not a name: use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
    );
    for error in [
        "\u{1F600}".repeat(100_000).parse::<Name>().expect_err("no name"),
        "\u{1F600}".repeat(100_000).parse::<EventType>().expect_err("no type"),
        check_event_id(&"\u{1F600}".repeat(100_000)).expect_err("no id"),
    ] {
        assert!(error.to_string().chars().count() < 400);
    }
    let message = "a\nb\u{1b}[31m".parse::<Name>().expect_err("no name").to_string();
    assert!(
        !message.contains('\n') && !message.contains('\u{1b}'),
        "control characters are escaped: {message}"
    );
}

#[test]
fn names_are_checked_when_they_are_read() {
    for (json, valid) in [
        (r#""acme""#, true),
        (r#""Acme""#, false),
        (r#""""#, false),
        ("1", false),
        ("null", false),
    ] {
        assert_eq!(serde_json::from_str::<Name>(json).is_ok(), valid, "{json}");
    }
    assert!(serde_json::from_str::<EventType>(r#""a..b""#).is_err());
    assert_eq!(
        serde_json::to_string(&Name::default_org()).expect("JSON"),
        r#""default""#
    );
    // An escape in JSON cannot be borrowed from the text.
    assert_eq!(
        serde_json::from_str::<Name>(r#""\u0061cme""#).expect("a name").as_str(),
        "acme"
    );
}

proptest! {
    #[test]
    fn what_is_taken_is_a_subject_token(text in "\\PC{0,70}|[a-z0-9_.-]{0,140}") {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert!(!name.as_str().is_empty() && !name.as_str().contains(['.', '*', '>', ' ']));
        }
        if let Ok(event_type) = text.parse::<EventType>() {
            prop_assert!(event_type.tokens().all(|token| !token.is_empty() && !token.contains(['*', '>', ' '])));
            prop_assert!(event_type.tokens().count() <= TYPE_TOKENS_MAX && event_type.as_str().len() <= TYPE_CHARS_MAX);
        }
    }
}
