use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use signalbox_proto::{Delivery, outcome::OutcomeKind};

use self::double::Organization;
use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{
        NOW, hostile,
        keeping::{Remembered, attempt},
    },
    find,
    tracker::life::{self, Double as _},
};

mod comments;
mod double;

fn config() -> Value {
    json!({
        "organization": "acme", "project": "shop", "work_item_type": "User Story",
        "area_path": "shop\\Team", "iteration_path": "shop\\Sprint 1", "create_subtasks": true,
    })
}

fn open(config: Value) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "boards".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let azure = find("azure_devops").expect("built in");
    azure
        .open(config, json!({ "pat": "a-long-token" }), about)
        .expect("a target")
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
        let kind = request
            .headers
            .get(CONTENT_TYPE)
            .map(|kind| kind.to_str().expect("a type"));
        let Auth::Authorization(auth) = &request.auth else {
            panic!("it is asked by whoever has a token");
        };
        let auth = auth.to_str().expect("ASCII");
        json!({
            "method": request.method.as_str(), "url": request.url.as_str(), "authorization": auth, "content_type": kind,
            "body": body,
        })
    };
    let written: Value = requests.iter().map(shown).collect();
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/azure_devops/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn of(event_type: &str, subject: &str, seq: u64) -> Delivery {
    let mut event = hostile::event(event_type, &json!({ "title": "Latency is rising" }));
    event.id = format!("evt-{seq}");
    event.subject = Some(subject.to_owned());
    hostile::delivery(event, seq)
}

/// One attempt, an hour after the one before.
fn deliver(vendor: &mut Organization, remembered: &mut Remembered, delivery: &Delivery) -> Outcome {
    deliver_to(&*open(config()), vendor, remembered, delivery)
}

fn deliver_to(
    target: &dyn AnyTarget,
    vendor: &mut Organization,
    remembered: &mut Remembered,
    delivery: &Delivery,
) -> Outcome {
    let now = NOW + Duration::from_secs(3_600 * delivery.event().seq);
    let came = attempt(target, delivery, remembered, now, |_, request| match request {
        Request::Http(request) => Some(vendor.answer(request, now)),
        other => panic!("{other:?}"),
    });
    came.outcome.expect("nothing is lost")
}

#[test]
fn the_life_of_a_spec_is_as_recorded() {
    let lived = life::live::<Organization>(&*open(config()), &life::events(), None);
    golden("life", &lived.requests);
}

#[test]
fn what_is_said_of_an_alert_is_as_recorded() {
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
    let target = open(with(json!({ "work_item_type": "Bug" })));
    let mut requests = Vec::new();
    for (event_type, seq) in [("alert.created", 1), ("alert.resolved", 2)] {
        let delivery = of(event_type, "db-1", seq);
        let came = attempt(&*target, &delivery, &mut remembered, NOW, |_, request| match request {
            Request::Http(request) => Some(vendor.answer(request, NOW)),
            other => panic!("{other:?}"),
        });
        assert_eq!(came.outcome, Some(Outcome::Delivered));
        requests.extend(came.requests.into_iter().map(|(_, request)| request));
    }
    golden("alert", &requests);
}

#[test]
fn a_connection_test_is_as_recorded_and_stores_nothing() {
    let Some(Request::Http(probe)) = open(config()).probe(NOW) else {
        panic!("a probe over HTTP");
    };
    assert!(
        probe
            .url
            .query()
            .is_some_and(|query| query.contains("validateOnly=true"))
    );
    golden("probe", &[probe]);
}

#[test]
fn however_the_life_of_a_spec_is_cut_there_is_one_work_item() {
    life::check::<Organization>(&*open(config()), "Closed", 2, 1);
    let named = json!({ "approved": "active", "implemented": "Resolved" });
    let config = with(json!({ "create_subtasks": false, "link_pr": false, "state_mappings": named }));
    life::check::<Organization>(&*open(config), "Resolved", 0, 0);
}

#[test]
fn an_alert_is_closed_and_the_next_one_is_another() {
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
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
        assert_eq!(deliver(&mut vendor, &mut remembered, &delivery), Outcome::Delivered);
    }
    let has = vendor.has();
    assert_eq!(has.issues, ["Closed", "New"], "{has:#?}");
}

#[test]
fn a_work_item_in_the_recycle_bin_is_made_again_once() {
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
    for (event_type, seq, state) in [
        ("spec.created", 1, "New"),
        ("spec.approved", 2, "Active"),
        ("implementation.started", 3, "New"),
    ] {
        let delivery = of(event_type, "FEAT-1", seq);
        assert_eq!(deliver(&mut vendor, &mut remembered, &delivery), Outcome::Delivered);
        assert_eq!(vendor.has().issues, [state]);
        vendor.clear();
    }
}

#[test]
fn who_is_shown_no_work_item_does_not_make_one_for_each_event() {
    for is_blind in [true, false] {
        let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
        vendor.is_blind = is_blind;
        let types = ["spec.created", "spec.approved", "implementation.started", "pr.merged"];
        for (seq, event_type) in (1..).zip(types) {
            let outcome = deliver(&mut vendor, &mut remembered, &of(event_type, "FEAT-1", seq));
            match seq {
                1 => assert_eq!(outcome, Outcome::Delivered),
                _ => assert_eq!(outcome.kind(), OutcomeKind::Reject, "{outcome:?}"),
            }
            if is_blind {
                assert_eq!(vendor.items.len(), 1);
            } else {
                vendor.destroy();
            }
        }
    }
}

#[test]
fn a_state_that_the_type_does_not_have_is_told_with_those_that_it_has() {
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
    let target = open(with(json!({ "state_mappings": { "approved": "Ready" } })));
    let created = of("spec.created", "FEAT-1", 1);
    assert_eq!(
        deliver_to(&*target, &mut vendor, &mut remembered, &created),
        Outcome::Delivered
    );
    let approved = of("spec.approved", "FEAT-1", 2);
    let outcome = deliver_to(&*target, &mut vendor, &mut remembered, &approved);
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("Ready") && reason.contains("New, Active, Resolved, Closed"),
        "{reason}"
    );
}

#[test]
fn who_is_in_the_category_already_is_left_where_it_is() {
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
    let named = open(with(json!({ "state_mappings": {} })));
    let created = of("spec.created", "FEAT-1", 1);
    assert_eq!(
        deliver_to(&*named, &mut vendor, &mut remembered, &created),
        Outcome::Delivered
    );
    for item in vendor.items.values_mut() {
        item.fields.insert("System.State".to_owned(), json!("Closed"));
    }
    let merged = of("pr.merged", "FEAT-1", 2);
    assert_eq!(deliver(&mut vendor, &mut remembered, &merged), Outcome::Delivered);
    assert_eq!(vendor.has().issues, ["Closed"]);
    // With no state of its own for it the event comments, so that it is seen.
    let approved = of("spec.approved", "FEAT-1", 3);
    assert_eq!(
        deliver_to(&*named, &mut vendor, &mut remembered, &approved),
        Outcome::Delivered
    );
    assert_eq!(
        (vendor.has().issues, vendor.has().comments.len()),
        (vec!["Closed".to_owned()], 1)
    );
}

#[test]
fn a_pause_that_is_asked_for_is_made_and_the_work_goes_on_behind_it() {
    let target = open(config());
    let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
    vendor.is_near_its_limit = true;
    let events = life::events();
    let created = &events[0];
    let first = deliver_to(&*target, &mut vendor, &mut remembered, created);
    let Outcome::Retry { after: Some(after), .. } = &first else {
        panic!("{first:?}");
    };
    assert_eq!(after.as_secs(), 7);
    // All children in one go: a pause behind each would end the retries before the work.
    assert_eq!(
        deliver_to(&*target, &mut vendor, &mut remembered, created),
        Outcome::Delivered
    );
    let has = vendor.has();
    assert_eq!((has.issues.len(), has.subtasks.len()), (1, 2), "{has:#?}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = json!({
        "organization": "https://dev.azure.com/acme", "project": "../shop", "work_item_type": " ", "subtask_type": "",
        "area_path": "\\", "iteration_path": "a\nb", "state_mappings": { "draft": "", "implemented": "a\tb" },
        "base_url": "azure",
    });
    let config = serde_json::from_value(config).expect("its fields");
    let credentials = serde_json::from_value(json!({ "pat": " " })).expect("its fields");
    let errors = AzureDevops::prepare(config, credentials).expect_err("all of it");
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "config/base_url",
            "config/organization",
            "config/project",
            "config/work_item_type",
            "config/subtask_type",
            "config/area_path",
            "config/iteration_path",
            "config/state_mappings/draft",
            "config/state_mappings/implemented",
            "credentials/pat",
        ]
    );
}

#[test]
fn addresses_are_those_of_azure_devops() {
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    let azure = find("azure_devops").expect("built in");
    let check = |base_url: &str| {
        let checked = azure.check(
            &with(json!({ "base_url": base_url })),
            &json!({ "pat": "a-long-token" }),
            &egress,
        );
        checked.map_err(|errors| errors[0].pointer.clone())
    };
    for right in [
        "https://dev.azure.com",
        "https://dev.azure.com/",
        "https://dev.azure.com/acme/",
        "https://acme.visualstudio.com",
    ] {
        assert_eq!(check(right), Ok(()), "{right}");
    }
    for wrong in [
        "http://dev.azure.com",
        "https://dev.azure.com.example.com",
        "https://devops.example.com/tfs",
    ] {
        assert_eq!(check(wrong), Err("config/base_url".to_owned()), "{wrong}");
    }
    for (base, wanted) in [
        ("https://dev.azure.com", "https://dev.azure.com/acme"),
        ("https://dev.azure.com/", "https://dev.azure.com/acme"),
        ("https://dev.azure.com/Acme/", "https://dev.azure.com/acme"),
        (
            "https://devops.example.com/tfs/?x=1",
            "https://devops.example.com/tfs/acme",
        ),
    ] {
        let base = Url::parse(base).expect("a URL");
        assert_eq!(
            given::organization(&base, "acme").as_str().trim_end_matches('/'),
            wanted
        );
    }
}

#[test]
fn paths_are_taken_as_people_write_them() {
    let taken = |path: &str| {
        let config = serde_json::from_value(with(json!({ "area_path": path }))).expect("its fields");
        let credentials = serde_json::from_value(json!({ "pat": "a-long-token" })).expect("its fields");
        let prepared = AzureDevops::prepare(config, credentials).expect("it is right");
        prepared.given.area_path.expect("a path")
    };
    for written in ["shop\\Team", "\\shop\\Team", "shop/Team/", " shop\\Team "] {
        assert_eq!(taken(written), "shop\\Team", "{written}");
    }
}

#[test]
fn who_gives_paths_of_another_project_or_no_state_is_warned() {
    let azure = find("azure_devops").expect("built in");
    let warned = |change: Value| {
        let warnings = azure.warnings(&with(change), &json!({ "pat": "a-long-token" }));
        warnings.into_iter().map(|warning| warning.pointer).collect::<Vec<_>>()
    };
    assert!(warned(json!({})).is_empty());
    assert_eq!(warned(json!({ "area_path": "Team" })), ["config/area_path"]);
    assert!(warned(json!({ "project": "0197c0de-0000-7000-8000-000000000001" })).is_empty());
    assert_eq!(warned(json!({ "state_mappings": {} })), ["config/state_mappings"]);
    assert!(warned(json!({ "state_mappings": {}, "action": "link" })).is_empty());
}

#[test]
fn a_preview_shows_all_requests_of_a_new_work_item() {
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
    let create = |kind: &str| format!("POST /acme/shop/_apis/wit/workitems/${kind}");
    assert_eq!(
        shown,
        [
            "POST /acme/shop/_apis/wit/wiql".to_owned(),
            create("User%20Story"),
            create("Task"),
            create("Task"),
        ]
    );
}
