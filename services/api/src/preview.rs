//! `POST /v1/integrations/{id}/preview`: the exact request that an event would cause. Nothing is sent or stored.
//!
//! The event is one that was accepted, or one that is made up in the plain form of publishing. Secrets are masked by
//! `signalbox_providers::preview`. Whether the event concerns the integration at all is asked of the same code as the
//! router's, and said beside.

use std::collections::BTreeMap;

use axum::{Json, body::Bytes, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use signalbox_matching::{Schema, Verdict, explain};
use signalbox_proto::{
    Accepted, Delivery, Event, EventType, Name, Outcome, RawJson, Severity, Timestamp,
    event::{BYTES_MAX, DEPTH_MAX, attributes::InvalidAttribute},
    names::check_event_id,
    totals::{Mark, Totals},
    types::{self, Registered},
    wire,
};
use signalbox_providers::{
    AnyTarget, Exchange, Request, Step,
    http::Response,
    preview::{self, Shown},
    things::memory,
};
use signalbox_runtime::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    apply::refuse,
    caller::Caller,
    problems,
    problems::invalid,
    request::{Body, Path, Query},
    schema,
    story::Wanted,
    trace::one_source,
    view, why,
};

/// Characters that a problem shows of the name of an attribute.
const NAME_CHARS_SHOWN: usize = 64;

/// What an event is named by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PreviewRequest)]
pub(crate) struct Asked {
    /// An event that is made up, as it would be published.
    event: Option<Plain>,
    /// An event that was accepted.
    event_id: Option<String>,
    /// The source of that event, where several have its id.
    source: Option<String>,
}

/// The plain form of an event.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PreviewEvent)]
struct Plain {
    #[serde(rename = "type", alias = "event_type")]
    #[schema(value_type = schema::EventTypeName)]
    event_type: EventType,
    #[serde(alias = "payload")]
    #[schema(value_type = schema::Anything, required = false)]
    data: Option<Box<RawValue>>,
    /// 1 to 128 visible ASCII characters
    id: Option<String>,
    #[schema(value_type = Option<schema::Name>)]
    org: Option<Name>,
    #[schema(value_type = Option<schema::Attribute>)]
    source: Option<String>,
    #[schema(value_type = Option<schema::Attribute>)]
    subject: Option<String>,
    #[schema(value_type = Option<schema::Time>)]
    time: Option<Timestamp>,
    #[schema(value_type = Option<schema::Attribute>)]
    agent_id: Option<String>,
    #[schema(value_type = Option<schema::Attribute>)]
    execution_id: Option<String>,
    severity: Option<String>,
    #[serde(default)]
    #[schema(value_type = schema::Metadata, required = false)]
    metadata: BTreeMap<String, String>,
}

/// The request that an event would cause.
#[derive(Serialize, ToSchema)]
#[schema(as = Preview)]
pub(crate) struct Answer {
    requests: Vec<Sent>,
    /// Whether further requests may follow, which depend on the answers to the first.
    more: bool,
    /// Why no request would be sent.
    #[schema(value_type = Option<String>)]
    error: Option<Value>,
    #[schema(value_type = view::Event)]
    event: Value,
    /// Whether the event concerns the integration at all
    matches: bool,
    #[schema(value_type = Option<String>)]
    why_not: Option<Value>,
}

/// A request as an answer shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = PreviewedRequest)]
struct Sent {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    /// What is JSON as it is sent, other text as a text.
    #[schema(value_type = schema::Anything, required = true)]
    body: Option<Box<RawValue>>,
    /// The body byte for byte, where it is text.
    body_text: Option<String>,
    /// A body that is no text.
    body_base64: Option<String>,
}

pub(crate) async fn preview(
    State(shared): App,
    Caller { org, .. }: Caller,
    Path(id): Path,
    query: Query,
    Body(asked): Body<Asked>,
) -> Result<Json<Answer>, Problem> {
    query.end()?;
    let integration = shared.find(&org, &id).await?;
    let now = Timestamp::now();
    let accepted = match asked {
        Asked {
            event: Some(event),
            event_id: None,
            source: None,
        } => shared.made_up(event, &org, now).await?,
        Asked {
            event: None,
            event_id: Some(id),
            source,
        } => shared.past(&org, &id, source.as_deref(), now).await?,
        Asked {
            event: None,
            event_id: None,
            ..
        } => {
            return Err(invalid(
                "event",
                "is missing: give an event, or the event_id of one that was accepted",
            ));
        }
        Asked { .. } => return Err(invalid("event", "is given beside event_id or source: keep one")),
    };
    let opened = shared.open(&integration).map_err(|reason| refuse("not_open", reason))?;
    let redactor = opened.target.redactor();
    let verdict = explain(&integration, &accepted);
    let unmatched = why::unmatched(&integration, &accepted, &verdict);
    let shown = redactor.document(&view::accepted_value(&accepted));
    let delivery = Delivery::first(
        accepted,
        &integration.id,
        &integration.provider,
        integration.revision,
        1,
    );
    let target = opened.target.as_ref();
    let Requests { requests, more, error } = Requests::of(target, &delivery, now);
    let matches = verdict == Verdict::Match;
    Ok(Json(Answer {
        requests,
        more,
        error,
        event: shown,
        matches,
        why_not: (!matches).then(|| redactor.document(&unmatched.words.why.into())),
    }))
}

/// What a delivery would send, as far as that is known without an answer.
struct Requests {
    requests: Vec<Sent>,
    more: bool,
    error: Option<Value>,
}

impl Requests {
    fn of(target: &dyn AnyTarget, delivery: &Delivery, now: Timestamp) -> Self {
        let redactor = target.redactor();
        let error = |outcome: &Outcome| outcome.reason().map(Value::from);
        if target.thing(delivery).is_some() {
            // As if nothing were remembered of its thing, and the target took every request.
            let (requests, outcome) = memory::rehearse(target, delivery, now);
            let requests = requests.iter().map(|request| sent(preview::of(request, redactor)));
            return Self {
                requests: requests.collect(),
                more: false,
                error: error(&outcome),
            };
        }
        let (requests, error) = match target.next(delivery, &[], now) {
            // As if it were the first that is counted: what was counted before comes on top.
            Step::Send(Request::Count(count)) => {
                let mut totals = Totals::default();
                totals.count(Mark::of(delivery), &count.events, now);
                let push = count.push.request(&totals);
                (vec![sent(preview::show(&push, redactor))], None)
            }
            Step::Send(request) => (vec![sent(preview::of(&request, redactor))], None),
            Step::Done(outcome) => (Vec::new(), error(&outcome)),
        };
        // A provider is a pure function of the answers: what it would do after a plain yes can be asked of it.
        let yes = Exchange {
            response: Response {
                status: 200,
                headers: axum::http::HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
                truncated: false,
            },
        };
        let more = !requests.is_empty() && matches!(target.next(delivery, &[yes], now), Step::Send(_));
        Self { requests, more, error }
    }
}

fn sent(shown: Shown) -> Sent {
    let text = std::str::from_utf8(&shown.body).ok().map(str::to_owned);
    let json = text
        .as_ref()
        .and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok());
    let body = match (json, &text) {
        (Some(json), _) => Some(json),
        (None, Some(text)) if !text.is_empty() => serde_json::value::to_raw_value(text).ok(),
        _ => None,
    };
    Sent {
        method: shown.method,
        url: shown.url,
        headers: shown.headers,
        body,
        body_base64: text.is_none().then(|| STANDARD.encode(&shown.body)),
        body_text: text,
    }
}

impl Shared {
    /// An accepted event, found as its story is.
    async fn past(&self, org: &Name, id: &str, source: Option<&str>, now: Timestamp) -> Result<Accepted, Problem> {
        check_event_id(id).map_err(|error| invalid("event_id", error.to_string()))?;
        let (found, looked_back_to) = self.accepted(org, Wanted::Event { org, id, source }, None, now).await?;
        one_source(id, found.iter().map(|accepted| accepted.event.source.as_str()))?;
        match found.into_iter().next_back() {
            Some(accepted) => Ok(accepted),
            None => Err(self.not_found(org, id, looked_back_to).await?),
        }
    }

    /// An event as it would be accepted now: the same defaults, and what its registered type says.
    async fn made_up(&self, given: Plain, org: &Name, now: Timestamp) -> Result<Accepted, Problem> {
        if given.org.as_ref().is_some_and(|given| given != org) {
            return Err(invalid("event/org", format!("is another org than {org}")));
        }
        let registered = self
            .broker
            .event_type(org, &given.event_type)
            .await
            .map_err(problems::broker)?;
        let registered = registered.map(|entry| entry.value);
        let event = made_up(given, org, registered.as_ref())?;
        Ok(Accepted { event, seq: 0, at: now })
    }
}

/// An event of what was given, under all the bounds that hold for one that is accepted: what providers make of it is made for no
/// other.
fn made_up(given: Plain, org: &Name, registered: Option<&Registered>) -> Result<Event, Problem> {
    let id = given.id.unwrap_or_else(|| Uuid::now_v7().to_string());
    check_event_id(&id).map_err(|error| invalid("event/id", error.to_string()))?;
    let raw = given
        .data
        .map_or_else(|| "null".to_owned(), |data| data.get().to_owned());
    let data: Value = serde_json::from_str(&raw).map_err(|error| invalid("event/data", error.to_string()))?;
    if levels(&data) > DEPTH_MAX {
        let message = format!("the data is nested deeper than {DEPTH_MAX} levels");
        return Err(invalid("event/data", message));
    }
    if let Some(schema) = registered.and_then(|registered| registered.schema.as_ref())
        && let Ok(schema) = Schema::compile(schema.as_bytes())
    {
        schema
            .check(&data)
            .map_err(|fault| invalid(&format!("event/data{}", fault.pointer), fault.message.to_string()))?;
    }
    let own = given
        .severity
        .or_else(|| said(&data, &["/severity", "/spec/severity", "/priority"]));
    let read = own.as_deref().and_then(Severity::read);
    let of_type = registered
        .and_then(|registered| registered.severity)
        .unwrap_or_else(|| types::default_severity(given.event_type.as_str()));
    let mut event = Event {
        id,
        org: org.clone(),
        source: given.source.unwrap_or_else(|| Event::default_source(org)),
        subject: given.subject,
        time: given.time,
        agent_id: given.agent_id.or_else(|| said(&data, &["/agent_id"])),
        execution_id: given.execution_id.or_else(|| said(&data, &["/execution_id"])),
        severity: read.unwrap_or(of_type),
        severity_named: read.is_some(),
        event_type: given.event_type,
        data: RawJson::from_checked(raw.into()),
        datacontenttype: None,
        data_base64: false,
        look: registered.and_then(Registered::look),
        metadata: given.metadata,
    };
    event.check_attributes().map_err(invalid_attribute)?;
    let bytes = wire::encode(&event).map_err(|error| problems::internal(&error))?.len();
    if bytes > BYTES_MAX {
        let message = format!("the event has {bytes} bytes, more than {BYTES_MAX}");
        return Err(invalid("event", message));
    }
    Ok(event)
}

/// The field at fault as a pointer into the request; of a name that is long, its beginning.
fn invalid_attribute(wrong: InvalidAttribute) -> Problem {
    let mut field = format!("event/{}", wrong.field);
    if let Some(name) = &wrong.name {
        field.push('/');
        field.extend(name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_SHOWN));
    }
    invalid(&field, wrong.message)
}

/// How many levels of lists and objects lie one in the other.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The first of these fields of the data that says something.
fn said(data: &Value, pointers: &[&str]) -> Option<String> {
    pointers.iter().find_map(|pointer| match data.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
