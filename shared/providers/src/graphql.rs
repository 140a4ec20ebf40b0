//! Targets that are asked in GraphQL: requests of one operation each, and answers, in which errors may come with any status.
//!
//! Values are sent as variables, never within a document, so that a document is a constant and no event can change it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use signalbox_proto::{Outcome, Timestamp};

use crate::{
    Request, classify,
    http::{self, Auth, Response},
};

/// An operation: its name, and the document in which it stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Its name.
    pub(crate) name: &'static str,
    /// The document.
    pub(crate) document: &'static str,
}

/// The body of a request, as GraphQL over HTTP has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, V> {
    operation_name: &'a str,
    query: &'a str,
    variables: V,
}

impl Operation {
    /// The body that asks for it.
    pub(crate) fn body(self, variables: &impl Serialize) -> Bytes {
        let body = Body {
            operation_name: self.name,
            query: self.document,
            variables,
        };
        serde_json::to_vec(&body)
            .expect("texts and numbers are written to memory")
            .into()
    }

    /// The request that asks for it, as JSON for JSON.
    pub(crate) fn request(self, url: &url::Url, auth: &Auth, variables: &impl Serialize) -> Request {
        let json = ::http::HeaderValue::from_static("application/json");
        let headers = [
            (::http::header::ACCEPT, json.clone()),
            (::http::header::CONTENT_TYPE, json),
        ];
        Request::Http(http::Request {
            method: ::http::Method::POST,
            url: url.clone(),
            headers: headers.into_iter().collect(),
            body: self.body(variables),
            auth: auth.clone(),
            identity: None,
        })
    }

    /// Whether a request asks for it.
    pub(crate) fn is_asked_by(self, request: &Request) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Asked {
            operation_name: String,
        }
        let Request::Http(request) = request else { return false };
        let asked: Option<Asked> = classify::object(&request.body);
        asked.is_some_and(|asked| asked.operation_name == self.name)
    }
}

/// A list of a connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Nodes<T> {
    /// Its items on this page.
    pub(crate) nodes: Vec<T>,
}

/// One of an answer's errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What vendors call its kind by: `type`, and `extensions.code` and `extensions.type`.
    pub(crate) kinds: Vec<String>,
    /// Its sentence. Never shown.
    pub(crate) message: String,
    /// Names of the fields that lead to what failed; numbers of items are left out.
    pub(crate) path: Vec<String>,
}

/// An answer that is no yes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum No {
    /// The target's own errors, one at least.
    Faults {
        /// All of them.
        faults: Vec<Fault>,
        /// What it answered beside them.
        data: Value,
    },
    /// It is not what such a target answers.
    Foreign,
}

/// What a target answers where nothing failed. A status alone says nothing: many answer errors with 200.
pub(crate) fn data<T: DeserializeOwned>(response: &Response) -> Result<T, No> {
    let Some(Value::Object(mut answer)) = classify::object(&response.body) else {
        return Err(No::Foreign);
    };
    let data = answer.remove("data").unwrap_or_default();
    let faults: Vec<Fault> = match answer.get("errors") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(errors)) => errors.iter().map(fault).collect(),
        Some(_) => return Err(No::Foreign),
    };
    if !faults.is_empty() {
        return Err(No::Faults { faults, data });
    }
    match serde_json::from_value(data) {
        Ok(data) if (200..300).contains(&response.status) => Ok(data),
        _ => Err(No::Foreign),
    }
}

fn fault(error: &Value) -> Fault {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let extensions = &error["extensions"];
    let path = error["path"].as_array().into_iter().flatten();
    Fault {
        kinds: [&extensions["code"], &error["type"], &extensions["type"]]
            .into_iter()
            .filter_map(text)
            .collect(),
        message: text(&error["message"]).unwrap_or_default(),
        path: path.filter_map(text).collect(),
    }
}

/// What an operation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To tell something: where it fails, nothing was done.
    Tell,
    /// To do something: what fails beside an answer may be what was to be told of it, behind what is done.
    Do,
}

/// What an error means to who asked. In this order: of several the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Means {
    /// There were too many requests.
    Limit,
    /// It may pass.
    Passing,
    /// Config or credentials are wrong.
    Setup,
    /// What is asked for will never be taken.
    Never,
}

/// A kind of errors, as the vendor documents it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Its name, in any case of letters.
    pub(crate) name: &'static str,
    /// What it means.
    pub(crate) means: Means,
    /// The same for the owner.
    pub(crate) words: &'static str,
}

/// A kind of errors.
pub(crate) const fn kind(name: &'static str, means: Means, words: &'static str) -> Kind {
    Kind { name, means, words }
}

/// A vendor: what it is called, and its kinds of errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vendor {
    /// Its name.
    pub(crate) name: &'static str,
    /// The errors that it documents. Any other may pass: nobody knows what was done.
    pub(crate) kinds: &'static [Kind],
    /// What is wrong with the credentials, where it does not take them.
    pub(crate) unauthorized: &'static str,
}

impl Vendor {
    /// What it documents an error as.
    pub(crate) fn kind_of(&self, fault: &Fault) -> Option<&'static Kind> {
        let is = |kind: &&Kind| fault.kinds.iter().any(|given| given.eq_ignore_ascii_case(kind.name));
        self.kinds.iter().find(is)
    }

    /// Whether all that failed is of this kind.
    pub(crate) fn are_all(&self, faults: &[Fault], name: &str) -> bool {
        let is = |fault: &Fault| self.kind_of(fault).is_some_and(|kind| kind.name == name);
        !faults.is_empty() && faults.iter().all(is)
    }

    /// Whether it says that there were too many requests: nothing of this one was done.
    pub(crate) fn is_limited(&self, response: &Response) -> bool {
        match (response.status, data::<Value>(response)) {
            (429, _) => true,
            (200..=499, Err(No::Faults { faults, data })) => {
                let kind = self.judged(&faults);
                !has_any(&data) && kind.is_some_and(|kind| kind.means == Means::Limit)
            }
            _ => false,
        }
    }

    /// What an answer means that is no yes. `wait` is how long to wait where there were too many requests and `Retry-After`
    /// does not say it.
    pub(crate) fn refused(
        &self,
        asked: Asked,
        response: &Response,
        no: &No,
        wait: impl FnOnce() -> Duration,
        now: Timestamp,
    ) -> Outcome {
        let (name, status) = (self.name, response.status);
        let limited = |wait: Duration| Outcome::Retry {
            reason: format!("{name} answered {status}: more requests than it takes"),
            after: Some(classify::after(response, now).unwrap_or(wait)),
        };
        match (status, no) {
            (429, _) => limited(wait()),
            (401, _) => Outcome::Suspend {
                reason: format!("{name} answered 401: {}", self.unauthorized),
                at_once: false,
            },
            (300..=399 | 404 | 408 | 410 | 413 | 425 | 500..=599, _) => classify::by_status(response, now),
            (_, No::Faults { faults, data }) => match self.judged(faults) {
                None => self.unknown(response, now),
                Some(kind) if kind.means == Means::Limit => limited(wait()),
                // What failed behind a creation says nothing of the creation itself.
                Some(kind) if kind.means == Means::Passing || (asked == Asked::Do && has_any(data)) => Outcome::Retry {
                    reason: self.told(status, kind),
                    after: classify::after(response, now),
                },
                Some(kind) if kind.means == Means::Setup => Outcome::Suspend {
                    reason: self.told(status, kind),
                    at_once: false,
                },
                Some(kind) => Outcome::Reject {
                    reason: self.told(status, kind),
                },
            },
            (200..=299, No::Foreign) => Outcome::Retry {
                reason: format!(
                    "the answer is not {name}'s: it does not hold what {name} answers, so a proxy may have answered"
                ),
                after: classify::after(response, now),
            },
            (_, No::Foreign) => classify::by_status(response, now),
        }
    }

    /// The kind that counts of several errors; `None` where one of them is unknown and none says more.
    fn judged(&self, faults: &[Fault]) -> Option<&'static Kind> {
        let kinds: Vec<Option<&'static Kind>> = faults.iter().map(|fault| self.kind_of(fault)).collect();
        let first = kinds.iter().flatten().min_by_key(|kind| kind.means).copied();
        let passes = first.is_some_and(|kind| kind.means <= Means::Passing);
        first.filter(|_| passes || kinds.iter().all(Option::is_some))
    }

    fn told(&self, status: u16, kind: &Kind) -> String {
        format!(
            "{} answered {status} with the error {}: {}",
            self.name, kind.name, kind.words
        )
    }

    fn unknown(&self, response: &Response, now: Timestamp) -> Outcome {
        Outcome::Retry {
            reason: format!(
                "{} answered {} with an error of a kind that it does not document",
                self.name, response.status
            ),
            after: classify::after(response, now),
        }
    }
}

/// Whether something was answered beside the errors.
pub(crate) fn has_any(data: &Value) -> bool {
    let members = data.as_object();
    members.is_some_and(|members| members.values().any(|member| !member.is_null()))
}

/// A header that is a number.
pub(crate) fn number(response: &Response, header: &str) -> Option<i64> {
    response.headers.get(header)?.to_str().ok()?.trim().parse().ok()
}

/// An answer that holds this data: for previews and the suites.
pub(crate) fn made_up(data: &Value) -> Response {
    Response {
        status: 200,
        headers: ::http::HeaderMap::new(),
        body: json!({ "data": data }).to_string().into(),
        truncated: false,
    }
}

#[cfg(test)]
pub(crate) mod sdl;
#[cfg(test)]
mod tests;
