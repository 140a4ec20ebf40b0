//! Linear in memory: one team, its states and labels. It makes another of whatever it is asked for by another id.

use std::collections::BTreeMap;

use ::http::HeaderMap;
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use crate::{
    http::{Request, Response},
    tracker::life::{Double, Has},
};

pub(crate) const TEAM: &str = "9cfb482a-81e3-4154-b5b9-2c805e70a02d";

/// Another team.
const OTHER: &str = "9cfb482a-81e3-4154-b5b9-2c805e70a02e";

pub(crate) struct Workspace {
    /// Names of states, each with its id.
    pub(crate) states: Vec<(&'static str, &'static str)>,
    /// The same of another team.
    pub(crate) others: Vec<(&'static str, &'static str)>,
    /// Names of labels, each with its id.
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) issues: BTreeMap<String, Issue>,
    comments: BTreeMap<String, Value>,
    /// Whether the team is hidden from whose key it is.
    pub(crate) is_blind: bool,
}

pub(crate) struct Issue {
    pub(crate) input: Value,
    pub(crate) state: String,
    links: BTreeMap<String, Value>,
    pub(crate) is_trashed: bool,
    pub(crate) is_archived: bool,
    /// Whether a person has moved it to the other team.
    pub(crate) is_elsewhere: bool,
    /// In what order it was made.
    number: usize,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            states: vec![
                ("Backlog", "state-1"),
                ("In Review", "state-2"),
                ("Todo", "state-3"),
                ("Done", "state-4"),
            ],
            others: vec![("Shelf", "state-5"), ("done", "state-6")],
            labels: vec![("Spec", "label-1"), ("automated", "label-2")],
            issues: BTreeMap::new(),
            comments: BTreeMap::new(),
            is_blind: false,
        }
    }
}

fn said(data: Value) -> Response {
    answered(json!({ "data": data }))
}

fn answered(body: Value) -> Response {
    Response {
        status: 200,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

fn refused(message: &str) -> Response {
    answered(json!({
        "data": null,
        "errors": [{ "message": message, "extensions": {
            "type": "invalid input", "code": "INPUT_ERROR", "statusCode": 400, "userError": true,
        } }],
    }))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

impl Workspace {
    /// A person puts all issues into the trash.
    pub(crate) fn trash(&mut self) {
        self.issues.values_mut().for_each(|issue| issue.is_trashed = true);
    }

    /// Linear archives them.
    pub(crate) fn archive(&mut self) {
        self.issues.values_mut().for_each(|issue| issue.is_archived = true);
    }

    /// What is answered of an issue.
    fn shown(&self, id: &str) -> Value {
        let archived = self.issues.get(id).is_some_and(|issue| issue.is_archived);
        let archived_at = archived.then_some("2026-01-01T00:00:00.000Z");
        json!({ "id": id, "trashed": null, "archivedAt": archived_at })
    }

    fn place(&self, id: &str) -> Response {
        let issue = self.issues.get(id).filter(|_| !self.is_blind);
        let node = |(name, id): &(&str, &str)| json!({ "id": id, "name": name });
        let nodes = issue.map(|issue| {
            let (team, states) = match issue.is_elsewhere {
                true => (OTHER, &self.others),
                false => (TEAM, &self.states),
            };
            let states: Vec<Value> = states.iter().map(node).collect();
            let mut place = self.shown(id);
            place["team"] = json!({ "id": team, "states": { "nodes": states } });
            place
        });
        said(json!({ "issues": { "nodes": nodes.into_iter().collect::<Vec<_>>() } }))
    }

    fn names(&self, asked: &Value) -> Response {
        let node = |(name, id): &(&str, &str)| json!({ "id": id, "name": name });
        let states: Vec<Value> = self.states.iter().map(node).collect();
        let wanted: Vec<String> = asked["labels"]["or"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| text(&one["name"]["eqIgnoreCase"]).to_lowercase())
            .collect();
        let labels = self
            .labels
            .iter()
            .filter(|(name, _)| wanted.contains(&name.to_lowercase()));
        let mut labels: Vec<Value> = labels.map(node).collect();
        // Of another team, and none that can be set.
        labels.push(json!({ "id": "label-9", "name": "spec", "team": { "id": "another" } }));
        labels.push(json!({ "id": "label-8", "name": "spec", "isGroup": true }));
        let team = json!({ "id": TEAM, "ancestors": [], "states": { "nodes": states } });
        let teams = if self.is_blind { json!([]) } else { json!([team]) };
        said(json!({ "teams": { "nodes": teams }, "issueLabels": { "nodes": labels } }))
    }

    fn create(&mut self, input: &Value) -> Response {
        let id = text(&input["id"]).to_owned();
        if self.issues.contains_key(&id) {
            return refused("Entity Issue with this id already exists");
        }
        if input["teamId"] != TEAM {
            return refused("Entity not found: Team");
        }
        let known = |list: &[(&str, &str)], id: &Value| list.iter().any(|(_, known)| *known == text(id));
        let labels = input["labelIds"].as_array().cloned().unwrap_or_default();
        if !labels.iter().all(|label| known(&self.labels, label)) {
            return refused("Entity not found: IssueLabel: labelIds contained an entry that could not be found.");
        }
        let state = match &input["stateId"] {
            Value::Null => self.states[0].1.to_owned(),
            state if known(&self.states, state) => text(state).to_owned(),
            _ => return refused("Entity not found: WorkflowState"),
        };
        if let Some(parent) = input["parentId"].as_str()
            && self.there(parent).is_none()
        {
            return refused("Entity not found: Issue");
        }
        let issue = Issue {
            input: input.clone(),
            state: state.clone(),
            links: BTreeMap::new(),
            is_trashed: false,
            is_archived: false,
            is_elsewhere: false,
            number: self.issues.len(),
        };
        self.issues.insert(id.clone(), issue);
        let issue = json!({ "id": id, "url": format!("https://linear.app/acme/issue/{id}"), "state": { "id": state }, "parent": null });
        said(json!({ "issueCreate": { "success": true, "issue": issue } }))
    }

    fn there(&mut self, id: &str) -> Option<&mut Issue> {
        let is_blind = self.is_blind;
        self.issues.get_mut(id).filter(|issue| !issue.is_trashed && !is_blind)
    }

    fn moved(&mut self, variables: &Value) -> Response {
        let state = text(&variables["input"]["stateId"]).to_owned();
        let has = |states: &[(&str, &str)]| states.iter().any(|(_, id)| *id == state);
        let (here, elsewhere) = (has(&self.states), has(&self.others));
        let Some(issue) = self.there(text(&variables["id"])) else {
            return refused("Entity not found: Issue");
        };
        if !here && !elsewhere {
            return refused("Entity not found: WorkflowState");
        }
        if issue.is_elsewhere != elsewhere {
            return refused("Discrepancy between issue team and state team");
        }
        issue.state.clone_from(&state);
        let mut issue = self.shown(text(&variables["id"]));
        issue["state"] = json!({ "id": state });
        said(json!({ "issueUpdate": { "success": true, "issue": issue } }))
    }

    fn comment(&mut self, input: &Value) -> Response {
        let id = text(&input["id"]).to_owned();
        if self.there(text(&input["issueId"])).is_none() {
            return refused("Entity not found: Issue");
        }
        if self.comments.contains_key(&id) {
            return refused("Entity Comment with this id already exists");
        }
        self.comments.insert(id.clone(), input.clone());
        said(
            json!({ "commentCreate": { "success": true, "comment": { "id": id, "issue": self.shown(text(&input["issueId"])) } } }),
        )
    }

    fn link(&mut self, input: &Value) -> Response {
        let Some(issue) = self.there(text(&input["issueId"])) else {
            return refused("Entity not found: Issue");
        };
        issue.links.insert(text(&input["url"]).to_owned(), input.clone());
        let attachment = json!({ "id": "1", "issue": self.shown(text(&input["issueId"])) });
        said(json!({ "attachmentCreate": { "success": true, "attachment": attachment } }))
    }

    /// All issues but sub-issues, in the order in which they were made.
    pub(crate) fn whole(&self) -> Vec<&Issue> {
        let is_shown = |issue: &&Issue| !issue.is_trashed && !issue.is_archived;
        let whole = self.issues.values().filter(is_shown);
        let mut whole: Vec<&Issue> = whole.filter(|issue| issue.input["parentId"].is_null()).collect();
        whole.sort_by_key(|issue| issue.number);
        whole
    }
}

impl Double for Workspace {
    fn answer(&mut self, request: &Request, _now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let variables = &body["variables"];
        let by_id = |is_there: bool| match is_there {
            true => json!([{ "id": variables["filter"]["id"]["eq"] }]),
            false => json!([]),
        };
        let id = variables["filter"]["id"]["eq"].as_str().unwrap_or_default();
        match text(&body["operationName"]) {
            "SignalboxNames" => self.names(variables),
            "SignalboxTeam" => {
                let teams = if self.is_blind {
                    json!([])
                } else {
                    json!([{ "id": TEAM }])
                };
                said(json!({ "viewer": { "id": "1" }, "teams": { "nodes": teams } }))
            }
            "SignalboxIssue" => {
                said(json!({ "issues": { "nodes": by_id(self.issues.contains_key(id) && !self.is_blind) } }))
            }
            "SignalboxComment" => said(json!({ "comments": { "nodes": by_id(self.comments.contains_key(id)) } })),
            "SignalboxCreate" => self.create(&variables["input"]),
            "SignalboxMove" => self.moved(variables),
            "SignalboxPlace" => self.place(id),
            "SignalboxAddComment" => self.comment(&variables["input"]),
            "SignalboxLink" => self.link(&variables["input"]),
            other => panic!("{other} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let name = |state: &str| {
            let known = self.states.iter().chain(&self.others).find(|(_, id)| *id == state);
            known.map_or("gone", |(name, _)| name).to_owned()
        };
        let subtasks = self.issues.values().filter(|issue| !issue.input["parentId"].is_null());
        Has {
            issues: self.whole().iter().map(|issue| name(&issue.state)).collect(),
            subtasks: subtasks.map(|issue| text(&issue.input["title"]).to_owned()).collect(),
            links: self
                .whole()
                .iter()
                .flat_map(|issue| issue.links.keys().cloned())
                .collect(),
            comments: self
                .comments
                .values()
                .map(|comment| text(&comment["body"]).to_owned())
                .collect(),
        }
    }
}
