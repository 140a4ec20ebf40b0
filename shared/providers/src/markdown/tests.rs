use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    About,
    conformance::{hostile, readable::readable},
};

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "issues".parse().unwrap(),
        org: "acme".parse().unwrap(),
        brand: "Signalbox".into(),
        timeout: std::time::Duration::from_secs(15),
    }
}

#[test]
fn words_stand_as_they_are_and_all_else_is_code() {
    for plain in [
        "p99 is above 800 ms since 10 minutes.",
        "Latency (of checkout) is rising: look, now!",
        "92.5 %",
        "1.4.2",
        "the on-call agent's run",
        "日本語のテキスト…",
        "2 × Execution Failed",
        "",
    ] {
        assert_eq!(line(plain), plain);
    }
    for (text, expected) in [
        ("@ann", "`@ann`"),
        ("see #1", "`see #1`"),
        ("GH-1", "`GH-1`"),
        ("acme/shop!7", "`acme/shop!7`"),
        ("/close", "`/close`"),
        (
            "https://code.example/a/b/issues/1",
            "`https://code.example/a/b/issues/1`",
        ),
        ("www.example.com", "`www.example.com`"),
        ("a <b> c", "`a <b> c`"),
        ("&amp;", "`&amp;`"),
        (":smile:", "`:smile:`"),
        ("1. one", "`1. one`"),
        ("- one", "`- one`"),
        ("see a1b2c3d4e5", "`see a1b2c3d4e5`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        (" a", "`  a `"),
        ("snake_case", "`snake_case`"),
        ("$x^2$", "`$x^2$`"),
    ] {
        assert_eq!(line(text), expected);
    }
    assert_eq!(line(&"`".repeat(99)), format!("`{}`", "'".repeat(99)));
}

#[test]
fn a_value_in_a_template_is_one_line_unless_all_its_lines_are_plain() {
    assert_eq!(value("one line.\nand another"), "one line.\nand another");
    assert_eq!(value("one\n```\n@ann"), "````one ``` @ann````");
    assert_eq!(value(" \u{202e}@x\u{0}"), "`@x`");
}

/// What a reader of Markdown looks at: all that is in no code. Reads fences and spans by their own rule.
fn outside_of_code(text: &str) -> String {
    let mut out = String::new();
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        let row: String = trimmed.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if row.len() >= open.len() && row.len() == trimmed.len() => fence = None,
            Some(_) => {}
            None if row.len() >= 3 && row.len() == trimmed.len() => fence = Some(row),
            None => {
                out.push_str(&outside_of_spans(line));
                out.push('\n');
            }
        }
    }
    assert_eq!(fence, None, "a fence stays open: {text}");
    out
}

fn outside_of_spans(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    let ticks = |text: &str| text.chars().take_while(|c| *c == '`').count();
    while let Some(at) = rest.find('`') {
        let (plain, code) = rest.split_at(at);
        out.push_str(plain);
        let length = ticks(code);
        let (row, mut inside) = code.split_at(length);
        rest = loop {
            let Some(found) = inside.find(row) else {
                panic!("a span stays open: {line}")
            };
            let (_, end) = inside.split_at(found);
            let longer = ticks(end);
            let (_, behind) = end.split_at(longer);
            if longer == length {
                break behind;
            }
            inside = behind;
        };
    }
    out + rest
}

#[test]
fn no_hostile_event_says_anything_outside_of_code() {
    let about = about();
    for index in 0..1_000 {
        let delivery = hostile::hostile(index);
        let shown = Display::of(&delivery, &about);
        let page = page(&shown, &delivery);
        assert!(
            page.chars().count() <= PAGE_CHARS_MAX,
            "{index}: {} characters",
            page.chars().count()
        );
        let seen = outside_of_code(&page);
        // Our own rule, list signs, bold labels, headings and links are all the markup there is.
        for line in seen.lines().filter(|line| !line.starts_with('[')) {
            let own = line.trim_start_matches(['#', ' ', '-']).replace("**", "");
            assert!(
                !own.contains(['@', '#', '<', '>', '&', '*', '_', '~', '[', ']', '\\', '|', '$']),
                "{index}: {line:?}"
            );
            assert!(!own.contains("://") && !own.contains("www."), "{index}: {line:?}");
        }
        let title = title(&shown, 50, 256);
        assert!(title.chars().count() <= 256);
        readable(&title, 512, "title");
        readable(&page, usize::MAX, "page");
    }
}

#[test]
fn the_mark_is_known_again_at_the_beginning_alone() {
    let delivery = hostile::delivery(hostile::event("alert.created", &json!({})), 1);
    let text = marked(&delivery, "## A");
    assert!(is_marked(&text, &delivery));
    assert!(is_marked(&text.replace('\n', "\r\n"), &delivery));
    assert!(!is_marked(&format!("> {text}"), &delivery), "somebody quotes it");
    let mut other = delivery.clone();
    other.id.push('x');
    assert!(!is_marked(&text, &other));
}

proptest! {
    #[test]
    fn any_line_is_plain_or_code(text in "[^\r\n]{0,40}") {
        let clean = text::line(&text, 100);
        let line = line(&clean);
        if line != clean {
            prop_assert_eq!(outside_of_spans(&line), "");
        }
        outside_of_code(&value(&text));
    }
}
