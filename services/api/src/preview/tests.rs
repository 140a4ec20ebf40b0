use serde_json::json;
use signalbox_proto::{
    event::attributes::{ATTRIBUTE_BYTES_MAX, METADATA_MAX},
    relay,
};

use super::*;

fn tried(event: Value) -> Result<Event, Problem> {
    let given: Plain = serde_json::from_value(event).expect("the form of an event");
    made_up(given, &Name::default_org(), None)
}

/// The status, code and field of the problem.
fn refused(event: Value) -> (u16, &'static str, String) {
    let problem = tried(event).expect_err("it is refused");
    let field = problem.field.expect("a field is named");
    (problem.status.as_u16(), problem.code, field)
}

#[test]
fn a_made_up_event_has_no_more_attributes_than_an_accepted_one() {
    let many = |count: usize| -> Value {
        let named = (0..count).map(|index| (format!("own{index}"), json!("x")));
        Value::Object(named.collect())
    };
    let mut full = many(METADATA_MAX);
    for added in ["traceparent", "tracestate", relay::HOPS] {
        full[added] = json!("1");
    }
    let event = tried(json!({ "type": "a.b", "metadata": full })).expect("as many as there may be");
    assert_eq!(event.metadata.len(), METADATA_MAX + 3);
    // As many names as no map of headers holds.
    for count in [METADATA_MAX + 1, 24_600] {
        let problem = refused(json!({ "type": "a.b", "metadata": many(count) }));
        assert_eq!(problem, (400, "invalid", "event/metadata".to_owned()), "{count}");
    }
}

#[test]
fn what_no_accepted_event_holds_is_refused_by_its_field() {
    let long = "x".repeat(ATTRIBUTE_BYTES_MAX + 1);
    let deep = |levels: usize| -> Value {
        let text = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        serde_json::from_str(&text).expect("JSON")
    };
    assert!(tried(json!({ "type": "a.b", "data": deep(DEPTH_MAX) })).is_ok());
    for (field, mut event) in [
        ("event/metadata/a", json!({ "metadata": { "a": long } })),
        ("event/metadata/a", json!({ "metadata": { "a": "" } })),
        ("event/metadata/a", json!({ "metadata": { "a": "b\r\nc" } })),
        ("event/metadata", json!({ "metadata": { "": "b" } })),
        ("event/metadata", json!({ "metadata": { "a\nb": "c" } })),
        ("event/metadata", json!({ "metadata": { &*long: "c" } })),
        (
            "event/metadata/signalboxhops",
            json!({ "metadata": { "signalboxhops": "9" } }),
        ),
        ("event/source", json!({ "source": long })),
        ("event/source", json!({ "source": "" })),
        ("event/subject", json!({ "subject": "a\nb" })),
        ("event/agent_id", json!({ "agent_id": "" })),
        ("event/execution_id", json!({ "data": { "execution_id": long } })),
        ("event/id", json!({ "id": "a b" })),
        ("event/data", json!({ "data": deep(DEPTH_MAX + 1) })),
        ("event", json!({ "data": { "a": "x".repeat(BYTES_MAX) } })),
    ] {
        event["type"] = json!("a.b");
        assert_eq!(
            refused(event.clone()),
            (400, "invalid", field.to_owned()),
            "{event:.200}"
        );
    }
}

#[test]
fn a_long_name_is_shown_in_part() {
    let name = "n".repeat(ATTRIBUTE_BYTES_MAX);
    let (_, _, field) = refused(json!({ "type": "a.b", "metadata": { &*name: "" } }));
    assert_eq!(field, format!("event/metadata/{}", "n".repeat(NAME_CHARS_SHOWN)));
}

#[test]
fn the_document_says_the_same_bounds() {
    let document = crate::openapi::document(&crate::routes::table());
    let schemas = &document["components"]["schemas"];
    for event in ["PreviewEvent", "PlainEvent"] {
        let shown = schemas[event]["properties"].to_string();
        assert_eq!(
            shown.matches("#/components/schemas/Attribute\"").count(),
            4,
            "{event}: {shown}"
        );
        assert_eq!(
            shown.matches("#/components/schemas/Metadata\"").count(),
            1,
            "{event}: {shown}"
        );
    }
    assert_eq!(schemas["Attribute"]["maxLength"], ATTRIBUTE_BYTES_MAX);
    assert_eq!(schemas["Metadata"]["maxProperties"], METADATA_MAX + 3);
    assert_eq!(
        schemas["Metadata"]["propertyNames"]["$ref"],
        "#/components/schemas/Attribute"
    );
}
