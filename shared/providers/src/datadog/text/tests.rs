use proptest::prelude::*;

use super::*;

#[test]
fn a_text_shows_as_it_is() {
    for (text, escaped) in [
        ("plain words, and more.", "plain words, and more."),
        ("*bold* _it_ ~gone~", r"\*bold\* \_it\_ \~gone\~"),
        ("spec_id and a__b", r"spec_id and a\_\_b"),
        ("[a](javascript:x) <b> `c` a|b", r"\[a\](javascript:x) \<b\> \`c\` a\|b"),
        ("a & b &amp; &#38; &x", r"a & b \&amp; \&#38; &x"),
        (
            "# head\n- item\n+ item\n===",
            "\\# head  \n\\- item  \n\\+ item  \n\\===",
        ),
        ("1. one\n2) two\n3 three. 4.", "1\\. one  \n2\\) two  \n3 three. 4."),
        ("a\n    code\n\tcode", "a  \ncode  \ncode"),
        ("one\n\ntwo", "one  \n\ntwo"),
        ("@ann a@b", "@\u{2060}ann a@\u{2060}b"),
        ("100 %, %%%", "100 %, %\u{2060}%\u{2060}%"),
        ("C:\\dir", r"C:\\dir"),
    ] {
        assert_eq!(escape(text, 1_000), escaped, "{text:?}");
        assert_eq!(value(text), escaped, "{text:?}");
    }
}

#[test]
fn behind_other_text_fewer_marks_mean_something() {
    assert_eq!(escape_behind("1.4.2 #42 *x*\n- y", 1_000), "1.4.2 #42 \\*x\\*  \n\\- y");
    assert_eq!(escape_behind("# x", 1_000), "# x");
}

#[test]
fn a_cut_parts_no_escape() {
    for length in 1..60 {
        let escaped = escape("**** @@@@ %%%% 👩‍👩‍👧‍👦 <<<<\n\n____", length);
        assert!(escaped.chars().count() <= length, "{length}: {escaped:?}");
        let slashes = escaped
            .trim_end_matches('…')
            .chars()
            .rev()
            .take_while(|c| *c == '\\')
            .count();
        assert_eq!(slashes % 2, 0, "{length}: {escaped:?}");
    }
}

#[test]
fn code_stays_code() {
    assert_eq!(code("a <b>\n``` @x", 100), "```\na <b>\n''' @\u{2060}x\n```");
    let long = code(&"x".repeat(500), 100);
    assert!(long.chars().count() == 100 && long.ends_with("x…\n```"), "{long}");
}

#[test]
fn a_title_has_no_escapes() {
    for text in ["*a* [b] <c> \\ d\\e `f`", "a_b _c_ ~ | # 1. x", "C:\\dir\\"] {
        assert_eq!(unescaped(&value(text)), text);
    }
}

#[test]
fn an_owners_text_ends_neither_the_markup_nor_in_open_code() {
    assert_eq!(given("**a**\n%%%", 100), "**a**\n%\u{2060}%\u{2060}%");
    assert_eq!(given("```\nx", 100), "```\nx\n```");
    let cut = given(&format!("```\n{}\n```", "x".repeat(200)), 50);
    assert!(cut.chars().count() <= 50 && cut.ends_with("x…\n```"), "{cut}");
    assert!(!given(r"\\\\\\\\\\", 8).contains("\\…"));
}

#[test]
fn an_address_ends_where_it_ends() {
    assert_eq!(address("https://x/a_b?c=d&e=%20"), "https://x/a_b?c=d&e=%20");
    assert_eq!(address("https://x/(a)@b%%%"), "https://x/%28a%29%40b%25%25%");
}

proptest! {
    #[test]
    fn no_text_is_longer_than_it_may_be_nor_ends_the_markup(text in "(?s).{0,200}", marks in "[%@\\\\*_\n #0-9.`-]{0,200}", max in 0_usize..200) {
        for text in [text.as_str(), marks.as_str()] {
            let escaped = escape(text, max);
            prop_assert!(escaped.chars().count() <= max, "{escaped:?}");
            prop_assert!(!escaped.contains("%%%"), "{escaped:?}");
            let framed = code(text, max.max(8));
            prop_assert!(framed.chars().count() <= max.max(8) && !framed.contains("%%%"), "{framed:?}");
            prop_assert_eq!(framed.matches("```").count(), 2);
        }
    }
}
