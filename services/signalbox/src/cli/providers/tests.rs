use super::*;

#[test]
fn a_long_description_is_shown_whole_in_short_lines() {
    let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
    let shown = wrapped(&words.join(" "), "    ");
    assert!(shown.lines().count() > 1, "{shown}");
    for line in shown.lines() {
        assert!(
            line.chars().count() <= LINE_CHARS_MAX && line.starts_with("    w"),
            "{line}"
        );
    }
    assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), words);
    let long = "x".repeat(2 * LINE_CHARS_MAX);
    assert_eq!(wrapped(&long, "").lines().count(), 1, "a word is never cut");
}
