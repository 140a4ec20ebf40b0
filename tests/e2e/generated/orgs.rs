//! Org against org: with the key of one org every route answers about another org's things exactly as about things that
//! do not exist, and leaves them as they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    bodies,
    document::{Operation, Told, encoded},
    traces::Traces,
    world::{Org, World, ask},
};
use crate::harness::{Client, client::Response};

/// One request, with a place for an id.
pub(super) struct Question {
    pub(super) what: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// The id of all requests, so that answers do not differ by it.
const REQUEST: &str = "of-a-stranger";
/// The place of the id.
const HERE: &str = "put-the-id-here";

impl Question {
    /// Asks it about this id.
    pub(super) async fn ask(
        &self,
        client: &Client,
        key: &str,
        operation: &Operation,
        id: &str,
        request: &str,
    ) -> Response {
        let path = self.path.replace(HERE, &encoded(id));
        let headers: Vec<(String, String)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.replace(HERE, id)))
            .collect();
        let mut headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        headers.push(("x-request-id", request));
        let body = self.body.as_ref().map(|body| body.replace(HERE, id));
        let body = body.map(|body| serde_json::from_str(&body).expect("JSON"));
        ask(client, key, &operation.method, &path, &headers, body).await
    }
}

/// Every way to name something in a request of this operation.
pub(super) fn questions(operation: &Operation, asker: &Org) -> Vec<Question> {
    let own = World::address(operation, asker);
    let body = operation.body.as_ref().map(Value::to_string);
    let mut all = Vec::new();
    for param in operation.params.iter().filter(|param| param.name != "org") {
        let (mut path, mut headers) = (own.clone(), Vec::new());
        match param.place.as_str() {
            "path" => path = operation.address(HERE),
            "query" => path = format!("{own}?{}={HERE}", param.name),
            _ => headers.push((param.name.clone(), HERE.to_owned())),
        }
        all.push(Question {
            what: format!("{} {}", param.place, param.name),
            path,
            headers,
            body: body.clone(),
        });
    }
    let Some(example) = &operation.body else { return all };
    let mut add = |what: String, body: Value| {
        all.push(Question {
            what,
            path: own.clone(),
            headers: Vec::new(),
            body: Some(body.to_string()),
        });
    };
    // What gives a name to something of one's own names nothing that is there.
    for place in bodies::leaves(example)
        .into_iter()
        .filter(|place| !place.ends_with("/name"))
    {
        // A condition reads an id that is not in quotes as some of its own words, and says which.
        let named = if place.ends_with("/where") {
            format!("event.id == '{HERE}'")
        } else {
            HERE.to_owned()
        };
        add(format!("body {place}"), bodies::with(example, &place, json!(named)));
    }
    // What examples do not show: by id.
    for dry_run in [true, false] {
        add(
            format!("body /ids, dry_run {dry_run}"),
            json!({ "ids": [HERE], "dry_run": dry_run }),
        );
        let filter = json!({ "filter": { "integration": HERE }, "dry_run": dry_run });
        add(format!("body /filter/integration, dry_run {dry_run}"), filter);
        let to = json!({ "since": "1h", "to": HERE, "dry_run": dry_run });
        add(format!("body /to, dry_run {dry_run}"), to);
    }
    all
}

/// An answer but for the ids that were asked about, and for what is new in every answer.
fn but_for(answer: &Response, ids: &(String, String)) -> (u16, BTreeSet<String>, String) {
    // The tag is that of the asker's own thing, which goes on with each change.
    let new = ["date", "content-length", "etag"];
    let headers = answer.headers.iter().filter(|(name, _)| !new.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    // That either was asked to be erased is the asker's own doing.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("erasure_id");
        fields.remove("revision");
    }
    // Either may be left over in what is the asker's own, from a question before.
    let body = body.to_string().replace(&ids.0, "ID").replace(&ids.1, "ID");
    (answer.status, headers.collect(), but_for_what_is_new(&body))
}

/// A text without ids, keys and times, which a request that makes something makes anew. Whether one of them is another
/// org's is looked at elsewhere.
fn but_for_what_is_new(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if is_part(letter) {
            word.push(letter);
            continue;
        }
        let is_number = word.len() >= 10 && word.bytes().all(|byte| byte.is_ascii_digit());
        // Words of ours that are as long have neither.
        let is_id = word.len() >= 20 && word.contains(|one: char| one.is_ascii_digit() || one.is_ascii_uppercase());
        out.push_str(if is_number || is_id { "NEW" } else { &word });
        word.clear();
        out.push(letter);
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_org_has_is_answered_as_what_nobody_has_on_every_route() {
    let world = World::start().await;
    let before = Traces::at_rest(&world.up).await;
    let (seen_before, key) = (world.view(&world.bolt).await, world.acme.key.text.as_str());
    let (client, marks) = (world.up.client(), world.bolt.marks());
    let mut told = Told::default();
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    // Who reads comes first: what is changed would be seen by it.
    let operations = world
        .document
        .behind_a_key()
        .filter(|it| it.takes_org() && !it.is_stream());
    let mut operations: Vec<&Operation> = operations.collect();
    operations.sort_by_key(|operation| operation.leaves_something());
    for operation in operations {
        for question in questions(operation, &world.acme) {
            for twins in world.bolt.twins() {
                let (theirs, nobodys) = &twins;
                let foreign = question.ask(client, key, operation, theirs, REQUEST).await;
                let missing = question.ask(client, key, operation, nobodys, REQUEST).await;
                let what = format!("{operation}, {} = {theirs} or {nobodys}", question.what);
                // A cursor is a place and names nothing: what comes behind it depends on where it is.
                if question.what != "query cursor" {
                    assert_eq!(but_for(&foreign, &twins), but_for(&missing, &twins), "{what}");
                }
                for (answer, id) in [(&foreign, theirs), (&missing, nobodys)] {
                    let text = answer.text();
                    let leaked = marks.iter().find(|mark| *mark != id && text.contains(*mark));
                    assert_eq!(leaked, None, "{what}: {text}");
                    told.add(operation, &what, answer);
                }
                *asked.entry(operation.id.clone()).or_default() += 1;
            }
        }
    }
    eprintln!("pairs of questions: {asked:?}");
    world.document.holds(&told).await;
    assert_eq!(world.view(&world.bolt).await, seen_before);
    let after = Traces::at_rest(&world.up).await;
    // What the asker has made of its own under such a name is the asker's.
    let is_askers = |line: &String| line.contains("\"org\":\"acme\"") || line.contains(".acme.");
    let names_bolt = |line: &String| marks.iter().any(|mark| line.contains(mark)) || line.contains("bolt");
    let of_bolt = before.unlike(&after).into_iter();
    let of_bolt: Vec<String> = of_bolt.filter(|line| names_bolt(line) && !is_askers(line)).collect();
    assert_eq!(of_bolt, Vec::<String>::new());
    world.up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_two_orgs_have_is_each_orgs_own_on_every_route() {
    let world = World::start().await;
    let marks = world.bolt.marks();
    let mut shared = 0;
    for operation in world
        .document
        .behind_a_key()
        .filter(|it| it.takes_org() && !it.is_stream())
    {
        let named = match World::kind_of(operation) {
            Some("integration") => "oncall",
            Some("event") => "e-1",
            Some("event_type") => "deploy.done",
            // Its key may be revoked, but not by the way.
            Some("key") => "0199c0de-0000-7000-8000-000000000001",
            Some(_) => continue,
            None => "",
        };
        let path = operation.address(named);
        let before = world.view(&world.bolt).await;
        let answer = world
            .ask(&world.acme.key.text, &operation.method, &path, operation.body.clone())
            .await;
        let text = answer.text();
        let leaked = marks.iter().find(|mark| text.contains(*mark));
        assert_eq!(leaked, None, "{operation}: {text}");
        let after = world.view(&world.bolt).await;
        for (path, seen) in &before {
            assert_eq!(
                after.get(path),
                Some(seen),
                "{operation} of one org changed {path} of another: {text}"
            );
        }
        shared += 1;
    }
    assert!(shared > 20, "{shared}");
    world.up.stop().await;
}
