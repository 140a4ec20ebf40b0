//! What was asked for and never answered.

use super::*;
use crate::http::Response;

/// A repository, as far as it is asked for anything.
#[derive(Default)]
struct Vendor {
    /// The issues or comments, the oldest first.
    kept: Vec<Value>,
    /// Answers to what makes something, in their turn; then it is made.
    scripts: Vec<Says>,
    now: Timestamp,
}

#[derive(Clone, Copy, PartialEq)]
enum Says {
    /// It is made and the answer is lost.
    Lost,
    /// It is not made, and nobody is told.
    Never,
    /// It is made, and something on the way answers this.
    Wrong(u16),
    /// It is refused.
    Refuses(u16),
}

impl Vendor {
    fn script(scripts: &[Says]) -> Self {
        Self {
            scripts: scripts.iter().rev().copied().collect(),
            now: NOW,
            ..Self::default()
        }
    }

    fn make(&mut self, body: Value) -> Value {
        let number = self.kept.len() + 1;
        let mut one = json!({
            "id": number, "number": number, "html_url": format!("https://github.com/acme/shop/issues/{number}"),
            "created_at": self.now.to_string(),
        });
        one["body"] = body;
        self.kept.push(one.clone());
        one
    }

    fn answer(&mut self, request: &http::Request) -> Option<Response> {
        if request.method == Method::POST {
            let script = self.scripts.pop();
            let body = body_of(request)["body"].clone();
            return match script {
                Some(Says::Never) => None,
                Some(Says::Refuses(status)) => Some(answered(status, "{}")),
                Some(Says::Lost) => {
                    self.make(body);
                    None
                }
                Some(Says::Wrong(status)) => {
                    self.make(body);
                    Some(answered(status, "<html>"))
                }
                None => Some(answered(201, &self.make(body).to_string())),
            };
        }
        Some(answered(200, &self.page(request)))
    }

    fn page(&self, request: &http::Request) -> String {
        let query = |name: &str| {
            request
                .url
                .query_pairs()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        let number = |name: &str| query(name).unwrap().parse::<usize>().unwrap();
        let (size, page) = (number("per_page"), number("page"));
        let since: Timestamp = query("since").unwrap().parse().unwrap();
        let mut listed: Vec<&Value> = self
            .kept
            .iter()
            .filter(|one| one["created_at"].as_str().unwrap().parse::<Timestamp>().unwrap() >= since)
            .collect();
        if query("direction").as_deref() == Some("desc") {
            listed.reverse();
        }
        let page: Vec<String> = listed
            .into_iter()
            .skip((page - 1) * size)
            .take(size)
            .map(written)
            .collect();
        format!("[{}]", page.join(","))
    }
}

/// With its members in GitHub's own order: the text behind what tells which one it is.
fn written(one: &Value) -> String {
    let member = |name: &str| format!("\"{name}\":{}", one[name]);
    let members = ["html_url", "id", "number", "created_at", "body"].map(member);
    format!("{{{}}}", members.join(","))
}

fn attempts(config: Value) -> Attempts {
    Attempts::at(
        open(config, None),
        delivery("alert.created", &json!({ "issue_number": 7 })),
        NOW,
    )
}

fn later(attempts: &mut Attempts, vendor: &mut Vendor, secs: u64) {
    attempts.now = attempts.now + Duration::from_secs(secs);
    vendor.now = attempts.now;
}

#[test]
fn what_is_made_is_remembered_and_never_made_again() {
    for (config, fact) in [(issue_config(), "issue"), (comment_config(), "comment")] {
        let (mut attempts, mut vendor) = (attempts(config), Vendor::script(&[]));
        for _ in 0..2 {
            assert_eq!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
        }
        assert_eq!((attempts.made(), vendor.kept.len()), (1, 1));
        assert_eq!(attempts.refs.fact(fact), Some("1"));
        let url = attempts.refs.fact(&format!("{fact}_url"));
        assert_eq!(url, Some("https://github.com/acme/shop/issues/1"));
    }
}

#[test]
fn a_lost_answer_makes_no_second_one() {
    for config in [issue_config(), comment_config()] {
        for lost in [Says::Lost, Says::Wrong(502), Says::Wrong(200), Says::Wrong(307)] {
            let (mut attempts, mut vendor) = (attempts(config.clone()), Vendor::script(&[lost]));
            assert_ne!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
            later(&mut attempts, &mut vendor, 5);
            assert_eq!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
            assert_eq!((attempts.made(), vendor.kept.len()), (1, 1), "{:?}", attempts.names());
        }
    }
}

#[test]
fn what_was_not_made_is_waited_for_and_then_made() {
    for config in [issue_config(), comment_config()] {
        let (mut attempts, mut vendor) = (attempts(config), Vendor::script(&[Says::Never, Says::Never]));
        attempts.attempt(|request| vendor.answer(request));
        later(&mut attempts, &mut vendor, 5);
        match attempts.attempt(|request| vendor.answer(request)) {
            Outcome::Retry { after, .. } => assert_eq!(after, Some(Duration::from_secs(41))),
            other => panic!("{other:?}"),
        }
        assert_eq!(attempts.made(), 1, "a young doubt is not guessed about");
        later(&mut attempts, &mut vendor, 41);
        attempts.attempt(|request| vendor.answer(request));
        assert_eq!(attempts.made(), 2);
        // The second request has a doubt of its own age.
        later(&mut attempts, &mut vendor, 5);
        let early = attempts.attempt(|request| vendor.answer(request));
        assert_eq!((early.kind(), attempts.made()), (OutcomeKind::Retry, 2));
        later(&mut attempts, &mut vendor, 3_600);
        assert_eq!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
        assert_eq!((attempts.made(), vendor.kept.len()), (3, 1));
    }
}

#[test]
fn what_is_refused_is_in_no_doubt() {
    for (status, means) in [
        (403, OutcomeKind::Suspend),
        (422, OutcomeKind::Reject),
        (429, OutcomeKind::Retry),
    ] {
        let (mut attempts, mut vendor) = (attempts(issue_config()), Vendor::script(&[Says::Refuses(status)]));
        assert_eq!(attempts.attempt(|request| vendor.answer(request)).kind(), means);
        assert_eq!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
        assert_eq!(attempts.names(), ["!issue", "!issue"]);
    }
}

#[test]
fn ours_is_found_behind_many_others_and_long_ones() {
    for config in [issue_config(), comment_config()] {
        let (mut attempts, mut vendor) = (attempts(config.clone()), Vendor::script(&[Says::Lost]));
        for index in 0..12 {
            let long = if index % 3 == 0 {
                "ab\"\\\n".repeat(13_000)
            } else {
                "short".to_owned()
            };
            vendor.make(long.into());
        }
        attempts.attempt(|request| vendor.answer(request));
        // Ours is the longest there is.
        let own = vendor.kept.last_mut().unwrap();
        own["body"] = format!("{}{}", own["body"].as_str().unwrap(), "ü".repeat(65_000)).into();
        for index in 0..17 {
            let long = if index % 4 == 0 {
                "日本".repeat(32_000)
            } else {
                "<!-- signalbox:other -->".to_owned()
            };
            vendor.make(long.into());
        }
        later(&mut attempts, &mut vendor, 600);
        assert_eq!(
            attempts.attempt(|request| vendor.answer(request)),
            Outcome::Delivered,
            "{:?}",
            attempts.names()
        );
        assert_eq!(attempts.made(), 1);
        assert!(attempts.refs.fact("issue").or(attempts.refs.fact("comment")) == Some("13"));
    }
}

#[test]
fn a_look_does_not_go_on_for_ever() {
    let (mut attempts, mut vendor) = (attempts(issue_config()), Vendor::script(&[Says::Never]));
    attempts.attempt(|request| vendor.answer(request));
    for _ in 0..700 {
        vendor.make("another".into());
    }
    later(&mut attempts, &mut vendor, 60);
    // 600 of them are looked at; then it is asked for once more, and no further.
    assert_eq!(attempts.attempt(|request| vendor.answer(request)), Outcome::Delivered);
    assert_eq!((attempts.asked.len(), attempts.made()), (62, 2));
}

#[test]
fn an_issue_that_the_event_names_and_that_is_not_there_is_the_events_fault() {
    for (repository, means) in [
        (answered(200, r#"{"full_name":"acme/shop"}"#), OutcomeKind::Reject),
        (answered(404, "{}"), OutcomeKind::Suspend),
        (answered(503, ""), OutcomeKind::Retry),
    ] {
        for gone in [404, 410] {
            let mut attempts = attempts(comment_config());
            let outcome = attempts.attempt(|request| {
                let is_comment = request.method == Method::POST;
                Some(if is_comment {
                    answered(gone, "{}")
                } else {
                    repository.clone()
                })
            });
            assert_eq!(
                (outcome.kind(), attempts.names()),
                (means, vec!["!comment", "repository"])
            );
        }
    }
    let mut config = comment_config();
    config["issue_number"] = 9.into();
    let mut attempts = Attempts::at(open(config, None), delivery("alert.created", &json!({})), NOW);
    let outcome = attempts.attempt(|_| Some(answered(404, "{}")));
    assert_eq!(
        outcome.kind(),
        OutcomeKind::Suspend,
        "the config's own issue is the config's fault"
    );
}

const RUN: &str = r#"{"workflow_run_id":77,"run_url":"https://api.github.com/x","html_url":"https://github.com/acme/shop/actions/runs/77"}"#;

#[test]
fn a_run_is_remembered_with_its_address_where_github_says_it() {
    for (answer, id) in [(answered(200, RUN), "77"), (answered(204, ""), "taken")] {
        let mut attempts = attempts(run_config());
        assert_eq!(attempts.attempt(|_| Some(answer.clone())), Outcome::Delivered);
        assert_eq!(attempts.refs.fact("run"), Some(id));
        assert_eq!(attempts.refs.fact("run_url").is_some(), id == "77");
        assert_eq!(attempts.attempt(|_| panic!("it runs already")), Outcome::Delivered);
    }
}

#[test]
fn a_server_that_does_not_know_run_details_is_asked_without_them_from_then_on() {
    let mut attempts = attempts(run_config());
    let answer = |request: &http::Request| {
        let asks = body_of(request).get("return_run_details").is_some();
        Some(match asks {
            true => answered(
                422,
                r#"{"message":"Invalid request.\n\n\"return_run_details\" is not a permitted key."}"#,
            ),
            false => answered(204, ""),
        })
    };
    assert_eq!(attempts.attempt(answer), Outcome::Delivered);
    assert_eq!(attempts.made(), 2);
    let mut next = Attempts::at(open(run_config(), None), delivery("alert.created", &json!({})), NOW);
    next.names = attempts.names;
    assert_eq!(next.attempt(answer), Outcome::Delivered);
    assert_eq!(next.made(), 1);
}

/// Answers a look at runs with these.
fn runs(request: &http::Request, runs: &[Value]) -> Response {
    assert_eq!(request.method, Method::GET);
    assert!(
        request.url.path().ends_with("/actions/workflows/deploy.yml/runs"),
        "{}",
        request.url
    );
    let query = |name: &str| {
        request
            .url
            .query_pairs()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert_eq!(
        (query("event"), query("created")),
        ("workflow_dispatch".to_owned(), ">=2025-12-31T23:55:00Z".to_owned())
    );
    let (size, page): (usize, usize) = (query("per_page").parse().unwrap(), query("page").parse().unwrap());
    let listed: Vec<&Value> = runs.iter().skip((page - 1) * size).take(size).collect();
    answered(
        200,
        &json!({ "total_count": runs.len(), "workflow_runs": listed }).to_string(),
    )
}

#[test]
fn a_run_in_doubt_is_found_by_what_the_workflow_shows() {
    let mut config = run_config();
    config["delivery_input"] = "delivery".into();
    let mut attempts = attempts(config);
    attempts.attempt(|_| None);
    attempts.now = NOW + Duration::from_secs(10);
    let mut all: Vec<Value> = (0..6)
        .map(|id| json!({ "id": id, "display_title": "Deploy", "filler": "x".repeat(15_000) }))
        .collect();
    all.push(json!({
        "id": 77, "display_title": format!("Deploy ({})", attempts.delivery.id),
        "html_url": "https://github.com/acme/shop/actions/runs/77",
    }));
    assert_eq!(
        attempts.attempt(|request| Some(runs(request, &all))),
        Outcome::Delivered
    );
    assert_eq!((attempts.made(), attempts.refs.fact("run")), (1, Some("77")));
}

#[test]
fn where_no_run_was_made_since_it_is_asked_for_again() {
    let mut attempts = attempts(run_config());
    attempts.attempt(|_| None);
    attempts.now = NOW + Duration::from_secs(10);
    let young = attempts.attempt(|request| Some(runs(request, &[])));
    assert_eq!((young.kind(), attempts.made()), (OutcomeKind::Retry, 1));
    attempts.now = NOW + Duration::from_secs(136);
    let outcome = attempts.attempt(|request| match request.method == Method::POST {
        true => Some(answered(200, RUN)),
        false => Some(runs(request, &[])),
    });
    assert_eq!((outcome, attempts.made()), (Outcome::Delivered, 2));
}

#[test]
fn a_run_that_nobody_can_tell_is_asked_for_once_more_and_no_further() {
    let mut config = run_config();
    config["delivery_input"] = "delivery".into();
    for config in [run_config(), config] {
        let mut attempts = attempts(config);
        let other = [json!({ "id": 1, "display_title": "Deploy" })];
        let lose = |request: &http::Request| match request.method == Method::POST {
            true => None,
            false => Some(runs(request, &other)),
        };
        attempts.attempt(lose);
        attempts.now = NOW + Duration::from_secs(10);
        assert_eq!(attempts.attempt(lose).kind(), OutcomeKind::Retry);
        assert_eq!(attempts.made(), 1);
        attempts.now = NOW + Duration::from_secs(200);
        attempts.attempt(lose);
        assert_eq!(attempts.made(), 2);
        attempts.now = NOW + Duration::from_secs(4_000);
        let last = attempts.attempt(|request| {
            Some(answered(
                200,
                &json!({ "total_count": 1, "workflow_runs": other }).to_string(),
            ))
            .filter(|_| request.method == Method::GET)
        });
        assert_eq!((last.kind(), attempts.made()), (OutcomeKind::Reject, 2), "{last:?}");
    }
}
