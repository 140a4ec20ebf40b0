//! What holds of any text that people read, checked without the code that makes it.

/// Fails unless a text is within its limit, has something to read, holds nothing that only machines read, and is not cut
/// inside a sign. `units_max` is in units of UTF-16: never fewer than code points.
pub(crate) fn readable(text: &str, units_max: usize, place: &str) {
    let units = text.encode_utf16().count();
    assert!(
        (1..=units_max).contains(&units),
        "{place}: {units} units, at most {units_max}"
    );
    assert!(!text.trim().is_empty(), "{place}: nothing to read in {text:?}");
    assert_eq!(
        text.chars().find(|c| is_hidden(*c)),
        None,
        "{place}: a hidden character in {text:?}"
    );
    let mut open = 0_usize;
    for c in text.chars() {
        match c {
            '\u{2068}' => open += 1,
            '\u{2069}' => {
                assert!(open > 0, "{place}: closes what nothing opened: {text:?}");
                open -= 1;
            }
            _ => {}
        }
    }
    assert_eq!(open, 0, "{place}: a direction stays open in {text:?}");
    let mut before = ' ';
    for c in text.chars() {
        assert!(
            !(before == '\u{200d}' && c == '…'),
            "{place}: cut inside a sequence: {text:?}"
        );
        before = c;
    }
}

/// As [`readable`], on one line.
pub(crate) fn one_line(text: &str, units_max: usize, place: &str) {
    readable(text, units_max, place);
    assert!(!text.contains(['\n', '\t']), "{place}: more than a line: {text:?}");
}

/// Control characters, and marks that turn round the text behind them.
fn is_hidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}
