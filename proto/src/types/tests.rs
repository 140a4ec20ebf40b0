use super::*;
use crate::EventType;

#[test]
fn the_table_is_sorted_without_repeats_and_holds_only_types() {
    assert!(BUILT_IN.is_sorted_by(|left, right| left.name < right.name));
    for entry in BUILT_IN {
        entry.name.parse::<EventType>().expect(entry.name);
        assert_eq!(built_in(entry.name), Some(entry));
    }
}

#[test]
fn a_type_says_its_severity_and_any_other_is_low() {
    for (name, severity) in [
        ("system.degraded", Severity::Critical),
        ("execution.failed", Severity::High),
        ("invocation.throttled", Severity::Medium),
        ("execution.completed", Severity::Low),
        ("my.own", Severity::Low),
        ("", Severity::Low),
        ("execution", Severity::Low),
        ("Execution.failed", Severity::Low),
    ] {
        assert_eq!(default_severity(name), severity, "{name}");
    }
}

#[test]
fn what_users_were_promised_is_there() {
    for (family, ends) in [
        ("execution", &["started", "completed", "failed"][..]),
        ("alert", &["created", "resolved"]),
        ("canary", &["started", "promoted", "rolled_back"]),
        ("problem", &["detected", "resolved"]),
        ("experiment", &["started", "completed"]),
        ("proposal", &["created", "approved"]),
        ("system", &["degraded", "recovered"]),
        ("spec", &["created", "approved", "status_changed"]),
        ("implementation", &["started", "completed", "failed"]),
        ("pr", &["created", "merged"]),
        ("validation", &["failed"]),
        ("invocation", &["completed", "failed", "throttled", "denied"]),
        ("build", &["queued", "started", "completed", "failed"]),
        ("deployment", &["started", "completed", "failed"]),
        ("image", &["pushed"]),
        ("integration", &["test", "suspended", "recovered"]),
        ("delivery", &["dead", "failing"]),
        ("signalbox", &["digest"]),
    ] {
        for end in ends {
            let name = format!("{family}.{end}");
            assert!(built_in(&name).is_some(), "{name}");
        }
    }
}

#[test]
fn every_built_in_type_says_how_it_looks() {
    for entry in BUILT_IN {
        let name = entry.name;
        assert!((1..=TITLE_CHARS_MAX).contains(&entry.title.chars().count()), "{name}");
        assert_eq!(entry.title.trim(), entry.title, "{name}");
        assert!((1..=EMOJI_BYTES_MAX).contains(&entry.emoji.len()), "{name}");
        assert!(
            !entry.emoji.is_ascii() && !entry.emoji.contains(char::is_whitespace),
            "{name}"
        );
        assert!(!entry.message.is_some_and(str::is_empty), "{name}");
    }
}

#[test]
fn titles_and_emoji_are_those_that_users_were_promised() {
    for (name, emoji, title) in [
        ("execution.failed", "❌", "Execution Failed"),
        ("alert.created", "🚨", "Alert Created"),
        ("alert.resolved", "✅", "Alert Resolved"),
        ("canary.started", "🐤", "Canary Deployment Started"),
        ("canary.promoted", "🎉", "Canary Promoted"),
        ("canary.rolled_back", "⚠️", "Canary Rolled Back"),
        ("problem.detected", "🔍", "Problem Detected"),
        ("system.degraded", "🔴", "System Degraded"),
        ("system.recovered", "🟢", "System Recovered"),
    ] {
        let entry = built_in(name).expect(name);
        assert_eq!((entry.emoji, entry.title), (emoji, title), "{name}");
    }
    for (name, emoji) in [
        ("implementation.started", "🚀"),
        ("implementation.completed", "✅"),
        ("implementation.failed", "❌"),
        ("integration.test", "🔧"),
    ] {
        assert_eq!(built_in(name).expect(name).emoji, emoji, "{name}");
    }
    assert_eq!(EMOJI, "ℹ️");
}

#[test]
fn messages_are_those_that_users_were_promised_and_their_placeholders_name_known_fields() {
    let messages: Vec<(&str, &str)> = BUILT_IN
        .iter()
        .filter_map(|entry| Some((entry.name, entry.message?)))
        .collect();
    assert_eq!(
        messages,
        [
            ("canary.promoted", "Version {version} promoted to production"),
            ("canary.rolled_back", "Canary rolled back: {reason}"),
            ("canary.started", "Canary deployment started for version {version}"),
            ("execution.failed", "Execution failed: {error}"),
            ("system.degraded", "System degraded: {reason}"),
            ("system.recovered", "System has recovered to healthy state"),
        ]
    );
    for (name, message) in messages {
        let mut rest = message;
        while let Some((before, behind)) = rest.split_once('{') {
            let (field, after) = behind
                .split_once('}')
                .unwrap_or_else(|| panic!("{name}: an open brace"));
            assert!(["version", "reason", "error"].contains(&field), "{name}: {field:?}");
            assert!(!before.contains('}'), "{name}: a closing brace");
            rest = after;
        }
        assert!(!rest.contains('}'), "{name}: a closing brace");
    }
}

#[test]
fn the_ends_of_names_decide_tone_and_severity_except_where_the_word_means_more() {
    for entry in BUILT_IN {
        let end = entry.name.rsplit('.').next().expect("a token");
        let (severity, tone) = match (entry.name, end) {
            ("system.degraded", _) => (Severity::Critical, Tone::Bad),
            (_, "failed" | "rolled_back" | "detected" | "suspended" | "dead") | ("alert.created", _) => {
                (Severity::High, Tone::Bad)
            }
            (_, "failing" | "throttled" | "denied") => (Severity::Medium, Tone::Bad),
            (_, "completed" | "resolved" | "recovered" | "promoted" | "approved" | "merged") => {
                (Severity::Low, Tone::Good)
            }
            _ => (Severity::Low, Tone::Neutral),
        };
        assert_eq!((entry.severity, entry.tone), (severity, tone), "{}", entry.name);
    }
}

#[test]
fn a_registered_type_has_a_look_where_it_says_something_of_it() {
    let bare = Registered {
        org: Name::default_org(),
        name: "a.b".parse().expect("a type"),
        title: None,
        emoji: None,
        severity: Some(Severity::High),
        tone: None,
        schema: None,
        created_at: Timestamp::from_secs(0),
        updated_at: Timestamp::from_secs(0),
        revision: 0,
    };
    assert_eq!(bare.look(), None);
    let look = Registered {
        tone: Some(Tone::Bad),
        ..bare
    }
    .look();
    assert_eq!(
        look,
        Some(Look {
            tone: Some(Tone::Bad),
            ..Look::default()
        })
    );
}
