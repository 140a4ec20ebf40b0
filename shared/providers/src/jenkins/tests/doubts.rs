//! What was asked for and never answered, and what is learnt of a build.

use super::*;
use crate::http::Response;

fn attempts() -> Attempts {
    Attempts::at(open(config()), delivery("alert.created", &json!({})), NOW)
}

fn queued(item: u64) -> Response {
    let mut response = answered(201, "");
    let location = format!("http://internal:8080/queue/item/{item}/");
    response
        .headers
        .insert(::http::header::LOCATION, location.parse().unwrap());
    response
}

fn query(request: &http::Request, name: &str) -> String {
    let found = request.url.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// What a Jenkins shows: what waits, what was built, and its job.
struct Shows {
    queue: Response,
    builds: Response,
    job: Response,
}

impl Shows {
    fn nothing() -> Self {
        Self {
            queue: answered(200, "<found/>"),
            builds: answered(200, "<found></found>"),
            job: answered(200, &job(true, &[]).to_string()),
        }
    }

    fn answer(&self, request: &http::Request) -> Response {
        assert_eq!(request.method, Method::GET);
        match request.url.path() {
            "/jenkins/queue/api/xml" => self.queue.clone(),
            "/jenkins/job/shop/job/deploy/api/xml" => self.builds.clone(),
            "/jenkins/job/shop/job/deploy/api/json" => self.job.clone(),
            other => panic!("{other}"),
        }
    }
}

fn job(declares: bool, hundredth: &[i64]) -> Value {
    let name = if declares { "signalbox_delivery" } else { "VERSION" };
    let builds: Vec<Value> = hundredth.iter().map(|at| json!({ "timestamp": at })).collect();
    json!({ "property": [{}, { "parameterDefinitions": [{ "name": "A" }, { "name": name }] }], "builds": builds })
}

#[test]
fn a_build_that_was_queued_is_remembered_with_its_number_where_that_is_known_at_once() {
    for (left, number) in [
        (
            answered(
                200,
                r#"{"executable":{"number":7,"url":"https://ci.example.com/jenkins/job/shop/job/deploy/7/"}}"#,
            ),
            Some("7"),
        ),
        (answered(200, r#"{"executable":null}"#), None),
        (answered(200, "{}"), None),
        (answered(404, ""), None),
        (answered(500, ""), None),
    ] {
        let mut attempts = attempts();
        let outcome = attempts.attempt(|request| match request.method == Method::POST {
            true => Some(queued(17)),
            false => Some(left.clone()),
        });
        assert_eq!(outcome, Outcome::Delivered);
        assert_eq!(attempts.names(), ["!queue_item", "queue item"]);
        assert_eq!(attempts.asked[1].1.url.path(), "/jenkins/queue/item/17/api/json");
        assert_eq!(
            (attempts.refs.fact("queue_item"), attempts.refs.fact("build")),
            (Some("17"), number)
        );
        assert_eq!(attempts.refs.fact("build_url").is_some(), number.is_some());
        assert_eq!(attempts.attempt(|_| panic!("it is queued")), Outcome::Delivered);
    }
}

#[test]
fn a_build_is_not_queued_again_because_its_number_could_not_be_asked_for() {
    let mut attempts = attempts();
    attempts.attempt(|request| (request.method == Method::POST).then(|| queued(17)));
    assert_eq!(attempts.attempt(|_| panic!("it is queued")), Outcome::Delivered);
}

#[test]
fn a_build_in_doubt_is_found_in_the_queue_or_among_the_builds() {
    let mut shows = Shows::nothing();
    shows.queue = answered(200, "<found><id>18</id></found>");
    let mut built = Shows::nothing();
    built.builds = answered(
        200,
        "<found><number>7</number><queueId>19</queueId><url>https://ci.example.com/a&amp;b/7/</url></found>",
    );
    for (shows, item, number) in [(shows, "18", None), (built, "19", Some("7"))] {
        let mut attempts = attempts();
        attempts.attempt(|_| None);
        attempts.now = NOW + Duration::from_secs(5);
        let expected = format!(
            "//*[action/parameter[name='signalbox_delivery' and value='{}']]/",
            attempts.delivery.id
        );
        let outcome = attempts.attempt(|request| {
            assert!(query(request, "xpath").starts_with(&expected), "{}", request.url);
            assert_eq!(query(request, "wrapper"), "found");
            Some(shows.answer(request))
        });
        assert_eq!((outcome, attempts.made()), (Outcome::Delivered, 1));
        assert_eq!(
            (attempts.refs.fact("queue_item"), attempts.refs.fact("build")),
            (Some(item), number)
        );
        let url = attempts.refs.fact("build_url");
        assert_eq!(url, number.map(|_| "https://ci.example.com/a&b/7/"));
    }
}

#[test]
fn a_build_that_is_nowhere_is_waited_for_and_then_queued() {
    let mut shows = Shows::nothing();
    // The hundredth of its builds is older than the doubt.
    shows.job = answered(
        200,
        &job(true, &[(NOW - Duration::from_secs(3_600)).millis()]).to_string(),
    );
    let mut attempts = attempts();
    attempts.attempt(|_| None);
    for (secs, made) in [(5, 1), (44, 1), (45, 2)] {
        attempts.now = NOW + Duration::from_secs(secs);
        attempts.attempt(|request| match request.method == Method::POST {
            true => Some(queued(20)),
            false if request.url.path().contains("/item/") => Some(answered(200, "{}")),
            false => Some(shows.answer(request)),
        });
        assert_eq!(attempts.made(), made, "{secs}: {:?}", attempts.names());
    }
    assert_eq!(attempts.refs.fact("queue_item"), Some("20"));
}

#[test]
fn what_nobody_can_see_is_asked_for_once_more_and_no_further() {
    let mut without = Shows::nothing();
    without.job = answered(200, &job(false, &[]).to_string());
    let mut many = Shows::nothing();
    many.job = answered(200, &job(true, &[NOW.millis()]).to_string());
    for shows in [without, many] {
        let mut attempts = attempts();
        let lose = |request: &http::Request| (request.method == Method::GET).then(|| shows.answer(request));
        for (secs, made) in [(0, 1), (5, 1), (45, 2), (50, 2), (90, 2)] {
            attempts.now = NOW + Duration::from_secs(secs);
            let outcome = attempts.attempt(lose);
            assert_eq!(attempts.made(), made, "{secs}: {outcome:?}");
            let ended = outcome.kind() == OutcomeKind::Reject;
            assert_eq!(ended, secs == 90, "{secs}: {outcome:?}");
        }
    }
}

#[test]
fn a_look_that_fails_is_no_look() {
    for (answer, means) in [
        (answered(200, "<html>sign in</html>"), OutcomeKind::Retry),
        (answered(503, ""), OutcomeKind::Retry),
        (answered(401, ""), OutcomeKind::Suspend),
        (answered(302, ""), OutcomeKind::Suspend),
    ] {
        for place in 0..3 {
            let mut shows = Shows::nothing();
            *[&mut shows.queue, &mut shows.builds, &mut shows.job][place] = answer.clone();
            let mut attempts = attempts();
            attempts.attempt(|_| None);
            attempts.now = NOW + Duration::from_secs(1_000);
            let outcome = attempts.attempt(|request| Some(shows.answer(request)));
            assert_eq!((outcome.kind(), attempts.made()), (means, 1), "{place}");
        }
    }
}
