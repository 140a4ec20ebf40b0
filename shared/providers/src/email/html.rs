//! Text as HTML: escaped, with its lines.

/// Writes a text so that it is shown as it is, whatever it holds.
pub(super) fn push(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Without an end of its own: where white space is kept it would be a second line.
            '\n' => out.push_str("<br>"),
            c => out.push(c),
        }
    }
}

/// As [`push`], between two tags.
pub(super) fn wrap(out: &mut String, open: &str, text: &str, close: &str) {
    out.push_str(open);
    push(out, text);
    out.push_str(close);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_holds_is_shown_and_not_obeyed() {
        let mut out = String::new();
        wrap(&mut out, "<p>", "<a href=\"x\" onclick='y'>&\nnext", "</p>");
        assert_eq!(
            out,
            "<p>&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;<br>next</p>\n"
        );
    }
}
