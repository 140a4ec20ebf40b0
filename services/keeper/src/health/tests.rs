//! Which checks are made, under a clock that is given.

use signalbox_proto::State;

use super::*;

const EVERY: u32 = 3_600;

fn integration(id: &str) -> Integration {
    let integration = serde_json::json!({
        "id": id, "org": "acme", "name": id, "provider": "slack", "revision": 1, "status": "active",
        "created_at": at(0), "updated_at": at(0), "flow": { "health_check_secs": EVERY },
    });
    serde_json::from_value(integration).expect("an integration")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn view(integrations: impl IntoIterator<Item = Integration>) -> View {
    View {
        integrations: integrations.into_iter().map(|one| (one.id.clone(), one)).collect(),
        ..View::default()
    }
}

fn known(next_at: Timestamp) -> Known {
    Known {
        check: Some(Check {
            every_secs: EVERY,
            next_at,
            ..Check::default()
        }),
        revision: 3,
    }
}

fn due(picked: &Picked) -> Vec<&str> {
    picked
        .due
        .iter()
        .map(|(integration, _)| integration.id.as_str())
        .collect()
}

#[test]
fn what_kv_says_is_read_before_anything_is_due() {
    let view = view([integration("a")]);
    let picked = pick(&view, &Book::new(), at(1_000_000));
    assert_eq!((picked.unread, picked.due), (vec!["a".to_owned()], vec![]));
    // There is no entry: the first one follows from the id and the last change.
    let book = Book::from([("a".to_owned(), Known::default())]);
    let first = health::next("a", EVERY, at(0));
    assert!(pick(&view, &book, first - Duration::from_secs(1)).due.is_empty());
    assert_eq!(due(&pick(&view, &book, first)), ["a"]);
}

#[test]
fn over_a_day_there_are_as_many_checks_as_hours_whatever_keeper_makes_them() {
    let view = view([integration("a")]);
    let mut book = Book::from([("a".to_owned(), known(health::next("a", EVERY, at(0))))]);
    let (mut made, mut begun_last) = (0, None);
    // A look every 7 s. Every fifth check is begun by a keeper that dies: what it wrote stays.
    for secs in (0..86_400).step_by(7) {
        if due(&pick(&view, &book, at(secs))).is_empty() {
            continue;
        }
        made += 1;
        let next_at = health::next("a", EVERY, at(secs));
        if let Some(last) = begun_last.replace(secs) {
            assert!((EVERY as i64 - 7..=EVERY as i64 + 7).contains(&(secs - last)), "{secs}");
        }
        book.insert("a".to_owned(), known(next_at));
    }
    assert_eq!(made, 24);
}

#[test]
fn checks_that_were_missed_are_not_made_up_for() {
    let view = view([integration("a")]);
    let book = Book::from([("a".to_owned(), known(at(10)))]);
    let after_a_week = at(7 * 86_400);
    assert_eq!(due(&pick(&view, &book, after_a_week)), ["a"]);
    let book = Book::from([("a".to_owned(), known(health::next("a", EVERY, after_a_week)))]);
    assert!(pick(&view, &book, after_a_week).due.is_empty());
}

#[test]
fn what_is_inactive_deleted_or_held_by_a_person_is_not_checked() {
    let with = |id: &str, status| Integration {
        status,
        ..integration(id)
    };
    let mut view = view([
        with("inactive", Status::Inactive),
        with("deleted", Status::Deleted),
        integration("paused"),
        integration("suspended"),
        Integration {
            flow: signalbox_proto::integration::Flow::default(),
            ..integration("unasked")
        },
    ]);
    for (id, phase) in [("paused", Phase::Paused), ("suspended", Phase::Suspended)] {
        let state = State {
            phase,
            ..State::default()
        };
        view.states.insert(id.to_owned(), state);
    }
    let picked = pick(&view, &Book::new(), at(1_000_000));
    assert_eq!(picked.wanted, HashSet::from(["suspended".to_owned()]));
}

#[test]
fn another_interval_counts_at_once() {
    let often = Integration {
        flow: signalbox_proto::integration::Flow {
            health_check_secs: Some(300),
            ..signalbox_proto::integration::Flow::default()
        },
        ..integration("a")
    };
    let book = Book::from([("a".to_owned(), known(at(900_000)))]);
    assert_eq!(due(&pick(&view([often]), &book, at(300))), ["a"]);
}

#[test]
fn what_is_noted_of_one_that_is_over_goes() {
    let deleted = Integration {
        status: Status::Deleted,
        ..integration("deleted")
    };
    let unasked = Integration {
        flow: signalbox_proto::integration::Flow::default(),
        ..integration("unasked")
    };
    let mut view = view([deleted, unasked, integration("paused")]);
    let paused = State {
        phase: Phase::Paused,
        ..State::default()
    };
    view.states.insert("paused".to_owned(), paused);
    let noted = ["deleted", "unasked", "paused"].map(|id| (id.to_owned(), known(at(10))));
    let mut over = pick(&view, &Book::from(noted), at(20)).over;
    over.sort_unstable();
    assert_eq!(over, ["deleted", "unasked"]);
    // What KV says nothing of needs no removal.
    let book = Book::from([("deleted".to_owned(), Known::default())]);
    assert!(pick(&view, &book, at(20)).over.is_empty());
}
