use proptest::prelude::*;

use super::*;

fn print(message: &str) -> String {
    of(Stage::Delivery, DeadReason::Exhausted, Some("0199"), message)
}

#[test]
fn messages_that_differ_in_numbers_and_quoted_values_agree() {
    for (left, right) in [
        ("HTTP 500 after 3 attempts", "HTTP 503 after 12 attempts"),
        ("no field \"a\"", "no field \"b c\""),
        ("no field \"a\" of 3", "no field \"\" of 4"),
        ("took 1.5 s", "took 20.25 s"),
        ("\"cut in the mid", "\"cut els"),
        ("", ""),
    ] {
        assert_eq!(print(left), print(right), "{left:?} and {right:?}");
    }
}

#[test]
fn messages_that_say_something_else_differ() {
    for (left, right) in [
        ("HTTP 500", "HTTP error"),
        ("no field \"a\"", "no field a"),
        ("no field \"a\" here", "no field \"a\" there"),
        ("timeout", "timeout "),
        ("1", ""),
    ] {
        assert_ne!(print(left), print(right), "{left:?} and {right:?}");
    }
}

#[test]
fn stage_reason_and_integration_tell_errors_apart() {
    let all = [
        of(Stage::Delivery, DeadReason::Exhausted, Some("0199"), "HTTP 500"),
        of(Stage::Route, DeadReason::Exhausted, Some("0199"), "HTTP 500"),
        of(Stage::Delivery, DeadReason::Expired, Some("0199"), "HTTP 500"),
        of(Stage::Delivery, DeadReason::Exhausted, Some("0200"), "HTTP 500"),
        of(Stage::Delivery, DeadReason::Exhausted, None, "HTTP 500"),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(one), "{index}");
    }
}

#[test]
fn a_cut_ends_in_an_ellipsis_and_only_then() {
    for (text, chars_max, result) in [
        ("", 3, ""),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("äöüß", 3, "äö…"),
        ("🦀🦀", 1, "…"),
        ("🦀", 1, "🦀"),
    ] {
        assert_eq!(cut(text, chars_max), result);
    }
}

proptest! {
    #[test]
    fn a_cut_keeps_whole_characters_within_its_bound(text: String, chars_max in 1_usize..40) {
        let cut = cut(&text, chars_max);
        prop_assert!(cut.chars().count() <= chars_max);
        let kept = cut.strip_suffix('…').unwrap_or(&cut);
        prop_assert!(text.starts_with(kept));
        prop_assert_eq!(text.chars().count() <= chars_max, cut == text);
    }

    #[test]
    fn a_cut_by_bytes_keeps_whole_characters_within_its_bound(text: String, bytes_max in 3_usize..40) {
        let cut = cut_bytes(&text, bytes_max);
        prop_assert!(cut.len() <= bytes_max);
        prop_assert_eq!(text.len() <= bytes_max, cut == text);
        prop_assert!(text.starts_with(cut.strip_suffix('…').unwrap_or(&cut)));
    }

    #[test]
    fn numbers_never_matter(message in "[a-z ]{0,20}", left: u64, right: u64) {
        prop_assert_eq!(print(&format!("{message}{left} end")), print(&format!("{message}{right} end")));
    }
}
