use super::*;

#[test]
fn only_the_named_places_are_facts() {
    let facts = read(br#"{"x":{"agent_id":"no","severity":"no"},"spec":{"severity":"high","agent_id":"no"},"list":[{"priority":"no"}]}"#).unwrap();
    assert_eq!(facts, Facts { is_object: true, severity: Some("high".into()), ..Facts::default() });
}

#[test]
fn numbers_are_read_as_text_and_empty_text_is_nothing() {
    let facts = read(br#"{"agent_id":7,"execution_id":"","priority":3}"#).unwrap();
    assert_eq!((facts.agent_id.as_deref(), facts.execution_id, facts.severity.as_deref()), (Some("7"), None, Some("3")));
}
