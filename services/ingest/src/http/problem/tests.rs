use super::*;

#[test]
fn a_list_names_the_first_wrong_event_and_so_many_more() {
    assert!(of_list(Vec::new()).is_none());
    let one = of_list(vec![(3, Rejection::invalid("type", "no"))]).unwrap();
    assert_eq!(
        (one.status.as_u16(), one.field.as_deref(), one.detail.as_str()),
        (422, Some("[3].type"), "no")
    );
    let many = (0..ERRORS_MAX + 5)
        .map(|index| (index, Rejection::malformed("no")))
        .collect();
    let many = of_list(many).unwrap();
    assert_eq!((many.status.as_u16(), many.field.as_deref()), (400, Some("[0]")));
    assert_eq!(many.more["errors"].as_array().unwrap().len(), ERRORS_MAX);
    assert_eq!(many.more["errors_count"], ERRORS_MAX + 5);
    assert!(many.detail.contains("24 more"), "{}", many.detail);
}

#[test]
fn a_list_of_which_a_part_is_stored_says_which() {
    for (error, status) in [
        (PublishError::TimedOut, 503),
        (
            PublishError::Full {
                code: 10_077,
                description: "maximum messages exceeded".into(),
            },
            503,
        ),
        (
            PublishError::Refused {
                code: 1,
                description: "no".into(),
            },
            500,
        ),
    ] {
        let problem = of_storing_a_part(&error, &[("a", true), ("b", false), ("a", true)]);
        assert_eq!(problem.status.as_u16(), status);
        assert!(
            problem.detail.starts_with("2 of 3 events are stored"),
            "{}",
            problem.detail
        );
        assert_eq!(
            problem.more["events"],
            json!([{ "id": "a", "stored": true }, { "id": "b", "stored": false }, { "id": "a", "stored": true }])
        );
        assert_eq!(problem.headers.is_empty(), status == 500, "503 says when to come again");
    }
}

#[test]
fn an_org_that_takes_nothing_is_named_and_never_asked_for_again() {
    let org: signalbox_proto::Name = "acme".parse().unwrap();
    for (shut, code) in [
        (Shut::Closed(org.clone()), "org_closed"),
        (Shut::Unknown(org), "no_org"),
    ] {
        let problem = of_shut(&shut);
        assert_eq!(
            (problem.status.as_u16(), problem.code, problem.field.as_deref()),
            (403, code, Some("org"))
        );
        assert!(problem.detail.contains("acme"), "{}", problem.detail);
        assert!(problem.headers.is_empty(), "no Retry-After");
    }
}
