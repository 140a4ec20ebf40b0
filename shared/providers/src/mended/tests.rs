use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answered(body: &[u8], truncated: bool) -> Response {
    Response {
        status: 200,
        headers: ::http::HeaderMap::new(),
        body: Bytes::copy_from_slice(body),
        truncated,
    }
}

#[test]
fn what_is_cut_keeps_all_that_came_before() {
    for (cut, expected) in [
        (
            r#"{"number":7,"title":"a long te"#,
            json!({ "number": 7, "title": "a long te" }),
        ),
        (r#"{"number":7,"title":"#, json!({ "number": 7 })),
        (r#"{"number":7,"ti"#, json!({ "number": 7 })),
        (r#"{"number":7"#, json!({})),
        (r#"{"number":7,"is":tru"#, json!({ "number": 7 })),
        (r#"{"a":{"b":[1,2,"#, json!({ "a": { "b": [1, 2] } })),
        (r#"[{"a":1},{"a":2,"b":"x\"#, json!([{ "a": 1 }, { "a": 2, "b": "x" }])),
        (r#"[{"b":"x\u00"#, json!([{ "b": "x" }])),
        (r#"[{"b":"x\ud83d\u"#, json!([{ "b": "x" }])),
        (r#"[{"b":"x\ud83d\ude00"#, json!([{ "b": "x😀" }])),
        ("{", json!({})),
        ("[", json!([])),
    ] {
        let mended: Value =
            serde_json::from_slice(&mend(cut.as_bytes())).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_eq!(mended, expected, "{cut}");
    }
}

#[test]
fn an_answer_that_was_not_cut_must_be_whole() {
    let of = |body: &str, truncated| object::<Value>(&answered(body.as_bytes(), truncated));
    assert_eq!(of(r#"{"number":7,"title":"a"#, false), None);
    assert_eq!(
        of(r#"{"number":7,"title":"a"#, true),
        Some(json!({ "number": 7, "title": "a" }))
    );
    assert_eq!(of("<html>", true), None);
    assert_eq!(of("[1]", false), None);
    let list = list::<Value>(&answered(b" [1,2,3", true)).expect("a list");
    assert_eq!((list.items, list.cut), (vec![json!(1), json!(2)], true));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(?s).{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("(?s).{0,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_beginning_of_json_is_json_once_it_is_mended(inside in any_json(), ascii in any::<bool>(), pretty in any::<bool>()) {
        let whole = json!([inside, { "last": 1 }]);
        let mut text = if pretty { format!("{whole:#}") } else { whole.to_string() };
        if ascii {
            // As vendors write it that escape all that is not ASCII.
            text = text.chars().flat_map(|c| match c.is_ascii() {
                true => vec![c.to_string()],
                false => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            }).collect();
        }
        for end in 1..=text.len() {
            let mended = mend(&text.as_bytes()[..end]);
            let read: Result<Value, _> = serde_json::from_slice(&mended);
            prop_assert!(read.is_ok(), "{:?} of {text:?}", String::from_utf8_lossy(&mended));
        }
        prop_assert_eq!(mend(text.as_bytes()), text.as_bytes());
    }
}
