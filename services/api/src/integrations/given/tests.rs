use super::*;

/// The cases of RFC 7396, appendix A.
#[test]
fn patches_merge_as_the_rfc_has_it() {
    let cases = [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
        (
            json!({ "a": { "b": "c" } }),
            json!({ "a": { "b": "d", "c": null } }),
            json!({ "a": { "b": "d" } }),
        ),
        (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({ "a": "foo" }), json!(null), json!(null)),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
        (json!([1, 2]), json!({ "a": "b", "c": null }), json!({ "a": "b" })),
        (
            json!({}),
            json!({ "a": { "bb": { "ccc": null } } }),
            json!({ "a": { "bb": {} } }),
        ),
    ];
    for (mut target, patch, expected) in cases {
        let shown = format!("{target} with {patch}");
        merge(&mut target, patch);
        assert_eq!(target, expected, "{shown}");
    }
}

#[test]
fn a_status_is_asked_for_by_either_name_and_not_by_both() {
    let read = |fields: Value| {
        let Value::Object(mut fields) = fields else {
            panic!("an object")
        };
        let mut errors = Vec::new();
        let wish = take_wish(&mut fields, &mut errors);
        assert!(fields.is_empty(), "{fields:?}");
        (wish, errors.first().map(|error| error.pointer.clone()))
    };
    assert_eq!(read(json!({ "status": "active" })), (Some(Wish::Active), None));
    assert_eq!(read(json!({ "status": "paused" })), (Some(Wish::Paused), None));
    assert_eq!(read(json!({ "status": "inactive" })), (Some(Wish::Inactive), None));
    // What an answer may say: sent back, it asks for nothing.
    assert_eq!(read(json!({ "status": "pending_setup" })), (None, None));
    assert_eq!(read(json!({ "status": "error" })), (None, None));
    assert_eq!(
        read(json!({ "enabled": true, "status": null })),
        (Some(Wish::Active), None)
    );
    assert_eq!(read(json!({ "enabled": false })), (Some(Wish::Inactive), None));
    assert_eq!(read(json!({})), (None, None));
    assert_eq!(
        read(json!({ "enabled": true, "status": "active" })),
        (None, Some("enabled".to_owned()))
    );
    assert_eq!(read(json!({ "status": "gone" })), (None, Some("status".to_owned())));
    assert_eq!(read(json!({ "status": 1 })), (None, Some("status".to_owned())));
    assert_eq!(read(json!({ "enabled": "yes" })), (None, Some("enabled".to_owned())));
}

#[test]
fn what_never_changes_may_be_repeated() {
    let check = |value: Value| {
        let mut fields = Fields::new();
        fields.insert("org".to_owned(), value);
        let mut errors = Vec::new();
        same(&mut fields, "org", "acme", &mut errors);
        assert!(fields.is_empty());
        errors.is_empty()
    };
    assert!(check(json!("acme")) && check(Value::Null));
    assert!(!check(json!("other")) && !check(json!(1)));
}
