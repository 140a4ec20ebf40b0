use super::*;

#[test]
fn plain_is_what_shows_as_it_is_written() {
    for text in [
        "builder",
        "92.5 %",
        "1.4.2",
        "42",
        "#42",
        "-5",
        "acme/site",
        "spec/feat-0001",
        "FEAT-0001: User Authentication",
        "snake_case_name",
        "agent-1, agent-2",
        "https://example.com/a_b?c=d",
        "a {b} c",
        "שלום",
    ] {
        assert!(is_plain(text), "{text}");
    }
    for text in [
        "*b*",
        "_i_",
        "a _i_ b",
        "`c`",
        "~~s~~",
        "[a](https://evil.example)",
        "[a]: https://evil.example",
        "<https://evil.example>",
        "> said",
        "a\nb",
        r"C:\dir",
        "&lt;",
        "# big",
        "## big",
        "- item",
        "---",
        "-",
        "+ item",
        "1. item",
        "12) item",
        "{{DATE(2026-01-01T00:00:00Z)}}",
    ] {
        assert!(!is_plain(text), "{text}");
    }
}

#[test]
fn a_value_makes_no_link_wherever_it_is_put() {
    for (written, shown) in [
        ("plain", "plain"),
        ("[a](https://evil.example)", "[a]\u{2060}(https://evil.example)"),
        ("<https://evil.example>", "<\u{2060}https://evil.example>"),
        ("x]", "x]\u{2060}"),
    ] {
        assert_eq!(value(written), shown);
    }
}

#[test]
fn all_spaces_of_code_are_seen() {
    assert_eq!(code("a b"), "a b");
    assert_eq!(code("a\n  at b()"), "a\n\u{a0} at b()");
    assert_eq!(code("a\n\tb\n c"), "a\n\u{a0} \u{a0} b\n\u{a0}c");
}

#[test]
fn a_text_is_as_long_in_json_as_it_is_said_to_be() {
    for text in ["plain", "\"quoted\" \\ \n\t", "שלום 👩\u{200d}👧", "\u{2028}\u{7f}"] {
        let bytes: usize = text.chars().map(json_bytes).sum();
        assert_eq!(bytes + 2, serde_json::to_string(text).expect("JSON").len(), "{text:?}");
    }
}
