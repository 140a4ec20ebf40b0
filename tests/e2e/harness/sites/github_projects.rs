//! A project of GitHub: each request for a draft makes another one.

use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use super::{Answer, Has};

const PROJECT: &str = "PVT_1";
const FIELD: &str = "PVTSSF_1";
/// Names of options, each with its id.
const OPTIONS: [(&str, &str); 4] = [("Backlog", "1a"), ("Ready", "2b"), ("Done", "3c"), ("In Review", "4d")];

/// One project.
#[derive(Default)]
pub(super) struct Site {
    items: Vec<Item>,
}

struct Item {
    body: String,
    status: Option<String>,
    at: Timestamp,
}

fn said(data: Value) -> Answer {
    Answer::status(200).body(&json!({ "data": data }).to_string())
}

fn none(field: &str) -> Answer {
    let error = json!({ "type": "NOT_FOUND", "path": [field], "message": "Could not resolve to a node" });
    Answer::status(200).body(&json!({ "data": { field: null }, "errors": [error] }).to_string())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The place that an id names: of items `PVTI_…`, of drafts `DI_…`.
fn place(id: &Value) -> usize {
    let number = text(id).split('_').nth(1).and_then(|number| number.parse().ok());
    number.expect("an id of ours")
}

impl super::Site for Site {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        assert_eq!((method, path), ("POST", "/graphql"));
        let variables = &body["variables"];
        let input = &variables["input"];
        match text(&body["operationName"]) {
            "SignalboxProject" => {
                let options = OPTIONS.map(|(name, id)| json!({ "id": id, "name": name }));
                let field = json!({ "id": FIELD, "options": options });
                let project = json!({ "projectV2": { "id": PROJECT, "viewerCanUpdate": true, "field": field } });
                let error = json!({ "type": "NOT_FOUND", "path": ["user"], "message": "Could not resolve to a User" });
                let answer = json!({ "data": { "organization": project, "user": null }, "errors": [error] });
                Answer::status(200).body(&answer.to_string())
            }
            "SignalboxItems" => {
                let node = |(number, item): (usize, &Item)| {
                    json!({
                        "id": format!("PVTI_{number}"), "createdAt": item.at.to_string(),
                        "creator": { "login": "signalbox" }, "content": { "id": format!("DI_{number}") },
                    })
                };
                let nodes: Vec<Value> = self.items.iter().enumerate().map(node).collect();
                let info = json!({ "hasPreviousPage": false, "startCursor": null });
                let items = json!({ "pageInfo": info, "nodes": nodes });
                said(json!({ "viewer": { "login": "signalbox" }, "node": { "items": items } }))
            }
            "SignalboxDraft" => match self.items.get(place(&variables["id"])) {
                Some(item) => {
                    let number = place(&variables["id"]);
                    let content = json!({ "id": format!("DI_{number}"), "body": item.body });
                    let project = json!({ "id": PROJECT });
                    said(json!({ "node": { "id": variables["id"], "project": project, "content": content } }))
                }
                None => none("node"),
            },
            "SignalboxAddDraft" if input["projectId"] == PROJECT => {
                let id = format!("PVTI_{}", self.items.len());
                self.items.push(Item {
                    body: text(&input["body"]).to_owned(),
                    status: None,
                    at: Timestamp::now(),
                });
                said(json!({ "addProjectV2DraftIssue": { "projectItem": { "id": id } } }))
            }
            "SignalboxSetStatus" if input["projectId"] == PROJECT && input["fieldId"] == FIELD => {
                let option = &input["value"]["singleSelectOptionId"];
                let name = OPTIONS
                    .iter()
                    .find(|(_, id)| option == id)
                    .map(|(name, _)| (*name).to_owned());
                match (self.items.get_mut(place(&input["itemId"])), name) {
                    (Some(item), Some(name)) => {
                        item.status = Some(name);
                        let item = json!({ "id": input["itemId"] });
                        said(json!({ "updateProjectV2ItemFieldValue": { "projectV2Item": item } }))
                    }
                    _ => none("updateProjectV2ItemFieldValue"),
                }
            }
            "SignalboxEditDraft" => match self.items.get_mut(place(&input["draftIssueId"])) {
                Some(item) => {
                    text(&input["body"]).clone_into(&mut item.body);
                    let draft = json!({ "id": input["draftIssueId"] });
                    said(json!({ "updateProjectV2DraftIssue": { "draftIssue": draft } }))
                }
                None => none("updateProjectV2DraftIssue"),
            },
            other => panic!("{other} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let addresses = |item: &Item| -> Vec<String> {
            let links = item.body.split("](<").skip(1);
            let links = links.filter_map(|rest| rest.split_once(">)").map(|(address, _)| address.to_owned()));
            links.filter(|address| address.contains("/pull/")).collect()
        };
        Has {
            issues: self
                .items
                .iter()
                .map(|item| item.status.clone().unwrap_or_default())
                .collect(),
            subtasks: Vec::new(),
            links: self.items.iter().flat_map(addresses).collect(),
            comments: Vec::new(),
        }
    }
}
