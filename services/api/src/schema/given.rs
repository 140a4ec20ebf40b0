//! Schemas of what requests say in forms that are read by hand: integrations of a file, events that are published.

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema},
};

super::shapes! {
    /// An integration as a file says it.
    IntegrationSpec => integration();
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
        "description": "A CloudEvent 1.0 in structured mode; `agentid`, `executionid` and `severity` are read as extensions",
        "type": "object",
        "required": ["specversion", "type"],
        "properties": {
            "specversion": { "const": "1.0" },
            "type": { "$ref": "#/components/schemas/EventTypeName" },
            "id": { "type": "string", "minLength": 1, "maxLength": 128 },
            "source": { "type": "string" },
            "subject": { "type": "string" },
            "time": { "$ref": "#/components/schemas/Time" },
            "datacontenttype": { "type": "string" },
            "data": {},
        },
        "additionalProperties": true,
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

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>, required: &[&str], description: &str) -> Value {
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

fn integration() -> Value {
    let open = || json!({ "type": "object", "additionalProperties": true });
    let patterns = || json!({ "type": "array", "items": { "type": "string" }, "examples": [["alert.*"]] });
    let rate = || json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1_000_000 }, { "const": "none" }] });
    let filter = || {
        let fields = [
            ("agent_ids", json!({ "type": "array", "items": { "type": "string" } })),
            ("min_severity", json!({ "type": "string", "examples": ["high"] })),
            ("where", json!({ "type": "string", "description": "A CEL condition" })),
        ];
        object(fields, &[], "Conditions that must all hold")
    };
    let rate_limit = object(
        [("per_minute", rate()), ("per_hour", rate()), ("per_day", rate())],
        &[],
        "Requests in spans of time",
    );
    let batch = object(
        [
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
        [
            ("title", json!({ "type": "string" })),
            ("body", json!({ "type": "string" })),
        ],
        &[],
        "Texts in Jinja syntax in the place of the provider's own",
    );
    let fields = [
        ("name", name()),
        ("org", name()),
        ("provider", json!({ "type": "string", "examples": ["webhook"] })),
        ("type", json!({ "$ref": "#/components/schemas/ProviderType" })),
        ("config", open()),
        ("credentials", open()),
        ("events", patterns()),
        ("subscribed_events", patterns()),
        ("filter", filter()),
        ("event_filters", filter()),
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
        ("retry", object([("schedule", schedule)], &[], "When it is tried again")),
        ("retry_count", json!({ "type": "integer", "minimum": 1, "maximum": 20 })),
        ("expire_after", span()),
        ("timeout", span()),
        ("connect_timeout", span()),
        ("enabled", json!({ "type": "boolean", "default": true })),
    ];
    object(
        fields,
        &["name", "provider"],
        "An integration as a file says it. Its provider says which fields `config` and `credentials` have",
    )
}

fn plain_event() -> Value {
    let text = || json!({ "type": "string" });
    let fields = [
        ("type", json!({ "$ref": "#/components/schemas/EventTypeName" })),
        ("event_type", json!({ "$ref": "#/components/schemas/EventTypeName" })),
        ("data", json!({})),
        ("payload", json!({})),
        ("id", json!({ "type": "string", "minLength": 1, "maxLength": 128 })),
        ("org", name()),
        ("source", text()),
        ("subject", text()),
        ("time", json!({ "$ref": "#/components/schemas/Time" })),
        ("agent_id", text()),
        ("execution_id", text()),
        ("severity", json!({ "type": "string", "examples": ["high"] })),
        (
            "metadata",
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        ),
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
