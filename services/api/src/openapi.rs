//! The OpenAPI 3.1 document, made from the table of routes and the types that they name.
//!
//! Schemas come from the types themselves (`utoipa`) and, for what is read by hand, from [`crate::schema`]. Two things are
//! added to what the types say: fields of an answer that may be null are always there, and so required; and refusals
//! that every route of a kind has stand at each of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    routes::{Effect, Param, Place, Reach, Route, Scope, Shape, TAGS, Who},
    schema,
};

/// The prefix of references to schemas.
const SCHEMAS: &str = "#/components/schemas/";

const ABOUT: &str = "\
The HTTP API of Signalbox.

**Keys.** Every route but this document and its page wants `Authorization: Bearer sbx_…`. A key acts in its own org \
alone; an admin key without an org acts for any (`?org=`, else `default`). Something of another org answers exactly as \
something that does not exist.

**Problems.** Whatever is refused is answered with a problem document (RFC 9457). Decide by its `code`. An address that \
does not exist is 404 `no_route`, a method that it does not take 405 `method_not_allowed` with `Allow`.

**Requests.** Unknown parameters and fields are refused by name, and so are empty parameters. A body is JSON. Give \
`X-Request-Id` (1 to 128 visible ASCII characters) to find a request again in the log; without one each gets a UUID.

**Pages.** Lists take `limit` (at most 200) and `cursor`, and answer `next_cursor`.";

/// A refusal that many routes have.
struct Common {
    status: u16,
    code: &'static str,
    about: &'static str,
}

/// The document.
pub(crate) fn document(table: &[Route]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in table {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route));
    }
    let scopes: Vec<String> = Scope::ALL
        .iter()
        .map(|scope| format!("`{}`: {}", scope.as_str(), about(scope)))
        .collect();
    let tags: Vec<Value> = TAGS
        .iter()
        .map(|(name, about)| json!({ "name": name, "description": about }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Signalbox",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server that answered with this document" }],
        "security": [{ "key": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas(table),
            "headers": headers(),
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "sbx_ and 43 characters",
                "description": format!("A key has scopes. {}.", scopes.join("; ")),
            } },
        },
    })
}

/// What a scope allows.
fn about(scope: &Scope) -> &'static str {
    match scope {
        Scope::EventsWrite => "publish events",
        Scope::IntegrationsRead => "see integrations, event types and providers",
        Scope::IntegrationsWrite => "make, change, hold and delete integrations and event types",
        Scope::DeliveriesRead => "see events, deliveries, dead letters and bulk acts",
        Scope::DeadLettersWrite => "retry, replay and discard",
        Scope::Admin => "everything",
        Scope::Other(_) => "nothing that this version knows",
    }
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The id of the request: as it was given, else a UUID",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        },
        "ETag": {
            "description": "The revision of the thing, as `If-Match` takes it",
            "required": true,
            "schema": { "type": "string", "pattern": r#"^"[0-9]+"$"#, "examples": ["\"3\""] },
        },
        "RetryAfter": {
            "description": "Seconds after which the request may be sent again",
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "tags": [route.tag],
        "operationId": route.id,
        "summary": route.summary,
        "description": description(route),
        "parameters": parameters(route),
        "responses": responses(route),
    });
    operation["security"] = match &route.access {
        Who::Anyone => json!([]),
        Who::Key(scope, _) => json!([{ "key": [scope.as_str()] }]),
    };
    if let Some(body) = &route.body {
        let content: Map<String, Value> = body
            .kinds
            .iter()
            .map(|(media, shape)| {
                let mut kind = json!({ "schema": reference(shape) });
                if *media == "application/json" {
                    kind["example"] = body.example.clone();
                }
                ((*media).to_owned(), kind)
            })
            .collect();
        operation["requestBody"] = json!({ "required": body.required, "content": content });
    }
    match route.effect {
        Effect::Change(actions) => operation["x-audit"] = json!(actions),
        Effect::Publishes | Effect::Nothing | Effect::Unsaid => {}
    }
    if route.serve.is_none() {
        operation["x-served-by"] = "ingest".into();
    }
    operation
}

/// What there is to know of a route, with who may call it.
pub(crate) fn description(route: &Route) -> String {
    let who = match &route.access {
        Who::Anyone => "Needs no key.".to_owned(),
        Who::Key(scope, reach) => {
            let reach = match reach {
                Reach::Org => "",
                Reach::AnyOrg => " An admin key without an org that names none means all orgs.",
                Reach::Installation => " The key has to be an admin key without an org.",
            };
            format!("Needs the scope `{}`.{reach}", scope.as_str())
        }
    };
    let audit = match route.effect {
        Effect::Change(actions) => format!(" In the audit it is `{}`.", actions.join("`, `")),
        Effect::Publishes | Effect::Nothing | Effect::Unsaid => String::new(),
    };
    let lead = if route.about.is_empty() {
        String::new()
    } else {
        format!("{}\n\n", route.about)
    };
    format!("{lead}{who}{audit}")
}

/// The parameters of a route, the org among them where it takes one.
pub(crate) fn all_params(route: &Route) -> Vec<Param> {
    let mut params = route.params.clone();
    if let Who::Key(_, reach) = &route.access
        && reach.takes_org()
    {
        let schema = json!({ "type": "string", "pattern": schema::NAME, "examples": ["default"] });
        let about = "The org that is meant, where the key is an admin key without one; any other key has its own";
        params.push(Param::new(Place::Query, "org", schema, about));
    }
    params
}

fn parameters(route: &Route) -> Vec<Value> {
    let params = all_params(route).into_iter().map(|param| {
        json!({
            "name": param.name,
            "in": param.place.as_str(),
            "required": param.place == Place::Path,
            "description": param.about,
            "schema": param.schema,
        })
    });
    params.collect()
}

/// The refusals of a route by status, each with its code and what it means: its own, and those of its kind.
pub(crate) fn refusals(route: &Route) -> BTreeMap<u16, BTreeMap<&'static str, &'static str>> {
    let own = route
        .refusals
        .iter()
        .map(|refusal| (refusal.status, refusal.code, refusal.about));
    let mut all: BTreeMap<u16, BTreeMap<&str, &str>> = BTreeMap::new();
    for (status, code, about) in common(route).map(|it| (it.status, it.code, it.about)).chain(own) {
        all.entry(status).or_default().insert(code, about);
    }
    all
}

fn common(route: &Route) -> impl Iterator<Item = Common> {
    let one = |status, code, about| Common { status, code, about };
    let mut list = vec![
        one(
            400,
            "invalid",
            "a parameter or a field cannot be read; `field` names it",
        ),
        one(
            400,
            "unknown_parameter",
            "the route has no such parameter; `field` names it",
        ),
        one(500, "internal", "a mistake of ours; the log has the cause"),
    ];
    // Of another role's body its own entry tells.
    if route.body.is_some() && route.serve.is_some() {
        list.extend([
            one(400, "not_json", "the body is not JSON"),
            one(400, "unreadable_body", "the body broke off"),
            one(408, "request_timeout", "the body did not come in time"),
            one(413, "too_large", "the body has more bytes than are taken"),
            one(415, "unsupported_media_type", "the body is not said to be JSON"),
        ]);
    }
    if let Who::Key(_, reach) = &route.access {
        list.extend([
            one(401, "unauthenticated", "there is no key in the request"),
            one(401, "bad_key", "the key is unknown, expired or revoked"),
            one(
                403,
                "missing_scope",
                "the key may not do this; `scope` names what it lacks",
            ),
            one(429, "too_many_requests", "the key asks too often"),
            one(503, "unavailable", "a store or NATS does not answer"),
        ]);
        if reach.takes_org() {
            list.push(one(403, "wrong_org", "the key is of another org"));
        }
    }
    if !route.unhurried {
        list.push(one(503, "timeout", "the answer took too long"));
    }
    list.into_iter()
}

fn responses(route: &Route) -> Map<String, Value> {
    let mut responses = Map::new();
    let request_id = || json!({ "$ref": "#/components/headers/RequestId" });
    for answer in &route.answers {
        let shapes: Vec<Value> = answer.shapes.iter().map(reference).collect();
        let schema = match shapes.as_slice() {
            [] => json!({}),
            [one] => one.clone(),
            [..] => json!({ "anyOf": shapes }),
        };
        let mut headers = json!({ "X-Request-Id": request_id() });
        if answer.tagged {
            headers["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
        }
        let response = json!({
            "description": answer.about,
            "headers": headers,
            "content": { answer.media: { "schema": schema } },
        });
        responses.insert(answer.status.to_string(), response);
    }
    for (status, codes) in refusals(route) {
        let lines: Vec<String> = codes.iter().map(|(code, about)| format!("`{code}`: {about}")).collect();
        let mut headers = json!({ "X-Request-Id": request_id() });
        if matches!(status, 429 | 503) {
            headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
        }
        let response = json!({
            "description": lines.join("; "),
            "headers": headers,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        responses.insert(status.to_string(), response);
    }
    responses
}

fn reference(shape: &Shape) -> Value {
    json!({ "$ref": format!("{SCHEMAS}{}", shape.name) })
}

/// All schemas that routes name, and those that these name.
fn schemas(table: &[Route]) -> BTreeMap<String, Value> {
    let handmade: BTreeMap<&str, Value> = schema::handmade().into_iter().collect();
    let mut all = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for (shape, is_request) in shapes(table) {
        for (name, schema) in &shape.schemas {
            let schema = match handmade.get(name.as_str()) {
                Some(schema) => schema.clone(),
                None => serde_json::to_value(schema).expect("a schema is JSON"),
            };
            if is_request {
                asked.insert(name.clone());
            }
            all.insert(name.clone(), schema);
        }
    }
    all.insert(
        "Problem".to_owned(),
        handmade.get("Problem").cloned().unwrap_or_default(),
    );
    // What is written by hand names others by their name alone.
    loop {
        let named: BTreeSet<String> = all.values().flat_map(references).collect();
        let missing: Vec<(String, Value)> = named
            .into_iter()
            .filter(|name| !all.contains_key(name))
            .filter_map(|name| handmade.get(name.as_str()).cloned().map(|schema| (name, schema)))
            .collect();
        if missing.is_empty() {
            break;
        }
        all.extend(missing);
    }
    for (name, schema) in &mut all {
        // What is written by hand says itself what is always there.
        if !asked.contains(name) && !handmade.contains_key(name.as_str()) {
            require_nullable(schema);
        }
    }
    all
}

/// The shapes of all routes, each with whether it is one of a request.
pub(crate) fn shapes(table: &[Route]) -> impl Iterator<Item = (&Shape, bool)> {
    table.iter().flat_map(|route| {
        let taken = route
            .body
            .iter()
            .flat_map(|body| &body.kinds)
            .map(|(_, shape)| (shape, true));
        let answered = route.answers.iter().flat_map(|answer| &answer.shapes);
        taken.chain(answered.map(|shape| (shape, false)))
    })
}

/// The names of the schemas that a value refers to.
pub(crate) fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|target| target.strip_prefix(SCHEMAS)).map(str::to_owned);
            own.into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// In an answer a field that may be null is always there: what may be left out is never null.
fn require_nullable(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let nullable: Vec<String> = map
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| may_be_null(property))
                .map(|(name, _)| name.clone())
                .collect();
            if map.contains_key("required") || !nullable.is_empty() {
                let required = map.entry("required").or_insert_with(|| json!([]));
                if let Value::Array(list) = required {
                    for name in nullable {
                        if !list.iter().any(|known| *known == name.as_str()) {
                            list.push(name.into());
                        }
                    }
                }
            }
            map.values_mut().for_each(require_nullable);
        }
        Value::Array(list) => list.iter_mut().for_each(require_nullable),
        _ => {}
    }
}

fn may_be_null(property: &Value) -> bool {
    let is_null = |kind: &Value| kind.as_str() == Some("null");
    let of_type = match property.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_null),
        Some(kind) => is_null(kind),
        None => false,
    };
    let of_any = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|word| property.get(word)?.as_array());
    of_type || of_any.flatten().any(may_be_null)
}

#[cfg(test)]
mod tests;
