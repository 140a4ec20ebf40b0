use super::*;

fn matches(pattern: &str, event_type: &str) -> bool {
    pattern
        .parse::<Pattern>()
        .unwrap()
        .matches(&event_type.parse().unwrap())
}

#[test]
fn a_star_is_one_token_and_the_rest_at_least_one() {
    for (pattern, covered, other) in [
        (
            "execution.failed",
            &["execution.failed"][..],
            &["execution", "execution.failed.now", "Execution.failed"][..],
        ),
        (
            "alert.*",
            &["alert.created", "alert.x-y_Z9"],
            &["alert", "alert.created.again", "alerts.created"],
        ),
        ("*.failed", &["execution.failed"], &["failed", "a.b.failed"]),
        (
            "canary.>",
            &["canary.started", "canary.a.b.c"],
            &["canary", "canaries.started"],
        ),
        ("*", &["alert"], &["alert.created"]),
        (">", &["alert", "a.b.c.d.e.f.g.h"], &[]),
        ("a.*.>", &["a.b.c", "a.b.c.d"], &["a.b", "b.b.c"]),
        ("*.*", &["a.b"], &["a", "a.b.c"]),
    ] {
        for event_type in covered {
            assert!(matches(pattern, event_type), "{pattern} covers {event_type}");
        }
        for event_type in other {
            assert!(!matches(pattern, event_type), "{pattern} does not cover {event_type}");
        }
    }
}

#[test]
fn a_refused_pattern_says_why() {
    let long = "a".repeat(129);
    for (text, reason) in [
        ("", Reason::Empty),
        (".a", Reason::Empty),
        ("a.", Reason::Empty),
        ("a..b", Reason::Empty),
        (">.a", Reason::Rest),
        ("a.>.>", Reason::Rest),
        ("a.b*", Reason::Part),
        ("a.**", Reason::Part),
        ("a.>>", Reason::Part),
        ("a b", Reason::Character),
        ("ü", Reason::Character),
        ("a/b", Reason::Character),
        ("a.b.c.d.e.f.g.h.i", Reason::Tokens),
        (long.as_str(), Reason::Long),
    ] {
        let error = text.parse::<Pattern>().unwrap_err();
        assert_eq!(error.reason, reason, "{text:?}");
        assert!(error.to_string().contains("is not a type pattern"), "{error}");
    }
}

#[test]
fn a_hostile_text_is_cut_in_the_message() {
    let error = "\u{1F600}".repeat(10_000).parse::<Pattern>().unwrap_err();
    assert_eq!(error.text.chars().count(), QUOTED_CHARS_MAX);
}

#[test]
fn the_longest_pattern_is_taken_whole() {
    let text = format!("{}.a.b.c.d.e.f.>", "x".repeat(114));
    assert_eq!((text.len(), text.split('.').count()), (CHARS_MAX, TOKENS_MAX));
    let pattern: Pattern = text.parse().unwrap();
    assert_eq!((pattern.as_str(), pattern.to_string()), (text.as_str(), text.clone()));
    assert_eq!(pattern.tokens().last(), Some(Token::Rest));
}
