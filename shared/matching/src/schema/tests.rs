use serde_json::json;

use super::*;

fn compile(schema: &Value) -> Result<Schema, Fault> {
    Schema::compile(schema.to_string().as_bytes())
}

fn check(schema: Value, data: Value) -> Result<(), String> {
    compile(&schema)
        .unwrap_or_else(|fault| panic!("{schema}: {fault}"))
        .check(&data)
        .map_err(|fault| fault.to_string())
}

fn refused(schema: Value) -> Fault {
    match compile(&schema) {
        Ok(_) => panic!("{schema} is taken"),
        Err(fault) => fault,
    }
}

#[test]
fn data_is_checked_and_the_place_of_the_fault_named() {
    let schema = json!({
        "type": "object",
        "required": ["user"],
        "properties": {
            "user": { "$ref": "#/$defs/user" },
            "at": { "type": "string", "format": "date-time" },
            "state": { "enum": ["on", "off"] },
        },
        "$defs": { "user": {
            "type": "object",
            "properties": { "age": { "type": "integer", "minimum": 0 }, "name": { "pattern": "^[a-z]+$" } },
            "additionalProperties": false,
        } },
    });
    for (data, fault) in [
        (
            json!({ "user": { "age": 1, "name": "ann" }, "at": "2026-01-02T03:04:05Z" }),
            "",
        ),
        (
            json!({ "user": { "age": "1" } }),
            "/user/age: value is not of type \"integer\"",
        ),
        (
            json!({ "user": { "age": -1 } }),
            "/user/age: value is less than the minimum of 0",
        ),
        (
            json!({ "user": { "name": "ANN" } }),
            "/user/name: value does not match \"^[a-z]+$\"",
        ),
        (
            json!({ "user": { "x": 1 } }),
            "/user: additional properties are not allowed ('x' was unexpected)",
        ),
        (
            json!({ "user": {}, "at": "yesterday" }),
            "/at: value is not a \"date-time\"",
        ),
        (
            json!({ "user": {}, "state": "open" }),
            "/state: value is not one of \"on\" or \"off\"",
        ),
        (json!({}), "\"user\" is a required property"),
        (json!(null), "value is not of type \"object\""),
        (json!("text"), "value is not of type \"object\""),
    ] {
        let found = check(schema.clone(), data.clone()).err().unwrap_or_default();
        assert_eq!(found, fault, "{data}");
    }
}

#[test]
fn a_fault_repeats_nothing_large() {
    let long = "x".repeat(100_000);
    let mut values = serde_json::Map::new();
    values.insert(long.clone(), json!(long));
    let data = Value::Object(values);
    for schema in [
        json!({ "additionalProperties": false }),
        json!({ "additionalProperties": { "type": "integer" } }),
        json!({ "additionalProperties": { "const": "y".repeat(10_000) } }),
        json!({ "additionalProperties": { "enum": ["y".repeat(10_000)] } }),
        json!({ "additionalProperties": { "pattern": format!("^{}$", "y".repeat(1_000)) } }),
        json!({ "required": ["y".repeat(10_000)] }),
        json!({ "propertyNames": { "maxLength": 5 } }),
    ] {
        let fault = compile(&schema).expect("a schema").check(&data).expect_err("no match");
        assert!(fault.pointer.chars().count() <= QUOTE_CHARS_MAX + 1, "{fault}");
        assert!(fault.message.chars().count() <= QUOTE_CHARS_MAX + 1, "{fault}");
        assert!(!fault.message.is_empty());
    }
}

#[test]
fn a_bad_schema_is_refused_with_its_place() {
    for (schema, pointer) in [
        (json!({ "type": "strng" }), "/type"),
        (
            json!({ "properties": { "a": { "minimum": "1" } } }),
            "/properties/a/minimum",
        ),
        (
            json!({ "properties": { "a": { "$ref": "https://example.com/a.json" } } }),
            "/properties/a/$ref",
        ),
        (
            json!({ "properties": { "a": { "$ref": "file:///etc/passwd" } } }),
            "/properties/a/$ref",
        ),
        (
            json!({ "properties": { "a": { "$ref": "other.json#/a" } } }),
            "/properties/a/$ref",
        ),
        (
            json!({ "properties": { "a": { "$ref": "#name" } } }),
            "/properties/a/$ref",
        ),
        (
            json!({ "$defs": { "a": { "$id": "https://example.com/" } } }),
            "/$defs/a/$id",
        ),
        (json!({ "$dynamicRef": "#x" }), "/$dynamicRef"),
        (json!({ "$schema": "https://example.com/mine" }), "/$schema"),
        (
            json!({ "$schema": "http://json-schema.org/draft-04/schema#" }),
            "/$schema",
        ),
        (json!({ "$ref": "#/$defs/none" }), ""),
        (json!({ "$ref": "#" }), ""),
        (
            json!({ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" }),
            "",
        ),
        (json!([]), ""),
        (json!(true), ""),
    ] {
        let fault = refused(schema.clone());
        assert_eq!(fault.pointer, pointer, "{schema}: {fault}");
    }
    assert_eq!(
        Schema::compile(b"{").err().map(|fault| fault.pointer),
        Some(String::new())
    );
    let large = json!({ "description": "x".repeat(types::SCHEMA_BYTES_MAX) });
    assert!(refused(large).message.contains("more than 65536"));
}

#[test]
fn patterns_run_in_linear_time_and_are_bounded() {
    for pattern in ["(?=a)", "(a)\\1", "(a{1000}){1000}", "("] {
        let fault = refused(json!({ "properties": { "a": { "pattern": pattern } } }));
        assert!(fault.pointer.starts_with("/properties/a"), "{pattern}: {fault:?}");
    }
    let began = std::time::Instant::now();
    let fault = check(
        json!({ "pattern": "^(a+)+$" }),
        json!(format!("{}!", "a".repeat(200_000))),
    );
    assert!(fault.is_err());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let many: serde_json::Map<String, Value> = (0..=PATTERNS_MAX)
        .map(|number| (format!("^a{number}$"), json!({})))
        .collect();
    assert!(
        refused(json!({ "patternProperties": many }))
            .message
            .contains("patterns")
    );
}

#[test]
fn a_schema_whose_checks_could_take_for_ever_is_refused() {
    // Each definition asks for the next one twice: 2^40 steps for any value.
    let mut defs = serde_json::Map::new();
    for number in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
        defs.insert(format!("d{number}"), json!({ "allOf": [next, next] }));
    }
    defs.insert("d40".to_owned(), json!({ "type": "object" }));
    let doubling = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
    // Twice for each level of the data.
    let child = json!({ "properties": { "child": { "$ref": "#" } } });
    let by_level = json!({ "allOf": [child, child] });
    let unevaluated = json!({ "allOf": [{ "$ref": "#/$defs/n" }], "unevaluatedProperties": { "$ref": "#" },
        "$defs": { "n": { "properties": { "a": { "$ref": "#" } } } } });
    for schema in [doubling, by_level, unevaluated] {
        let fault = refused(schema.clone());
        assert!(fault.message.contains("steps"), "{schema}: {fault}");
    }
    // A long way without any repetition costs as much as it is long.
    let chain = |length: u32| {
        let defs: serde_json::Map<String, Value> = (0..length)
            .map(|number| {
                (
                    format!("d{number}"),
                    json!({ "$ref": format!("#/$defs/d{}", number + 1) }),
                )
            })
            .chain([(format!("d{length}"), json!({ "type": "object" }))])
            .collect();
        json!({ "$defs": defs, "$ref": "#/$defs/d0" })
    };
    assert!(refused(chain(STEPS_MAX)).message.contains("steps"));
    assert_eq!(check(chain(STEPS_MAX - 10), json!({})), Ok(()));
    assert!(check(chain(STEPS_MAX - 10), json!([])).is_err());
    assert!(refused(nested(DEPTH_MAX + 1)).message.contains("nested"));
    assert_eq!(check(nested(DEPTH_MAX), json!(1)), Ok(()));
}

/// Items of items, so often.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({ "items": inner }))
}

#[test]
fn what_people_write_is_taken() {
    let tree = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/tree",
        "definitions": { "node": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string" },
                "children": { "type": "array", "items": { "$ref": "#/definitions/node" }, "uniqueItems": true },
            },
        } },
        "allOf": [{ "$ref": "#/definitions/node" }],
    });
    assert_eq!(
        check(tree.clone(), json!({ "name": "a", "children": [{ "name": "b" }] })),
        Ok(())
    );
    let wrong = json!({ "name": "a", "children": [{ "name": "b", "children": [{}] }] });
    assert_eq!(
        check(tree, wrong),
        Err("/children/0/children/0: \"name\" is a required property".to_owned())
    );
    let any_json = json!({
        "$defs": { "json": { "anyOf": [
            { "type": ["string", "number", "boolean", "null"] },
            { "type": "array", "items": { "$ref": "#/$defs/json" } },
        ] } },
        "additionalProperties": { "$ref": "#/$defs/json" },
    });
    let mut deep = json!(1);
    for _ in 0..DATA_DEPTH_MAX - 1 {
        deep = json!([deep]);
    }
    assert_eq!(check(any_json, json!({ "a": deep })), Ok(()));
    assert_eq!(check(json!({}), json!([1])), Ok(()));
    // A property may have any name.
    let names = json!({ "properties": { "$ref": { "type": "string" }, "$id": { "type": "string" }, "a/b": {} } });
    assert_eq!(check(names, json!({ "$ref": "x", "$id": "y" })), Ok(()));
    let spaced =
        json!({ "$defs": { "a b/c": { "type": "integer" } }, "properties": { "n": { "$ref": "#/$defs/a%20b~1c" } } });
    assert_eq!(
        check(spaced, json!({ "n": "1" })),
        Err("/n: value is not of type \"integer\"".to_owned())
    );
}

#[test]
fn what_a_schema_may_cost_with_the_data_of_one_event_is_bounded() {
    let objects: Vec<Value> = (0..2_000).map(|n| json!({ "k": n })).collect();
    let fault = refused(json!({ "items": { "enum": objects } }));
    assert!(fault.message.contains("1000 steps"), "{fault}");
    let names: serde_json::Map<String, Value> = (0..9_000).map(|n| (format!("n{n}"), json!([]))).collect();
    refused(json!({ "items": { "dependentRequired": names } }));
    // Texts and numbers are found by their hash, however many there are.
    let texts: Vec<String> = (0..3_000).map(|n| format!("t{n}")).collect();
    assert_eq!(
        check(
            json!({ "items": { "enum": texts } }),
            Value::from(vec!["t2999"; 20_000])
        ),
        Ok(())
    );

    let steps: Vec<Value> = (0..900)
        .map(|n| json!({ "not": { "const": -1 - n } }))
        .take(400)
        .collect();
    let schema = json!({ "items": { "allOf": steps } });
    assert_eq!(check(schema.clone(), Value::from(vec![1; 1_000])), Ok(()));
    let fault = check(schema, Value::from(vec![1; 100_000])).unwrap_err();
    assert!(
        fault.contains("100001 values") && fault.contains("send less"),
        "{fault}"
    );
}
