use serde::Deserialize;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_secs(1_700_000_000)
}

#[test]
fn an_unknown_parameter_is_refused_by_name() {
    let mut query = Query::read("org=acme&limit=10&page=2").expect("a query");
    assert_eq!(query.org(), Some("acme"));
    query.forget_org();
    assert_eq!(
        query.page().expect("a page"),
        Page {
            limit: 10,
            cursor: None
        }
    );
    let problem = query.end().expect_err("refused");
    assert_eq!(
        (problem.code, problem.field.as_deref()),
        ("unknown_parameter", Some("page"))
    );
}

#[test]
fn what_the_table_does_not_name_is_refused_before_anyone_reads() {
    let known: Arc<[&'static str]> = Arc::new(["limit", "cursor"]);
    let only = |text: &str| Query::read(text).expect("a query").only(&known);
    assert!(only("").is_ok() && only("limit=10&cursor=x").is_ok());
    let problem = only("limit=10&org=acme").expect_err("refused");
    assert_eq!(
        (problem.code, problem.field.as_deref()),
        ("unknown_parameter", Some("org"))
    );
}

#[test]
fn a_body_is_json_by_its_type_or_has_none() {
    let says = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().expect("a header"));
        is_json(&headers)
    };
    assert!(is_json(&HeaderMap::new()));
    for json in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/merge-patch+json",
    ] {
        assert!(says(json), "{json}");
    }
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "+json",
        "",
    ] {
        assert!(!says(other), "{other}");
    }
}

#[test]
fn a_parameter_given_twice_or_out_of_bounds_is_refused() {
    assert_eq!(
        Query::read("org=a&org=b")
            .err()
            .and_then(|problem| problem.field)
            .as_deref(),
        Some("org")
    );
    for text in ["limit=0", "limit=201", "limit=many"] {
        assert!(Query::read(text).expect("a query").page().is_err(), "{text}");
    }
    assert!(Query::read("discard=yes").expect("a query").flag("discard").is_err());
}

#[test]
fn an_empty_parameter_is_refused_and_not_taken_as_all() {
    for text in ["org=", "org", "limit=10&since="] {
        let problem = Query::read(text).expect_err("refused");
        assert_eq!(problem.code, "invalid", "{text}");
        assert!(problem.field.is_some(), "{text}");
    }
}

#[test]
fn a_word_that_is_not_known_is_refused_with_those_that_are() {
    let mut query = Query::read("status=paused&provider=slak&type=banana").expect("a query");
    assert_eq!(
        query.one_of("status", &["active", "paused"]).expect("a status"),
        Some("paused")
    );
    assert_eq!(query.one_of("status", &["active"]).expect("taken already"), None);
    let problem = query.provider("provider").expect_err("refused");
    assert!(problem.detail.contains("webhook"), "{problem}");
    let problem = query.one_of("type", &["webhook"]).expect_err("refused");
    assert_eq!(problem.field.as_deref(), Some("type"));
}

#[test]
fn a_pattern_is_no_event_type() {
    assert_eq!(
        event_type("event_type", "alert.created").expect("a type").as_str(),
        "alert.created"
    );
    for pattern in ["alert.*", ">"] {
        let problem = event_type("event_type", pattern).expect_err("refused");
        assert!(problem.detail.contains("pattern"), "{problem}");
    }
    assert!(event_type("event_type", "no type").is_err());
}

#[test]
fn a_time_is_a_point_or_a_way_back() {
    assert_eq!(
        time("since", "1h", now()).expect("a time").secs(),
        1_700_000_000 - 3_600
    );
    assert_eq!(time("since", "2023-11-14T22:13:20Z", now()).expect("a time"), now());
    assert!(time("since", "yesterday", now()).is_err());
}

#[test]
fn a_span_of_time_has_something_between_its_ends() {
    let span = |text: &str| Query::read(text).expect("parameters").span(now());
    assert!(span("since=2h&until=1h").is_ok());
    assert!(span("").is_ok() && span("since=1h").is_ok() && span("until=1h").is_ok());
    for text in ["since=1h&until=2h", "since=1h&until=1h"] {
        let problem = span(text).expect_err("refused");
        assert_eq!(problem.field.as_deref(), Some("until"), "{problem}");
    }
}

#[test]
fn a_limit_that_is_none_is_told_what_it_may_be() {
    let page = |text: &str| Query::read(text).expect("parameters").page();
    assert_eq!(page("limit=200").expect("a page").limit, 200);
    for text in ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=1.5"] {
        let problem = page(text).expect_err("refused");
        assert!(problem.detail.contains("1 to 200"), "{text}: {problem}");
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Wanted {
    rate: Option<u32>,
}

#[test]
fn a_body_is_read_strictly() {
    assert_eq!(
        read_json::<Wanted>(b"{\"rate\": 3}").expect("a body"),
        Wanted { rate: Some(3) }
    );
    let problem = |bytes: &[u8]| read_json::<Wanted>(bytes).expect_err("refused");
    assert_eq!(problem(b"{").code, "not_json");
    assert_eq!(problem(b"{} {}").code, "not_json");
    assert_eq!(problem(b"{\"rate\": \"x\"}").field.as_deref(), Some("rate"));
    // A struct's fields by their place in a list.
    let list = problem(b" [3]");
    assert!(list.detail.contains("not an object"), "{list}");
    let unknown = problem(b"{\"rat\": 3}");
    assert!(unknown.detail.contains("unknown field `rat`"), "{unknown}");
}
