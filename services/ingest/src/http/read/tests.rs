use axum::http::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{collection, option, prelude::*};
use serde_json::{Value, json};
use signalbox_proto::{Event, Name};

use super::*;
use crate::input::{self, Body as Input};

const EVENT_BYTES_MAX: usize = 100_000;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn take(list: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Result<Inputs, Rejection> {
    let headers = headers(list);
    inputs(Form::of(&headers)?, &headers, body.into().into(), EVENT_BYTES_MAX)
}

fn org() -> Name {
    Name::default_org()
}

fn finish(draft: Result<Draft, Rejection>) -> Result<Event, Rejection> {
    draft?.finish(&org(), None, || "derived".into())
}

/// What an event says, whatever its form.
#[derive(Clone, Debug)]
struct Said {
    id: String,
    source: String,
    event_type: String,
    time: String,
    subject: Option<String>,
    agent_id: Option<String>,
    execution_id: Option<String>,
    severity: Option<String>,
    team: Option<String>,
    data: Value,
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn data() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("agent_id".to_owned()),
        Just("severity".to_owned()),
        Just("priority".to_owned()),
        any::<String>()
    ];
    collection::btree_map(key, value(), 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn said() -> impl Strategy<Value = Said> {
    let text = || "[^\\p{Cc}]{1,40}";
    (
        ("[!-~]{1,64}", text(), "[a-z_]{1,8}(\\.[a-z]{1,8}){0,3}"),
        (0_u32..86_400_000),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(prop_oneof![Just("high".to_owned()), text().prop_map(String::from)]),
        option::of(text()),
        data(),
    )
        .prop_map(
            |((id, source, event_type), ms, subject, agent_id, execution_id, severity, team, data)| Said {
                time: format!(
                    "2026-01-02T{:02}:{:02}:{:02}.{:03}Z",
                    ms / 3_600_000,
                    ms / 60_000 % 60,
                    ms / 1_000 % 60,
                    ms % 1_000
                ),
                id,
                source,
                event_type,
                subject,
                agent_id,
                execution_id,
                severity,
                team,
                data,
            },
        )
}

impl Said {
    fn plain(&self) -> Value {
        json!({
            "id": self.id, "source": self.source, "type": self.event_type, "time": self.time, "subject": self.subject,
            "agent_id": self.agent_id, "execution_id": self.execution_id, "severity": self.severity,
            "metadata": self.team.iter().map(|team| ("team".to_owned(), json!(team))).collect::<serde_json::Map<_, _>>(),
            "data": self.data,
        })
    }

    fn attributes(&self) -> Vec<(&'static str, &str)> {
        [
            ("specversion", Some("1.0")),
            ("id", Some(self.id.as_str())),
            ("source", Some(self.source.as_str())),
            ("type", Some(self.event_type.as_str())),
            ("time", Some(self.time.as_str())),
            ("subject", self.subject.as_deref()),
            ("agentid", self.agent_id.as_deref()),
            ("executionid", self.execution_id.as_deref()),
            ("severity", self.severity.as_deref()),
            ("team", self.team.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }

    fn cloudevent(&self) -> Value {
        let mut event: serde_json::Map<String, Value> = self
            .attributes()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        event.insert("data".into(), self.data.clone());
        event.into()
    }

    fn headers(&self, content_type: &str) -> Vec<(String, String)> {
        let encoded = |value: &str| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        let attributes = self.attributes().into_iter();
        attributes
            .map(|(name, value)| (format!("ce-{name}"), encoded(value)))
            .chain([("content-type".to_owned(), content_type.to_owned())])
            .collect()
    }

    /// In every form, by its name.
    fn forms(&self) -> Vec<(&'static str, Result<Event, Rejection>)> {
        let json = [("content-type", "application/json")];
        let structured = [("content-type", "application/cloudevents+json; charset=UTF-8")];
        let batch = [("content-type", "application/cloudevents-batch+json")];
        let packed = [("content-type", "application/msgpack")];
        let (plain, cloudevent) = (self.plain(), self.cloudevent());
        let one = |list: &[(&str, &str)], body: Vec<u8>| {
            take(list, body).and_then(|mut inputs| {
                assert_eq!(inputs.drafts.len(), 1);
                finish(inputs.drafts.remove(0))
            })
        };
        let binary = |content_type: &str, body: Vec<u8>| {
            let list = self.headers(content_type);
            let list: Vec<(&str, &str)> = list.iter().map(|(name, value)| (&**name, &**value)).collect();
            one(&list, body)
        };
        let text = |value: &Value| value.to_string().into_bytes();
        vec![
            ("http plain", one(&json, text(&plain))),
            ("http array", one(&json, text(&json!([plain])))),
            ("http plain cloudevent", one(&json, text(&cloudevent))),
            ("http structured", one(&structured, text(&cloudevent))),
            ("http batch", one(&batch, text(&json!([cloudevent])))),
            ("http binary", binary("application/json", text(&self.data))),
            (
                "http binary msgpack",
                binary("application/msgpack", packed_of(&self.data)),
            ),
            ("http msgpack", one(&packed, packed_of(&plain))),
            ("http msgpack array", one(&packed, packed_of(&json!([plain])))),
            ("http msgpack cloudevent", one(&packed, packed_of(&cloudevent))),
            (
                "nats headers",
                self.over_nats("application/json", &[], text(&self.data)),
            ),
            (
                "nats msgpack",
                self.over_nats("application/msgpack", &[], packed_of(&self.data)),
            ),
            (
                "nats structured",
                self.over_nats(structured[0].1, &["id"], text(&cloudevent)),
            ),
            (
                "nats batch",
                self.over_nats(batch[0].1, &["id"], text(&json!([cloudevent]))),
            ),
        ]
    }

    /// Over NATS, with headers but for those without which the body says it all.
    fn over_nats(&self, content_type: &str, body_says: &[&str], body: Vec<u8>) -> Result<Event, Rejection> {
        let all = self.headers(content_type);
        let list: Vec<(&str, &str)> = all
            .iter()
            .filter(|(name, _)| body_says.is_empty() || name == "content-type")
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let headers = headers(&list);
        let subject = signalbox_proto::subjects::input(&org(), &self.event_type.parse().unwrap());
        let message = input::read_message(&subject, &headers, body.into())?;
        let draft = match message.body {
            Input::Event(draft) => draft,
            Input::Batch(elements) => input::read_element(&headers, &elements[0])?,
        };
        draft.finish(&message.org, Some(&message.event_type), || "derived".into())
    }
}

/// MessagePack by a writer of its own, so that nothing is read as it was written by the same hand.
fn packed_of(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    pack(value, &mut out);
    out
}

fn pack(value: &Value, out: &mut Vec<u8>) {
    let length = |out: &mut Vec<u8>, marker: u8, length: usize| {
        out.push(marker);
        out.extend(u32::try_from(length).unwrap().to_be_bytes());
    };
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Number(number) => {
            if let Some(value) = number.as_i64() {
                out.push(0xd3);
                out.extend(value.to_be_bytes());
            } else if let Some(value) = number.as_u64() {
                out.push(0xcf);
                out.extend(value.to_be_bytes());
            } else {
                out.push(0xcb);
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        }
        Value::String(text) => {
            length(out, 0xdb, text.len());
            out.extend(text.as_bytes());
        }
        Value::Array(list) => {
            length(out, 0xdd, list.len());
            list.iter().for_each(|value| pack(value, out));
        }
        Value::Object(map) => {
            length(out, 0xdf, map.len());
            for (key, value) in map {
                pack(&json!(key), out);
                pack(value, out);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_same_event_in_every_form_is_the_same_event(said in said()) {
        let mut forms = said.forms();
        let (_, expected) = forms.remove(0);
        let expected = expected.map_err(|rejection| TestCaseError::fail(rejection.to_string()))?;
        for (name, event) in forms {
            prop_assert_eq!(event.as_ref().ok(), Some(&expected), "{}: {:?}", name, event.as_ref().err());
        }
    }

    #[test]
    fn any_bytes_are_an_event_or_a_rejection(bytes in collection::vec(any::<u8>(), 0..200), form in 0_usize..4) {
        let content_type = ["application/json", "application/msgpack", "application/cloudevents-batch+json", "text/x"][form];
        if let Ok(inputs) = take(&[("content-type", content_type)], bytes) {
            for draft in inputs.drafts {
                drop(finish(draft));
            }
        }
    }
}

#[test]
fn what_a_list_holds_is_judged_event_by_event() {
    let inputs = take(
        &[("content-type", "application/json")],
        r#"[{"type":"a.b"},{"type":7},[],{"specversion":"1.0","type":"a.b"}]"#,
    )
    .unwrap();
    assert!(inputs.is_list);
    let fields: Vec<Option<String>> = inputs
        .drafts
        .into_iter()
        .map(|draft| finish(draft).err().map(|rejection| rejection.field.unwrap_or_default()))
        .collect();
    assert_eq!(
        fields,
        [None, Some("type".into()), Some(String::new()), Some("id".into())]
    );
}

#[test]
fn the_trace_of_a_request_is_that_of_the_events_that_have_none() {
    let trace = |inputs: &Inputs| -> Vec<String> {
        let drafts = inputs.drafts.iter().flatten();
        drafts.map(|draft| draft.metadata["traceparent"].clone()).collect()
    };
    let batch = [
        ("content-type", "application/cloudevents-batch+json"),
        ("traceparent", "request"),
    ];
    let event = |extra: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b"{extra}}}"#);
    let body = format!("[{},{}]", event(""), event(r#","traceparent":"own""#));
    assert_eq!(trace(&take(&batch, body).unwrap()), ["request", "own"]);
    let one = [
        ("content-type", "application/cloudevents+json"),
        ("traceparent", "request"),
    ];
    let body = event(r#","traceparent":"own""#);
    assert_eq!(trace(&take(&one, body).unwrap()), ["request"]);
}

#[test]
fn a_content_type_that_is_not_taken_is_named() {
    for content_type in [
        "text/plain",
        "application/cloudevents+avro",
        "application/cloudevents-batch+avro",
        "application/xml",
    ] {
        let rejection = take(&[("content-type", content_type)], "{}").err().unwrap();
        assert_eq!(rejection.field.as_deref(), Some("content-type"), "{content_type}");
    }
}

#[test]
fn a_packed_body_is_refused_in_every_form() {
    let ce = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
    ];
    for (header, coding, is_taken) in [
        ("content-encoding", "gzip", false),
        ("content-encoding", "identity", true),
        ("transfer-encoding", "gzip, chunked", false),
        ("transfer-encoding", "chunked", true),
    ] {
        for content_type in ["text/plain", "application/octet-stream", "application/json"] {
            let list = [&ce[..], &[("content-type", content_type), (header, coding)]].concat();
            let read = take(&list, "1");
            assert_eq!(read.is_ok(), is_taken, "{content_type} {header}: {coding}");
            if let Err(rejection) = read {
                assert_eq!(rejection.field.as_deref(), Some(header));
            }
        }
    }
    let mut twice = headers(&[("content-encoding", "identity")]);
    twice.append("content-encoding", HeaderValue::from_static("br"));
    assert_eq!(Form::of(&twice).unwrap_err().kind, input::Wrong::Unsupported);
}

#[test]
fn a_content_type_that_is_no_text_is_not_taken_for_json() {
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        HeaderValue::from_bytes(b"application/js\xc3\xb6n").unwrap(),
    );
    let rejection = Form::of(&headers).unwrap_err();
    assert_eq!(rejection.field.as_deref(), Some("content-type"));
    assert!(rejection.message.contains("js\u{f6}n"), "{rejection}");
}
