//! A GitHub project in memory: it makes another draft for each request, and one item of an issue.

use std::time::Duration;

use ::http::HeaderMap;
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use crate::{
    http::{Request, Response},
    tracker::life::{Double, Has},
};

/// For how long its lists may not show a new item.
const LAG: Duration = Duration::from_secs(5);
pub(crate) struct Board {
    /// Whether it belongs to a user and not to an organization.
    pub(crate) is_users: bool,
    pub(crate) id: &'static str,
    /// Names of options, each with its id.
    pub(crate) options: Vec<(&'static str, &'static str)>,
    pub(crate) items: Vec<Item>,
    /// Whether the token may read it and not write to it.
    pub(crate) is_read_only: bool,
    /// Whether the token sees nothing of it.
    pub(crate) is_blind: bool,
    /// Items on a page: fewer than GitHub's, so that there are pages.
    pub(crate) page: usize,
    pub(crate) next: usize,
}

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// The issue or pull request; a draft where there is none.
    pub(crate) content: Option<String>,
    pub(crate) body: String,
    pub(crate) status: Option<String>,
    pub(crate) is_archived: bool,
    /// The project in which it is.
    pub(crate) project: &'static str,
    at: Timestamp,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            is_users: false,
            id: "PVT_1",
            options: vec![("Backlog", "1a"), ("In review", "2b"), ("Ready", "3c"), ("Done", "4d")],
            items: Vec::new(),
            is_read_only: false,
            is_blind: false,
            page: 2,
            next: 0,
        }
    }
}

fn answered(body: Value) -> Response {
    Response {
        status: 200,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

fn said(data: Value) -> Response {
    answered(json!({ "data": data }))
}

fn none(field: &str) -> Response {
    let error =
        json!({ "type": "NOT_FOUND", "path": [field], "message": "Could not resolve to a node with the global id" });
    answered(json!({ "data": { field: null }, "errors": [error] }))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

impl Board {
    fn project(&self, variables: &Value) -> Response {
        let options: Vec<Value> = self
            .options
            .iter()
            .map(|(name, id)| json!({ "id": id, "name": name }))
            .collect();
        let field = match text(&variables["field"]) == "Status" {
            true => json!({ "id": "PVTSSF_1", "options": options }),
            false => Value::Null,
        };
        let project = json!({ "projectV2": { "id": self.id, "viewerCanUpdate": !self.is_read_only, "field": field } });
        let not_found = |path: &str| json!({ "type": "NOT_FOUND", "path": [path], "message": "Could not resolve" });
        if self.is_blind {
            let errors = json!([not_found("organization"), not_found("user")]);
            return answered(json!({ "data": { "organization": null, "user": null }, "errors": errors }));
        }
        let (there, not) = if self.is_users {
            ("user", "organization")
        } else {
            ("organization", "user")
        };
        answered(json!({ "data": { there: project, not: null }, "errors": [not_found(not)] }))
    }

    fn page(&self, variables: &Value, now: Timestamp) -> Response {
        if variables["project"] != self.id {
            let error = json!({ "type": "NOT_FOUND", "path": ["node"], "message": "Could not resolve to a node" });
            let data = json!({ "viewer": { "login": "signalbox" }, "node": null });
            return answered(json!({ "data": data, "errors": [error] }));
        }
        let here = self.items.iter().filter(|item| item.project == self.id);
        let shown: Vec<&Item> = here.filter(|item| now.since(item.at) >= LAG).collect();
        let end = variables["before"]
            .as_str()
            .map_or(shown.len(), |cursor| cursor.parse().expect("a cursor"));
        let begin = end.saturating_sub(self.page);
        let node = |item: &&Item| {
            let content = item
                .content
                .as_ref()
                .map_or_else(|| json!({ "id": format!("DI{}", item.id) }), |_| json!({}));
            json!({ "id": item.id, "createdAt": item.at.to_string(), "creator": { "login": "signalbox" }, "content": content })
        };
        let nodes: Vec<Value> = shown[begin..end].iter().map(node).collect();
        let info = json!({ "hasPreviousPage": begin > 0, "startCursor": begin.to_string() });
        said(json!({ "viewer": { "login": "signalbox" }, "node": { "items": { "pageInfo": info, "nodes": nodes } } }))
    }

    fn add(&mut self, content: Option<&str>, body: &str, now: Timestamp) -> String {
        if let Some(known) = self
            .items
            .iter()
            .find(|item| content.is_some() && item.content.as_deref() == content)
        {
            return known.id.clone();
        }
        self.next += 1;
        let id = format!("PVTI_{}", self.next);
        self.items.push(Item {
            id: id.clone(),
            content: content.map(str::to_owned),
            body: body.to_owned(),
            status: None,
            is_archived: false,
            project: self.id,
            at: now,
        });
        id
    }

    /// Others add drafts of theirs.
    pub(crate) fn crowd(&mut self, count: usize, now: Timestamp) {
        for _ in 0..count {
            self.add(None, "by hand", now);
        }
    }

    fn item(&mut self, id: &Value) -> Option<&mut Item> {
        let is_blind = self.is_blind;
        self.items.iter_mut().find(|item| item.id == text(id) && !is_blind)
    }
}

impl Double for Board {
    fn answer(&mut self, request: &Request, now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let variables = &body["variables"];
        let input = &variables["input"];
        let is_ours = input["projectId"] == self.id;
        match text(&body["operationName"]) {
            "SignalboxProject" => self.project(variables),
            "SignalboxItems" => self.page(variables, now),
            "SignalboxDraft" => match self.item(&variables["id"]) {
                None => none("node"),
                Some(item) => {
                    let draft = json!({ "id": format!("DI{}", item.id), "body": item.body });
                    let content = if item.content.is_some() { json!({}) } else { draft };
                    said(json!({ "node": { "id": item.id, "project": { "id": item.project }, "content": content } }))
                }
            },
            "SignalboxItem" => match self.item(&variables["id"]) {
                None => none("node"),
                Some(item) => {
                    let project = json!({ "id": item.project });
                    said(json!({ "node": { "id": item.id, "isArchived": item.is_archived, "project": project } }))
                }
            },
            "SignalboxAddDraft" if is_ours => {
                let id = self.add(None, text(&input["body"]), now);
                said(json!({ "addProjectV2DraftIssue": { "projectItem": { "id": id } } }))
            }
            "SignalboxAddDraft" => none("addProjectV2DraftIssue"),
            "SignalboxAdd" if self.is_read_only || text(&input["contentId"]).starts_with("I_saml") => answered(json!({
                "data": { "addProjectV2ItemById": null },
                "errors": [{
                    "type": "FORBIDDEN", "path": ["addProjectV2ItemById"],
                    "message": "Resource protected by organization SAML enforcement",
                }],
            })),
            "SignalboxAdd" if is_ours && text(&input["contentId"]).starts_with("I_") => {
                let id = self.add(Some(text(&input["contentId"])), "", now);
                said(json!({ "addProjectV2ItemById": { "item": { "id": id } } }))
            }
            "SignalboxAdd" => none("addProjectV2ItemById"),
            "SignalboxSetStatus" => {
                let option = text(&input["value"]["singleSelectOptionId"]);
                let known = self
                    .options
                    .iter()
                    .find(|(_, id)| *id == option)
                    .map(|(name, _)| (*name).to_owned());
                let project = input["projectId"].clone();
                match (self.item(&input["itemId"]), known) {
                    (Some(item), _) if item.project != project => none("updateProjectV2ItemFieldValue"),
                    (Some(item), _) if item.is_archived => answered(json!({
                        "data": { "updateProjectV2ItemFieldValue": null },
                        "errors": [{ "type": "UNPROCESSABLE", "message": "The item is archived and cannot be updated" }],
                    })),
                    (Some(item), Some(name)) if is_ours => {
                        item.status = Some(name);
                        let item = json!({ "id": item.id });
                        said(json!({ "updateProjectV2ItemFieldValue": { "projectV2Item": item } }))
                    }
                    (Some(_), None) => answered(json!({
                        "data": { "updateProjectV2ItemFieldValue": null },
                        "errors": [{ "type": "VALIDATION", "message": "The single select option Id does not belong to the field" }],
                    })),
                    _ => none("updateProjectV2ItemFieldValue"),
                }
            }
            "SignalboxEditDraft" => {
                let draft = text(&input["draftIssueId"]);
                let item = self.items.iter_mut().find(|item| format!("DI{}", item.id) == draft);
                let item = item.expect("a draft that was read");
                text(&input["body"]).clone_into(&mut item.body);
                said(json!({ "updateProjectV2DraftIssue": { "draftIssue": { "id": draft } } }))
            }
            other => panic!("{other} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let ours = || self.items.iter().filter(|item| item.body != "by hand");
        let addresses = |item: &Item| -> Vec<String> {
            let links = item.body.split("](<").skip(1);
            let address = links.filter_map(|rest| rest.split_once(">)").map(|(address, _)| address.to_owned()));
            address.filter(|address| address.contains("/pull/")).collect()
        };
        Has {
            issues: ours().map(|item| item.status.clone().unwrap_or_default()).collect(),
            subtasks: Vec::new(),
            links: ours().flat_map(addresses).collect(),
            comments: Vec::new(),
        }
    }
}
