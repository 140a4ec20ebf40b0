//! Linear: it takes an id once, and finds by it what is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Has};

const TEAM: &str = "00000000-0000-4000-8000-00000000beef";
/// Names of states, each with its id.
const STATES: [(&str, &str); 4] = [
    ("Backlog", "state-1"),
    ("Todo", "state-2"),
    ("Done", "state-3"),
    ("In Review", "state-4"),
];
/// Names of labels, each with its id.
const LABELS: [(&str, &str); 2] = [("spec", "label-1"), ("automated", "label-2")];

/// One workspace.
#[derive(Default)]
pub(super) struct Site {
    issues: BTreeMap<String, Issue>,
    comments: BTreeMap<String, Value>,
}

struct Issue {
    input: Value,
    state: String,
    links: BTreeMap<String, Value>,
}

fn said(data: Value) -> Answer {
    Answer::status(200).body(&json!({ "data": data }).to_string())
}

fn refused(message: &str) -> Answer {
    let extensions = json!({ "type": "invalid input", "code": "INPUT_ERROR", "userError": true });
    let errors = json!([{ "message": message, "extensions": extensions }]);
    Answer::status(200).body(&json!({ "data": null, "errors": errors }).to_string())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

impl super::Site for Site {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        assert_eq!((method, path), ("POST", "/graphql"));
        let variables = &body["variables"];
        let input = &variables["input"];
        let id = variables["filter"]["id"]["eq"].as_str().unwrap_or_default();
        let found = |is_there: bool| if is_there { json!([{ "id": id }]) } else { json!([]) };
        match text(&body["operationName"]) {
            "SignalboxTeam" => said(json!({ "viewer": { "id": "1" }, "teams": { "nodes": [{ "id": TEAM }] } })),
            "SignalboxNames" => {
                let states = STATES.map(|(name, id)| json!({ "id": id, "name": name }));
                let team = json!({ "id": TEAM, "ancestors": [], "states": { "nodes": states } });
                let labels = LABELS.map(
                    |(name, id)| json!({ "id": id, "name": name, "isGroup": false, "retiredAt": null, "team": null }),
                );
                said(json!({ "teams": { "nodes": [team] }, "issueLabels": { "nodes": labels } }))
            }
            "SignalboxIssue" => said(json!({ "issues": { "nodes": found(self.issues.contains_key(id)) } })),
            "SignalboxComment" => said(json!({ "comments": { "nodes": found(self.comments.contains_key(id)) } })),
            "SignalboxCreate" => self.create(input),
            "SignalboxMove" => {
                let state = text(&variables["input"]["stateId"]);
                match self.issues.get_mut(text(&variables["id"])) {
                    Some(issue) if STATES.iter().any(|(_, id)| *id == state) => {
                        state.clone_into(&mut issue.state);
                        let issue = json!({ "id": variables["id"], "trashed": null, "archivedAt": null, "state": { "id": state } });
                        said(json!({ "issueUpdate": { "success": true, "issue": issue } }))
                    }
                    Some(_) => refused("Entity not found: WorkflowState"),
                    None => refused("Entity not found: Issue"),
                }
            }
            "SignalboxAddComment" => {
                let id = text(&input["id"]).to_owned();
                if self.comments.contains_key(&id) {
                    return refused("Entity Comment with this id already exists");
                }
                self.comments.insert(id.clone(), input.clone());
                let comment = json!({ "id": id, "url": null, "issue": { "id": input["issueId"], "trashed": null, "archivedAt": null } });
                said(json!({ "commentCreate": { "success": true, "comment": comment } }))
            }
            "SignalboxLink" => match self.issues.get_mut(text(&input["issueId"])) {
                Some(issue) => {
                    issue.links.insert(text(&input["url"]).to_owned(), input.clone());
                    let attachment =
                        json!({ "id": "1", "issue": { "id": input["issueId"], "trashed": null, "archivedAt": null } });
                    said(json!({ "attachmentCreate": { "success": true, "attachment": attachment } }))
                }
                None => refused("Entity not found: Issue"),
            },
            other => panic!("{other} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let (subtasks, issues): (Vec<&Issue>, Vec<&Issue>) = self
            .issues
            .values()
            .partition(|issue| !issue.input["parentId"].is_null());
        let name = |id: &str| {
            STATES
                .iter()
                .find(|(_, known)| *known == id)
                .map_or("", |(name, _)| name)
        };
        Has {
            issues: issues.iter().map(|issue| name(&issue.state).to_owned()).collect(),
            subtasks: subtasks
                .iter()
                .map(|issue| text(&issue.input["title"]).to_owned())
                .collect(),
            links: issues.iter().flat_map(|issue| issue.links.keys().cloned()).collect(),
            comments: self
                .comments
                .values()
                .map(|comment| text(&comment["body"]).to_owned())
                .collect(),
        }
    }
}

impl Site {
    fn create(&mut self, input: &Value) -> Answer {
        let id = text(&input["id"]).to_owned();
        if self.issues.contains_key(&id) {
            return refused("Entity Issue with this id already exists");
        }
        if input["teamId"] != TEAM {
            return refused("Entity not found: Team");
        }
        let mut labels = input["labelIds"].as_array().into_iter().flatten();
        if labels.any(|label| LABELS.iter().all(|(_, known)| label != known)) {
            return refused("Entity not found: IssueLabel: labelIds contained an entry that could not be found.");
        }
        if let Some(parent) = input["parentId"].as_str()
            && !self.issues.contains_key(parent)
        {
            return refused("Entity not found: Issue");
        }
        let state = input["stateId"].as_str().unwrap_or(STATES[0].1).to_owned();
        let url = format!("https://linear.app/acme/issue/ENG-{}", self.issues.len() + 1);
        let issue = json!({ "id": id, "url": url, "state": { "id": state }, "parent": null });
        let links = BTreeMap::new();
        let input = input.clone();
        self.issues.insert(id, Issue { input, state, links });
        said(json!({ "issueCreate": { "success": true, "issue": issue } }))
    }
}
