use super::*;

#[test]
fn only_the_named_places_are_facts() {
    let facts = read(br#"{"x":{"agent_id":"no","severity":"no"},"spec":{"severity":"high","agent_id":"no"},"list":[{"priority":"no"}]}"#).unwrap();
    assert_eq!(
        facts,
        Facts {
            is_object: true,
            severity: Some("high".into()),
            ..Facts::default()
        }
    );
}

#[test]
fn numbers_are_read_as_text_and_empty_text_is_nothing() {
    let facts = read(br#"{"agent_id":7,"execution_id":"","priority":3}"#).unwrap();
    assert_eq!(
        (facts.agent_id.as_deref(), facts.execution_id, facts.severity.as_deref()),
        (Some("7"), None, Some("3"))
    );
}

#[test]
fn data_may_be_nested_so_deep_and_no_deeper() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
    let rejection = read(nested(DEPTH_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(rejection.field.as_deref(), Some("data"));
    assert!(check_envelope(format!("{{\"data\":{}}}", nested(DEPTH_MAX)).as_bytes()).is_ok());
}
