use proptest::prelude::*;

use super::*;

fn whole(markup: &str) -> String {
    tidy(markup, 10_000, 100_000).html
}

/// Whether tags are opened and closed in their order.
fn is_balanced(html: &str) -> bool {
    let mut open = Vec::new();
    for part in html.split('<').skip(1) {
        let Some((tag, _)) = part.split_once('>') else {
            return false;
        };
        match tag.strip_prefix('/') {
            Some(name) if open.pop() != Some(name) => return false,
            Some(_) => {}
            None => open.push(tag.split(' ').next().expect("a name")),
        }
    }
    open.is_empty()
}

#[test]
fn what_telegram_takes_stays_in_its_form() {
    for html in [
        "<b>a</b> <i>b</i> <u>c</u> <s>d</s> <tg-spoiler>e</tg-spoiler>",
        "<a href=\"https://example.com/?a=b&amp;c=d\">link</a>",
        "<a href=\"tg://user?id=7\">whom the owner names</a> and @ann",
        "<code>x</code> <pre>y</pre>",
        "<pre><code class=\"language-rust\">fn main() {}</code></pre>",
        "<blockquote>a</blockquote><blockquote expandable>b</blockquote>",
        "<tg-emoji emoji-id=\"5368324170671202286\">👍</tg-emoji>",
        "<tg-time unix=\"1647531900\" format=\"wDT\">22:45</tg-time>",
        "a &amp; b &lt; c",
    ] {
        assert_eq!(whole(html), html);
    }
    assert_eq!(
        whole(
            "<strong>a</strong><EM>b</EM><ins>c</ins><del>d</del><strike>e</strike><span class='tg-spoiler'>f</span>"
        ),
        "<b>a</b><i>b</i><u>c</u><s>d</s><s>e</s><tg-spoiler>f</tg-spoiler>"
    );
    assert_eq!(whole("a<br>b<br/>c"), "a\nb\nc");
    assert_eq!(
        whole("&quot;x&quot; &#39;y&#x27; &nbsp; &copy"),
        "\"x\" 'y' &amp;nbsp; &amp;copy"
    );
}

#[test]
fn what_is_no_tag_is_shown_as_it_was_written() {
    for (markup, html) in [
        ("a < b > c", "a &lt; b &gt; c"),
        ("<p>x</p>", "&lt;p&gt;x&lt;/p&gt;"),
        ("<!-- x -->", "&lt;!-- x --&gt;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<b", "&lt;b"),
        ("<b =>", "&lt;b =&gt;"),
        ("<a href=\"x>y", "&lt;a href=\"x&gt;y"),
        ("<", "&lt;"),
        ("</", "&lt;/"),
        ("&", "&amp;"),
        ("x&#0; &#xD800; &#99999999;", "x &amp;#xD800; &amp;#99999999;"),
    ] {
        assert_eq!(whole(markup), html, "{markup}");
    }
}

#[test]
fn tags_are_closed_in_their_order_and_never_twice() {
    for (markup, html) in [
        ("<b>a", "<b>a</b>"),
        ("<b><i>a</b> b</i>", "<b><i>a</i></b> b"),
        ("a</b>", "a"),
        ("<b>a</i></b>", "<b>a</b>"),
        ("<blockquote>a<blockquote>b</blockquote>", "<blockquote>ab</blockquote>"),
        // Without what makes it one it is no tag, nor is its end.
        ("<a>tg://user?id=7</a>", "tg://user?id=7"),
        ("<a href=''>x</a> <span>y</span> <b/>z", "x y z"),
        ("<tg-emoji emoji-id='x'>1</tg-emoji><tg-emoji>2</tg-emoji>", "12"),
        (
            "<tg-time unix='-1'>1</tg-time><tg-time unix='7' format='rw'>2</tg-time>",
            "12",
        ),
        ("<code class='language-\"><x'>y</code>", "<code>y</code>"),
    ] {
        assert_eq!(whole(markup), html, "{markup}");
    }
    let deep = whole(&"<b>".repeat(100));
    assert_eq!(deep, "<b>".repeat(DEPTH_MAX) + &"</b>".repeat(DEPTH_MAX));
}

#[test]
fn a_cut_parts_no_tag_no_reference_and_no_sign() {
    let cut = |markup: &str, units: usize| tidy(markup, units, 100_000).html;
    assert_eq!(cut("<b>abc</b>def", 6), "<b>abc</b>def");
    assert_eq!(cut("<b>abc</b>def", 5), "<b>abc</b>d…");
    assert_eq!(cut("<b>abc</b>def", 4), "<b>abc</b>…");
    assert_eq!(cut("<b>abc</b>def", 3), "<b>ab…</b>");
    assert_eq!(cut("a&lt;&lt;&lt;b", 3), "a&lt;…");
    assert_eq!(
        cut("<a href=\"https://example.com\">abc</a>", 2),
        "<a href=\"https://example.com\">a…</a>"
    );
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    for units in 2..11 {
        assert_eq!(cut(&format!("x{family}"), units), "x…", "{units}");
    }
    assert_eq!(tidy("<b>abc</b>", 0, 100_000), Tidy::default());
}

#[test]
fn no_joiner_is_left_before_an_ellipsis() {
    let joiners = "\u{200d}".repeat(40);
    for markup in [
        format!("a{joiners}<b>bcdefgh</b>"),
        format!("<b>a{joiners}</b>bcdefgh"),
        format!("a{joiners}&amp;bcdefgh"),
        format!("a{joiners}&#8205;<i></i>bcdefgh"),
        format!("ab{joiners}cdefgh"),
        // As `truncate` leaves it, or as it was written.
        format!("a{joiners}…b"),
        format!("a{joiners}&#8230;b"),
    ] {
        for units in 1..60 {
            let Tidy { html, .. } = tidy(&markup, units, 100_000);
            let text = plain(&html, 1_000);
            assert!(!text.contains("\u{200d}…"), "{units} of {markup:?}: {html:?}");
        }
    }
}

#[test]
fn no_more_is_written_than_the_server_reads() {
    let link = format!("<a href=\"https://example.com/{}\">x</a>", "a".repeat(900));
    let Tidy { html, units } = tidy(&link.repeat(50), 4_000, 10_000);
    assert!(html.len() <= 10_000 && is_balanced(&html), "{} bytes", html.len());
    assert_eq!(units, 11, "ten links and an ellipsis");
}

#[test]
fn a_plain_message_says_the_same() {
    assert_eq!(
        plain(
            "<b>a &lt; b</b> <a href=\"https://example.com/?a&amp;b\">run</a> <tg-time unix=\"7\" format=\"dT\">now</tg-time>",
            100
        ),
        "a < b run (https://example.com/?a&b) now"
    );
    // Names inside code call nobody there; here they would.
    assert_eq!(plain("<pre>@ann</pre> @bob", 100), "@\u{2060}ann @bob");
    assert_eq!(plain(&"a".repeat(200), 100), "a".repeat(99) + "…");
}

/// What takes long for one text takes long for all deliveries.
#[test]
fn hostile_markup_is_read_in_one_pass() {
    for piece in [
        "<a b=\"",
        "<a b='\"",
        "<a ",
        "<",
        "&",
        "&#",
        "<b><i>",
        "</b>",
        "@",
        "<aaaaaaaa",
        "\u{200d}…",
        "<tg-time unix=",
    ] {
        let markup = piece.repeat(64 * 1024 / piece.len());
        let begun = std::time::Instant::now();
        let Tidy { html, units } = tidy(&markup, 3_000, 30_000);
        assert!(units <= 3_000 && html.len() <= 30_000 && is_balanced(&html), "{piece}");
        assert!(begun.elapsed().as_secs() < 5, "{piece}: {:?}", begun.elapsed());
    }
}

/// A text without its tags, whose addresses nobody reads. In what is tidy a `<` begins a tag and a `>` ends it.
fn shown(html: &str) -> String {
    let parts = html.split('<').enumerate().map(|(at, part)| match at {
        0 => part,
        _ => part.split_once('>').map_or("", |(_, behind)| behind),
    });
    parts.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_markup_is_balanced_and_keeps_its_limits(
        markup in "(?s)([&<>\"'/=…\u{200d}a \n]|</?[bisu]>|<a href=['\"]?[a:/&;]{0,9}['\"]?>|</a>|<pre>|</pre>|</?code>|</?blockquote>|&lt;|&#39;|\u{1f468}\u{200d}\u{1f469}|.){0,200}",
        units_max in 0_usize..300,
        bytes_max in 0_usize..2_000,
    ) {
        let Tidy { html, units } = tidy(&markup, units_max, bytes_max);
        prop_assert!(is_balanced(&html), "{html}");
        prop_assert!(units <= units_max && html.len() <= bytes_max, "{units} units, {} bytes", html.len());
        prop_assert!(!shown(&html).contains("\u{200d}…"), "{html:?}");
        // But for a joiner that a tag stood behind.
        let joined = |html: &str| html.replace('\u{200d}', "").trim().to_owned();
        prop_assert_eq!(joined(&tidy(&html, usize::MAX, usize::MAX).html), joined(&html), "what is tidy stays as it is");
        prop_assert!(plain(&html, usize::MAX).encode_utf16().count() >= units);
    }
}
