use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use self::double::Site;
use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{
        NOW, hostile,
        keeping::{Remembered, attempt},
    },
    find,
    once::attempts::answered,
    tracker::life::{self, Double as _},
};

mod comments;
mod double;

fn config() -> Value {
    json!({
        "base_url": "https://acme.atlassian.net", "project_key": "PROJ", "issue_type": "Story",
        "transition_on_approve": "21", "transition_on_implement": "31",
        "field_mappings": { "spec_id": "customfield_10001", "acceptance_criteria": "customfield_10002" },
        "create_subtasks": true,
    })
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "tickets".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    }
}

fn credentials() -> Value {
    json!({ "email": "bot@example.com", "api_token": "a-long-token" })
}

fn open(config: Value) -> Box<dyn AnyTarget> {
    let jira = find("jira").expect("built in");
    jira.open(config, credentials(), about()).expect("a target")
}

fn with(change: Value) -> Value {
    let mut config = config();
    for (name, value) in change.as_object().expect("fields") {
        config[name] = value.clone();
    }
    config
}

/// Compares requests with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set.
fn golden(name: &str, requests: &[http::Request]) {
    let shown = |request: &http::Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Auth::Authorization(auth) = &request.auth else {
            panic!("Jira is asked by whoever has a token");
        };
        let auth = auth.to_str().expect("ASCII");
        json!({ "method": request.method.as_str(), "url": request.url.as_str(), "authorization": auth, "body": body })
    };
    let written: Value = requests.iter().map(shown).collect();
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/jira/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

#[test]
fn the_life_of_a_spec_is_as_recorded() {
    let lived = life::live::<Site>(&*open(config()), &life::events(), None);
    golden("life", &lived.requests);
}

#[test]
fn an_alert_and_its_end_are_as_recorded() {
    let created = json!({
        "title": "Latency of checkout is rising", "message": "p99 is above 800 ms\n\nfor five minutes", "latency_ms": 840,
        "affected_agents": ["pricing", "payment"], "logs_url": "https://logs.example.com/q/1",
    });
    let resolved = json!({ "title": "Latency of checkout is back to normal", "latency_ms": 120 });
    let deliveries: Vec<Delivery> = [("alert.created", &created), ("alert.resolved", &resolved)]
        .into_iter()
        .zip(1..)
        .map(|((event_type, data), seq)| {
            let mut event = hostile::event(event_type, data);
            event.id = format!("evt-{seq}");
            event.subject = Some("checkout".to_owned());
            hostile::delivery(event, seq)
        })
        .collect();
    golden(
        "alert",
        &life::live::<Site>(&*open(config()), &deliveries, None).requests,
    );
}

#[test]
fn a_digest_is_one_issue_as_recorded() {
    let event = |number: u64| {
        let mut event = hostile::event(
            "execution.failed",
            &json!({ "error": format!("disk {number} is full") }),
        );
        event.id = format!("evt-{number}");
        hostile::delivery(event, number)
    };
    let mut digest = event(1);
    digest.events = (1..=3).map(|number| event(number).event().clone()).collect();
    digest.digest = true;
    golden(
        "digest",
        &life::live::<Site>(&*open(config()), &[digest], None).requests,
    );
}

#[test]
fn a_template_takes_the_place_of_summary_and_text_as_recorded() {
    let template = Template {
        title: Some("[{{ event.subject }}] {{ event.title }}".to_owned()),
        body: Some("{{ event.data.message }}\n\nSee the runbook.".to_owned()),
    };
    let jira = find("jira").expect("built in");
    let target = jira.open_with_template(config(), credentials(), about(), Some(&template));
    let mut event = hostile::event("alert.created", &json!({ "message": "p99 is above *800* ms" }));
    event.subject = Some("checkout".to_owned());
    let delivery = hostile::delivery(event, 1);
    golden(
        "template",
        &life::live::<Site>(&*target.expect("a target"), &[delivery], None).requests,
    );
}

#[test]
fn the_probe_is_as_recorded() {
    match open(config()).probe(NOW) {
        Some(Request::Http(probe)) => golden("probe", &[probe]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn however_the_life_of_a_spec_is_cut_there_is_one_issue() {
    life::check::<Site>(&*open(config()), "Done", 2, 1);
    life::check::<Site>(
        &*open(with(json!({ "create_subtasks": false, "link_pr": false }))),
        "Done",
        0,
        0,
    );
}

fn of(event_type: &str, subject: &str, seq: u64) -> Delivery {
    let mut event = hostile::event(event_type, &json!({ "title": "Latency is rising" }));
    event.id = format!("evt-{seq}");
    event.subject = Some(subject.to_owned());
    hostile::delivery(event, seq)
}

/// One attempt, an hour after the one before.
fn deliver(site: &mut Site, remembered: &mut Remembered, delivery: &Delivery) -> Outcome {
    let now = NOW + Duration::from_secs(3_600 * delivery.event().seq);
    let came = attempt(
        &*open(config()),
        delivery,
        remembered,
        now,
        |_, request| match request {
            Request::Http(request) => Some(site.answer(request, now)),
            other => panic!("{other:?}"),
        },
    );
    came.outcome.expect("nothing is lost")
}

#[test]
fn an_alert_is_closed_and_the_next_one_is_another() {
    let (mut site, mut remembered) = (Site::default(), Remembered::default());
    for (event_type, seq) in [
        ("alert.created", 1),
        ("alert.created", 2),
        ("alert.resolved", 3),
        ("alert.created", 4),
        // Late: the alert that it tells of is over.
        ("alert.created", 2),
        ("alert.resolved", 3),
    ] {
        let delivery = of(event_type, "db-1", seq);
        assert_eq!(deliver(&mut site, &mut remembered, &delivery), Outcome::Delivered);
    }
    let has = site.has();
    assert_eq!(has.issues, ["Done", "To Do"], "{has:#?}");
}

#[test]
fn an_issue_that_somebody_deleted_is_made_again_once() {
    let (mut site, mut remembered) = (Site::default(), Remembered::default());
    let first = of("spec.created", "FEAT-1", 1);
    assert_eq!(deliver(&mut site, &mut remembered, &first), Outcome::Delivered);
    site.clear();
    let second = of("spec.approved", "FEAT-1", 2);
    assert_eq!(deliver(&mut site, &mut remembered, &second), Outcome::Delivered);
    assert_eq!(site.has().issues, ["In Progress"]);
    site.clear();
    let third = of("implementation.started", "FEAT-1", 3);
    assert_eq!(deliver(&mut site, &mut remembered, &third), Outcome::Delivered);
    assert_eq!(site.has().issues, ["To Do"]);
}

#[test]
fn who_sees_no_issue_does_not_make_one_for_each_event() {
    let (mut site, mut remembered) = (Site::default(), Remembered::default());
    site.is_blind = true;
    for (index, event_type) in ["spec.created", "spec.approved", "implementation.started", "pr.merged"]
        .iter()
        .enumerate()
    {
        let delivery = of(event_type, "FEAT-1", index as u64 + 1);
        let outcome = deliver(&mut site, &mut remembered, &delivery);
        if index > 0 {
            assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
        }
    }
    assert_eq!(site.issues.len(), 1);
}

#[test]
fn a_transition_that_is_not_possible_is_told_with_those_that_are() {
    let (mut site, mut remembered) = (Site::default(), Remembered::default());
    assert_eq!(
        deliver(&mut site, &mut remembered, &of("pr.created", "FEAT-1", 1)),
        Outcome::Delivered
    );
    for issue in site.issues.values_mut() {
        issue.state = 1;
    }
    // By hand it is in progress already, which only the name of the state tells: no transition has been seen.
    let outcome = deliver(&mut site, &mut remembered, &of("spec.approved", "FEAT-1", 2));
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("In Progress") && reason.contains("31 To Done (to Done)"),
        "{reason}"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = json!({
        "base_url": "jira", "project_key": "PROJ-7", "issue_type": " ",
        "field_mappings": { "spec_id": "Spec", "acceptance_criteria": "customfield_" },
    });
    let config = serde_json::from_value(config).expect("its fields");
    let credentials = serde_json::from_value(json!({ "email": "bot", "api_token": " " })).expect("its fields");
    let errors = Jira::prepare(config, credentials).expect_err("all of it");
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "config/base_url",
            "config/project_key",
            "config/issue_type",
            "config/field_mappings/spec_id",
            "config/field_mappings/acceptance_criteria",
            "credentials/email",
            "credentials/api_token",
        ]
    );
}

#[test]
fn addresses_are_those_of_atlassian() {
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    let jira = find("jira").expect("built in");
    let check = |base_url: &str| {
        let credentials = json!({ "email": "bot@example.com", "api_token": "a-long-token" });
        let checked = jira.check(&with(json!({ "base_url": base_url })), &credentials, &egress);
        checked.map_err(|errors| errors[0].pointer.clone())
    };
    for right in [
        "https://acme.atlassian.net",
        "https://acme.atlassian.net/",
        "https://acme.atlassian.net/jira/",
        "https://api.atlassian.com/ex/jira/1",
    ] {
        assert_eq!(check(right), Ok(()), "{right}");
    }
    for wrong in [
        "http://acme.atlassian.net",
        "https://atlassian.net.example.com",
        "https://jira.example.com",
    ] {
        assert_eq!(check(wrong), Err("config/base_url".to_owned()), "{wrong}");
    }
    for (base, wanted) in [
        (
            "https://acme.atlassian.net/rest/api/3/",
            "https://acme.atlassian.net/rest/api/3",
        ),
        (
            "https://acme.atlassian.net/jira",
            "https://acme.atlassian.net/rest/api/3",
        ),
        (
            "https://api.atlassian.com/ex/jira/1",
            "https://api.atlassian.com/ex/jira/1/rest/api/3",
        ),
    ] {
        assert_eq!(given::api(&Url::parse(base).expect("a URL")).as_str(), wanted);
    }
}

#[test]
fn who_gives_no_transition_is_warned() {
    let jira = find("jira").expect("built in");
    let credentials = json!({ "email": "bot@example.com", "api_token": "a-long-token" });
    let warned = |change: Value| jira.warnings(&with(change), &credentials).len();
    assert_eq!(warned(json!({})), 0);
    let neither = json!({ "transition_on_approve": null, "transition_on_implement": null });
    assert_eq!(warned(neither), 1);
    let link = json!({ "transition_on_approve": null, "transition_on_implement": null, "action": "link" });
    assert_eq!(warned(link), 0);
}

#[test]
fn a_preview_shows_all_requests_of_a_new_issue() {
    let events = life::events();
    let (requests, outcome) = crate::things::memory::rehearse(&*open(config()), &events[0], NOW);
    assert_eq!(outcome, Outcome::Delivered);
    let shown: Vec<String> = requests
        .into_iter()
        .map(|request| match request {
            Request::Http(request) => format!("{} {}", request.method, request.url.path()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "POST /rest/api/3/search/jql",
            "POST /rest/api/3/issue",
            "GET /rest/api/3/issue/createmeta/PROJ/issuetypes",
            "POST /rest/api/3/issue",
            "POST /rest/api/3/issue",
        ]
    );
}

#[test]
fn a_link_that_is_refused_keeps_no_issue_from_its_state() {
    let (mut site, mut remembered) = (Site::default(), Remembered::default());
    assert_eq!(
        deliver(&mut site, &mut remembered, &of("spec.created", "FEAT-1", 1)),
        Outcome::Delivered
    );
    let data = json!({ "pr": { "url": "https://example.com/42" } });
    let mut event = hostile::event("implementation.completed", &data);
    event.subject = Some("FEAT-1".to_owned());
    let completed = hostile::delivery(event, 2);
    let now = NOW + Duration::from_secs(7_200);
    let mut links = 0;
    let came = attempt(
        &*open(config()),
        &completed,
        &mut remembered,
        now,
        |_, request| match request {
            Request::Http(request) if request.url.path().ends_with("/remotelink") => {
                links += 1;
                Some(answered(
                    400,
                    r#"{"errorMessages":["The link is not valid."],"errors":{}}"#,
                ))
            }
            Request::Http(request) => Some(site.answer(request, now)),
            other => panic!("{other:?}"),
        },
    );
    let kind = came.outcome.as_ref().map(Outcome::kind);
    assert_eq!(kind, Some(OutcomeKind::Reject), "{:?}", came.outcome);
    assert_eq!((site.has().issues, links), (vec!["Done".to_owned()], 1));
}
