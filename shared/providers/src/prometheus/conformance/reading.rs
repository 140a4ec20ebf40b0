//! The text format 0.0.4, read as strictly as its rules are written.

use std::collections::{BTreeMap, BTreeSet};

/// Totals by name and agent.
pub(crate) type Read = BTreeMap<(String, String), u64>;

/// Reads a body of counters with one label, `agent_id`; fails at anything else.
pub(crate) fn read(body: &[u8]) -> Read {
    let text = std::str::from_utf8(body).expect("UTF-8");
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut read = Read::new();
    let mut done = BTreeSet::new();
    let mut current = String::new();
    let (mut helped, mut typed) = (false, false);
    for line in text.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next(), words.next());
            let (name, rest) = (name.expect("a name"), rest.expect("a text or a type"));
            assert!(is_name(name), "{name:?}");
            match what {
                Some("HELP") => {
                    assert!(done.insert(name.to_owned()), "{name} comes twice");
                    assert!(
                        !rest.contains('\\'),
                        "{rest:?} is escaped, and would have to be read so"
                    );
                    (current, helped, typed) = (name.to_owned(), true, false);
                }
                Some("TYPE") => {
                    assert!(
                        helped && !typed && name == current,
                        "TYPE of {name} behind HELP of {current}"
                    );
                    assert_eq!(rest, "counter");
                    typed = true;
                }
                other => panic!("{other:?}: {line}"),
            }
            continue;
        }
        let (name, rest) = line.split_once('{').expect("a label");
        assert!(typed && name == current, "{line}: behind {current}");
        let rest = rest.strip_prefix("agent_id=\"").expect("the label agent_id");
        let (agent, rest) = quoted(rest);
        let value = rest.strip_prefix("} ").expect("a value, and no other label");
        assert!(
            value.bytes().all(|byte| byte.is_ascii_digit()),
            "{value:?}: no timestamp, no sign"
        );
        let value = value.parse().expect("a number");
        let twice = read.insert((name.to_owned(), agent), value);
        assert_eq!(twice, None, "{line}: twice");
    }
    read
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !name.starts_with("__");
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The text up to the closing quote, read, and what is behind it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.split_at(at + 1).1),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("an escape of {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("a label without an end: {text:?}");
}

#[test]
fn what_breaks_the_rules_is_seen() {
    let good = "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\\\\\\\"\\n\"} 3\n";
    let read = super::reading::read(good.as_bytes());
    assert_eq!(read[&("a_total".to_owned(), "x\\\"\n".to_owned())], 3);
    for bad in [
        "a_total{agent_id=\"x\"} 3\n",
        "# TYPE a_total counter\na_total{agent_id=\"x\"} 3\n",
        "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\"} 3",
        "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\"} 3 1767225600000\n",
        "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\"y\"} 3\n",
        "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\n\"} 3\n",
        "# HELP a_total It.\n# TYPE a_total counter\na_total{agent_id=\"x\"} 3\na_total{agent_id=\"x\"} 4\n",
        "# HELP a_total It.\n# TYPE a_total counter\nb_total{agent_id=\"x\"} 3\n",
        "# HELP a.b_total It.\n# TYPE a.b_total counter\na.b_total{agent_id=\"x\"} 3\n",
    ] {
        let read = std::panic::catch_unwind(|| super::reading::read(bad.as_bytes()));
        assert!(read.is_err(), "{bad}");
    }
}
