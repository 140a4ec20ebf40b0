use proptest::prelude::*;

use super::*;

/// What an escaped text says.
fn read(escaped: &str) -> String {
    escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Whether every `&` begins an escape.
fn escapes_are_whole(text: &str) -> bool {
    text.match_indices('&').all(|(at, _)| {
        let (_, rest) = text.split_at(at);
        ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity))
    })
}

#[test]
fn only_three_characters_are_escaped() {
    assert_eq!(
        escape("a & b < c > \"d\" 'e' &amp;", 100),
        "a &amp; b &lt; c &gt; \"d\" 'e' &amp;amp;"
    );
    assert_eq!(escape("<!channel>", 100), "&lt;!channel&gt;");
    assert_eq!(escape("", 100), "");
    assert_eq!(escape("", 0), "");
    assert_eq!(escape("a", 0), "");
}

#[test]
fn an_escape_is_never_cut() {
    for max in 0..20 {
        let cut = escape("a&&&&<>", max);
        assert!(escapes_are_whole(&cut) && units(&cut) <= max, "{max}: {cut}");
    }
    assert_eq!(escape("a&&", 10), "a&amp;…");
    assert_eq!(escape("a&&", 11), "a&amp;&amp;");
}

#[test]
fn a_fence_in_code_does_not_end_it() {
    assert_eq!(code("x ``` <!here> ````", 100), "```\nx ''' &lt;!here&gt; '''`\n```");
    assert!(units(&code(&"&`".repeat(1_000), 200)) <= 200);
}

#[test]
fn a_value_in_a_template_makes_no_mention_inside_angle_brackets() {
    assert_eq!(value("a < b"), "a &lt; b");
    for text in ["!channel", "@U012AB3CD", "#C012AB3CD"] {
        assert!(!format!("<{}>", value(text)).contains(&format!("<{text}")), "{text}");
    }
    for hidden in ["\u{200b}", "\u{ad}", "\u{fe0f}", "\u{e0001}", "\u{2060}\u{200d}"] {
        assert!(
            value(&format!("{hidden}!channel")).starts_with(&format!("\u{2060}{hidden}")),
            "{hidden:?}"
        );
    }
    // What is cleaned away afterwards must not uncover one.
    for hidden in ["\u{0}", "\u{feff}", "\u{202e}", "\u{2066}", "\n", "\u{a0}", " \u{1b}"] {
        let text = format!("<{}>", value(&format!("{hidden}!channel")));
        let cleaned = crate::display::text::line(&text, 100);
        assert!(
            !cleaned.replace(char::is_whitespace, "").contains("<!"),
            "{hidden:?}: {cleaned:?}"
        );
    }
}

#[test]
fn a_title_without_markup_is_read_as_plain_text() {
    assert_eq!(unmarked("a &lt;b&gt; &amp;amp; c").as_deref(), Some("a <b> &amp; c"));
    for markup in ["<https://example.com|x>", "*bold*", "`code`", "~gone~"] {
        assert_eq!(unmarked(markup), None);
    }
}

#[test]
fn links_and_mentions_of_a_template_stay_and_stray_signs_are_escaped() {
    let given = "<!here> see <https://example.com/?a=b&amp;c|the page> if a < b & c &lt; d";
    assert_eq!(
        pieces(given, 3_000, 1),
        ["<!here> see <https://example.com/?a=b&amp;c|the page> if a &lt; b &amp; c &lt; d"]
    );
    assert_eq!(pieces("< b and > c", 3_000, 1), ["&lt; b and > c"]);
    assert_eq!(pieces(" \n ", 3_000, 1), [""; 0]);
}

#[test]
fn a_long_template_is_parted_between_whole_signs() {
    let link = "<https://example.com/page|a link>";
    let parts = pieces(&format!("{link} &amp; ").repeat(20), 100, 5);
    assert_eq!(parts.len(), 5);
    for part in &parts {
        assert!(units(part) <= 100 && escapes_are_whole(part), "{part}");
        assert_eq!(part.matches('<').count(), part.matches("a link>").count(), "{part}");
    }
    assert!(parts[4].ends_with('…'));
}

#[test]
fn code_that_a_border_parts_is_closed_and_opened_again() {
    let parts = pieces(&format!("before ```{}``` after", "x".repeat(150)), 100, 4);
    for part in &parts {
        assert!(units(part) <= 100, "{part}");
        assert_eq!(part.matches(FENCE).count() % 2, 0, "{part}");
    }
    assert!(parts.last().expect("parts").ends_with("after"));
}

#[test]
fn a_border_lies_at_the_end_of_a_line_where_one_is_near() {
    let lines: Vec<String> = (0..40).map(|n| format!("line {n} of many")).collect();
    let text = lines.join("\n");
    let parts = pieces(&text, 200, 10);
    assert!(
        parts.len() > 2 && parts.iter().all(|part| units(part) <= 200),
        "{parts:?}"
    );
    assert_eq!(parts.join("\n"), text);
    // In code as well; and a line without an end is parted all the same.
    let parts = pieces(&format!("```\n{text}\n```"), 200, 10);
    for part in &parts {
        assert!(part.starts_with(FENCE) && part.ends_with(FENCE), "{part}");
        assert!(
            part.lines()
                .all(|line| line == FENCE || lines.contains(&line.to_owned())),
            "{part}"
        );
    }
    assert_eq!(pieces(&"x".repeat(300), 200, 10).concat(), "x".repeat(300));
}

#[test]
fn no_piece_is_blank_and_no_link_is_longer_than_one() {
    let text = format!("a{}b", " \n".repeat(1_000));
    let parts = pieces(&text, 200, 20);
    let read: Vec<&str> = parts.iter().map(|part| part.trim()).collect();
    assert_eq!(read, ["a", "b"]);
    // A line that is nearly full, and behind it a link that fills the rest.
    let link = format!(
        "{}\nzzzz{}<https://e.example/{}|x>",
        "😀".repeat(30),
        "z".repeat(20),
        "a".repeat(60)
    );
    assert!(pieces(&link, 100, 9).iter().all(|part| units(part) <= 100));
    for length in [80, 90, 95, 100, 110, 500, 3_000, 3_080] {
        let link = format!("see <https://example.com/{}|this> now", "a".repeat(length));
        for part in pieces(&link, 100, 50) {
            assert!(
                (1..=100).contains(&units(&part)),
                "{length}: {} in {part}",
                units(&part)
            );
        }
    }
}

#[test]
fn a_sign_hidden_behind_a_letter_that_takes_hold_of_it_is_found() {
    // U+0600 belongs to what follows it.
    assert_eq!(pieces("\u{600}<!b", 100, 1), ["\u{600}&lt;!b"]);
}

proptest! {
    #[test]
    fn an_escaped_text_is_the_text_or_its_beginning(text in "(?s)[&<>a\u{1f468}\u{200d}\u{5d0}\u{301}]{0,200}", max in 1_usize..300) {
        let escaped = escape(&text, max);
        prop_assert!(units(&escaped) <= max);
        prop_assert!(escapes_are_whole(&escaped));
        prop_assert!(!escaped.contains(['<', '>']));
        let said = read(&escaped);
        prop_assert!(said == text || text.starts_with(said.strip_suffix('…').expect("an ellipsis")));
    }

    #[test]
    fn pieces_of_any_markup_keep_to_their_length(
        text in "(?s)([&<>`|!a \n]|<https://e.example/[a]{0,200}[|]x>|&amp;|<!here>|```|\u{1f468}\u{200d}\u{1f469}|.){0,300}",
        max in 40_usize..200,
        count in 1_usize..5,
    ) {
        let parts = pieces(&text, max, count);
        prop_assert!(parts.len() <= count);
        for part in parts {
            prop_assert!(units(&part) <= max, "{} of {max}", units(&part));
            prop_assert!(escapes_are_whole(&part) || part.contains("<"), "{part}");
        }
    }
}
