use super::*;

#[test]
fn what_begins_markup_is_escaped_and_the_rest_is_not() {
    for (written, escaped) in [
        ("plain words, 1.4.2 (beta) - ok!", "plain words, 1.4.2 (beta) - ok!"),
        ("**b** _i_ ~~s~~ ||x||", r"\*\*b\*\* \_i\_ \~\~s\~\~ \|\|x\|\|"),
        ("[here](https://evil.example)", r"\[here\](https://evil.example)"),
        ("<@1> <#2> <t:3:R> <:e:4>", r"\<@1\> \<\#2\> \<t:3:R\> \<:e:4\>"),
        ("# big\n> said\n-# small", "\\# big\n\\> said\n-\\# small"),
        (r"C:\dir\file", r"C:\\dir\\file"),
        ("a `b` c", r"a \`b\` c"),
        ("שלום *עולם*", r"שלום \*עולם\*"),
    ] {
        assert_eq!(escape(written, 1_000), escaped);
    }
}

#[test]
fn an_address_stays_as_it_is() {
    for (written, escaped) in [
        (
            "see https://example.com/a_b~c#d_e _now_",
            r"see https://example.com/a_b~c#d_e \_now\_",
        ),
        ("http://x.example/a_b*c_d", r"http://x.example/a_b\*c\_d"),
        ("https:// _x_", r"https:// \_x\_"),
        ("hello_world", r"hello\_world"),
        ("<https://a_b.example>", r"\<https://a_b.example\>"),
    ] {
        assert_eq!(escape(written, 1_000), escaped);
    }
}

#[test]
fn a_cut_counts_escapes_and_leaves_them_whole() {
    for max in 0..40 {
        for text in [
            "*".repeat(50),
            "a*".repeat(30),
            "👩\u{200d}👧*".repeat(9),
            "x".repeat(50),
        ] {
            let cut = escape(&text, max);
            assert!(chars(&cut) <= max, "{cut:?} in {max}");
            let kept = cut.strip_suffix('…').unwrap_or(&cut);
            let backslashes = kept.chars().rev().take_while(|c| *c == '\\').count();
            assert_eq!(backslashes, 0, "a lone backslash in {cut:?}");
        }
    }
    assert_eq!(escape("*****", 10), r"\*\*\*\*\*");
    assert_eq!(escape("*****", 9), r"\*\*\*\*…");
}

#[test]
fn code_is_closed_whatever_it_holds() {
    assert_eq!(code("a ``` b", 100), "```\na ''' b\n```");
    assert_eq!(code("`a`", 100), "```\n`a`\n```");
    let long = code(&"x".repeat(2_000), 1_024);
    assert_eq!(chars(&long), 1_024);
    assert!(long.ends_with("x…\n```"), "{long}");
}
