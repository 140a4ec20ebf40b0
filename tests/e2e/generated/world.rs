//! An installation with two orgs that hold the same things under the same names, and what only one of them knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::document::{Document, Operation};
use crate::harness::{
    Answer, Client, Publish, Target, Up, client::Response, client::try_request, eventually, process::Settings,
    process::settings,
};

const SOON: Duration = Duration::from_secs(60);

/// What the open part of a path names, by the path that it ends. The first that fits counts.
const OPEN: [(&str, &str); 11] = [
    ("/v1/integrations/{id}", "integration"),
    ("/v1/deliveries/{id}", "delivery"),
    ("/v1/dead-letters/{id}", "letter"),
    ("/v1/events/{id}", "event"),
    ("/v1/acts/{id}", "act"),
    ("/v1/event-types/{type}", "event_type"),
    ("/v1/orgs/{name}", "org"),
    ("/v1/api-keys/{id}", "key"),
    ("/v1/erasures/{id}", "erasure"),
    ("/v1/providers/{name}", "provider"),
    ("/v1/tail/{what}", "stream"),
];
/// Things that are of no org.
const OF_NO_ORG: [&str; 2] = ["provider", "stream"];

/// The installation.
pub(super) struct World {
    pub(super) up: Up,
    pub(super) target: Target,
    pub(super) document: Document,
    pub(super) acme: Org,
    /// As long a name, so that answers about either are as long.
    pub(super) bolt: Org,
}

/// One org.
pub(super) struct Org {
    pub(super) name: &'static str,
    /// Its admin key.
    pub(super) key: Key,
    /// One id of each kind of things.
    pub(super) things: BTreeMap<&'static str, String>,
    /// A place in DEAD that holds no dead letter.
    no_letter: String,
}

/// An API key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) text: String,
}

impl Org {
    pub(super) fn thing(&self, kind: &str) -> &str {
        self.things
            .get(kind)
            .unwrap_or_else(|| panic!("{} has no {kind}", self.name))
    }

    /// What no answer to another org may hold: ids, names and data that this org alone has.
    pub(super) fn marks(&self) -> Vec<String> {
        let shared = ["event_type", "org", "provider", "stream"];
        let ids = self.things.iter().filter(|(kind, _)| !shared.contains(kind));
        // The number of a dead letter is its place in a stream of all orgs, and part of others.
        let ids = ids.filter(|(kind, _)| **kind != "letter").map(|(_, id)| id.clone());
        ids.chain([self.secret(), self.key.text.clone()]).collect()
    }

    /// The ids and names of an org with others that nothing has, for whoever looks for a difference.
    pub(super) fn twins(&self) -> Vec<(String, String)> {
        let of_org = self
            .things
            .iter()
            .filter(|(kind, _)| !OF_NO_ORG.contains(kind) && **kind != "event_type");
        let missing = |kind: &str, id: &str| match kind {
            "letter" => self.no_letter.clone(),
            _ => missing(kind, id),
        };
        let twins: Vec<(String, String)> = of_org.map(|(kind, id)| (id.clone(), missing(kind, id))).collect();
        assert!(
            twins
                .iter()
                .all(|(id, missing)| id != missing && id.len() == missing.len()),
            "{twins:?}"
        );
        twins
    }

    /// Waits for its erasure, which takes the longest of all that it has: others are made meanwhile.
    pub(super) async fn erased(&self, root: &Client) {
        let path = format!("/v1/erasures/{}", self.thing("erasure"));
        eventually(SOON, "the event is erased", async || {
            let erasure = ask(root, &self.key.text, "GET", &path, &[], None).await.ok();
            if erasure["state"] == "done" {
                Ok(())
            } else {
                Err(erasure.to_string())
            }
        })
        .await;
    }

    fn secret(&self) -> String {
        format!("told-to-{}-alone", self.name)
    }
}

impl World {
    pub(super) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    /// Starts one with these settings, and without a limit of requests.
    pub(super) async fn start_with(mut settings: Settings) -> Self {
        settings.insert("SIGNALBOX_AUTH__REQUESTS_PER_SECOND".to_owned(), "0".to_owned());
        let up = Up::start_with(settings).await;
        let target = Target::start().await;
        let document = Document::of(up.client(), &target).await;
        let acme = org(up.client(), &target, "acme").await;
        let bolt = org(up.client(), &target, "bolt").await;
        for org in [&acme, &bolt] {
            org.erased(up.client()).await;
        }
        Self {
            up,
            target,
            document,
            acme,
            bolt,
        }
    }

    /// Asks with any key.
    pub(super) async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        ask(self.up.client(), key, method, path, &[], body).await
    }

    /// As [`Self::ask`], with further headers.
    pub(super) async fn ask_with(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        ask(self.up.client(), key, method, path, headers, body).await
    }

    /// The installation's own key.
    pub(super) fn root(&self) -> &str {
        self.up.client().key()
    }

    /// A key of an org.
    pub(super) async fn make_key(&self, org: &str, wanted: Value) -> Key {
        make_key(self.up.client(), org, wanted).await
    }

    /// What kind of thing the open part of a path names; none where no part is open.
    pub(super) fn kind_of(operation: &Operation) -> Option<&'static str> {
        operation.open()?;
        let known = OPEN.iter().find(|(path, _)| operation.path.starts_with(path));
        let (_, kind) = known.unwrap_or_else(|| {
            panic!(
                "say in OPEN of tests/e2e/generated/world.rs what the open part of {} names, and give each org one",
                operation.path
            )
        });
        Some(kind)
    }

    /// The address of an operation about something of this org.
    pub(super) fn address(operation: &Operation, org: &Org) -> String {
        let named = Self::kind_of(operation).map_or("", |kind| org.thing(kind));
        operation.address(named)
    }

    /// Everything that an org can read, by address.
    pub(super) async fn view(&self, org: &Org) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        for operation in self.document.behind_a_key() {
            if operation.method != "GET" || operation.is_stream() || !operation.takes_org() {
                continue;
            }
            let path = Self::address(operation, org);
            let answer = self.ask(&org.key.text, "GET", &path, None).await;
            assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
            let mut body = answer.json();
            forget_the_time(&mut body);
            seen.insert(path, body);
        }
        seen
    }
}

/// Makes an org and what it holds. The receiver is told what to answer.
pub(super) async fn org(root: &Client, target: &Target, name: &'static str) -> Org {
    target.script("/rejects", [Answer::status(400)]);
    target.script("/fails", [Answer::status(503)]);
    root.post("/v1/orgs", json!({ "name": name })).await;
    let key = make_key(root, name, json!({ "name": "all", "scopes": ["admin"] })).await;
    let mut org = Org {
        name,
        things: BTreeMap::new(),
        no_letter: String::new(),
        key,
    };
    let erased = format!("/v1/events/erased-{name}");
    let begun = ask(root, &org.key.text, "DELETE", &erased, &[], None).await.ok();
    let erasure = begun["id"].as_str().expect("an erasure").to_owned();
    let url = |path: &str| target.url(path);
    let secret = org.secret();
    let hook = |name: &str, path: &str| {
        json!({
            "name": name, "provider": "webhook", "events": ["order.*"], "config": { "url": url(path) },
            "retry": { "schedule": ["6h"] },
        })
    };
    let only = format!("only-{name}");
    let integrations = json!([
        hook("oncall", "/takes"),
        hook("rejects", "/rejects"),
        hook("fails", "/fails"),
        hook("held", "/held"),
        hook(&only, "/only"),
    ]);
    let post = async |path: &str, body: Value| {
        let answer = ask(root, &org.key.text, "POST", path, &[], Some(body)).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    };
    post("/v1/apply", json!({ "integrations": integrations })).await;
    post("/v1/integrations/held/pause", json!({})).await;
    let event_type = json!({ "type": "deploy.done", "title": "Deployed", "schema": { "type": "object" } });
    post("/v1/event-types", event_type).await;
    let data = json!({ "total": 3, "note": secret }).to_string();
    let subject = |event_type: &str| format!("signalbox.in.{name}.{event_type}");
    root.publish(Publish::to(&subject("order.placed"), data.clone()).id("e-1"))
        .await;
    root.publish(Publish::to(&subject("order.paid"), data).id(&only)).await;
    root.publish(Publish::to(
        &format!("signalbox.in.{name}.order.placed"),
        format!("no JSON: {secret}"),
    ))
    .await;
    let get = async |path: &str| ask(root, &org.key.text, "GET", path, &[], None).await.ok();
    let of = |list: &Value, field: &str, value: &str| {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let found = items.iter().find(|item| item[field] == value)?;
        found["id"].as_str().map(str::to_owned)
    };
    let delivery = eventually(SOON, "each delivery is where it is to be", async || {
        let list = get("/v1/deliveries?limit=200").await;
        let count = |status: &str| {
            let items = list["items"].as_array().into_iter().flatten();
            items.filter(|item| item["status"] == status).count()
        };
        let counts = ["delivered", "dead", "retrying", "parked"].map(count);
        match of(&list, "status", "retrying") {
            Some(id) if counts == [4, 2, 2, 2] => Ok(id),
            _ => Err(format!("{counts:?}: {list}")),
        }
    })
    .await;
    let input = eventually(SOON, "the input is a dead letter", async || {
        let list = get("/v1/dead-letters").await;
        of(&list, "stage", "ingest").ok_or_else(|| list.to_string())
    })
    .await;
    let act = post("/v1/dead-letters/discard", json!({ "ids": [input] })).await;
    let act = act["id"].as_str().expect("an act").to_owned();
    eventually(SOON, "the act is done", async || {
        let act = get(&format!("/v1/acts/{act}")).await;
        if act["status"] == "done" {
            Ok(())
        } else {
            Err(act.to_string())
        }
    })
    .await;
    let letters = get("/v1/dead-letters").await;
    let letter = of(&letters, "stage", "delivery").expect("a dead letter");
    let known: BTreeSet<u64> = letters["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(place)
        .collect();
    let first = known.first().copied().expect("a dead letter");
    // The act has left its mark among them.
    let mark = (first..)
        .find(|place| !known.contains(place))
        .expect("numbers do not end");
    org.no_letter = format!("dl_{mark}");
    let integration = get("/v1/integrations/oncall").await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let other_key = make_key(root, name, json!({ "name": "other", "scopes": ["events:write"] })).await;
    org.things = BTreeMap::from([
        ("integration", integration),
        ("integration_name", only.clone()),
        ("delivery", delivery),
        ("letter", letter),
        ("event", only),
        ("act", act),
        ("event_type", "deploy.done".to_owned()),
        ("org", name.to_owned()),
        ("key", other_key.id),
        ("erasure", erasure),
        ("provider", "webhook".to_owned()),
        ("stream", "events".to_owned()),
    ]);
    org
}

/// The place of a dead letter in DEAD.
fn place(letter: &Value) -> Option<u64> {
    letter["id"].as_str()?.strip_prefix("dl_")?.parse().ok()
}

/// An id like this one that nothing has.
fn missing(kind: &str, id: &str) -> String {
    let other = |last: char| match last {
        '0' => '1',
        'a'..='f' | '1'..='9' => '0',
        _ => 'x',
    };
    match kind {
        "org" => "nope".to_owned(),
        "integration_name" | "event" => "only-nope".to_owned(),
        // Not the last of the letters: of those some bits say nothing. And the same sort of letter: where a condition is
        // expected, what begins with a digit is another mistake than what begins with a letter.
        "delivery" => {
            let at = id.find(|first: char| first != '-').expect("an id has letters");
            let (before, rest) = id.split_at(at);
            let other = match rest.chars().next() {
                Some('1') => '2',
                Some('0'..='9') => '1',
                Some('A') => 'B',
                _ => 'A',
            };
            format!("{before}{other}{}", rest.get(1..).expect("ids are ASCII"))
        }
        _ => {
            let last = id.chars().last().expect("an id is not empty");
            format!("{}{}", id.get(..id.len() - 1).expect("ids are ASCII"), other(last))
        }
    }
}

/// Takes out of an answer what the time alone changes.
fn forget_the_time(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for name in ["since", "until", "waiting_at", "lag", "rates"] {
                map.remove(name);
            }
            map.values_mut().for_each(forget_the_time);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_the_time),
        _ => {}
    }
}

async fn make_key(root: &Client, org: &str, wanted: Value) -> Key {
    let made = root.post(&format!("/v1/api-keys?org={org}"), wanted).await;
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    Key {
        id: text("id"),
        text: text("key"),
    }
}

/// Asks the API with any key.
pub(super) async fn ask(
    client: &Client,
    key: &str,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: Option<Value>,
) -> Response {
    let base = client.api();
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", authorization.as_str())];
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    headers.extend_from_slice(more);
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let answer = try_request(base, method, path, &headers, body).await;
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}
