use std::path::Path;

use serde_json::{Value, json};
use signalbox_proto::{Delivery, integration::Template, outcome::OutcomeKind};

use self::double::Board;
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
mod doubt;
mod elsewhere;

fn config() -> Value {
    json!({
        "owner": "acme", "project_number": 7,
        "status_mappings": { "draft": "Backlog", "review": "In Review", "approved": "Ready", "implemented": "Done" },
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
        name: "board".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    let credentials = json!({ "token": "ghp_a-long-token" });
    let projects = find("github_projects").expect("built in");
    projects
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
            panic!("GitHub is asked by whoever has a token");
        };
        json!({
            "method": request.method.as_str(), "url": request.url.as_str(), "operation": body["operationName"],
            "authorization": auth.to_str().expect("ASCII"), "variables": body["variables"],
        })
    };
    let written: Value = requests.iter().map(shown).collect();
    let written = format!("{written:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/github_projects/golden/{name}.json"));
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

/// One attempt at this time; what it asked for, and how it ended, if its creation was answered.
fn attempt_at(
    board: &mut Board,
    remembered: &mut Remembered,
    delivery: &Delivery,
    now: Timestamp,
    loses_creation: bool,
) -> (Vec<String>, Option<Outcome>) {
    let came = attempt(
        &*open(config()),
        delivery,
        remembered,
        now,
        |once, request| match request {
            Request::Http(request) => {
                let answer = board.answer(request, now);
                (!(once && loses_creation)).then_some(answer)
            }
            other => panic!("{other:?}"),
        },
    );
    let operation = |request: &http::Request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        body["operationName"].as_str().expect("a name").to_owned()
    };
    let asked = came.requests.iter().map(|(_, request)| operation(request));
    (asked.collect(), came.outcome)
}

/// One attempt, an hour after the one before.
fn deliver(board: &mut Board, remembered: &mut Remembered, delivery: &Delivery) -> (Vec<String>, Outcome) {
    let now = NOW + Duration::from_secs(3_600 * delivery.event().seq);
    let (asked, outcome) = attempt_at(board, remembered, delivery, now, false);
    (asked, outcome.expect("nothing is lost"))
}

#[test]
fn the_life_of_a_spec_is_as_recorded() {
    let lived = life::live::<Board>(&*open(config()), &life::events(), None);
    golden("life", &lived.requests);
}

#[test]
fn an_issue_that_is_given_is_added_as_recorded() {
    let delivery = of_data("spec.approved", "FEAT-1", 1, &json!({ "node_id": "I_kwDOABCD12345" }));
    let lived = life::live::<Board>(&*open(config()), &[delivery], None);
    golden("issue", &lived.requests);
}

#[test]
fn a_template_takes_the_place_of_title_and_text_as_recorded() {
    let template = Template {
        title: Some("[{{ event.subject }}] {{ event.title }}".to_owned()),
        body: Some("**{{ event.data.message }}**\n\nSee the runbook.".to_owned()),
    };
    let target = open_with(config(), Some(&template));
    let delivery = of_data(
        "alert.created",
        "checkout",
        1,
        &json!({ "message": "p99 is above *800* ms, @ann" }),
    );
    golden("template", &life::live::<Board>(&*target, &[delivery], None).requests);
}

#[test]
fn the_probe_is_as_recorded() {
    match open(config()).probe(NOW) {
        Some(Request::Http(probe)) => golden("probe", &[probe]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn however_the_life_of_a_spec_is_cut_there_is_one_item() {
    life::check::<Board>(&*open(config()), "Done", 0, 1);
}

#[test]
fn a_draft_whose_answer_was_lost_is_found_by_its_mark_alone() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let first = of("spec.created", "FEAT-1", 1);
    let (asked, outcome) = attempt_at(&mut board, &mut remembered, &first, NOW, true);
    assert_eq!(
        (asked.last().map(String::as_str), outcome),
        (Some("SignalboxAddDraft"), None)
    );
    // Others come behind it, on more than one page, and another integration's of the same name.
    board.crowd(3, NOW + Duration::from_secs(1));
    // Too early: the lists may not show it yet, and what is not shown is not made again.
    let (_, early) = attempt_at(&mut board, &mut remembered, &first, NOW + Duration::from_secs(2), false);
    let Some(Outcome::Retry { after: Some(after), .. }) = early else {
        panic!("{early:?}");
    };
    assert!(after >= Duration::from_secs(25), "{after:?}");
    let later = NOW + Duration::from_secs(3_600);
    // Another event of the thing finds it.
    let second = of("spec.approved", "FEAT-1", 2);
    let (asked, outcome) = attempt_at(&mut board, &mut remembered, &second, later, false);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let mut wanted = vec!["SignalboxItems"];
    wanted.extend(["SignalboxDraft"; 2]);
    wanted.push("SignalboxItems");
    wanted.extend(["SignalboxDraft"; 2]);
    wanted.push("SignalboxSetStatus");
    assert_eq!(asked, wanted);
    assert_eq!(board.has().issues, ["Ready"]);
    // And nothing is looked for that was never in doubt.
    let (asked, outcome) = attempt_at(&mut board, &mut remembered, &first, later, false);
    assert_eq!((asked, outcome), (Vec::new(), Some(Outcome::Delivered)));
}

#[test]
fn what_was_made_long_before_or_after_is_not_read() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    board.crowd(2, NOW - Duration::from_secs(3_600));
    let first = of("spec.created", "FEAT-1", 1);
    attempt_at(&mut board, &mut remembered, &first, NOW, true);
    board.crowd(2, NOW + Duration::from_secs(600));
    let (asked, outcome) = attempt_at(
        &mut board,
        &mut remembered,
        &first,
        NOW + Duration::from_secs(3_600),
        false,
    );
    assert_eq!(outcome, Some(Outcome::Delivered));
    let read = asked.iter().filter(|asked| *asked == "SignalboxDraft").count();
    assert_eq!(read, 1, "{asked:?}");
}

#[test]
fn among_too_many_drafts_nobody_guesses() {
    for (count, wanted) in [(100, OutcomeKind::Delivered), (130, OutcomeKind::Reject)] {
        let (mut board, mut remembered) = (Board::default(), Remembered::default());
        board.page = 100;
        let first = of("spec.created", "FEAT-1", 1);
        let lost = attempt(
            &*open(config()),
            &first,
            &mut remembered,
            NOW,
            |once, request| match request {
                Request::Http(request) if !once => Some(board.answer(request, NOW)),
                _ => None,
            },
        );
        assert_eq!(lost.outcome, None);
        board.crowd(count, NOW + Duration::from_secs(1));
        let later = NOW + Duration::from_secs(3_600);
        let (_, outcome) = attempt_at(&mut board, &mut remembered, &first, later, false);
        assert_eq!(outcome.as_ref().map(Outcome::kind), Some(wanted), "{outcome:?}");
        // It has not arrived: one is made where all were read, and none where they were too many.
        let made = usize::from(wanted == OutcomeKind::Delivered);
        assert_eq!(board.has().issues.len(), made);
    }
}

#[test]
fn an_issue_is_one_item_however_often_it_is_added() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let first = of_data("spec.created", "FEAT-1", 1, &json!({ "node_id": " I_1 " }));
    let (asked, outcome) = attempt_at(&mut board, &mut remembered, &first, NOW, true);
    assert_eq!(
        (asked.last().map(String::as_str), outcome),
        (Some("SignalboxAdd"), None)
    );
    // The next event does not name it, and adds the same.
    let second = of("spec.approved", "FEAT-1", 2);
    let (asked, outcome) = deliver(&mut board, &mut remembered, &second);
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(asked, ["SignalboxAdd", "SignalboxSetStatus"]);
    assert_eq!(board.has().issues, ["Ready"]);
    // Its links are its own.
    let pr = json!({ "pr": { "number": 42, "url": "https://github.com/org/repo/pull/42" } });
    let (asked, outcome) = deliver(&mut board, &mut remembered, &of_data("pr.created", "FEAT-1", 3, &pr));
    assert_eq!(
        (asked, outcome),
        (vec!["SignalboxDraft".to_owned()], Outcome::Delivered)
    );
}

#[test]
fn a_node_that_cannot_be_added_is_the_events_fault_and_not_the_next_ones() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    let wrong = of_data("spec.created", "FEAT-1", 1, &json!({ "node_id": "R_1" }));
    let (_, outcome) = deliver(&mut board, &mut remembered, &wrong);
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("data.node_id"), "{reason}");
    let (_, outcome) = deliver(&mut board, &mut remembered, &of("spec.approved", "FEAT-1", 2));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(board.has().issues, ["Ready"]);
}

#[test]
fn what_is_no_id_makes_a_draft() {
    for node_id in [
        json!(7),
        json!(""),
        json!("I 1"),
        json!("<I_1>"),
        json!("I".repeat(200)),
        json!(null),
    ] {
        let delivery = of_data("spec.created", "FEAT-1", 1, &json!({ "node_id": node_id }));
        assert_eq!(item::node_id(&delivery), None, "{node_id}");
    }
}

#[test]
fn ids_are_asked_for_once_and_again_where_they_are_outdated() {
    let (mut board, mut remembered) = (
        Board {
            is_users: true,
            ..Board::default()
        },
        Remembered::default(),
    );
    let (asked, outcome) = deliver(&mut board, &mut remembered, &of("spec.created", "FEAT-1", 1));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(asked, ["SignalboxProject", "SignalboxAddDraft", "SignalboxSetStatus"]);
    let (asked, _) = deliver(&mut board, &mut remembered, &of("spec.approved", "FEAT-1", 2));
    assert_eq!(asked, ["SignalboxSetStatus"]);
    // Who edits the options of a field may give them other ids.
    board.options[3].1 = "9z";
    let (asked, outcome) = deliver(&mut board, &mut remembered, &of("pr.merged", "FEAT-1", 3));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(
        asked,
        [
            "SignalboxSetStatus",
            "SignalboxItem",
            "SignalboxProject",
            "SignalboxSetStatus"
        ]
    );
    // The project was deleted, and another has its number.
    board.id = "PVT_2";
    let mut other = Remembered {
        names: remembered.names.clone(),
        ..Remembered::default()
    };
    let (asked, outcome) = deliver(&mut board, &mut other, &of("spec.created", "FEAT-2", 4));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(
        asked,
        [
            "SignalboxAddDraft",
            "SignalboxProject",
            "SignalboxAddDraft",
            "SignalboxSetStatus"
        ]
    );
}

#[test]
fn an_option_that_somebody_deleted_is_told_and_no_event_is_lost() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    deliver(&mut board, &mut remembered, &of("spec.created", "FEAT-1", 1));
    let done = board.options.pop().expect("options");
    let merged = of("pr.merged", "FEAT-1", 2);
    let (asked, outcome) = deliver(&mut board, &mut remembered, &merged);
    let Outcome::Suspend { reason, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains("Done") && reason.contains("Backlog, In review, Ready"),
        "{reason}"
    );
    assert_eq!(
        asked,
        ["SetStatus", "Item", "Project"].map(|name| format!("Signalbox{name}"))
    );
    // It is there again, under another id.
    board.options.push((done.0, "9z"));
    let (_, outcome) = deliver(&mut board, &mut remembered, &merged);
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(board.has().issues.first().map(String::as_str), Some("Done"));
}

#[test]
fn an_item_that_somebody_deleted_is_made_again_and_an_archived_one_stays() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    deliver(&mut board, &mut remembered, &of("spec.created", "FEAT-1", 1));
    board.items.clear();
    let (_, outcome) = deliver(&mut board, &mut remembered, &of("spec.approved", "FEAT-1", 2));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(board.has().issues, ["Ready"]);
    board.items[0].is_archived = true;
    let (_, outcome) = deliver(&mut board, &mut remembered, &of("pr.merged", "FEAT-1", 3));
    let Outcome::Reject { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("archived"), "{reason}");
    assert_eq!(board.items.len(), 1);
}

#[test]
fn whose_token_no_longer_sees_the_project_does_not_make_an_item_for_each_event() {
    let (mut board, mut remembered) = (Board::default(), Remembered::default());
    deliver(&mut board, &mut remembered, &of("spec.created", "FEAT-1", 1));
    board.is_blind = true;
    for (seq, event_type) in [(2, "spec.approved"), (3, "pr.merged")] {
        let (_, outcome) = deliver(&mut board, &mut remembered, &of(event_type, "FEAT-1", seq));
        assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
    }
    assert_eq!(board.items.len(), 1);
}

#[test]
fn an_option_and_a_field_that_are_not_there_are_told() {
    let told = |config: Value| {
        let (mut board, mut remembered) = (Board::default(), Remembered::default());
        let delivery = of("spec.approved", "FEAT-1", 1);
        let came = attempt(
            &*open(config),
            &delivery,
            &mut remembered,
            NOW,
            |_, request| match request {
                Request::Http(request) => Some(board.answer(request, NOW)),
                other => panic!("{other:?}"),
            },
        );
        match came.outcome {
            Some(Outcome::Suspend { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let reason = told(with(json!({ "status_mappings": { "approved": "Shelf" } })));
    assert!(
        reason.contains("Shelf") && reason.contains("Backlog, In review, Ready, Done"),
        "{reason}"
    );
    let reason = told(with(json!({ "status_field": "Phase" })));
    assert!(
        reason.contains("Phase") && reason.contains("config.status_field"),
        "{reason}"
    );
}

/// Where the vendor's schema lies beside this repository: every document is one that it takes.
#[test]
fn all_documents_are_valid_by_githubs_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/schemas/github-projects.graphql");
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
