//! Azure DevOps: its queries are a little behind, and a link that is there already is refused.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use signalbox_proto::Timestamp;

use super::{Answer, Has};

/// How long a query does not know of a work item: longer than the first retries wait.
const LAG: Duration = Duration::from_secs(15);
/// The states of every type, each with its category.
const STATES: [(&str, &str); 4] = [
    ("New", "Proposed"),
    ("Active", "InProgress"),
    ("Resolved", "Resolved"),
    ("Closed", "Completed"),
];
const PARENT: &str = "System.LinkTypes.Hierarchy-Reverse";

/// One project.
#[derive(Default)]
pub(super) struct Site {
    items: BTreeMap<usize, Item>,
}

struct Item {
    fields: Map<String, Value>,
    relations: Vec<Value>,
    comments: Vec<Value>,
    at: Instant,
}

fn said(body: &Value) -> Answer {
    Answer::status(200).body(&body.to_string())
}

fn refused(status: u16, key: &str, words: &str) -> Answer {
    let body = json!({ "$id": "1", "innerException": null, "message": words, "typeKey": key, "errorCode": 0 });
    Answer::status(status).body(&body.to_string())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl super::Site for Site {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or_else(|| panic!("{path} has no version"));
        assert!(query.contains("api-version=7.1"), "{query}");
        // Organization and project, which are anybody's, then the API.
        let parts: Vec<&str> = path.split('/').collect();
        let ["", _, _, "_apis", "wit", parts @ ..] = parts.as_slice() else {
            panic!("{path} is not the API of a project");
        };
        match (method, parts) {
            ("POST", ["wiql"]) => self.query(body),
            ("POST", ["workitems", kind @ ("$User%20Story" | "$Task")]) => {
                self.create(kind, body, query.contains("validateOnly=true"))
            }
            ("POST", ["workitems", _]) => {
                refused(404, "WorkItemTypeNotFoundException", "VS402323: There is no such type.")
            }
            ("GET", ["workitemtypes", _, "states"]) => {
                let states = STATES.map(|(name, category)| json!({ "name": name, "category": category }));
                said(&json!({ "count": states.len(), "value": states }))
            }
            (_, ["workitems" | "workItems", id, what @ ..]) => self.about(method, id, (what, query), body),
            other => panic!("{other:?} is not asked"),
        }
    }

    fn has(&self) -> Has {
        let (children, items): (Vec<&Item>, Vec<&Item>) = self.items.values().partition(|item| item.is_child());
        let field = |item: &Item, name: &str| text(&item.fields[name]);
        Has {
            issues: items.iter().map(|item| field(item, "System.State")).collect(),
            subtasks: children.iter().map(|item| field(item, "System.Title")).collect(),
            links: items
                .iter()
                .flat_map(|item| &item.relations)
                .map(|relation| text(&relation["url"]))
                .collect(),
            comments: items
                .iter()
                .flat_map(|item| &item.comments)
                .map(|comment| text(&comment["text"]))
                .collect(),
        }
    }
}

impl Site {
    fn query(&self, body: &Value) -> Answer {
        let query = body["query"].as_str().expect("a query");
        let tag = query.split('\'').nth(1).expect("a tag in quotes");
        let bears = |item: &Item| item.fields["System.Tags"] == tag && item.at.elapsed() >= LAG;
        let found = self.items.iter().filter(|(_, item)| bears(item));
        let found: Vec<Value> = found.map(|(id, _)| json!({ "id": id, "url": "" })).collect();
        said(&json!({ "queryType": "flat", "workItems": found }))
    }

    fn create(&mut self, kind: &str, operations: &Value, is_checked_alone: bool) -> Answer {
        let mut item = Item {
            fields: Map::new(),
            relations: Vec::new(),
            comments: Vec::new(),
            at: Instant::now(),
        };
        let kind = kind.trim_start_matches('$').replace("%20", " ");
        item.fields.insert("System.WorkItemType".to_owned(), kind.into());
        item.fields.insert("System.State".to_owned(), STATES[0].0.into());
        if let Some(refused) = item.apply(operations) {
            return refused;
        }
        let parent = item.relations.first().map(|relation| text(&relation["url"]));
        let is_there = |url: &String| {
            let id = url.rsplit('/').next().and_then(|id| id.parse().ok());
            id.is_some_and(|id| self.items.contains_key(&id))
        };
        if parent.as_ref().is_some_and(|parent| !is_there(parent)) {
            return refused(
                404,
                "WorkItemLinkEndUnauthorizedAccessException",
                "TF401232: There is no such parent.",
            );
        }
        let fields = Value::Object(item.fields.clone());
        if is_checked_alone {
            return said(&json!({ "id": -1, "rev": -1, "fields": fields }));
        }
        let id = self.items.len() + 1;
        self.items.insert(id, item);
        said(&json!({ "id": id, "rev": 1, "fields": fields, "url": "" }))
    }

    fn about(&mut self, method: &str, id: &str, (what, query): (&[&str], &str), body: &Value) -> Answer {
        let item = id
            .parse()
            .ok()
            .and_then(|id: usize| Some((id, self.items.get_mut(&id)?)));
        let Some((id, item)) = item else {
            return refused(
                404,
                "WorkItemUnauthorizedAccessException",
                "TF401232: Work item does not exist, or you do not have permissions to read it.",
            );
        };
        match (method, what) {
            ("GET", []) => item.shown(id),
            ("PATCH", []) => match item.apply(body) {
                Some(refused) => refused,
                None => item.shown(id),
            },
            ("GET", ["comments"]) => item.page(query),
            ("POST", ["comments"]) => {
                let number = item.comments.len() + 1;
                let created = Timestamp::now().to_string();
                item.comments
                    .push(json!({ "id": number, "text": body["text"], "createdDate": created }));
                said(&json!({ "id": number, "workItemId": id, "text": body["text"] }))
            }
            other => panic!("{other:?} is not asked"),
        }
    }
}

impl Item {
    fn is_child(&self) -> bool {
        self.relations.iter().any(|relation| relation["rel"] == PARENT)
    }

    /// A page of comments, the newest first; its token is how many stand before the next.
    fn page(&self, query: &str) -> Answer {
        assert!(query.contains("order=desc"), "{query}");
        let number = |name: &str| -> Option<usize> {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(asked, _)| *asked == name)?.1.parse().ok()
        };
        let size = number("%24top").unwrap_or_else(|| panic!("{query} has no size"));
        let at = number("continuationToken").unwrap_or(0);
        let newest: Vec<&Value> = self.comments.iter().rev().skip(at).take(size).collect();
        let total = self.comments.len();
        let next = (at + newest.len() < total).then(|| (at + newest.len()).to_string());
        said(&json!({ "totalCount": total, "count": newest.len(), "comments": newest, "continuationToken": next }))
    }

    fn shown(&self, id: usize) -> Answer {
        said(&json!({ "id": id, "rev": 1, "fields": self.fields, "relations": self.relations }))
    }

    /// Does what a patch document asks for, or says why not.
    fn apply(&mut self, operations: &Value) -> Option<Answer> {
        for operation in operations.as_array().expect("a list of operations") {
            assert_eq!(operation["op"], "add");
            let path = operation["path"].as_str().expect("a path");
            let value = &operation["value"];
            match path.strip_prefix("/fields/") {
                Some("System.State") if !STATES.iter().any(|(name, _)| value == name) => {
                    return Some(refused(
                        400,
                        "RuleValidationException",
                        "TF401320: Rule Error for field State.",
                    ));
                }
                Some(field) => drop(self.fields.insert(field.to_owned(), value.clone())),
                None if path != "/relations/-" => panic!("{path} is not set"),
                None if self.relations.iter().any(|one| one["url"] == value["url"]) => {
                    let key = "RelationAlreadyExistsException";
                    return Some(refused(400, key, "Relation already exists."));
                }
                None => self.relations.push(value.clone()),
            }
        }
        None
    }
}
