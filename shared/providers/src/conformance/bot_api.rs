//! The description of Telegram's Bot API that a third party reads out of the vendor's page: methods and types with
//! their fields, as a JSON Schema.

use serde_json::{Map, Value, json};

/// Whether a document is such a description.
pub(super) fn is(document: &Value) -> bool {
    document["version"]
        .as_str()
        .is_some_and(|version| version.starts_with("Bot API "))
}

/// The same places, each with the schema of what it describes. Fields that it does not name are refused, though
/// Telegram leaves them unread: who sends one means something by it.
pub(super) fn schemas(document: &Value) -> Value {
    let part = |name: &str| -> Value {
        let described = document[name].as_object().into_iter().flatten();
        let schemas = described.map(|(name, what)| (name.clone(), object(what, &document["types"])));
        schemas.collect::<Map<_, _>>().into()
    };
    json!({ "methods": part("methods"), "types": part("types") })
}

fn object(what: &Value, types: &Value) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in what["fields"].as_array().into_iter().flatten() {
        let name = field["name"].as_str().expect("a field has a name");
        let named = field["types"].as_array().expect("a field has types").iter();
        let any: Vec<Value> = named
            .map(|kind| schema(kind.as_str().expect("a type's name"), types))
            .collect();
        properties.insert(name.to_owned(), json!({ "anyOf": any }));
        if field["required"] == true {
            required.push(name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn schema(kind: &str, types: &Value) -> Value {
    if let Some(items) = kind.strip_prefix("Array of ") {
        return json!({ "type": "array", "items": schema(items, types) });
    }
    match kind {
        "Integer" => json!({ "type": "integer" }),
        "Float" => json!({ "type": "number" }),
        "String" => json!({ "type": "string" }),
        "Boolean" => json!({ "type": "boolean" }),
        "True" => json!({ "const": true }),
        kind => {
            assert!(types.get(kind).is_some(), "the description has no type {kind}");
            json!({ "$ref": format!("#/types/{kind}") })
        }
    }
}
