//! What was asked for and never answered.

use super::*;
use crate::http::Response;

const MADE: &str = r#"{"id":257,"iid":14,"web_url":"https://gitlab.com/acme/shop/-/x/14"}"#;

fn attempts(config: Value, credentials: Value) -> Attempts {
    Attempts::at(
        open(config, credentials, None),
        delivery("alert.created", &json!({})),
        NOW,
    )
}

fn is_list(request: &http::Request) -> bool {
    request.url.path().ends_with("/pipelines")
}

fn query(request: &http::Request, name: &str) -> Option<String> {
    let found = request.url.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// Answers a look with these pipelines and their variables.
fn look(request: &http::Request, pipelines: &[(u64, &str, Value)]) -> Response {
    assert_eq!(request.method, Method::GET, "{}", request.url);
    if is_list(request) {
        let listed: Vec<Value> = pipelines
            .iter()
            .map(|(id, at, _)| json!({ "id": id, "created_at": at, "web_url": format!("https://gitlab.com/acme/shop/-/pipelines/{id}") }))
            .collect();
        return answered(200, &json!(listed).to_string());
    }
    let of = |(id, _, _): &&(u64, &str, Value)| request.url.path().ends_with(&format!("/pipelines/{id}/variables"));
    match pipelines.iter().find(of) {
        Some((.., Value::Number(status))) => answered(status.as_u64().unwrap() as u16, "{}"),
        Some((.., variables)) => answered(200, &variables.to_string()),
        None => panic!("{}", request.url),
    }
}

fn variables(id: &str) -> Value {
    json!([{ "key": "SIGNALBOX_DELIVERY", "value": id }, { "key": "SIGNALBOX_PAYLOAD", "value": "x".repeat(90_000) }])
}

#[test]
fn what_is_made_is_remembered_and_never_made_again() {
    for (config, credentials, fact, value) in [
        (run(), token(), "pipeline", "257"),
        (run(), both(), "pipeline", "257"),
        (issues(), token(), "issue", "14"),
    ] {
        let mut attempts = attempts(config, credentials);
        assert_eq!(attempts.attempt(|_| Some(answered(201, MADE))), Outcome::Delivered);
        assert_eq!(attempts.attempt(|_| panic!("it is there")), Outcome::Delivered);
        assert_eq!(attempts.refs.fact(fact), Some(value));
        assert_eq!(
            attempts.refs.fact(&format!("{fact}_url")),
            Some("https://gitlab.com/acme/shop/-/x/14")
        );
    }
}

#[test]
fn a_pipeline_in_doubt_is_found_by_its_variable() {
    for (credentials, source) in [(token(), "api"), (both(), "trigger")] {
        let mut config = run();
        config["ref"] = "refs/heads/main".into();
        let mut attempts = attempts(config, credentials);
        attempts.attempt(|_| None);
        attempts.now = NOW + Duration::from_secs(5);
        let all = [
            (9, "2026-01-01T00:00:09Z", variables("other")),
            (8, "2026-01-01T00:00:08Z", json!(404)),
            (7, "2026-01-01T00:00:01.123Z", variables(&attempts.delivery.id)),
        ];
        let outcome = attempts.attempt(|request| {
            if is_list(request) {
                let expected = ["main", source, "2025-12-31T23:55:00Z", "desc"].map(|text| Some(text.to_owned()));
                assert_eq!(
                    ["ref", "source", "updated_after", "sort"].map(|name| query(request, name)),
                    expected
                );
            }
            Some(look(request, &all))
        });
        assert_eq!((outcome, attempts.made()), (Outcome::Delivered, 1));
        assert_eq!(attempts.refs.fact("pipeline"), Some("7"));
        assert!(attempts.refs.fact("pipeline_url").unwrap().ends_with("/7"));
    }
}

#[test]
fn a_pipeline_that_is_not_there_is_waited_for_and_then_made() {
    let mut attempts = attempts(run(), token());
    attempts.attempt(|_| None);
    // What is older was not asked for by us, and is not looked at.
    let all = [
        (9, "2026-01-01T00:00:09Z", variables("other")),
        (3, "2025-12-31T23:00:00Z", json!(500)),
    ];
    for (secs, made) in [(5, 1), (104, 1), (105, 2)] {
        attempts.now = NOW + Duration::from_secs(secs);
        attempts.attempt(|request| match request.method == Method::POST {
            true => Some(answered(502, "")),
            false => Some(look(request, &all)),
        });
        assert_eq!(attempts.made(), made, "{secs}");
    }
    attempts.now = NOW + Duration::from_secs(115);
    let young = attempts.attempt(|request| Some(look(request, &all)));
    assert_eq!(
        (young.kind(), attempts.made()),
        (OutcomeKind::Retry, 2),
        "the second doubt has its own age"
    );
}

#[test]
fn what_nobody_can_see_is_asked_for_once_more_and_no_further() {
    let full: Vec<(u64, &str, Value)> = (0..50)
        .map(|id| (id, "2026-01-01T00:00:09Z", variables("other")))
        .collect();
    let hidden = vec![(9, "2026-01-01T00:00:09Z", json!(403))];
    let endless = vec![(
        9,
        "2026-01-01T00:00:09Z",
        json!([{ "key": "A", "value": "x".repeat(90_000) }]),
    )];
    for (credentials, shown) in [
        (json!({ "trigger_token": TRIGGER }), vec![]),
        (token(), hidden),
        (token(), full),
        (both(), endless),
    ] {
        let mut attempts = attempts(run(), credentials);
        let lose = |request: &http::Request| (request.method == Method::GET).then(|| look(request, &shown));
        for (secs, made) in [(0, 1), (5, 1), (110, 2), (220, 2), (9_999, 2)] {
            attempts.now = NOW + Duration::from_secs(secs);
            let outcome = attempts.attempt(lose);
            assert_eq!(attempts.made(), made, "{secs}: {outcome:?}");
            assert_eq!(
                outcome.kind() == OutcomeKind::Reject,
                secs >= 220,
                "{secs}: {outcome:?}"
            );
        }
        // A person who replays it has looked.
        attempts.delivery.generation = 1;
        assert_eq!(
            attempts.attempt(|request| match request.method == Method::POST {
                true => Some(answered(201, MADE)),
                false => Some(look(request, &shown)),
            }),
            Outcome::Delivered
        );
        assert_eq!(attempts.made(), 3);
    }
}

#[test]
fn a_target_that_says_that_it_fails_is_asked_as_often_as_the_schedule_has_it() {
    // 504 is of a proxy that waited in vain, and 408 says no more than that: the pipeline may run.
    for (status, ends) in [
        (302, None),
        (500, None),
        (502, None),
        (503, None),
        (504, Some(2)),
        (408, Some(2)),
    ] {
        let mut attempts = attempts(run(), json!({ "trigger_token": TRIGGER }));
        let rejected = (0..5).position(|_| {
            attempts.now = attempts.now + Duration::from_secs(120);
            attempts.attempt(|_| Some(answered(status, ""))).kind() == OutcomeKind::Reject
        });
        assert_eq!(rejected, ends, "{status}");
        assert_eq!(attempts.made(), ends.unwrap_or(5), "{status}");
    }
}

#[test]
fn an_issue_in_doubt_is_found_by_its_mark() {
    let mut attempts = attempts(issues(), token());
    let mut made = Value::Null;
    attempts.attempt(|request| {
        made = body_of(request);
        None
    });
    attempts.now = NOW + Duration::from_secs(5);
    let text = format!("{}{}", made["description"].as_str().unwrap(), "ü".repeat(100_000));
    // With the members in GitLab's own order: the text behind the number, and before all else.
    let other = r#"{"id":2,"iid":15,"title":"another","description":null,"created_at":"2026-01-01T00:00:09Z"}"#;
    let ours = format!(
        r#"{{"id":1,"iid":14,"title":"ours","description":{},"created_at":"2026-01-01T00:00:01Z"}}"#,
        Value::from(text)
    );
    let all = format!("[{other},{ours}]");
    let outcome = attempts.attempt(|request| {
        assert_eq!(query(request, "created_after").as_deref(), Some("2025-12-31T23:55:00Z"));
        Some(answered(200, &all))
    });
    assert_eq!((outcome, attempts.made()), (Outcome::Delivered, 1));
    assert_eq!(attempts.refs.fact("issue"), Some("14"));
}

#[test]
fn an_issue_that_is_not_there_is_waited_for_and_then_made() {
    let mut attempts = attempts(issues(), token());
    attempts.attempt(|_| None);
    for (secs, made) in [(5, 1), (105, 2)] {
        attempts.now = NOW + Duration::from_secs(secs);
        attempts.attempt(|request| match request.method == Method::POST {
            true => Some(answered(201, MADE)),
            false => Some(answered(200, "[]")),
        });
        assert_eq!(attempts.made(), made);
    }
    assert_eq!(attempts.refs.fact("issue"), Some("14"));
}

#[test]
fn a_look_that_fails_is_no_look() {
    for (config, answer, means) in [
        (run(), answered(503, ""), OutcomeKind::Retry),
        (run(), answered(404, ""), OutcomeKind::Suspend),
        (run(), answered(200, "<html>"), OutcomeKind::Retry),
        (issues(), answered(401, ""), OutcomeKind::Suspend),
        (issues(), answered(200, "{}"), OutcomeKind::Retry),
    ] {
        let mut attempts = attempts(config, token());
        attempts.attempt(|_| None);
        attempts.now = NOW + Duration::from_secs(1_000);
        assert_eq!(attempts.attempt(|_| Some(answer.clone())).kind(), means);
        assert_eq!(attempts.made(), 1);
    }
}
