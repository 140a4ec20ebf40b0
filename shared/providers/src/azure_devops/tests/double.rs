//! Azure DevOps in memory: it makes another of whatever it is asked for, refuses the same link twice no more than the
//! documents say, and its queries are a little behind.

use std::{collections::BTreeMap, time::Duration};

use ::http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use signalbox_proto::Timestamp;

use crate::{
    http::{Request, Response},
    once::attempts::answered,
    tracker::life::{Double, Has},
};

/// How long a query does not know of a work item.
const LAG: Duration = Duration::from_secs(20);
const STATES: [(&str, &str); 4] = [
    ("New", "Proposed"),
    ("Active", "InProgress"),
    ("Resolved", "Resolved"),
    ("Closed", "Completed"),
];

#[derive(Default)]
pub(crate) struct Organization {
    pub(crate) items: BTreeMap<u64, Item>,
    bin: Vec<u64>,
    next: u64,
    /// Whether the account sees nothing that it makes.
    pub(crate) is_blind: bool,
    /// Whether each answer asks for a pause.
    pub(crate) is_near_its_limit: bool,
}

pub(crate) struct Item {
    pub(crate) fields: Map<String, Value>,
    relations: Vec<Value>,
    pub(crate) comments: Vec<Value>,
    at: Timestamp,
}

impl Item {
    fn is_child(&self) -> bool {
        let parent = |relation: &Value| relation["rel"] == "System.LinkTypes.Hierarchy-Reverse";
        self.relations.iter().any(parent)
    }

    fn comment(&mut self, text: &Value, at: Timestamp) -> usize {
        let number = self.comments.len() + 1;
        self.comments
            .push(json!({ "id": number, "text": text, "createdDate": at.to_string() }));
        number
    }

    /// A page of comments, each with its members in the order that Azure DevOps has; behind them the token of the next.
    fn page(&self, id: u64, request: &Request) -> Response {
        let asked: BTreeMap<_, _> = request.url.query_pairs().collect();
        assert_eq!(asked["order"], "desc");
        let size: usize = asked["$top"].parse().expect("a number");
        let token = asked.get("continuationToken").map_or("behind 0", |token| token);
        let at: usize = token
            .strip_prefix("behind ")
            .expect("a token")
            .parse()
            .expect("a number");
        let newest: Vec<String> = self
            .comments
            .iter()
            .rev()
            .skip(at)
            .take(size)
            .map(|comment| {
                let (number, text, created) = (&comment["id"], &comment["text"], &comment["createdDate"]);
                format!(
                    r#"{{"workItemId":{id},"id":{number},"version":1,"text":{text},"createdBy":{{}},"createdDate":{created}}}"#
                )
            })
            .collect();
        let (count, total) = (newest.len(), self.comments.len());
        let next = match at + count {
            behind if behind < total => {
                format!(r#","nextPage":"https://next.example.com","continuationToken":"behind {behind}""#)
            }
            _ => String::new(),
        };
        let comments = newest.join(",");
        answered(
            200,
            &format!(r#"{{"totalCount":{total},"count":{count},"comments":[{comments}]{next}}}"#),
        )
    }

    fn text(&self, field: &str) -> String {
        self.fields[field].as_str().expect("a text").to_owned()
    }

    fn apply(&mut self, operations: &Value) -> Option<Response> {
        for operation in operations.as_array().expect("operations") {
            let path = operation["path"].as_str().expect("a path");
            let value = operation["value"].clone();
            match path.strip_prefix("/fields/") {
                Some("System.State") if !STATES.iter().any(|(name, _)| value == *name) => {
                    return Some(refused(400, "RuleValidationException"));
                }
                Some(field) => {
                    self.fields.insert(field.to_owned(), value);
                }
                None if path == "/relations/-" => self.relations.push(value),
                None => panic!("{path} is not set"),
            }
        }
        None
    }
}

fn said(body: &Value) -> Response {
    Response {
        status: 200,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

fn refused(status: u16, key: &str) -> Response {
    let mut response = said(&json!({ "$id": "1", "message": "TF000000", "typeKey": key, "errorCode": 0 }));
    response.status = status;
    response
}

fn none() -> Response {
    refused(404, "WorkItemUnauthorizedAccessException")
}

impl Organization {
    /// A person deletes all work items; they lie in the recycle bin.
    pub(crate) fn clear(&mut self) {
        self.bin.extend(std::mem::take(&mut self.items).into_keys());
    }

    /// A person destroys them.
    pub(crate) fn destroy(&mut self) {
        self.items.clear();
    }

    fn query(&self, body: &Value, now: Timestamp) -> Response {
        let query = body["query"].as_str().expect("a query");
        let tag = query.split('\'').nth(1).expect("a tag in quotes");
        let bears = |item: &Item| item.fields["System.Tags"] == tag && now.since(item.at) >= LAG;
        let found = self.items.iter().filter(|(_, item)| !self.is_blind && bears(item));
        let found: Vec<Value> = found.map(|(id, _)| json!({ "id": id, "url": "" })).collect();
        said(&json!({ "queryType": "flat", "workItems": found }))
    }

    fn create(&mut self, kind: &str, operations: &Value, now: Timestamp) -> Response {
        let fields = json!({ "System.WorkItemType": kind.replace("%20", " "), "System.State": "New" });
        let Value::Object(fields) = fields else {
            panic!("fields");
        };
        let mut item = Item {
            fields,
            relations: Vec::new(),
            comments: Vec::new(),
            at: now,
        };
        if let Some(refused) = item.apply(operations) {
            return refused;
        }
        let parent = item.relations.iter().find_map(|relation| relation["url"].as_str());
        let parent = parent.map(|url| url.rsplit('/').next().expect("an id").parse::<u64>().expect("a number"));
        if parent.is_some_and(|parent| self.is_blind || !self.items.contains_key(&parent)) {
            return refused(404, "WorkItemLinkEndUnauthorizedAccessException");
        }
        self.next += 1;
        self.items.insert(self.next, item);
        said(&json!({ "id": self.next, "rev": 1, "fields": {} }))
    }

    fn item(&mut self, id: u64, request: &Request, body: &Value) -> Response {
        let is_blind = self.is_blind;
        let Some(item) = self.items.get_mut(&id).filter(|_| !is_blind) else {
            return none();
        };
        if request.method == Method::PATCH
            && let Some(refused) = item.apply(body)
        {
            return refused;
        }
        let mut shown = json!({ "id": id, "rev": 1, "fields": item.fields });
        if request
            .url
            .query()
            .is_some_and(|query| query.contains("expand=relations"))
            && !item.relations.is_empty()
        {
            shown["relations"] = json!(item.relations);
        }
        said(&shown)
    }

    /// A person comments on every work item.
    pub(crate) fn say(&mut self, text: &str, at: Timestamp) {
        for item in self.items.values_mut() {
            item.comment(&text.into(), at);
        }
    }

    fn comments(&mut self, id: u64, request: &Request, body: &Value, now: Timestamp) -> Response {
        let is_blind = self.is_blind;
        let Some(item) = self.items.get_mut(&id).filter(|_| !is_blind) else {
            return none();
        };
        if request.method == Method::GET {
            return item.page(id, request);
        }
        said(&json!({ "id": item.comment(&body["text"], now), "workItemId": id }))
    }
}

impl Double for Organization {
    fn answer(&mut self, request: &Request, now: Timestamp) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let base = "/acme/shop/_apis/wit/";
        let path = request.url.path().strip_prefix(base).expect("the API of the project");
        let parts: Vec<&str> = path.split('/').collect();
        let number = |id: &str| id.parse::<u64>().expect("a number");
        let mut response = match parts.as_slice() {
            ["wiql"] => self.query(&body, now),
            ["workitems", kind] if kind.starts_with('$') => self.create(kind.trim_start_matches('$'), &body, now),
            ["workitems", id] => self.item(number(id), request, &body),
            ["workItems", id, "comments"] => self.comments(number(id), request, &body, now),
            ["workitemtypes", _, "states"] => {
                let states = STATES.map(|(name, category)| json!({ "name": name, "category": category }));
                said(&json!({ "count": states.len(), "value": states }))
            }
            ["recyclebin", id] if self.bin.contains(&number(id)) => said(&json!({ "id": number(id), "name": "" })),
            ["recyclebin", _] => none(),
            other => panic!("{other:?} is not asked"),
        };
        if self.is_near_its_limit {
            response
                .headers
                .insert("retry-after", ::http::HeaderValue::from_static("7"));
        }
        response
    }

    fn has(&self) -> Has {
        let issues = || self.items.values().filter(|item| !item.is_child());
        let marker = |comment: &Value| {
            let text = comment["text"].as_str().expect("a text");
            let (_, behind) = text.split_once("signalbox-").expect("a marker");
            behind.chars().take(22).collect()
        };
        let url = |relation: &Value| relation["url"].as_str().expect("an address").to_owned();
        let children = self.items.values().filter(|item| item.is_child());
        Has {
            issues: issues().map(|item| item.text("System.State")).collect(),
            subtasks: children.map(|item| item.text("System.Title")).collect(),
            links: issues().flat_map(|item| item.relations.iter().map(url)).collect(),
            comments: issues().flat_map(|item| item.comments.iter().map(marker)).collect(),
        }
    }
}
