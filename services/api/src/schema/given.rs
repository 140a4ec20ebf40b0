//! Schemas of what requests say in forms that are read by hand: integrations of a file, events that are published.

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema},
};

/// A field and its schema.
type Field = (&'static str, Value);

/// The form of the id of an event.
const EVENT_ID: &str = "^[!-~]{1,128}$";

super::shapes! {
    /// An integration as a file says it.
    IntegrationSpec => object(
        of_file(),
        &["name", "provider"],
        "An integration as a file says it. Its provider says which fields `config` and `credentials` have",
    );
    /// An integration that is to be made.
    IntegrationWanted => object(
        [of_file(), set_by_us(), vec![status()]].concat(),
        &["name", "provider"],
        "An integration that is to be made. Its provider says which fields `config` and `credentials` have",
    );
    /// What an integration is to be.
    IntegrationWhole => object(
        [of_file(), set_by_us(), vec![status()]].concat(),
        &[],
        "All of an integration: what was read can be sent back",
    );
    /// What is to be otherwise of an integration.
    IntegrationPatch => object(
        [of_file(), set_by_us(), vec![status()]].concat(),
        &[],
        "Fields of an integration: null takes one away, objects are merged, all else is replaced",
    );
    /// Conditions as requests say them.
    FilterGiven => filter();
    /// What an apply did, or would do.
    Applied => json!({
        "description": "What an apply did, or with `dry_run` would do",
        "type": "object",
        "required": ["changes", "applied"],
        "properties": {
            "changes": { "type": "array", "items": { "$ref": "#/components/schemas/ApplyChange" } },
            "applied": { "type": "boolean", "description": "False for a dry run" },
        },
    });
    /// An event in the plain form, or a list of them.
    PlainEvents => json!({
        "description": "An event, or a list of up to 1,000",
        "anyOf": [
            { "$ref": "#/components/schemas/PlainEvent" },
            { "$ref": "#/components/schemas/CloudEvent" },
            { "type": "array", "minItems": 1, "maxItems": 1_000, "items": { "anyOf": [
                { "$ref": "#/components/schemas/PlainEvent" },
                { "$ref": "#/components/schemas/CloudEvent" },
            ] } },
        ],
    });
    /// A CloudEvent.
    CloudEvent => json!({
        "description": "A CloudEvent 1.0 in structured mode; `agentid`, `executionid` and `severity` are read as extensions. \
                        An attribute that is a boolean or an integer is read as its text",
        "type": "object",
        "required": ["specversion", "type", "id", "source"],
        "properties": {
            "specversion": { "const": "1.0" },
            "type": { "anyOf": [{ "$ref": "#/components/schemas/EventTypeName" }, { "type": ["boolean", "integer"] }] },
            "id": { "type": ["string", "boolean", "integer"], "pattern": EVENT_ID },
            "source": attribute(),
            "subject": attribute(),
            "time": { "anyOf": [{ "$ref": "#/components/schemas/Time" }, { "type": "null" }] },
            "datacontenttype": attribute(),
            "data": {},
            "data_base64": { "type": ["string", "null"], "contentEncoding": "base64" },
        },
        "additionalProperties": attribute(),
    });
    /// CloudEvents in a batch.
    CloudEvents => json!({
        "type": "array", "minItems": 1, "maxItems": 1_000, "items": { "$ref": "#/components/schemas/CloudEvent" },
        "description": "CloudEvents in batch mode",
    });
    /// What was published.
    Published => json!({
        "description": "The events, in the order of the request",
        "type": "object",
        "required": ["events"],
        "properties": { "events": { "type": "array", "items": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": "string" },
                "settled": {
                    "type": "boolean", "description": "With `Prefer: wait`: whether each of its deliveries has ended",
                },
                "deliveries": {
                    "type": "array",
                    "description": "With `Prefer: wait`: how they stand",
                    "items": {
                        "type": "object",
                        "required": ["id", "integration_id", "provider", "status", "attempts"],
                        "properties": {
                            "id": { "type": "string" },
                            "integration_id": { "type": "string" },
                            "provider": { "type": "string" },
                            "status": { "$ref": "#/components/schemas/DeliveryStatus" },
                            "response_code": { "type": ["integer", "null"] },
                            "error_message": { "type": ["string", "null"] },
                            "attempts": { "type": "integer", "minimum": 0 },
                        },
                    },
                },
                "error_message": { "type": "string", "description": "Of an event that could not be routed" },
            },
        } } },
    });
}

/// An attribute of a CloudEvent.
fn attribute() -> Value {
    json!({ "type": ["string", "boolean", "integer", "null"] })
}

fn name() -> Value {
    json!({ "$ref": "#/components/schemas/Name" })
}

fn span() -> Value {
    json!({ "$ref": "#/components/schemas/Span" })
}

/// The same, or null, which counts as left out.
fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn object(fields: Vec<Field>, required: &[&str], description: &str) -> Value {
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|(field, schema)| {
            let is_required = required.contains(&field);
            (field.to_owned(), if is_required { schema } else { or_null(schema) })
        })
        .collect();
    json!({
        "description": description,
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// What only Signalbox sets: in a request it says nothing, so that what was read can be sent back.
///
/// Each value is written out. With rustc 1.95 and optimization a closure that takes an empty object, adds a key and gives
/// it back frees the object twice where it is called twice in one list.
fn set_by_us() -> Vec<Field> {
    let passed_by = || json!({ "description": "Passed by" });
    vec![
        (
            "id",
            json!({ "type": "string", "description": "As it is, or left out" }),
        ),
        (
            "revision",
            json!({
                "type": "integer", "minimum": 0,
                "description": "The one that was read: at another one it is refused",
            }),
        ),
        ("created_at", passed_by()),
        ("updated_at", passed_by()),
        ("last_triggered_at", passed_by()),
        ("error_message", passed_by()),
    ]
}

/// What an owner may ask it to be; what only an answer says is passed by.
fn status() -> Field {
    let words = ["active", "inactive", "paused", "pending_setup", "error"];
    let about = "What it is to be; `pending_setup` and `error` leave it as it is";
    (
        "status",
        json!({ "type": "string", "enum": words, "description": about }),
    )
}

fn filter() -> Value {
    let fields = vec![
        ("agent_ids", json!({ "type": "array", "items": { "type": "string" } })),
        ("min_severity", json!({ "type": "string", "examples": ["high"] })),
        ("where", json!({ "type": "string", "description": "A CEL condition" })),
    ];
    object(fields, &[], "Conditions that must all hold")
}

/// What a file says of an integration.
fn of_file() -> Vec<Field> {
    let open = || json!({ "type": "object", "additionalProperties": true });
    let patterns = || json!({ "type": "array", "items": { "type": "string" }, "examples": [["alert.*"]] });
    let rate = || json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1_000_000 }, { "const": "none" }] });
    let rate_limit = object(
        vec![("per_minute", rate()), ("per_hour", rate()), ("per_day", rate())],
        &[],
        "Requests in spans of time",
    );
    let batch = object(
        vec![
            ("window", span()),
            (
                "events_max",
                json!({ "type": "integer", "minimum": 1, "maximum": 1_000 }),
            ),
        ],
        &[],
        "Several events as one delivery",
    );
    let schedule = json!({ "type": "array", "minItems": 1, "maxItems": 20, "items": span() });
    let template = object(
        vec![
            ("title", json!({ "type": "string" })),
            ("body", json!({ "type": "string" })),
        ],
        &[],
        "Texts in Jinja syntax in the place of the provider's own",
    );
    vec![
        ("name", name()),
        ("org", name()),
        ("provider", json!({ "type": "string", "examples": ["webhook"] })),
        ("type", json!({ "$ref": "#/components/schemas/ProviderType" })),
        ("config", open()),
        ("credentials", open()),
        ("events", patterns()),
        ("subscribed_events", patterns()),
        ("filter", json!({ "$ref": "#/components/schemas/FilterGiven" })),
        ("event_filters", json!({ "$ref": "#/components/schemas/FilterGiven" })),
        ("template", template),
        ("rate_limit", json!({ "anyOf": [{ "const": "none" }, rate_limit] })),
        ("rate_limit_per_minute", rate()),
        ("batch", batch),
        ("batch_events", json!({ "type": "boolean" })),
        (
            "batch_window_seconds",
            json!({ "type": "integer", "minimum": 10, "maximum": 3_600 }),
        ),
        ("order_by", json!({ "type": "string", "examples": ["event.agent_id"] })),
        (
            "order_on_dead",
            json!({ "$ref": "#/components/schemas/OrderOnDeadWord" }),
        ),
        (
            "retry",
            object(vec![("schedule", schedule)], &[], "When it is tried again"),
        ),
        ("retry_count", json!({ "type": "integer", "minimum": 1, "maximum": 20 })),
        ("expire_after", span()),
        ("timeout", span()),
        ("connect_timeout", span()),
        ("health_check", span()),
        ("enabled", json!({ "type": "boolean", "default": true })),
    ]
}

fn plain_event() -> Value {
    let text = || json!({ "$ref": "#/components/schemas/Attribute" });
    let fields = vec![
        ("type", json!({ "$ref": "#/components/schemas/EventTypeName" })),
        ("event_type", json!({ "$ref": "#/components/schemas/EventTypeName" })),
        ("data", json!({})),
        ("payload", json!({})),
        ("id", json!({ "type": "string", "pattern": EVENT_ID })),
        ("org", name()),
        ("source", text()),
        ("subject", text()),
        ("time", json!({ "$ref": "#/components/schemas/Time" })),
        ("agent_id", text()),
        ("execution_id", text()),
        (
            "severity",
            json!({ "description": "One that is not known is kept beside that of the type", "examples": ["high"] }),
        ),
        ("metadata", json!({ "$ref": "#/components/schemas/Metadata" })),
    ];
    let mut event = object(
        fields,
        &[],
        "An event in the plain form. `event_type` and `payload` are other names of `type` and `data`",
    );
    event["anyOf"] = json!([{ "required": ["type"] }, { "required": ["event_type"] }]);
    event
}

/// Those that others name, and no type of ours.
pub(super) fn others() -> Vec<(&'static str, Value)> {
    vec![
        (
            "ApplyChange",
            json!({
                "description": "What happens to one integration",
                "type": "object",
                "required": ["action", "org", "name", "provider", "fields", "warnings"],
                "properties": {
                    "action": { "type": "string", "enum": ["create", "update", "replace", "delete", "none"] },
                    "org": name(),
                    "name": name(),
                    "provider": name(),
                    "fields": {
                        "type": "array", "items": { "type": "string" }, "description": "The fields that change",
                    },
                    "waiting": {
                        "type": "integer", "minimum": 0,
                        "description": "How many deliveries wait for what goes; absent where nothing goes",
                    },
                    "warnings": { "type": "array", "items": { "$ref": "#/components/schemas/Warning" } },
                },
            }),
        ),
        ("PlainEvent", plain_event()),
    ]
}
