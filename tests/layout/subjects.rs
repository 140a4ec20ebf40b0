//! Subjects are built in `proto::subjects` alone, so that what is published is also read.

use crate::tree;

/// The one place.
const HOME: &str = "proto/src/subjects.rs";

/// The tokens behind `signalbox.` that begin a subject; others are event types and file names.
const FAMILIES: [&str; 12] = [
    "in", "ingest", "event", "deliver", "retry", "parked", "parkgate", "batch", "dead", "deadmark", "outcome", "rate",
];

/// Source and literal of a subject that is still written elsewhere. The list only gets shorter.
const ELSEWHERE: &[(&str, &str)] = &[];

#[test]
fn subjects_are_written_in_one_place() {
    let mut wrong = Vec::new();
    for source in tree::sources()
        .iter()
        .filter(|source| !source.is_test() && source.path != HOME)
    {
        for (index, line) in source.text.lines().enumerate() {
            for subject in subjects_in(line) {
                if !ELSEWHERE.contains(&(source.path.as_str(), subject)) {
                    wrong.push(format!("{}:{}: {subject}", source.path, index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these belong into {HOME}: {wrong:#?}");
}

#[test]
fn every_exception_is_still_needed() {
    let sources = tree::sources();
    for (path, subject) in ELSEWHERE {
        let found = sources
            .iter()
            .any(|source| source.path == *path && source.text.lines().any(|line| subjects_in(line).contains(subject)));
        assert!(found, "{path} no longer writes {subject}");
    }
}

#[test]
fn the_search_sees_code_and_not_comments() {
    for (line, found) in [
        (
            r#"    format!("signalbox.parked.{org}")"#,
            &["signalbox.parked.{org}"][..],
        ),
        (r#"    ("a", "signalbox.dead.>"), // why"#, &["signalbox.dead.>"]),
        (
            r#"    let url = "nats://x"; let s = "signalbox.in.>";"#,
            &["signalbox.in.>"],
        ),
        ("    // signalbox.in.acme", &[]),
        ("//! signalbox.in.acme", &[]),
        (r#"    "signalbox.digest", "signalbox.toml", "signalbox.index""#, &[]),
    ] {
        assert_eq!(subjects_in(line), found, "{line}");
    }
}

/// The subjects that a line of code writes.
fn subjects_in(line: &str) -> Vec<&str> {
    const START: &str = "signalbox.";
    // Two slashes behind a colon are part of a URL.
    let comment = line
        .match_indices("//")
        .map(|(at, _)| line.split_at(at))
        .find(|(code, _)| !code.ends_with(':'));
    let code = comment.map_or(line, |(code, _)| code);
    code.match_indices(START)
        .map(|(at, _)| code.split_at(at).1)
        .map(|rest| rest.split(['"', ' ', ',', '`', ')']).next().unwrap_or(rest))
        .filter(|subject| {
            let family = subject.split('.').nth(1).unwrap_or_default();
            FAMILIES.contains(&family)
        })
        .collect()
}
