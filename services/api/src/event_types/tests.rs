use serde_json::json;

use super::*;

fn name(text: &str) -> EventType {
    text.parse().expect("a type")
}

fn check(body: Value) -> Result<Registered, Problem> {
    let given: Given = request::read_json(body.to_string().as_bytes())?;
    given.check(Name::default_org(), name("deploy.done"), Timestamp::from_secs(7))
}

#[test]
fn what_a_request_says_is_kept() {
    let registered = check(json!({
        "title": "Deployed", "emoji": "🚀", "severity": "medium", "tone": "good",
        "schema": { "type": "object", "required": ["version"] },
    }))
    .expect("a type");
    assert_eq!(
        json!(view("deploy.done", Some(&registered))),
        json!({
            "type": "deploy.done", "title": "Deployed", "emoji": "🚀", "severity": "medium", "tone": "good",
            "schema": { "type": "object", "required": ["version"] }, "built_in": false,
            "created_at": "1970-01-01T00:00:07Z", "updated_at": "1970-01-01T00:00:07Z",
        })
    );
    let bare = check(json!({ "schema": null })).expect("a type");
    assert_eq!(
        (bare.title, bare.emoji, bare.severity, bare.tone, bare.schema),
        (None, None, None, None, None)
    );
}

#[test]
fn each_wrong_field_is_named() {
    for (body, field) in [
        (json!({ "title": "" }), "title"),
        (json!({ "title": "  " }), "title"),
        (json!({ "title": "a\nb" }), "title"),
        (json!({ "title": "x".repeat(TITLE_CHARS_MAX + 1) }), "title"),
        (json!({ "title": 1 }), "title"),
        (json!({ "emoji": "" }), "emoji"),
        (json!({ "emoji": "a b" }), "emoji"),
        (json!({ "emoji": "🚀".repeat(17) }), "emoji"),
        (json!({ "severity": "grave" }), "severity"),
        (json!({ "tone": "loud" }), "tone"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "built_in": true }), "built_in"),
        (json!({ "schema": "text" }), "schema"),
        (json!({ "schema": { "type": "strng" } }), "schema/type"),
        (
            json!({ "schema": { "properties": { "a": { "$ref": "http://x/y" } } } }),
            "schema/properties/a/$ref",
        ),
    ] {
        let problem = check(body.clone()).err().unwrap_or_else(|| panic!("{body} is taken"));
        assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(problem.to_string().contains(field), "{body}: {problem}");
        assert_eq!(problem.field.as_deref(), Some(field), "{body}: {problem}");
    }
}

#[test]
fn own_types_stand_among_the_built_in_ones_and_win_over_them() {
    let own = [
        Registered {
            name: name("execution.failed"),
            ..check(json!({ "title": "Agent fell over" })).expect("a type")
        },
        Registered {
            name: name("zzz"),
            ..check(json!({})).expect("a type")
        },
    ];
    let all = merged(&own);
    assert_eq!(all.len(), types::BUILT_IN.len() + 1);
    assert!(all.is_sorted_by(|left, right| left.0 < right.0));
    let seen = |wanted: &str| {
        let (name, own) = all.iter().find(|(name, _)| *name == wanted).expect(wanted);
        json!(view(name, *own))
    };
    let failed = seen("execution.failed");
    assert_eq!(
        (&failed["title"], &failed["emoji"]),
        (&json!("Agent fell over"), &json!("❌"))
    );
    assert_eq!((&failed["severity"], &failed["tone"]), (&json!("high"), &json!("bad")));
    assert_eq!(
        (&failed["built_in"], failed["created_at"].is_string()),
        (&json!(true), true)
    );
    let bare = seen("zzz");
    assert_eq!((&bare["title"], &bare["emoji"]), (&json!("zzz"), &json!(types::EMOJI)));
    assert_eq!(
        (&bare["severity"], &bare["tone"], &bare["built_in"]),
        (&json!("low"), &json!("neutral"), &json!(false))
    );
    let built_in = seen("alert.created");
    assert_eq!(
        (&built_in["built_in"], &built_in["created_at"], &built_in["schema"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
}

#[test]
fn a_schema_of_another_version_is_found() {
    let fine = check(json!({ "schema": { "type": "object" } })).expect("a type");
    assert!(broken(fine.clone()).is_none());
    let without = Registered {
        schema: None,
        ..fine.clone()
    };
    assert!(broken(without).is_none());
    let other = Registered {
        schema: Some(RawJson::of(&json!({ "type": "newer" })).expect("JSON")),
        ..fine
    };
    assert_eq!(broken(other).expect("a fault").1.pointer, "/type");
}
