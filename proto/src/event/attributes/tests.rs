use std::collections::BTreeMap;

use super::*;
use crate::{Name, RawJson, Severity};

fn event(metadata: impl IntoIterator<Item = (String, String)>) -> Event {
    let org = Name::default_org();
    Event {
        id: "e-1".to_owned(),
        source: Event::default_source(&org),
        org,
        event_type: "tick".parse().expect("a type"),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::default(),
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: metadata.into_iter().collect(),
    }
}

fn many(count: usize) -> BTreeMap<String, String> {
    (0..count)
        .map(|index| (format!("own{index}"), "x".to_owned()))
        .collect()
}

#[test]
fn an_event_has_so_many_attributes_and_those_that_are_added_on_the_way() {
    let added = TRACE
        .into_iter()
        .chain([relay::HOPS])
        .map(|name| (name.to_owned(), "1".to_owned()));
    let mut full = event(many(METADATA_MAX).into_iter().chain(added));
    assert_eq!(full.metadata.len(), METADATA_WITH_ADDED_MAX);
    assert_eq!(full.check_attributes(), Ok(()));
    let error = event(many(METADATA_MAX + 1))
        .check_attributes()
        .expect_err("one too many");
    assert_eq!(error.to_string(), "metadata: more than 64 attributes");
}

#[test]
fn names_and_values_are_texts_of_bounded_length_without_controls() {
    let longest = "x".repeat(ATTRIBUTE_BYTES_MAX);
    let one = |name: &str, value: &str| event([(name.to_owned(), value.to_owned())]).check_attributes();
    assert_eq!(one(&longest, &longest), Ok(()));
    assert_eq!(one("ä", "ä\u{2028}"), Ok(()));
    for (name, value, at) in [
        ("", "x", None),
        ("a\nb", "x", None),
        (&*format!("{longest}x"), "x", None),
        ("a", "", Some("a")),
        ("a", "b\r\nc", Some("a")),
        ("a", "\u{85}", Some("a")),
        ("a", &*format!("{longest}x"), Some("a")),
        (relay::HOPS, "4", Some(relay::HOPS)),
    ] {
        let error = one(name, value).expect_err("it is wrong");
        assert_eq!((error.field, error.name.as_deref()), ("metadata", at), "{error}");
    }
    let mut other = event([]);
    other.subject = Some(String::new());
    assert_eq!(other.check_attributes().expect_err("it is empty").field, "subject");
}

#[test]
fn trace_context_refuses_no_event() {
    let mut event = event([
        ("traceparent".to_owned(), "a\nb".to_owned()),
        ("tracestate".to_owned(), "a=b".to_owned()),
    ]);
    assert_eq!(event.check_attributes(), Ok(()));
    assert_eq!(event.metadata.keys().collect::<Vec<_>>(), ["tracestate"]);
}
