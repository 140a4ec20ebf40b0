//! Keys of every kind on every route: each is refused as the document says, in the same words, and nothing is left of it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    document::{Operation, Told},
    traces::Traces,
    world::World,
};
use crate::harness::{client::Response, client::try_request, eventually};

const SOON: Duration = Duration::from_secs(20);
/// What every refusal of a key may say; all else would depend on what was asked for.
const FIELDS: [&str; 8] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "field",
    "scope",
    "request_id",
];

/// A request without a key that counts.
struct Bad {
    what: &'static str,
    authorization: Option<String>,
    status: u16,
    code: &'static str,
}

impl Bad {
    fn new(what: &'static str, authorization: Option<String>, code: &'static str) -> Self {
        Self {
            what,
            authorization,
            status: 401,
            code,
        }
    }
}

/// Asks an operation about things of the org acme, with a body that would be taken.
async fn ask(world: &World, operation: &Operation, authorization: Option<&str>, query: &str) -> Response {
    let path = format!("{}{query}", World::address(operation, &world.acme));
    let (base, _) = world.up.client().publishing();
    let mut headers = vec![
        ("x-request-id", "of-a-refused-key"),
        ("content-type", "application/json"),
    ];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let body = operation.body.as_ref().map(|body| body.to_string().into_bytes());
    try_request(base, &operation.method, &path, &headers, body.unwrap_or_default())
        .await
        .unwrap_or_else(|error| panic!("{operation}: {error}"))
}

/// A refusal as its caller sees it: status, headers, body.
fn whole(answer: &Response) -> (u16, BTreeSet<String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    (answer.status, headers.collect(), answer.json().to_string())
}

/// Checks one refusal against the document.
fn check(operation: &Operation, what: &str, answer: &Response, status: u16, code: &str, told: &mut Told) {
    assert_eq!(answer.status, status, "{operation}, {what}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["code"], code, "{operation}, {what}: {body}");
    for field in body.as_object().expect("fields").keys() {
        assert!(FIELDS.contains(&field.as_str()), "{operation}, {what}: {body}");
    }
    told.add(operation, what, answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_count_is_refused_alike_on_every_route_and_leaves_nothing() {
    let world = World::start().await;
    let acme = world.acme.name;
    let expired = json!({ "name": "expired", "scopes": ["admin"], "expires_in": "1ms" });
    let expired = world.make_key(acme, expired).await;
    let revoked = world
        .make_key(acme, json!({ "name": "revoked", "scopes": ["admin"] }))
        .await;
    let path = format!("/v1/api-keys/{}", revoked.id);
    world.ask(world.root(), "DELETE", &path, None).await.ok();
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let unknown = format!("sbx_{:043}", 7);
    let live = &world.acme.key.text;
    let all = [
        Bad::new("no key", None, "unauthenticated"),
        Bad::new("an empty header", Some(String::new()), "unauthenticated"),
        Bad::new("no key behind the word", Some("Bearer".to_owned()), "unauthenticated"),
        Bad::new("a key without the word", Some(live.clone()), "unauthenticated"),
        Bad::new("another scheme", Some(format!("Basic {live}")), "unauthenticated"),
        Bad::new("two keys", Some(format!("Bearer {live} {live}")), "bad_key"),
        Bad::new("an unknown key", bearer(&unknown), "bad_key"),
        Bad::new(
            "a key cut short",
            bearer(live.get(..live.len() - 1).expect("ASCII")),
            "bad_key",
        ),
        Bad::new("a key in capitals", bearer(&live.to_ascii_uppercase()), "bad_key"),
        Bad::new("an expired key", bearer(&expired.text), "bad_key"),
        Bad::new("a revoked key", bearer(&revoked.text), "bad_key"),
    ];
    eventually(SOON, "the keys have ended", async || {
        for key in [&expired, &revoked] {
            let answer = world.ask(&key.text, "GET", "/v1/integrations", None).await;
            if answer.status != 401 {
                return Err(answer.text());
            }
        }
        Ok(())
    })
    .await;
    let before = Traces::at_rest(&world.up).await;
    let mut told = Told::default();
    for bad in &all {
        // One answer for all routes, and one for all reasons that a key does not count for.
        let mut said = BTreeSet::new();
        for operation in world.document.behind_a_key() {
            for query in ["", "?org=acme", "?org=none", "?bogus=1"] {
                let answer = ask(&world, operation, bad.authorization.as_deref(), query).await;
                check(operation, bad.what, &answer, bad.status, bad.code, &mut told);
                said.insert(whole(&answer));
            }
        }
        assert_eq!(said.len(), 1, "{}: {said:#?}", bad.what);
        if bad.code == "bad_key" {
            let operation = world.document.behind_a_key().next().expect("an operation");
            let of_unknown = ask(&world, operation, bearer(&unknown).as_deref(), "").await;
            assert_eq!(said, BTreeSet::from([whole(&of_unknown)]), "{}", bad.what);
        }
    }
    world.document.holds(&told).await;
    let after = Traces::at_rest(&world.up).await;
    assert_eq!(refused_use_aside(&before, &after), Vec::<String>::new());
    world.up.stop().await;
}

/// What a refusal has changed. That a key was refused is itself told in the audit; nothing else is.
fn refused_use_aside(before: &Traces, after: &Traces) -> Vec<String> {
    let mut unlike = before.unlike(after);
    unlike.retain(|line| !(line.starts_with("+ audit: ") && line.contains("\"api_key.refused\"")));
    unlike
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_do_what_its_scopes_say_in_its_own_org_and_is_refused_all_else() {
    let world = World::start().await;
    let scopes: BTreeSet<&str> = world
        .document
        .behind_a_key()
        .filter_map(|it| it.scope.as_deref())
        .collect();
    assert!(scopes.len() > 5, "{scopes:?}");
    let mut without = Vec::new();
    for scope in &scopes {
        let others: Vec<&&str> = scopes
            .iter()
            .filter(|other| *other != scope && **other != "admin")
            .collect();
        let wanted = json!({ "name": "without", "scopes": others });
        without.push((*scope, world.make_key("acme", wanted).await));
    }
    let before = Traces::at_rest(&world.up).await;
    let mut told = Told::default();
    for operation in world.document.behind_a_key() {
        let scope = operation.scope.as_deref().expect("it needs one");
        let (_, key) = without
            .iter()
            .find(|(known, _)| *known == scope)
            .expect("a key without it");
        let authorization = format!("Bearer {}", key.text);
        // Asked wrongly or for another org: what the key lacks is said first.
        for query in ["", "?org=acme", "?org=bolt", "?bogus=1"] {
            let answer = ask(&world, operation, Some(&authorization), query).await;
            check(operation, "without the scope", &answer, 403, "missing_scope", &mut told);
            assert_eq!(answer.json()["scope"], scope, "{operation}: {}", answer.text());
        }
        let foreign = format!("Bearer {}", world.bolt.key.text);
        let mut said = BTreeSet::new();
        let queries = if operation.takes_org() {
            &["?org=acme", "?org=none"][..]
        } else {
            &[""]
        };
        for query in queries {
            let answer = ask(&world, operation, Some(&foreign), query).await;
            check(operation, "another org's key", &answer, 403, "wrong_org", &mut told);
            said.insert(whole(&answer));
        }
        assert_eq!(
            said.len(),
            1,
            "it tells whether there is an org: {operation}: {said:#?}"
        );
    }
    world.document.holds(&told).await;
    let after = Traces::at_rest(&world.up).await;
    assert_eq!(refused_use_aside(&before, &after), Vec::<String>::new());

    // And what it may, it does: a key with the scope alone is not refused where any key of its org is not.
    for scope in &scopes {
        let key = world
            .make_key("acme", json!({ "name": "alone", "scopes": [scope] }))
            .await;
        for operation in world
            .document
            .behind_a_key()
            .filter(|it| it.scope.as_deref() == Some(*scope))
        {
            if operation.method != "GET" || operation.is_stream() || !operation.takes_org() {
                continue;
            }
            let path = World::address(operation, &world.acme);
            let answer: Value = world.ask(&key.text, "GET", &path, None).await.ok();
            assert!(answer.is_object(), "{operation}");
        }
    }
    world.up.stop().await;
}
