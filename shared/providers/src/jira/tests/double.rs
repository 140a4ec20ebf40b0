//! Jira in memory: it makes another of whatever it is asked for, and its search lags behind.

use std::{collections::BTreeMap, time::Duration};

use ::http::{HeaderMap, Method};
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use crate::{
    http::{Request, Response},
    once::attempts::answered,
    tracker::life::{Double, Has},
};

/// How long the search does not know of an issue.
const LAG: Duration = Duration::from_secs(30);
/// What a person says whom the account may not hear.
pub(crate) const SECRETLY: &str = "secretly";
const STATES: [&str; 3] = ["To Do", "In Progress", "Done"];

#[derive(Default)]
pub(crate) struct Site {
    pub(crate) issues: BTreeMap<String, Issue>,
    next: usize,
    /// Whether the account sees nothing that it makes.
    pub(crate) is_blind: bool,
}

pub(crate) struct Issue {
    pub(crate) fields: Value,
    pub(crate) state: usize,
    links: BTreeMap<String, Value>,
    pub(crate) comments: Vec<Value>,
    at: Timestamp,
}

impl Issue {
    fn transitions(&self) -> Value {
        let to = |id: &str, state: usize| json!({ "id": id, "name": format!("To {}", STATES[state]), "to": { "id": state.to_string(), "name": STATES[state] } });
        match self.state {
            0 => json!([to("21", 1), to("31", 2)]),
            1 => json!([to("31", 2)]),
            _ => json!([]),
        }
    }

    fn comment(&mut self, body: Value, at: Timestamp) -> String {
        let id = (self.comments.len() + 1).to_string();
        let created = at.to_string().replace('Z', ".000+0000");
        self.comments
            .push(json!({ "id": id, "body": body, "created": created }));
        id
    }

    fn is_subtask(&self) -> bool {
        !self.fields["parent"].is_null()
    }
}

fn said(status: u16, body: Value) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: if body.is_null() {
            "".into()
        } else {
            body.to_string().into()
        },
        truncated: false,
    }
}

fn none() -> Response {
    said(
        404,
        json!({ "errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {} }),
    )
}

impl Site {
    /// A person deletes all issues.
    pub(crate) fn clear(&mut self) {
        self.issues.clear();
    }

    /// A person comments on every issue.
    pub(crate) fn say(&mut self, text: &str, at: Timestamp) {
        let paragraph = json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] });
        for issue in self.issues.values_mut() {
            issue.comment(json!({ "version": 1, "type": "doc", "content": [paragraph] }), at);
        }
    }

    /// A page of comments, each with its members in Jira's order. Those that the account may not see count and are left out.
    fn comments(&self, id: &str, request: &Request) -> Response {
        let Some(issue) = self.issues.get(id).filter(|_| !self.is_blind) else {
            return none();
        };
        let asked: BTreeMap<_, _> = request.url.query_pairs().collect();
        assert_eq!(asked["orderBy"], "-created");
        let number = |name: &str| asked[name].parse::<usize>().expect("a number");
        let (at, size) = (number("startAt"), number("maxResults").min(100));
        let newest = issue.comments.iter().rev().skip(at).take(size);
        let seen = newest.filter(|comment| !comment["body"].to_string().contains(SECRETLY));
        let newest = seen.map(|comment| {
            let (id, body, created) = (&comment["id"], &comment["body"], &comment["created"]);
            format!(r#"{{"self":"","id":{id},"author":{{}},"body":{body},"updateAuthor":{{}},"created":{created}}}"#)
        });
        let newest = newest.collect::<Vec<_>>().join(",");
        let total = issue.comments.len();
        answered(
            200,
            &format!(r#"{{"startAt":{at},"maxResults":{size},"total":{total},"comments":[{newest}]}}"#),
        )
    }

    fn search(&self, body: &Value, now: Timestamp) -> Response {
        let jql = body["jql"].as_str().expect("JQL");
        let label = jql.split('"').nth(1).expect("a label in quotes");
        let bears = |issue: &Issue| issue.fields["labels"][0] == label && now.since(issue.at) >= LAG;
        let found = self.issues.iter().filter(|(_, issue)| !self.is_blind && bears(issue));
        let found: Vec<Value> = found
            .map(|(id, _)| json!({ "id": id, "key": format!("PROJ-{id}") }))
            .collect();
        said(200, json!({ "issues": found, "isLast": true }))
    }

    fn create(&mut self, body: &Value, now: Timestamp) -> Response {
        self.next += 1;
        let id = format!("1{:04}", self.next);
        let issue = Issue {
            fields: body["fields"].clone(),
            state: 0,
            links: BTreeMap::new(),
            comments: Vec::new(),
            at: now,
        };
        self.issues.insert(id.clone(), issue);
        said(201, json!({ "id": id, "key": format!("PROJ-{id}"), "self": "" }))
    }

    fn about(&mut self, id: &str, what: &str, method: &Method, body: &Value, now: Timestamp) -> Response {
        let is_blind = self.is_blind;
        let Some(issue) = self.issues.get_mut(id).filter(|_| !is_blind) else {
            return none();
        };
        match (what, method == Method::GET) {
            ("", true) => {
                let status = json!({ "id": issue.state.to_string(), "name": STATES[issue.state] });
                said(
                    200,
                    json!({ "id": id, "fields": { "status": status }, "transitions": issue.transitions() }),
                )
            }
            ("transitions", false) => match body["transition"]["id"].as_str() {
                Some("21") if issue.state == 0 => {
                    issue.state = 1;
                    said(204, Value::Null)
                }
                Some("31") if issue.state < 2 => {
                    issue.state = 2;
                    said(204, Value::Null)
                }
                _ => said(400, json!({ "errorMessages": ["It is not valid."], "errors": {} })),
            },
            ("comment", false) => said(201, json!({ "id": issue.comment(body["body"].clone(), now) })),
            ("remotelink", false) => {
                let global = body["globalId"].as_str().expect("an id").to_owned();
                let is_new = issue.links.insert(global, body["object"].clone()).is_none();
                said(if is_new { 201 } else { 200 }, json!({ "id": 1 }))
            }
            other => panic!("{other:?} is not asked"),
        }
    }
}

impl Double for Site {
    fn answer(&mut self, request: &Request, now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request.url.path().strip_prefix("/rest/api/3/").expect("the API");
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["search", "jql"] => self.search(&body, now),
            ["mypermissions"] => {
                let permission = |is_given: bool| json!({ "havePermission": is_given });
                let browse = permission(!self.is_blind);
                said(
                    200,
                    json!({ "permissions": { "BROWSE_PROJECTS": browse, "CREATE_ISSUES": permission(true) } }),
                )
            }
            ["issue"] => self.create(&body, now),
            ["issue", "createmeta", "PROJ", "issuetypes"] => said(
                200,
                json!({ "issueTypes": [{ "id": "5", "name": "Subtask", "subtask": true }] }),
            ),
            ["issue", id] => self.about(id, "", &request.method, &body, now),
            ["issue", id, "comment"] if request.method == Method::GET => self.comments(id, request),
            ["issue", id, what] => self.about(id, what, &request.method, &body, now),
            other => panic!("{other:?} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let issues = || self.issues.values().filter(|issue| !issue.is_subtask());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let marker = |comment: &Value| {
            let body = comment["body"].to_string();
            let (_, behind) = body.split_once("signalbox-").expect("a marker");
            behind.chars().take(22).collect()
        };
        Has {
            issues: issues().map(|issue| STATES[issue.state].to_owned()).collect(),
            subtasks: self
                .issues
                .values()
                .filter(|issue| issue.is_subtask())
                .map(|issue| text(&issue.fields["summary"]))
                .collect(),
            links: issues()
                .flat_map(|issue| issue.links.values().map(|link| text(&link["url"])))
                .collect(),
            comments: issues().flat_map(|issue| issue.comments.iter().map(marker)).collect(),
        }
    }
}
