use proptest::prelude::*;

use super::*;

fn pushed(text: &str, units_max: usize) -> String {
    let mut html = String::new();
    let used = push(&mut html, text, units_max, Names::CallNobody);
    assert!(used <= units_max, "{used} of {units_max}: {html}");
    html
}

#[test]
fn only_what_is_markup_is_escaped() {
    assert_eq!(
        pushed("a & b < c > d \"e\" 'f' &amp; é", 100),
        "a &amp; b &lt; c &gt; d \"e\" 'f' &amp;amp; é"
    );
    assert_eq!(pushed("", 0), "");
    assert_eq!(pushed("a", 0), "");
}

#[test]
fn an_escape_counts_as_what_it_stands_for_and_is_never_cut() {
    assert_eq!(pushed("&&&&", 4), "&amp;&amp;&amp;&amp;");
    assert_eq!(pushed("&&&&", 3), "&amp;&amp;…");
}

#[test]
fn names_call_nobody() {
    for (text, expected) in [
        ("@ann and @bob_1", "@\u{2060}ann and @\u{2060}bob_1"),
        ("(@ann)", "(@\u{2060}ann)"),
        ("@@ann", "@\u{2060}@\u{2060}ann"),
        ("<@ann>", "&lt;@\u{2060}ann&gt;"),
        // Whatever is no ASCII letter may be no letter for Telegram.
        ("\u{301}@ann", "\u{301}@\u{2060}ann"),
        // A command for another bot, which one touch would send.
        ("/ban@another_bot", "/ban@\u{2060}another_bot"),
        // Nobody is called by these.
        ("ann@example.com", "ann@example.com"),
        ("2 @ 3 €", "2 @ 3 €"),
        ("a/b@c", "a/b@c"),
        // They can still be opened.
        (
            "see https://docs.example.com/@scope/pkg @ann",
            "see https://docs.example.com/%40scope/pkg @\u{2060}ann",
        ),
        (
            "https://example.com/?a=1&b=@ann",
            "https://example.com/?a=1&amp;b=%40ann",
        ),
        ("https://@ann", "https://%40ann"),
    ] {
        assert_eq!(pushed(text, 200), expected);
    }
    let mut code = String::new();
    push(&mut code, "npm i @scope/pkg", 100, Names::AsWritten);
    assert_eq!(code, "npm i @scope/pkg", "inside code a copy is exact");
}

#[test]
fn a_value_of_a_template_stays_inside_its_quotes_and_mentions_nobody() {
    assert_eq!(value("\"><b>'"), "&quot;&gt;&lt;b&gt;&#39;");
    // As an address this mentions a person.
    for text in [
        "tg://user?id=7",
        "TG:user?id=7",
        " tg://user?id=7",
        "t\u{0}g://user?id=7",
        "\u{feff}tg:x",
    ] {
        assert!(value(text).starts_with(JOINER), "{text:?}");
    }
    assert_eq!(value("https://t.me/x"), "https://t.me/x");
    // What cleaning takes away afterwards uncovers no name.
    let value = value("@\u{0}ann");
    assert_eq!(crate::display::text::line(&value, 100), "@\u{2060}ann");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_is_shown_whole_or_its_beginning(text in "(?s)[&<>@a /:\u{1f468}\u{200d}\u{5d0}\u{301}]{0,200}", max in 1_usize..300) {
        let html = pushed(&text, max);
        prop_assert!(!html.contains(['<', '>']));
        let said = html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let said = said.replace("%40", "@").replace(JOINER, "");
        prop_assert!(said == text || text.starts_with(said.strip_suffix('…').expect("an ellipsis")));
        prop_assert!(!said.ends_with("\u{200d}…"), "{:?}", said);
    }
}
