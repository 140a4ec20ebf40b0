//! Reads HTML as a work item's form does, with code that the provider does not use.

use crate::conformance::readable::readable;

/// Elements that a form shows as they are meant.
const ELEMENTS: [&str; 8] = ["p", "b", "i", "ul", "li", "pre", "code", "a"];

/// Fails where an element is unknown, stays open or is closed out of its order, and where a text is not readable. Says what is
/// shown.
pub(super) fn html(html: &str, units_max: usize) -> String {
    assert!(html.encode_utf16().count() <= units_max, "{} bytes", html.len());
    let mut open: Vec<&str> = Vec::new();
    let mut shown = String::new();
    let mut block = String::new();
    let mut rest = html;
    while !rest.is_empty() {
        let (text, behind) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        block.push_str(&unescaped(text));
        rest = behind;
        let Some(behind) = rest.strip_prefix('<') else {
            continue;
        };
        let (tag, behind) = behind.split_once('>').expect("a tag that ends");
        rest = behind;
        if tag == "br" {
            block.push('\n');
        } else if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order");
        } else {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(ELEMENTS.contains(&name), "<{tag}>");
            match (name, attributes) {
                ("a", attributes) => {
                    let url = attributes.strip_prefix("href=\"").and_then(|url| url.strip_suffix('"'));
                    let url = unescaped(url.expect("an address"));
                    assert!(url.starts_with("https://") || url.starts_with("http://"), "{url}");
                }
                (_, "") => {}
                other => panic!("{other:?}"),
            }
            open.push(name);
        }
        if open.is_empty() {
            readable(&block, units_max, "a block");
            shown.push_str(&block);
            shown.push('\n');
            block.clear();
        }
    }
    assert!(
        open.is_empty() && block.is_empty(),
        "{open:?} stay open, or text stands alone"
    );
    assert!(!shown.is_empty(), "nothing to read");
    shown
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
    let mut parts = text.split('&');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';').expect("an escape that ends");
        shown.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        shown.push_str(rest);
    }
    shown
}
