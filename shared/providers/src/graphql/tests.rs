use ::http::HeaderMap;
use serde_json::json;
use signalbox_proto::outcome::OutcomeKind;

use super::{sdl::Sdl, *};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const KINDS: &[Kind] = &[
    kind("SLOW_DOWN", Means::Limit, "too many"),
    kind("BUSY", Means::Passing, "it is busy"),
    kind("FORBIDDEN", Means::Setup, "the key may not do this"),
    kind("INVALID", Means::Never, "the request is wrong"),
];
const VENDOR: Vendor = Vendor {
    name: "Acme",
    kinds: KINDS,
    unauthorized: "the key",
};

fn response(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
        truncated: false,
    }
}

fn outcome(status: u16, body: &Value) -> Outcome {
    let response = response(status, body);
    match data::<Value>(&response) {
        Ok(_) => Outcome::Delivered,
        Err(no) => VENDOR.refused(Asked::Do, &response, &no, || Duration::from_secs(60), NOW),
    }
}

#[test]
fn a_200_with_errors_is_no_yes() {
    let of = |code: &str| json!({ "data": null, "errors": [{ "message": "No.", "extensions": { "code": code } }] });
    assert_eq!(outcome(200, &json!({ "data": { "done": true } })), Outcome::Delivered);
    for status in [200, 400, 422] {
        for (code, wanted) in [
            ("SLOW_DOWN", OutcomeKind::Retry),
            ("busy", OutcomeKind::Retry),
            ("FORBIDDEN", OutcomeKind::Suspend),
            ("INVALID", OutcomeKind::Reject),
            ("SOMETHING_NEW", OutcomeKind::Retry),
        ] {
            assert_eq!(outcome(status, &of(code)).kind(), wanted, "{status} {code}");
        }
    }
    let by_type =
        json!({ "data": { "add": null }, "errors": [{ "type": "FORBIDDEN", "path": ["add"], "message": "No." }] });
    assert_eq!(outcome(200, &by_type).kind(), OutcomeKind::Suspend);
}

#[test]
fn what_failed_behind_a_creation_leaves_it_in_doubt() {
    let partly = json!({
        "data": { "create": { "success": true, "issue": null } },
        "errors": [{ "message": "No.", "path": ["create", "issue", "state"], "extensions": { "code": "FORBIDDEN" } }],
    });
    assert_eq!(outcome(200, &partly).kind(), OutcomeKind::Retry);
    // Of what is only read nothing is in doubt.
    let read = response(200, &partly);
    let no = data::<Value>(&read).expect_err("errors");
    let told = VENDOR.refused(Asked::Tell, &read, &no, || Duration::ZERO, NOW);
    assert_eq!(told.kind(), OutcomeKind::Suspend);
}

#[test]
fn a_limit_says_that_nothing_was_done() {
    let of = |code: &str, data: Value| json!({ "data": data, "errors": [{ "extensions": { "code": code } }] });
    let slow = of("SLOW_DOWN", Value::Null);
    for (status, body, wanted) in [
        (200, &slow, true),
        (400, &slow, true),
        (429, &json!({}), true),
        // A proxy may say so of what has reached its target.
        (502, &slow, false),
        (200, &of("SLOW_DOWN", json!({ "create": { "success": true } })), false),
        (200, &of("BUSY", Value::Null), false),
        (200, &json!({ "data": {} }), false),
    ] {
        assert_eq!(VENDOR.is_limited(&response(status, body)), wanted, "{status} {body}");
    }
}

#[test]
fn of_several_errors_the_one_that_may_pass_counts() {
    let of = |codes: &[&str]| {
        let errors: Vec<Value> = codes
            .iter()
            .map(|code| json!({ "extensions": { "code": code } }))
            .collect();
        outcome(200, &json!({ "errors": errors })).kind()
    };
    assert_eq!(of(&["INVALID", "FORBIDDEN"]), OutcomeKind::Suspend);
    assert_eq!(of(&["INVALID", "BUSY"]), OutcomeKind::Retry);
    assert_eq!(
        of(&["INVALID", "SOMETHING_NEW"]),
        OutcomeKind::Retry,
        "nobody knows what that is"
    );
}

#[test]
fn what_no_such_target_answers_is_never_taken_for_a_yes() {
    for body in [
        json!("ok"),
        json!([]),
        json!({}),
        json!({ "data": null }),
        json!({ "errors": "no" }),
        json!({ "data": { "done": true }, "errors": {} }),
    ] {
        let asked = data::<std::collections::BTreeMap<String, Value>>(&response(200, &body));
        assert!(asked.is_err(), "{body}");
        assert_eq!(
            VENDOR
                .refused(
                    Asked::Do,
                    &response(200, &body),
                    &asked.unwrap_err(),
                    || Duration::ZERO,
                    NOW
                )
                .kind(),
            OutcomeKind::Retry
        );
    }
    let yes = json!({ "data": { "done": true } });
    assert_eq!(
        data::<Value>(&response(502, &yes)),
        Err(No::Foreign),
        "the status says that something failed"
    );
}

#[test]
fn a_limit_is_waited_for_as_the_target_says() {
    let mut limited = response(429, &json!({}));
    let wait = |response: &Response| match VENDOR.refused(
        Asked::Do,
        response,
        &No::Foreign,
        || Duration::from_secs(60),
        NOW,
    ) {
        Outcome::Retry { after, .. } => after.expect("a time").as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(&limited), 60);
    limited.headers.insert("retry-after", "7".parse().unwrap());
    assert_eq!(wait(&limited), 7);
}

#[test]
fn no_reason_holds_a_sentence_of_the_answer() {
    let body = json!({ "errors": [{ "message": "s3cret", "extensions": { "code": "INVALID" } }] });
    let told = format!("{:?}", outcome(200, &body));
    assert!(told.contains("INVALID") && !told.contains("s3cret"), "{told}");
}

#[test]
fn the_check_of_requests_finds_what_a_server_would_refuse() {
    let mut sdl = Sdl::of(
        "type Query { issue(id: String!): Issue } type Issue { id: ID! } input New { title: String!, priority: Int }
         type Mutation { create(input: New!): Issue }",
    )
    .expect("a schema");
    let mut check = |query: &str, variables: Value| {
        sdl.check(&json!({ "operationName": "A", "query": query, "variables": variables }))
    };
    let create = "mutation A($input: New!) { create(input: $input) { id } }";
    assert_eq!(
        check(create, json!({ "input": { "title": "a", "priority": 1 } })),
        Ok(())
    );
    for (query, variables) in [
        (create, json!({ "input": { "priority": 1 } })),
        (create, json!({ "input": { "title": 7 } })),
        (create, json!({ "input": { "title": "a", "colour": "red" } })),
        (create, json!({ "input": { "title": "a" }, "more": 1 })),
        (create, json!({})),
        ("query A { issue(id: \"1\") { name } }", json!({})),
        ("query A { issue { id } }", json!({})),
        ("query B { issue(id: \"1\") { id } }", json!({})),
        ("query A { issue(id: \"1\")", json!({})),
    ] {
        assert!(check(query, variables.clone()).is_err(), "{query} {variables}");
    }
}
