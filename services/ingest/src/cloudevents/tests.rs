use super::*;

#[test]
fn base64_data_without_a_content_type_must_be_json() {
    let event = |data: &str| {
        Bytes::from(format!(
            r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data_base64":"{}"}}"#,
            STANDARD.encode(data)
        ))
    };
    assert_eq!(structured(&event(r#"{"a":1}"#)).unwrap().data.as_ref(), br#"{"a":1}"#);
    assert!(structured(&event("not json")).is_err());
}

#[test]
fn both_forms_of_data_together_are_refused() {
    let body = Bytes::from_static(
        br#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data":1,"data_base64":"MQ=="}"#,
    );
    assert_eq!(structured(&body).unwrap_err().field.as_deref(), Some("data_base64"));
}
