//! Bodies made of the document's examples, with something else in the place of one value.

use serde_json::Value;

/// The places of all values that are no object and no list, as JSON pointers.
pub(super) fn leaves(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(body, String::new(), &mut found);
    found
}

fn walk(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                walk(
                    value,
                    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, format!("{place}/{index}"), found);
            }
        }
        _ => found.push(place),
    }
}

/// The body with another value in one place.
pub(super) fn with(body: &Value, place: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(place).expect("a place in the body") = value;
    body
}

/// The text of the body with this in one place, whether it is JSON or not.
pub(super) fn with_text(body: &Value, place: &str, text: &str) -> String {
    const MARK: &str = "put-here";
    with(body, place, MARK.into())
        .to_string()
        .replacen(&format!("\"{MARK}\""), text, 1)
}
