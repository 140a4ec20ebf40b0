use super::*;

#[test]
fn a_tag_is_written_as_datadog_keeps_it() {
    for (value, tag) in [
        ("builder", "agent_id:builder"),
        ("Agent 7 (EU)", "agent_id:agent_7_eu"),
        ("team/a.b-c:d", "agent_id:team/a.b-c:d"),
        ("__init__", "agent_id:_init"),
        ("Größe", "agent_id:größe"),
        ("日本", "agent_id:日本"),
        ("İ", "agent_id:i"),
        ("ends:", "agent_id:ends"),
        ("🎉", "agent_id:unnamed"),
        ("", "agent_id:system"),
    ] {
        assert_eq!(agent(Some(value)), tag, "{value:?}");
    }
    assert_eq!(agent(None), "agent_id:system");
    assert_eq!(event_type("canary.rolled_back"), "event_type:canary.rolled_back");
}

#[test]
fn a_tag_has_at_most_two_hundred_characters() {
    for text in ["x".repeat(1_000), "é ".repeat(500), "İ".repeat(1_000)] {
        assert_eq!(agent(Some(&text)).chars().count(), TAG_CHARS_MAX, "{text}");
    }
}

#[test]
fn a_tag_of_an_owner_begins_with_a_letter() {
    for (written, tag) in [
        ("team:platform", Some("team:platform")),
        ("Env:Production", Some("env:production")),
        ("1st", Some("st")),
        ("_:x y", Some("x_y")),
        ("team:", Some("team")),
        ("42", None),
        ("", None),
    ] {
        assert_eq!(own(written).as_deref(), tag, "{written:?}");
    }
}
