//! Jira: its search lags behind.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use super::{Answer, Has};

/// How long the search does not know of an issue: longer than the first retries wait, and shorter than what a killed worker held
/// takes to come again.
const LAG: Duration = Duration::from_secs(15);
const STATES: [&str; 3] = ["To Do", "In Progress", "Done"];
/// The type of subtasks.
const SUBTASK: &str = "10003";

/// One project.
#[derive(Default)]
pub(super) struct Site {
    issues: BTreeMap<String, Issue>,
}

struct Issue {
    fields: Value,
    state: usize,
    links: BTreeMap<String, Value>,
    comments: Vec<Value>,
    at: Instant,
}

fn said(status: u16, body: Value) -> Answer {
    Answer::status(status).body(&body.to_string())
}

fn none() -> Answer {
    let words = "Issue does not exist or you do not have permission to see it.";
    said(404, json!({ "errorMessages": [words], "errors": {} }))
}

impl super::Site for Site {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path
            .strip_prefix("/rest/api/3/")
            .unwrap_or_else(|| panic!("{path} is not the API"));
        let parts: Vec<&str> = path.split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["mypermissions"]) => {
                let given = json!({ "havePermission": true });
                said(
                    200,
                    json!({ "permissions": { "BROWSE_PROJECTS": given, "CREATE_ISSUES": given } }),
                )
            }
            ("POST", ["search", "jql"]) => self.search(body),
            ("GET", ["issue", "createmeta", "PROJ", "issuetypes"]) => said(
                200,
                json!({ "issueTypes": [
                    { "id": "10001", "name": "Story", "subtask": false },
                    { "id": SUBTASK, "name": "Subtask", "subtask": true },
                ] }),
            ),
            ("POST", ["issue"]) => self.create(body),
            ("GET", ["issue", id, "comment"]) => self.comments(id, query),
            (_, ["issue", id, what @ ..]) => self.about(method, id, what, body),
            other => panic!("{other:?} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let (subtasks, issues): (Vec<&Issue>, Vec<&Issue>) = self.issues.values().partition(|issue| issue.is_subtask());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Has {
            issues: issues.iter().map(|issue| STATES[issue.state].to_owned()).collect(),
            subtasks: subtasks.iter().map(|issue| text(&issue.fields["summary"])).collect(),
            links: issues
                .iter()
                .flat_map(|issue| issue.links.values())
                .map(|link| text(&link["url"]))
                .collect(),
            comments: issues
                .iter()
                .flat_map(|issue| &issue.comments)
                .map(|comment| comment["body"].to_string())
                .collect(),
        }
    }
}

impl Site {
    fn search(&self, body: &Value) -> Answer {
        let jql = body["jql"].as_str().expect("JQL");
        let label = jql.split('"').nth(1).expect("a label in quotes");
        let bears = |issue: &Issue| issue.fields["labels"][0] == label && issue.at.elapsed() >= LAG;
        let found = self.issues.iter().filter(|(_, issue)| bears(issue));
        let found: Vec<Value> = found
            .map(|(id, _)| json!({ "id": id, "key": format!("PROJ-{id}") }))
            .collect();
        said(200, json!({ "issues": found, "isLast": true }))
    }

    fn create(&mut self, body: &Value) -> Answer {
        let id = (10_000 + self.issues.len()).to_string();
        let issue = Issue {
            fields: body["fields"].clone(),
            state: 0,
            links: BTreeMap::new(),
            comments: Vec::new(),
            at: Instant::now(),
        };
        let kind = &issue.fields["issuetype"];
        let fits = match issue.is_subtask() {
            true => {
                kind["id"] == SUBTASK
                    && self
                        .issues
                        .contains_key(issue.fields["parent"]["id"].as_str().unwrap_or(""))
            }
            false => kind["name"] == "Story",
        };
        if !fits {
            return said(
                400,
                json!({ "errorMessages": [], "errors": { "issuetype": "Specify a valid issue type" } }),
            );
        }
        self.issues.insert(id.clone(), issue);
        said(201, json!({ "id": id, "key": format!("PROJ-{id}"), "self": "" }))
    }

    /// A page of comments.
    fn comments(&self, id: &str, query: &str) -> Answer {
        let Some(issue) = self.issues.get(id) else {
            return none();
        };
        assert!(query.contains("orderBy=-created"), "{query}");
        let number = |name: &str| -> usize {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(asked, _)| *asked == name);
            found
                .and_then(|(_, number)| number.parse().ok())
                .unwrap_or_else(|| panic!("{query} has no {name}"))
        };
        let (at, size) = (number("startAt"), number("maxResults"));
        let newest: Vec<&Value> = issue.comments.iter().rev().skip(at).take(size).collect();
        let total = issue.comments.len();
        said(
            200,
            json!({ "startAt": at, "maxResults": size, "total": total, "comments": newest }),
        )
    }

    fn about(&mut self, method: &str, id: &str, what: &[&str], body: &Value) -> Answer {
        let Some(issue) = self.issues.get_mut(id) else {
            return none();
        };
        match (method, what) {
            ("GET", []) => {
                let status = json!({ "id": issue.state.to_string(), "name": STATES[issue.state] });
                said(
                    200,
                    json!({ "id": id, "fields": { "status": status }, "transitions": issue.transitions() }),
                )
            }
            ("POST", ["transitions"]) => {
                let wanted = &body["transition"]["id"];
                let to = issue.ways().iter().find(|(id, _)| wanted == id).map(|(_, to)| *to);
                match to {
                    Some(to) => {
                        issue.state = to;
                        Answer::status(204)
                    }
                    None => said(400, json!({ "errorMessages": ["It is not valid."], "errors": {} })),
                }
            }
            ("POST", ["comment"]) => {
                let id = issue.comments.len().to_string();
                // As Jira writes times.
                let created = Timestamp::from_secs(Timestamp::now().secs())
                    .to_string()
                    .replace('Z', ".000+0000");
                issue
                    .comments
                    .push(json!({ "id": id, "body": body["body"], "created": created }));
                said(201, json!({ "id": id }))
            }
            ("POST", ["remotelink"]) => {
                let global = body["globalId"].as_str().expect("an id of ours").to_owned();
                let is_new = issue.links.insert(global, body["object"].clone()).is_none();
                said(if is_new { 201 } else { 200 }, json!({ "id": 1, "self": "" }))
            }
            other => panic!("{other:?} is not asked"),
        }
    }
}

impl Issue {
    fn is_subtask(&self) -> bool {
        !self.fields["parent"].is_null()
    }

    /// Transitions from where it is, and where they lead.
    fn ways(&self) -> &'static [(&'static str, usize)] {
        match self.state {
            0 => &[("21", 1), ("31", 2)],
            1 => &[("31", 2)],
            _ => &[],
        }
    }

    fn transitions(&self) -> Vec<Value> {
        let way = |(id, to): &(&str, usize)| json!({ "id": id, "name": format!("To {}", STATES[*to]), "to": { "id": to.to_string(), "name": STATES[*to] } });
        self.ways().iter().map(way).collect()
    }
}
