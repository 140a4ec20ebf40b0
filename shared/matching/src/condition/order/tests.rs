use super::*;
use crate::condition::tests::event;

fn key(source: &str, data: &str) -> Result<Option<String>, ConditionError> {
    let event = event(data);
    OrderBy::compile(source).unwrap().key(&EventView::new(&event))
}

#[test]
fn keys_of_different_types_differ_and_whole_numbers_are_alike() {
    assert_eq!(key("event.data.k", r#"{"k":"7"}"#), Ok(Some("text 7".into())));
    assert_eq!(key("event.data.k", r#"{"k":7}"#), Ok(Some("number 7".into())));
    assert_eq!(key("event.data.k", r#"{"k":7.0}"#), Ok(Some("number 7".into())));
    assert_eq!(key("event.data.k", r#"{"k":true}"#), Ok(Some("flag true".into())));
    assert_eq!(
        key("event.data.a + '/' + event.type", r#"{"a":"x"}"#).unwrap().unwrap(),
        "text x/execution.failed"
    );
}

#[test]
fn an_event_without_what_is_read_has_no_key() {
    assert_eq!(key("event.data.k", "{}"), Ok(None));
    assert_eq!(key("event.data.k.l", r#"{"k":null}"#), Ok(None));
}

#[test]
fn what_is_no_key_is_an_error() {
    assert!(matches!(
        key("event.data.k", r#"{"k":[1]}"#),
        Err(ConditionError::NotKey(_))
    ));
    assert!(matches!(key("event.data", "{}"), Err(ConditionError::NotKey(_))));
    let long = format!(r#"{{"k":"{}"}}"#, "x".repeat(KEY_BYTES_MAX));
    assert!(matches!(key("event.data.k", &long), Err(ConditionError::LongKey(_))));
    assert!(OrderBy::compile("event.").is_err());
}
