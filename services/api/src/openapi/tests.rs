use super::*;
use crate::routes;

fn document() -> Value {
    super::document(&routes::table())
}

fn schemas(document: &Value) -> &Map<String, Value> {
    document["components"]["schemas"].as_object().expect("schemas")
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations");
        item.iter()
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[test]
fn the_document_is_of_openapi_3_1_and_has_every_route() {
    let (document, table) = (document(), routes::table());
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    assert_eq!(operations.len(), table.len());
    for route in &table {
        let name = format!("{} {}", route.method.as_str().to_ascii_lowercase(), route.path);
        let (_, operation) = operations.iter().find(|(known, _)| *known == name).expect(&name);
        assert_eq!(operation["operationId"], route.id);
    }
}

#[test]
fn whatever_is_referred_to_is_there_and_nothing_else_is() {
    let document = document();
    let schemas = schemas(&document);
    let named: BTreeSet<String> = references(&document).into_iter().collect();
    let known: BTreeSet<String> = schemas.keys().cloned().collect();
    assert_eq!(named, known);
    // Those to other places than schemas.
    for header in ["RequestId", "RetryAfter", "ETag"] {
        assert!(document["components"]["headers"][header].is_object(), "{header}");
    }
}

#[test]
fn a_name_stands_for_one_schema() {
    let table = routes::table();
    let handmade: BTreeMap<&str, Value> = schema::handmade().into_iter().collect();
    assert_eq!(handmade.len(), schema::handmade().len());
    let mut known: BTreeMap<&str, Value> = BTreeMap::new();
    for (shape, _) in shapes(&table) {
        for (name, schema) in &shape.schemas {
            let schema = serde_json::to_value(schema).expect("JSON");
            let is_empty = schema == json!({ "type": "object" }) || schema == json!({});
            assert!(
                !handmade.contains_key(name.as_str()) || is_empty,
                "{name} is also of a type: {schema}"
            );
            let before = known.insert(name, schema.clone());
            assert!(
                before.is_none_or(|before| before == schema),
                "{name} stands for several"
            );
        }
    }
}

#[test]
fn requests_are_closed_and_answers_are_open() {
    let (document, table) = (document(), routes::table());
    let schemas = schemas(&document);
    let names = |wanted: bool| -> BTreeSet<String> {
        let of_kind = shapes(&table).filter(move |(_, is_request)| *is_request == wanted);
        of_kind.map(|(shape, _)| shape.name.clone()).collect()
    };
    // CloudEvents take extensions of any name, and lists have no fields.
    let open = ["CloudEvent", "CloudEvents", "PlainEvents"];
    for name in names(true).iter().filter(|name| !open.contains(&name.as_str())) {
        let schema = &schemas[name];
        assert_eq!(schema["additionalProperties"], false, "{name}: {schema}");
    }
    for name in names(false) {
        assert_ne!(schemas[&name]["additionalProperties"], json!(false), "{name}");
    }
}

#[test]
fn what_may_be_null_in_an_answer_is_always_there() {
    let document = document();
    let integration = &schemas(&document)["Integration"];
    let required = integration["required"].as_array().expect("a list");
    assert_eq!(
        required.len(),
        integration["properties"].as_object().expect("fields").len()
    );
    // What is left out is never null.
    let finding = &schemas(&document)["Finding"];
    assert_eq!(finding["required"], json!(["level", "what"]), "{finding}");
    assert_eq!(finding["properties"]["remedy"]["type"], "string", "{finding}");
    let in_file = &schemas(&document)["IntegrationInFile"];
    assert_eq!(
        in_file["required"],
        json!(["name", "org", "provider", "config", "events"]),
        "{in_file}"
    );
}

#[test]
fn every_operation_tells_its_refusals_and_the_key_that_it_needs() {
    let (document, table) = (document(), routes::table());
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        let is_open = operation["security"] == json!([]);
        let mut wanted = vec!["400", "500"];
        if !is_open {
            wanted.extend(["401", "403", "429", "503"]);
        }
        if operation.get("requestBody").is_some() {
            wanted.extend(["408", "413", "415"]);
        }
        for status in wanted {
            assert!(responses.contains_key(status), "{name}: {status}");
        }
        for (status, response) in responses {
            let problem = response["content"].get("application/problem+json").is_some();
            assert_eq!(problem, status.as_str() >= "400", "{name}: {status}");
            assert!(response["headers"].get("X-Request-Id").is_some(), "{name}: {status}");
        }
        let org = operation["parameters"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|param| param["name"] == "org");
        let route = table.iter().find(|route| operation["operationId"] == route.id);
        let is_of_all = route.is_some_and(|route| matches!(route.access, Who::Key(_, Reach::Installation)));
        assert!(org || is_open || is_of_all, "{name}");
    }
}

#[test]
fn what_changes_something_names_it_for_the_audit() {
    let document = document();
    for (name, operation) in operations(&document) {
        // Events are their own record.
        let asks = name.ends_with("/preview") || name.ends_with("/try");
        let reads = name.starts_with("get ") || asks || name == "post /v1/events";
        let actions = operation["x-audit"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(actions.is_empty(), reads, "{name}");
        let noted = actions.iter().map(|action| action.as_str().unwrap_or_default());
        let noted: BTreeSet<&str> = noted.filter(|action| action.split('.').count() == 2).collect();
        assert_eq!(
            noted.len(),
            actions.len(),
            "{name}: each once, as `<noun>.<past participle>`"
        );
    }
}

/// Tests, pauses and resumes do what they do whatever else was changed: holding is no part of a revision.
#[test]
fn the_changes_that_a_revision_may_be_named_for_are_these() {
    let document = document();
    let named = operations(&document).into_iter().filter(|(_, operation)| {
        let mut params = operation["parameters"].as_array().expect("a list").iter();
        params.any(|param| param["name"] == "If-Match")
    });
    let named: BTreeSet<&str> = named
        .map(|(_, operation)| {
            assert!(operation["responses"].get("412").is_some(), "{operation}");
            operation["operationId"].as_str().expect("an id")
        })
        .collect();
    let wanted = BTreeSet::from([
        "activateIntegration",
        "changeIntegration",
        "deactivateIntegration",
        "deleteEventType",
        "deleteIntegration",
        "putEventType",
        "replaceIntegration",
    ]);
    assert_eq!(named, wanted);
}
