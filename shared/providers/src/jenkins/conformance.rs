//! Builds, held to what Jenkins documents of its remote access API and to what its source does.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind};

use super::Jenkins;
use crate::{
    conformance::{Answer, Sample, Sampled, answer, no_claims},
    http,
};

const TOKEN: &str = "11s3cret4711";
/// The longest form that a server takes unless it is told otherwise.
const FORM_BYTES_MAX: usize = 200_000;

impl Sampled for Jenkins {
    fn samples() -> Vec<Sample> {
        let of = |name, more: Value, accepts| {
            let mut config = json!({ "base_url": "https://ci.example.com/jenkins/", "job": "shop/deploy it" });
            config
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().cloned().expect("an object"));
            Sample {
                name,
                config,
                credentials: json!({ "user": " signalbox ", "api_token": format!("{TOKEN}\n") }),
                template: None,
                secrets: vec![TOKEN, "c2lnbmFsYm94OjExczNjcmV0NDcxMQ=="],
                accepts,
                claims: no_claims,
                yes: QUEUED,
                answers: answers(),
            }
        };
        vec![
            of("usual parameters", json!({}), accepts_usual),
            of(
                "own parameters",
                json!({ "action": "build", "parameters": {
                    "VERSION": "{{ event.data.version|truncate(100) }}", "WHAT": "{{ event.type }} & more",
                }}),
                accepts_own,
            ),
            of("no parameters", json!({ "parameters": {} }), accepts_none),
        ]
    }
}

fn form(request: &http::Request, way: &str, delivery: &Delivery) -> Option<BTreeMap<String, String>> {
    if request.method == ::http::Method::GET {
        let place = "https://ci.example.com/jenkins/queue/item/1/api/json?tree=executable%5Bnumber%2Curl%5D";
        assert_eq!(request.url.as_str(), place);
        return None;
    }
    let url = format!("https://ci.example.com/jenkins/job/shop/job/deploy%20it/{way}");
    assert_eq!(request.url.as_str(), url);
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(request.body.len() <= FORM_BYTES_MAX, "{} bytes", request.body.len());
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    assert_eq!(form["signalbox_delivery"], delivery.id);
    Some(form)
}

fn accepts_usual(request: &http::Request, delivery: &Delivery) {
    let Some(form) = form(request, "buildWithParameters", delivery) else {
        return;
    };
    assert_eq!(form.len(), 4, "{:?}", form.keys());
    assert!(form.contains_key("agent_id") && !form["event_type"].is_empty());
    serde_json::from_str::<Value>(&form["payload"]).expect("JSON");
}

fn accepts_own(request: &http::Request, delivery: &Delivery) {
    let Some(form) = form(request, "buildWithParameters", delivery) else {
        return;
    };
    assert_eq!(form.len(), 3, "{:?}", form.keys());
    assert!(form["WHAT"].ends_with(" & more"), "{form:?}");
}

fn accepts_none(request: &http::Request, delivery: &Delivery) {
    if let Some(form) = form(request, "build", delivery) {
        assert_eq!(form.len(), 1);
    }
}

const QUEUED: Answer = Answer {
    status: 201,
    headers: &[("location", "https://ci.example.com/jenkins/queue/item/17/")],
    body: "",
    means: OutcomeKind::Delivered,
};

/// As its documents and its source have them.
fn answers() -> Vec<Answer> {
    use OutcomeKind::{Delivered, Reject, Retry, Suspend};
    let of = |status, headers, means| Answer {
        status,
        headers,
        body: "",
        means,
    };
    vec![
        QUEUED,
        of(201, &[("location", "/queue/item/18/")], Delivered),
        of(
            303,
            &[("location", "http://10.0.0.1:8080/jenkins/queue/item/19")],
            Delivered,
        ),
        of(201, &[], Retry),
        of(201, &[("location", "https://ci.example.com/job/x/")], Retry),
        of(201, &[("location", "/queue/item/abc/")], Retry),
        of(200, &[], Retry),
        answer(200, "<html>This build requires parameters", Retry),
        of(
            302,
            &[("location", "https://ci.example.com/jenkins/job/shop/")],
            Suspend,
        ),
        of(303, &[("location", "https://ci.example.com/login")], Suspend),
        of(400, &[], Reject),
        of(401, &[], Suspend),
        answer(403, "<html>No valid crumb was included in the request", Suspend),
        of(404, &[], Suspend),
        of(405, &[], Reject),
        of(409, &[], Suspend),
        of(413, &[], Reject),
        of(429, &[], Retry),
        of(500, &[], Retry),
        of(502, &[], Retry),
        answer(503, "<html>Please wait while Jenkins is getting ready to work", Retry),
        of(504, &[], Retry),
    ]
}
