use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use self::double::Workspace;
use super::*;
use crate::{
    About, AnyTarget, Egress,
    conformance::{
        NOW, hostile,
        keeping::{Remembered, attempt},
    },
    find,
    graphql::sdl::Sdl,
    http,
    tracker::life::{self, Double as _},
};

mod config;
mod double;
mod elsewhere;

fn config() -> Value {
    json!({
        "team_id": "ENG", "labels": ["spec", "automated"], "create_subtasks": true,
        "state_mappings": { "draft": "Backlog", "review": "In Review", "approved": "Todo", "implemented": "Done" },
    })
}

fn with(change: Value) -> Value {
    let mut config = config();
    for (name, value) in change.as_object().expect("fields") {
        config[name] = value.clone();
    }
    config
}

fn open_with(config: Value, template: Option<&Template>) -> Box<dyn AnyTarget> {
    let about = About {
        integration: "0197".to_owned(),
        name: "tickets".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let credentials = json!({ "api_key": "lin_api_a-long-key" });
    let linear = find("linear").expect("built in");
    linear
        .open_with_template(config, credentials, about, template)
        .expect("a target")
}

fn open(config: Value) -> Box<dyn AnyTarget> {
    open_with(config, None)
}

/// Compares requests with a file of `golden/`, or writes it where `SIGNALBOX_GOLDEN_UPDATE` is set. The documents are
/// constants: the name of an operation tells which.
fn golden(name: &str, requests: &[http::Request]) {
    let shown = |request: &http::Request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let Auth::Authorization(auth) = &request.auth else {
            panic!("Linear is asked by whoever has a key");
        };
        json!({
            "method": request.method.as_str(), "url": request.url.as_str(), "operation": body["operationName"],
            "authorization": auth.to_str().expect("ASCII"), "variables": body["variables"],
        })
    };
    let written: Value = requests.iter().map(shown).collect();
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/linear/golden/{name}.json"));
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &written).expect("the golden file");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, known, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

fn of(event_type: &str, subject: &str, seq: u64) -> Delivery {
    of_data(event_type, subject, seq, &json!({ "title": "Latency is rising" }))
}

fn of_data(event_type: &str, subject: &str, seq: u64, data: &Value) -> Delivery {
    let mut event = hostile::event(event_type, data);
    event.id = format!("evt-{seq}");
    event.subject = Some(subject.to_owned());
    hostile::delivery(event, seq)
}

/// One attempt, an hour after the one before; what it asked for, and how it ended.
fn deliver(
    workspace: &mut Workspace,
    remembered: &mut Remembered,
    config: Value,
    delivery: &Delivery,
) -> (Vec<String>, Outcome) {
    let now = NOW + Duration::from_secs(3_600 * delivery.event().seq);
    let came = attempt(&*open(config), delivery, remembered, now, |_, request| match request {
        Request::Http(request) => Some(workspace.answer(request, now)),
        other => panic!("{other:?}"),
    });
    let operation = |request: &http::Request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        body["operationName"].as_str().expect("a name").to_owned()
    };
    let asked = came.requests.iter().map(|(_, request)| operation(request));
    (asked.collect(), came.outcome.expect("nothing is lost"))
}

#[test]
fn the_life_of_a_spec_is_as_recorded() {
    let lived = life::live::<Workspace>(&*open(config()), &life::events(), None);
    golden("life", &lived.requests);
}

#[test]
fn an_alert_and_its_end_are_as_recorded() {
    let created = json!({
        "title": "Latency of checkout is rising", "message": "p99 is above 800 ms\n\nfor five minutes", "latency_ms": 840,
        "affected_agents": ["pricing", "payment"], "logs_url": "https://logs.example.com/q/1",
    });
    let resolved = json!({ "title": "Latency of checkout is back to normal", "latency_ms": 120 });
    let all = [
        of_data("alert.created", "checkout", 1, &created),
        of_data("alert.resolved", "checkout", 2, &resolved),
    ];
    golden("alert", &life::live::<Workspace>(&*open(config()), &all, None).requests);
}

#[test]
fn a_template_takes_the_place_of_title_and_text_as_recorded() {
    let template = Template {
        title: Some("[{{ event.subject }}] {{ event.title }}".to_owned()),
        body: Some("**{{ event.data.message }}**\n\nSee the runbook.".to_owned()),
    };
    let target = open_with(with(json!({ "labels": [] })), Some(&template));
    let delivery = of_data(
        "alert.created",
        "checkout",
        1,
        &json!({ "message": "p99 is above *800* ms, @ann" }),
    );
    golden(
        "template",
        &life::live::<Workspace>(&*target, &[delivery], None).requests,
    );
}

#[test]
fn the_probe_is_as_recorded() {
    match open(with(json!({ "team_id": double::TEAM }))).probe(NOW) {
        Some(Request::Http(probe)) => golden("probe", &[probe]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn however_the_life_of_a_spec_is_cut_there_is_one_issue() {
    life::check::<Workspace>(&*open(config()), "Done", 2, 1);
    let bare = json!({ "create_subtasks": false, "link_pr": false, "labels": [] });
    life::check::<Workspace>(&*open(with(bare)), "Done", 0, 0);
}

#[test]
fn names_are_asked_for_once() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    let (asked, outcome) = deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.created", "FEAT-1", 1),
    );
    assert_eq!(outcome, Outcome::Delivered);
    // It is made in the state that it is to be in.
    assert_eq!(asked, ["SignalboxIssue", "SignalboxNames", "SignalboxCreate"]);
    let mut other = Remembered {
        names: remembered.names.clone(),
        ..Remembered::default()
    };
    let (asked, outcome) = deliver(&mut workspace, &mut other, config(), &of("spec.created", "FEAT-2", 2));
    assert_eq!(
        (asked, outcome),
        (
            vec!["SignalboxIssue".to_owned(), "SignalboxCreate".to_owned()],
            Outcome::Delivered
        )
    );
    let (asked, _) = deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.approved", "FEAT-1", 3),
    );
    assert_eq!(asked, ["SignalboxMove"]);
    assert_eq!(workspace.has().issues, ["Todo", "Backlog"]);
}

#[test]
fn a_label_and_a_state_that_were_made_anew_are_learnt_anew() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.created", "FEAT-1", 1),
    );
    workspace.labels[0].1 = "label-7";
    workspace.states[2].1 = "state-7";
    let mut other = Remembered {
        names: remembered.names.clone(),
        ..Remembered::default()
    };
    let (asked, outcome) = deliver(&mut workspace, &mut other, config(), &of("spec.created", "FEAT-2", 2));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(
        asked,
        ["Issue", "Create", "Issue", "Names", "Create"].map(|name| format!("Signalbox{name}"))
    );
    let (asked, outcome) = deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.approved", "FEAT-1", 3),
    );
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(
        asked,
        ["Move", "Place", "Names", "Move"].map(|name| format!("Signalbox{name}"))
    );
    assert_eq!(workspace.has().issues, ["Todo", "Backlog"]);
}

#[test]
fn a_name_that_linear_has_not_got_is_told_and_nothing_is_made() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    let config = with(json!({ "labels": ["nowhere"] }));
    let (_, outcome) = deliver(
        &mut workspace,
        &mut remembered,
        config,
        &of("spec.created", "FEAT-1", 1),
    );
    let Outcome::Suspend { reason, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("nowhere") && reason.contains("config.labels"),
        "{reason}"
    );
    assert!(workspace.issues.is_empty());
    let config = with(json!({ "state_mappings": { "approved": "Ready" } }));
    let (_, outcome) = deliver(
        &mut workspace,
        &mut remembered,
        config,
        &of("spec.approved", "FEAT-1", 2),
    );
    let Outcome::Suspend { reason, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("Ready") && reason.contains("Backlog, In Review, Todo, Done"),
        "{reason}"
    );
    workspace.is_blind = true;
    let (_, outcome) = deliver(
        &mut workspace,
        &mut Remembered::default(),
        self::config(),
        &of("spec.created", "FEAT-3", 3),
    );
    assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
}

#[test]
fn a_label_and_a_state_that_somebody_deleted_are_told_by_their_names() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.created", "FEAT-1", 1),
    );
    workspace.states.pop();
    workspace.labels[0] = ("bug", "label-7");
    let mut other = Remembered {
        names: remembered.names.clone(),
        ..Remembered::default()
    };
    let mut told = |remembered: &mut Remembered, config: Value, delivery: &Delivery| {
        let (_, outcome) = deliver(&mut workspace, remembered, config, delivery);
        match outcome {
            Outcome::Suspend { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    let reason = told(&mut remembered, config(), &of("pr.merged", "FEAT-1", 2));
    assert!(
        reason.contains("Done") && reason.contains("Backlog, In Review, Todo"),
        "{reason}"
    );
    let reason = told(&mut other, config(), &of("spec.created", "FEAT-2", 3));
    assert!(reason.contains("spec") && reason.contains("config.labels"), "{reason}");
    // Also where another name was asked for before, with which it was told that this one is not there.
    let of_others = with(json!({ "labels": ["bug"] }));
    let mut other = Remembered {
        names: other.names,
        ..Remembered::default()
    };
    let reason = told(&mut other, of_others, &of("pr.merged", "FEAT-3", 4));
    assert!(reason.contains("Done"), "{reason}");
}

#[test]
fn an_alert_is_closed_and_the_next_one_is_another() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
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
        let (_, outcome) = deliver(&mut workspace, &mut remembered, config(), &delivery);
        assert_eq!(outcome, Outcome::Delivered);
    }
    assert_eq!(workspace.has().issues, ["Done", "Backlog"]);
}

#[test]
fn an_issue_in_the_trash_is_made_again_once() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    for (seq, event_type) in ["spec.created", "spec.approved", "implementation.started"]
        .iter()
        .enumerate()
    {
        let delivery = of(event_type, "FEAT-1", seq as u64 + 1);
        let (_, outcome) = deliver(&mut workspace, &mut remembered, config(), &delivery);
        assert_eq!(outcome, Outcome::Delivered, "{event_type}");
        assert_eq!(workspace.whole().len(), 1, "{event_type}");
        workspace.trash();
    }
    assert_eq!(workspace.issues.len(), 3);
}

#[test]
fn whose_key_no_longer_sees_the_team_does_not_make_an_issue_for_each_event() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    deliver(
        &mut workspace,
        &mut remembered,
        config(),
        &of("spec.created", "FEAT-1", 1),
    );
    workspace.is_blind = true;
    for (seq, event_type) in [(2, "spec.approved"), (3, "implementation.started"), (4, "pr.merged")] {
        let delivery = of(event_type, "FEAT-1", seq);
        let (_, outcome) = deliver(&mut workspace, &mut remembered, config(), &delivery);
        assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
    }
    assert_eq!(workspace.issues.len(), 1);
}

#[test]
fn who_has_lost_all_memory_makes_nothing_twice() {
    let mut workspace = Workspace::default();
    let created = &life::events()[0];
    for _ in 0..2 {
        let (_, outcome) = deliver(&mut workspace, &mut Remembered::default(), config(), created);
        assert_eq!(outcome, Outcome::Delivered);
    }
    let has = workspace.has();
    assert_eq!((has.issues.len(), has.subtasks.len()), (1, 2), "{has:#?}");
}

#[test]
fn a_refusal_leaves_no_doubt_behind() {
    let (mut workspace, mut remembered) = (Workspace::default(), Remembered::default());
    let delivery = of("spec.created", "FEAT-1", 1);
    let refusal = json!({ "data": null, "errors": [{ "message": "title is too long", "extensions": { "code": "INVALID_INPUT" } }] });
    let refusal = crate::conformance::Answer {
        status: 200,
        headers: &[],
        body: refusal.to_string().leak(),
        means: OutcomeKind::Reject,
    };
    let came = attempt(
        &*open(config()),
        &delivery,
        &mut remembered,
        NOW,
        |once, request| match request {
            Request::Http(_) if once => Some(refusal.response()),
            Request::Http(request) => Some(workspace.answer(request, NOW)),
            other => panic!("{other:?}"),
        },
    );
    assert_eq!(came.outcome.as_ref().map(Outcome::kind), Some(OutcomeKind::Reject));
    assert_eq!(remembered.refs.doubt("issue"), None);
}

#[test]
fn ids_are_of_the_form_of_random_ones_and_the_same_each_time() {
    let id = issue::id("signalbox-abc");
    assert_eq!(id, issue::id("signalbox-abc"));
    assert_ne!(id, issue::id("signalbox-abd"));
    let read = uuid::Uuid::parse_str(&id).expect("a UUID");
    assert_eq!(
        (read.get_version_num(), read.get_variant()),
        (4, uuid::Variant::RFC4122)
    );
}

/// Where the vendor's schema lies beside this repository: every document is one that it takes.
#[test]
fn all_documents_are_valid_by_linears_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/schemas/linear.graphql");
    if !path.is_file() {
        eprintln!(
            "SKIPPED: {} is absent, so that documents are not held to it",
            path.display()
        );
        return;
    }
    let mut sdl = Sdl::read(&path);
    for operation in documents::ALL {
        assert_eq!(sdl.validate(operation.document), Ok(()), "{}", operation.name);
    }
}
