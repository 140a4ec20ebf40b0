//! Schemas of what has no type of its own in this crate: words, times, names, and what is open by nature.
//!
//! Answers and requests name them in `#[schema(value_type = …)]`; nobody makes a value of them. The document takes their
//! JSON Schema from [`handmade`] as it stands there.

mod given;

use serde_json::{Value, json};
use signalbox_proto::event::attributes::{ATTRIBUTE_BYTES_MAX, METADATA_WITH_ADDED_MAX};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema},
};

/// The form of an org's, an integration's or a provider's name.
pub(crate) const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
/// The form of an event type.
pub(crate) const EVENT_TYPE: &str = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$";
/// A text without control characters.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// The form of the id of a dead letter.
pub(crate) const DEAD_LETTER_ID: &str = "^dl_[0-9]+$";
/// The form of the id of a delivery.
pub(crate) const DELIVERY_ID: &str = "^[A-Za-z0-9_-]{22}$";

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident => $schema:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Schema::Object(Object::new()).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*

        /// The schemas of this module by name.
        pub(super) fn own() -> Vec<(&'static str, Value)> {
            vec![$((stringify!($name), $schema)),*]
        }
    };
}

pub(crate) use given::{
    Applied, CloudEvent, CloudEvents, FilterGiven, IntegrationPatch, IntegrationSpec, IntegrationWanted,
    IntegrationWhole, PlainEvents, Published,
};
use shapes;

/// All of them, by name.
pub(crate) fn handmade() -> Vec<(&'static str, Value)> {
    [own(), others(), given::own(), given::others()].concat()
}

shapes! {
    /// A point in time.
    Time => json!({
        "type": "string", "format": "date-time", "examples": ["2026-01-31T09:30:00.000Z"],
        "description": "A point in time, RFC 3339 in UTC",
    });
    /// A point in time as requests write it.
    Moment => json!({
        "type": "string", "minLength": 1, "examples": ["2h", "2026-01-31T09:30:00Z"],
        "description": "A point in time, RFC 3339, or a duration back from now such as `30m`, `2h`, `7d`",
    });
    /// A length of time.
    Span => json!({
        "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["30s", "2m", "6h"],
        "description": "A length of time",
    });
    /// The name of an org, an integration or a provider.
    Name => json!({ "type": "string", "pattern": NAME, "examples": ["acme"], "description": "A name" });
    /// An event type.
    EventTypeName => json!({
        "type": "string", "pattern": EVENT_TYPE, "maxLength": 128, "examples": ["execution.failed"],
        "description": "An event type: one to eight tokens with dots between",
    });
    /// A text that is an attribute of an event.
    Attribute => json!({
        "type": "string", "minLength": 1, "maxLength": ATTRIBUTE_BYTES_MAX, "pattern": NO_CONTROLS,
        "description": "1 to 1,024 bytes of UTF-8 without control characters",
    });
    /// Further attributes of an event.
    Metadata => json!({
        "type": "object", "maxProperties": METADATA_WITH_ADDED_MAX,
        "propertyNames": { "$ref": "#/components/schemas/Attribute" },
        "additionalProperties": { "$ref": "#/components/schemas/Attribute" },
        "description": "Up to 64 further attributes, beside `traceparent`, `tracestate` and `signalboxhops`",
    });
    /// The id of a dead letter.
    DeadLetterId => json!({
        "type": "string", "pattern": DEAD_LETTER_ID, "examples": ["dl_12"], "description": "The id of a dead letter",
    });
    /// The id of a delivery.
    DeliveryId => json!({
        "type": "string", "pattern": DELIVERY_ID, "examples": ["abcdefghijklmnopqrstuv"],
        "description": "The id of a delivery",
    });
    /// A UUID.
    UuidText => json!({
        "type": "string", "format": "uuid", "examples": ["0199c0de-0000-7000-8000-000000000001"],
        "description": "A UUID of version 7",
    });
    /// How grave an event is.
    Severity => json!({ "type": "string", "enum": ["low", "medium", "high", "critical"], "description": "How grave it is" });
    /// Whether an event is good news.
    Tone => json!({ "type": "string", "enum": ["good", "bad", "neutral"], "description": "Whether it is good news" });
    /// Where a dead letter was made.
    Stage => json!({
        "type": "string", "enum": ["ingest", "route", "delivery"], "description": "Where a dead letter was made",
    });
    /// Why a dead letter was made, as a class.
    DeadReason => json!({
        "type": "string",
        "enum": ["rejected", "exhausted", "expired", "poison", "invalid", "discarded", "unknown"],
        "description": "Why it is a dead letter, as a class; `unknown` was written by a newer version",
    });
    /// Why a dead letter was made, as requests may ask.
    DeadReasonAsked => json!({
        "type": "string", "enum": ["rejected", "exhausted", "expired", "poison", "invalid", "discarded"],
        "description": "Why it is a dead letter, as a class",
    });
    /// What a target's answer means.
    OutcomeWord => json!({
        "type": "string", "enum": ["delivered", "retry", "reject", "suspend", "unknown"],
        "description": "What the target's answer means; `unknown` was written by a newer version",
    });
    /// How a delivery stands.
    DeliveryStatus => json!({
        "type": "string",
        "enum": ["pending", "retrying", "parked", "delivered", "dead", "expired", "discarded", "unknown"],
        "description": "How a delivery stands",
    });
    /// What a parked delivery waits for.
    WaitingFor => json!({
        "type": "string", "enum": ["limit", "pause", "breaker", "order", "batch"],
        "description": "What a parked delivery waits for",
    });
    /// How a delivery waits, as requests may ask.
    Wait => json!({
        "type": "string", "enum": ["pending", "retrying", "parked"], "description": "How a delivery waits",
    });
    /// What a key may do.
    ScopeWord => json!({
        "type": "string",
        "enum": ["events:write", "integrations:read", "integrations:write", "deliveries:read", "dead-letters:write", "admin"],
        "description": "What a key may do; `admin` is all of them",
    });
    /// Whether a key counts.
    KeyStatus => json!({
        "type": "string", "enum": ["active", "expired", "revoked"], "description": "Whether a key counts",
    });
    /// What the holder of a key is.
    HolderKind => json!({
        "type": "string", "enum": ["user", "service", "external_agent"], "description": "What the holder of a key is",
    });
    /// Whether anything may be published for an org.
    OrgStatusWord => json!({
        "type": "string", "enum": ["active", "erasing", "erased", "unknown"],
        "description": "Whether anything may be published for an org; `unknown` was written by a newer version",
    });
    /// How far an erasure is.
    ErasureState => json!({
        "type": "string", "enum": ["withdrawing", "streams", "recording", "history", "done"],
        "description": "Which step is at work; `done`: nothing is left of it",
    });
    /// How far a rotation of the master key is.
    RotationState => json!({
        "type": "string", "enum": ["spreading", "sealing", "done"],
        "description": "`spreading`: every process is to have the new key; `sealing`: everything is sealed anew; `done`",
    });
    /// Something as it was or is, in a form of its own.
    Told => json!({ "type": "object", "description": "A thing as it was or is, secrets masked", "additionalProperties": true });
    /// One entry of a delivery's history.
    AttemptInHistory => json!({
        "description": "One attempt, or an entry without a request. What OUTCOMES has let go of is shown by what travels \
                        with the delivery: `at`, `outcome`, `response_code`, `error_message`",
        "type": "object",
        "required": ["at", "outcome", "response_code", "error_message"],
        "properties": {
            "at": { "$ref": "#/components/schemas/Time" },
            "outcome": { "anyOf": [{ "$ref": "#/components/schemas/OutcomeWord" }, { "type": "null" }] },
            "response_code": { "type": ["integer", "null"] },
            "error_message": { "type": ["string", "null"] },
            "generation": { "type": "integer", "minimum": 0 },
            "attempt": { "type": "integer", "minimum": 0 },
            "duration_ms": { "type": "integer", "minimum": 0 },
            "response_body": { "type": "string" },
            "next": { "$ref": "#/components/schemas/NextWord" },
            "next_at": { "anyOf": [{ "$ref": "#/components/schemas/Time" }, { "type": "null" }] },
        },
    });
    /// An event of which not all may be kept.
    EventInTrace => json!({
        "description": "The event; where nobody keeps it any more `id`, `org`, `type`, `source` are left, and `data` is null",
        "anyOf": [
            { "$ref": "#/components/schemas/Event" },
            {
                "type": "object",
                "required": ["id", "org", "type", "source", "data"],
                "properties": { "data": { "type": "null" } },
            },
        ],
    });
    /// How far an event has come.
    TraceStatus => json!({
        "type": "string", "enum": ["routed", "no_route", "accepted", "dead", "unknown"],
        "description": "How far the event has come: `accepted` is before any router, `dead` could not be routed",
    });
    /// Why an integration does not have an event.
    NotMatchedReason => json!({
        "type": "string",
        "enum": [
            "type", "agent_ids", "min_severity", "where", "inactive", "pending_setup", "created_later", "changed_later",
            "unknown",
        ],
        "description": "Why an integration does not have the event",
    });
    /// What a provider bears.
    ProviderLimits => json!({
        "description": "What it bears where an integration says nothing; null is without a limit",
        "type": "object",
        "required": ["per_minute"],
        "properties": { "per_minute": { "type": ["integer", "null"] } },
    });
    /// How a test went.
    TestStatus => json!({ "type": "string", "enum": ["success", "failed"], "description": "How a test went" });
    /// What a check of the ledger found.
    LedgerReport => {
        let mut properties = serde_json::Map::new();
        let counts = [
            "events", "no_route", "deliveries", "delivered", "dead", "expired", "discarded", "moving", "missing",
            "unrouted", "unreadable",
        ];
        for count in counts {
            properties.insert(count.to_owned(), json!({ "type": "integer", "minimum": 0 }));
        }
        properties.insert("moving_ids".to_owned(), json!({ "type": "array", "items": { "type": "string" } }));
        properties.insert("missing_events".to_owned(), json!({
            "description": "Places in EVENTS, each with what is wrong",
            "type": "array",
            "items": { "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "string" }] },
        }));
        properties.insert("complete_since".to_owned(), json!({ "$ref": "#/components/schemas/Time" }));
        let required: Vec<&String> = properties.keys().collect();
        json!({
            "description": "What a check of the ledger found",
            "type": "object",
            "required": required,
            "properties": properties,
        })
    };
    /// What a tail cannot show any more.
    TailGap => json!({
        "description": "An entry of the kind `gap`: messages that the stream has let go of",
        "type": "object", "required": ["messages"], "properties": { "messages": { "type": "integer", "minimum": 1 } },
    });
    /// What an act does.
    ActKind => json!({
        "type": "string",
        "enum": ["replay", "discard", "replay_events", "discard_waiting", "retry_waiting", "unknown"],
        "description": "What an act does; `unknown` was written by a newer version",
    });
    /// How an act stands.
    ActStatusWord => json!({
        "type": "string", "enum": ["running", "done", "cancelled", "failed", "unknown"],
        "description": "How an act stands; `unknown` was written by a newer version",
    });
    /// How an integration stands.
    IntegrationStatus => json!({
        "type": "string", "enum": ["pending_setup", "inactive", "active", "paused", "error", "deleted"],
        "description": "How an integration stands",
    });
    /// What sort of target a provider is.
    ProviderType => json!({
        "type": "string",
        "enum": ["notification", "ticketing", "ci_cd", "observability", "storage", "webhook"],
        "description": "What sort of target a provider is",
    });
    /// What a dead delivery means for those of its key behind it.
    OrderOnDeadWord => json!({
        "type": "string", "enum": ["release", "hold"],
        "description": "What a dead delivery means for those of its key behind it: they go on, or wait for a person",
    });
    /// An object whose fields are not ours.
    Fields => json!({
        "type": "object", "additionalProperties": true, "description": "Fields that depend on what it is about",
    });
    /// Credentials with masks in the place of secrets.
    MaskedCredentials => json!({
        "description": "Credentials with `***` in the place of secrets; one `***` where they cannot be opened",
        "oneOf": [{ "type": "object", "additionalProperties": true }, { "const": "***" }],
    });
    /// Any JSON.
    Anything => json!({ "description": "Any JSON value" });
    /// A JSON Schema.
    JsonSchema => json!({
        "description": "A JSON Schema", "type": ["object", "boolean"], "additionalProperties": true,
    });
    /// A JSON Schema, or none.
    JsonSchemaOrNull => json!({
        "description": "A JSON Schema, or null", "type": ["object", "boolean", "null"], "additionalProperties": true,
    });
    /// What is left under the name of a type.
    DeletedTypeStatus => json!({
        "type": "string", "enum": ["deleted", "built_in"],
        "description": "`built_in` where the built-in type shows again",
    });
    /// Requests in spans of time.
    RateLimitShown => json!({
        "description": "Requests in spans of time, aligned to the clock in UTC; a span without a limit is absent",
        "oneOf": [
            { "const": "none" },
            {
                "type": "object",
                "properties": {
                    "per_minute": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
                    "per_hour": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
                    "per_day": { "type": "integer", "minimum": 1, "maximum": 1_000_000 },
                },
            },
        ],
    });
    /// Conditions on an event besides its type.
    FilterShown => json!({
        "description": "Conditions on an event besides its type; one that is not set is absent",
        "type": "object",
        "properties": {
            "agent_ids": { "type": "array", "items": { "type": "string" } },
            "min_severity": { "$ref": "#/components/schemas/Severity" },
            "where": { "type": "string", "description": "A CEL condition", "examples": ["event.data.success_rate < 0.9"] },
        },
    });
    /// Texts in Jinja syntax.
    TemplateShown => json!({
        "description": "Texts in Jinja syntax in the place of the provider's own; one that is not set is absent",
        "type": "object",
        "properties": { "title": { "type": "string" }, "body": { "type": "string" } },
    });
}

/// Those that others name, and no type of ours.
fn others() -> Vec<(&'static str, Value)> {
    vec![
        (
            "NextWord",
            json!({
                "type": "string", "enum": ["delivered", "dead", "expired", "discarded", "retrying", "parked", "unknown"],
                "description": "What comes after an attempt",
            }),
        ),
        (
            "Problem",
            json!({
                "type": "object",
                "description": "A problem document (RFC 9457). Decide by `code`, which stays the same over versions",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": { "type": "string", "examples": ["about:blank"] },
                    "title": { "type": "string", "description": "The status in words" },
                    "status": { "type": "integer", "minimum": 400, "maximum": 599 },
                    "detail": { "type": "string", "description": "What is wrong, with the remedy" },
                    "code": { "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "examples": ["not_found"] },
                    "field": { "type": "string", "description": "The field, parameter or header at fault" },
                    "request_id": { "type": "string", "description": "As in the header `X-Request-Id`" },
                    "errors": {
                        "type": "array",
                        "description": "Each of several faults, where there are several",
                        "items": { "type": "object", "additionalProperties": true },
                    },
                },
                "additionalProperties": true,
            }),
        ),
    ]
}
