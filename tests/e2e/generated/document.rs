//! The OpenAPI document as these tests read it: its operations, how to call each, and what it may answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    foreign,
    harness::{Client, Target, client::Response},
};

/// How long the checks of all answers of a test may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);
/// Different answers of one operation with one status that are held against its schema.
const SHAPES_MAX: usize = 40;

/// The document.
pub(super) struct Document {
    pub(super) whole: Value,
    pub(super) operations: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    /// With its open parts in braces.
    pub(super) path: String,
    /// The scope that a key needs; none where no key is needed.
    pub(super) scope: Option<String>,
    pub(super) params: Vec<Param>,
    /// The example of its JSON body.
    pub(super) body: Option<Value>,
    /// The actions that entries of the audit may have, the first that of its example; none where it changes nothing.
    pub(super) audit: Vec<String>,
    responses: Value,
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Param {
    /// `path`, `query` or `header`.
    pub(super) place: String,
    pub(super) name: String,
}

impl Document {
    /// As the API serves it, but that its examples point to this receiver and to nobody else.
    pub(super) async fn of(client: &Client, target: &Target) -> Self {
        let text = client.get("/openapi.json").await.to_string();
        let text = text.replace("https://example.com/hook", &target.url("/of-an-example"));
        let whole: Value = serde_json::from_str(&text).expect("JSON");
        let paths = whole["paths"].as_object().expect("paths");
        let all = paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().expect("operations");
            item.iter()
                .map(move |(method, said)| Operation::read(method, path, said))
        });
        let operations: Vec<Operation> = all.collect();
        assert!(operations.len() > 40, "{}", operations.len());
        Self { whole, operations }
    }

    /// Those that want a key.
    pub(super) fn behind_a_key(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| operation.scope.is_some())
    }

    /// Those that change something, as the audit tells it.
    pub(super) fn changing(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| operation.changes())
    }

    /// Fails where one of the answers is none that the document tells of.
    pub(super) async fn holds(&self, told: &Told) {
        assert!(!told.0.is_empty());
        let answers: Vec<&Value> = told.0.values().collect();
        let given = json!({ "document": self.whole, "answers": answers }).to_string();
        let faults = foreign::run_within("openapi.py", &[], &given, CHECK_TIMEOUT).await;
        assert_eq!(faults.trim(), "");
    }
}

impl Operation {
    fn read(method: &str, path: &str, said: &Value) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let params = said["parameters"].as_array().expect("parameters");
        let params = params.iter().map(|param| Param {
            place: text(&param["in"]),
            name: text(&param["name"]),
        });
        let content = said["requestBody"]["content"].as_object();
        let actions = said["x-audit"].as_array().into_iter().flatten();
        Self {
            id: text(&said["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            scope: said["security"][0]["key"][0].as_str().map(str::to_owned),
            params: params.collect(),
            body: content
                .and_then(|content| content.get("application/json")?.get("example"))
                .cloned(),
            audit: actions.filter_map(Value::as_str).map(str::to_owned).collect(),
            responses: said["responses"].clone(),
        }
    }

    /// Whether its answer never ends.
    pub(super) fn is_stream(&self) -> bool {
        self.responses["200"]["content"].get("text/event-stream").is_some()
    }

    /// Whether it changes something, as the audit tells it.
    pub(super) fn changes(&self) -> bool {
        !self.audit.is_empty()
    }

    /// Whether something is there afterwards that was not there before.
    pub(super) fn leaves_something(&self) -> bool {
        self.changes() || self.scope.as_deref() == Some("events:write")
    }

    /// Whether it begins an erasure.
    pub(super) fn erases(&self) -> bool {
        self.audit.iter().any(|action| action.ends_with(".erasure_begun"))
    }

    /// Whether the org can be said that is meant.
    pub(super) fn takes_org(&self) -> bool {
        self.param("query", "org").is_some()
    }

    pub(super) fn param(&self, place: &str, name: &str) -> Option<&Param> {
        let mut params = self.params.iter();
        params.find(|param| param.place == place && param.name == name)
    }

    /// The open part of its path: no route has two.
    pub(super) fn open(&self) -> Option<&Param> {
        self.params.iter().find(|param| param.place == "path")
    }

    /// Its address with this in the place of the open part, percent-encoded.
    pub(super) fn address(&self, named: &str) -> String {
        match self.open() {
            Some(open) => self.path.replace(&format!("{{{}}}", open.name), &encoded(named)),
            None => self.path.clone(),
        }
    }

    /// Whether the document tells of this status.
    pub(super) fn tells_of(&self, status: u16) -> bool {
        self.responses.get(status.to_string()).is_some()
    }

    /// Whether the document tells of this header of an answer.
    pub(super) fn tells_of_header(&self, status: u16, name: &str) -> bool {
        self.responses[status.to_string()]["headers"].get(name).is_some()
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What was asked and answered. Of many like answers some are kept.
#[derive(Default)]
pub(super) struct Told(BTreeMap<(String, u16, String), Value>);

impl Told {
    /// Takes an answer that the operation gave. Fails where its status or its headers are not in the document.
    pub(super) fn add(&mut self, operation: &Operation, what: &str, answer: &Response) {
        let status = answer.status;
        let seen = || format!("{operation} ({what}): {}", answer.text());
        assert!(status < 500 || status == 503, "{}", seen());
        assert!(operation.tells_of(status), "not in the document: {}", seen());
        assert!(!answer.header("x-request-id").is_empty(), "{}", seen());
        for header in ["ETag", "Retry-After"] {
            let is_there = answer.headers.contains_key(header);
            assert!(
                !is_there || operation.tells_of_header(status, header),
                "{header} is not in the document: {}",
                seen()
            );
        }
        let kind = answer.header("content-type").split(';').next().unwrap_or_default();
        let body = if kind.ends_with("json") {
            answer.json()
        } else {
            Value::Null
        };
        let mut shape = skeleton(&body);
        if let Some(code) = body["code"].as_str() {
            shape = format!("{code} {shape}");
        }
        let of_status =
            (operation.id.clone(), status, String::new())..=(operation.id.clone(), status, "\u{10ffff}".to_owned());
        if self.0.range(of_status).count() < SHAPES_MAX {
            self.0.entry((operation.id.clone(), status, shape)).or_insert_with(|| {
                json!({
                    "method": operation.method, "path": operation.path, "status": status, "type": kind, "body": body,
                })
            });
        }
    }
}

/// The form of a body without its values.
fn skeleton(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("{name}:{}", skeleton(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            let kinds: BTreeSet<String> = list.iter().map(skeleton).collect();
            format!("[{}]", kinds.into_iter().collect::<Vec<_>>().join(","))
        }
        Value::String(_) => "s".to_owned(),
        Value::Number(_) => "n".to_owned(),
        Value::Bool(_) => "b".to_owned(),
        Value::Null => "0".to_owned(),
    }
}

/// A text as it stands in an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
