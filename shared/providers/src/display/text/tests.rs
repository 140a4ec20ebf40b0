use proptest::prelude::*;

use super::*;

/// A family: four people joined to one sign of 25 bytes.
const FAMILY: &str = "👨\u{200d}👩\u{200d}👧\u{200d}👦";

#[test]
fn line_ends_become_one_kind_and_at_most_one_empty_line() {
    for (given, expected) in [
        ("a\r\nb\rc\u{2028}d", "a\nb\nc\nd"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("  a\t b \n", "a\t b"),
        ("\u{85}\u{b}a\u{c}", "a"),
        ("", ""),
    ] {
        assert_eq!(block(given, 100), expected, "{given:?}");
    }
}

#[test]
fn control_characters_and_marks_that_turn_text_round_go() {
    assert_eq!(block("a\0b\u{7f}\u{9b}\u{1b}[31mc", 100), "ab[31mc");
    assert_eq!(block("pay \u{202e}001\u{202c} now", 100), "pay 001 now");
    assert_eq!(block("\u{2066}a\u{2069}\u{feff}b", 100), "ab");
    assert_eq!(line("a\u{202d}\r\n b", 100), "a b");
    // Marks that concern their neighbours alone belong to how a text is written.
    for kept in ["שלום\u{200f}!", "می\u{200c}خواهم", FAMILY] {
        assert_eq!(block(kept, 100), kept);
        assert_eq!(line(kept, 100), kept);
    }
}

#[test]
fn a_line_has_no_other_space_than_one() {
    assert_eq!(line(" a\n\n b\t\u{a0}c ", 100), "a b c");
    assert_eq!(line("\n\0\u{202e}", 100), "");
}

#[test]
fn what_is_plain_already_is_not_copied() {
    assert!(matches!(block("two\nlines", 100), Cow::Borrowed(_)));
    assert!(matches!(line("one line", 100), Cow::Borrowed(_)));
    assert!(matches!(cut("short", 5, Measure::Chars), Cow::Borrowed(_)));
}

#[test]
fn a_cut_is_measured_as_it_is_asked_and_ends_in_an_ellipsis() {
    for (text, max, measure, expected) in [
        ("abcdef", 6, Measure::Chars, "abcdef"),
        ("abcdef", 5, Measure::Chars, "abcd…"),
        ("abcdef", 5, Measure::Bytes, "ab…"),
        ("ab   cdef", 6, Measure::Chars, "ab…"),
        ("😀😀😀", 3, Measure::Chars, "😀😀😀"),
        ("😀😀😀", 5, Measure::Utf16, "😀😀…"),
        ("😀😀😀", 11, Measure::Bytes, "😀😀…"),
        ("abc", 1, Measure::Chars, "…"),
        ("abc", 0, Measure::Chars, ""),
        ("abc", 2, Measure::Bytes, ""),
    ] {
        assert_eq!(cut(text, max, measure), expected, "{text} {max} {measure:?}");
    }
}

#[test]
fn what_is_seen_as_one_character_is_kept_or_left_whole() {
    let text = format!("ab{FAMILY}cd");
    for max in 3..9 {
        assert_eq!(cut(&text, max, Measure::Chars), "ab…", "{max}");
    }
    assert_eq!(cut(&text, 10, Measure::Chars), format!("ab{FAMILY}…"));
    assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 4, Measure::Chars), "e\u{301}…");
    assert_eq!(cut("🇩🇪🇫🇷🇮🇹", 4, Measure::Chars), "🇩🇪…");
}

#[test]
fn a_pile_of_marks_is_cut_like_any_text() {
    let pile = format!("a{}", "\u{301}".repeat(70_000));
    assert_eq!(block(&pile, 50).chars().count(), 50);
    let joined = format!("{FAMILY}\u{200d}").repeat(1_000);
    let cut = block(&joined, 100);
    assert!(cut.ends_with('…') && !cut.ends_with("\u{200d}…"), "{cut:?}");
}

#[test]
fn only_right_to_left_text_is_set_apart() {
    assert_eq!(isolated("plain"), "plain");
    assert_eq!(isolated("שלום"), "\u{2068}שלום\u{2069}");
    assert_eq!(isolated("x مرحبا"), "\u{2068}x مرحبا\u{2069}");
}

#[test]
fn what_was_set_apart_stays_so_where_it_is_cut() {
    let text = format!("a {} b", isolated(&format!("שלום {}", isolated("עולם"))));
    for max in 3..16 {
        let cut = cut(&text, max, Measure::Chars);
        assert!(cut.chars().count() <= max, "{max}: {cut:?}");
        assert_eq!(
            cut.matches(ISOLATE).count(),
            cut.matches(CLOSE).count(),
            "{max}: {cut:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_is_longer_than_asked_nor_holds_what_is_not_shown(text in "(?s).{0,300}", max in 0_usize..80) {
        let block = block(&text, max);
        prop_assert!(block.chars().count() <= max);
        prop_assert!(block.chars().all(|c| is_shown(c) || c == '\n' || c == '\t'));
        prop_assert!(!block.contains("\n\n\n"));
        let line = line(&text, max);
        prop_assert!(line.chars().count() <= max);
        prop_assert!(line.chars().all(is_shown));
        for measure in [Measure::Chars, Measure::Bytes, Measure::Utf16] {
            let cut = cut(&text, max, measure);
            // What the text itself leaves open is closed at the end.
            let end = |c| c == '…' || c == CLOSE;
            prop_assert!(cut.chars().map(|c| measure.weigh(c)).sum::<usize>() <= max);
            prop_assert!(text.starts_with(cut.trim_end_matches(end)) || cut == text);
        }
    }

    #[test]
    fn cleaning_twice_changes_nothing(text in "(?s).{0,300}", max in 1_usize..80) {
        let once = block(&text, max).into_owned();
        prop_assert_eq!(&block(&once, max), &once);
        let once = line(&text, max).into_owned();
        prop_assert_eq!(&line(&once, max), &once);
    }
}
