use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use signalbox_proto::{DeadReason, Event, RawJson, Severity, Stage, outcome::OutcomeKind};

use super::*;

fn org() -> Name {
    "acme".parse().expect("a name")
}

fn accepted() -> Accepted {
    Accepted {
        event: Event {
            id: "e".to_owned(),
            org: org(),
            event_type: "a.b".parse().expect("a type"),
            source: "/s".to_owned(),
            subject: None,
            time: None,
            agent_id: None,
            execution_id: None,
            severity: Severity::Low,
            severity_named: false,
            data: RawJson::default(),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::new(),
        },
        seq: 7,
        at: Timestamp::from_secs(100),
    }
}

fn owed(generation: u32, hop: u32) -> Delivery {
    let mut delivery = Delivery::first(accepted(), "i-1", &"webhook".parse().expect("a name"), 1, 1);
    delivery.generation = generation;
    delivery.hop = hop;
    delivery.replay = (generation > 0).then(|| "act-1".to_owned());
    delivery
}

fn tried(generation: u32, attempt: u32, next: Next) -> Attempt {
    let delivery = owed(generation, 0);
    Attempt {
        delivery: delivery.id,
        generation,
        attempt,
        org: org(),
        provider: delivery.provider,
        integration: delivery.integration,
        events: vec![EventRef {
            id: "e".to_owned(),
            source: "/s".to_owned(),
            event_type: "a.b".parse().expect("a type"),
            seq: 7,
            accepted_at: Timestamp::default(),
            matched: 1,
        }],
        at: Timestamp::from_secs(101 + i64::from(generation) * 100 + i64::from(attempt)),
        duration_ms: 3,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: String::new(),
        error_message: Some("503".to_owned()),
        next,
        next_at: None,
    }
}

#[derive(Clone, Debug)]
enum Report {
    Record(Attempt),
    Bury(u64, Box<DeadLetter>),
    Wait(Box<Delivery>, Place),
}

fn buried(generation: u32, reason: DeadReason) -> Box<DeadLetter> {
    let now = Timestamp::from_secs(200);
    Box::new(DeadLetter::of_delivery(
        Stage::Delivery,
        reason,
        "why",
        owed(generation, 3),
        now,
    ))
}

fn told(reports: &[Report]) -> Value {
    let org = org();
    let mut stories = Stories::new(Wanted::Event {
        org: &org,
        id: "e",
        source: None,
    });
    for report in reports {
        match report.clone() {
            Report::Record(attempt) => stories.record(attempt),
            Report::Bury(seq, letter) => stories.bury(seq, *letter),
            Report::Wait(delivery, place) => stories.wait(*delivery, place),
        }
    }
    let all: Vec<Value> = stories
        .deliveries()
        .map(|story| {
            let mut view = json!(story.view(&State::default(), None));
            view["history"] = json!(story.history());
            view
        })
        .collect();
    all.into()
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let next = prop::sample::select(vec![
        Next::Retrying,
        Next::Parked,
        Next::Final(Final::Delivered),
        Next::Final(Final::Dead),
    ]);
    let record = (0..3_u32, 1..4_u32, next)
        .prop_map(|(generation, attempt, next)| Report::Record(tried(generation, attempt, next)));
    let reason = prop::sample::select(vec![DeadReason::Exhausted, DeadReason::Expired]);
    let bury = (0..3_u32, reason).prop_map(|(generation, reason)| {
        Report::Bury(
            u64::from(generation) * 2 + u64::from(reason == DeadReason::Expired),
            buried(generation, reason),
        )
    });
    let place = prop::sample::select(vec![Place::Lane, Place::Schedule, Place::Parked]);
    let wait = (0..3_u32, 0..4_u32, place)
        .prop_map(|(generation, hop, place)| Report::Wait(Box::new(owed(generation, hop)), place));
    prop::collection::vec(prop_oneof![3 => record, 1 => bury, 1 => wait], 1..10)
}

/// Reports that cannot both be true of one delivery are told apart by what makes them one.
fn distinct(reports: Vec<Report>) -> Vec<Report> {
    let mut kept: Vec<Report> = Vec::new();
    for report in reports {
        let same = |other: &Report| match (other, &report) {
            (Report::Record(a), Report::Record(b)) => (a.generation, a.attempt) == (b.generation, b.attempt),
            (Report::Bury(a, _), Report::Bury(b, _)) => a == b,
            (Report::Wait(a, _), Report::Wait(b, _)) => (a.generation, a.hop) == (b.generation, b.hop),
            _ => false,
        };
        if !kept.iter().any(same) {
            kept.push(report);
        }
    }
    kept
}

proptest! {
    /// Streams are read one after another while deliveries move between them.
    #[test]
    fn the_order_and_the_repetition_of_reports_do_not_matter(
        (given, shuffled) in reports().prop_map(distinct).prop_flat_map(|reports| {
            let twice: Vec<Report> = reports.iter().chain(&reports).cloned().collect();
            (Just(reports), Just(twice).prop_shuffle())
        })
    ) {
        prop_assert_eq!(told(&given), told(&shuffled));
    }
}

fn status(reports: &[Report]) -> (Value, Value) {
    let told = told(reports);
    (told[0]["status"].clone(), told[0]["attempts"].clone())
}

#[test]
fn what_is_known_decides_the_status() {
    let record = |generation, attempt, next| Report::Record(tried(generation, attempt, next));
    let wait = |generation, hop, attempt, place| {
        let mut delivery = owed(generation, hop);
        delivery.attempt = attempt;
        Report::Wait(Box::new(delivery), place)
    };
    let dead = |seq, generation| Report::Bury(seq, buried(generation, DeadReason::Exhausted));
    for (reports, expected) in [
        (vec![wait(0, 0, 0, Place::Lane)], ("pending", 0)),
        (
            vec![wait(0, 2, 1, Place::Schedule), record(0, 1, Next::Retrying)],
            ("retrying", 1),
        ),
        (vec![wait(0, 2, 0, Place::Parked)], ("parked", 0)),
        // Between two places: the record alone tells.
        (vec![record(0, 1, Next::Parked)], ("parked", 1)),
        (vec![record(0, 1, Next::Retrying)], ("retrying", 1)),
        // What was seen waiting before it ended has ended.
        (
            vec![
                wait(0, 2, 1, Place::Schedule),
                record(0, 2, Next::Final(Final::Delivered)),
            ],
            ("delivered", 1),
        ),
        (vec![dead(4, 0)], ("dead", 0)),
        (vec![Report::Bury(4, buried(0, DeadReason::Expired))], ("expired", 0)),
        // A replay begins anew.
        (vec![dead(4, 0), wait(1, 0, 0, Place::Lane)], ("pending", 0)),
        (
            vec![dead(4, 0), record(1, 1, Next::Final(Final::Delivered))],
            ("delivered", 1),
        ),
        (
            vec![record(0, 1, Next::Final(Final::Delivered)), dead(4, 1)],
            ("dead", 1),
        ),
    ] {
        let (status, attempts) = status(&reports);
        assert_eq!(
            (status, attempts),
            (json!(expected.0), json!(expected.1)),
            "{reports:?}"
        );
    }
}

#[test]
fn a_generation_knows_the_act_that_sent_it() {
    let org = org();
    let mut stories = Stories::new(Wanted::Event {
        org: &org,
        id: "e",
        source: Some("/s"),
    });
    stories.bury(4, *buried(0, DeadReason::Exhausted));
    stories.record(tried(2, 1, Next::Final(Final::Delivered)));
    let replay = |stories: &Stories<'_>| stories.deliveries().next().and_then(|story| story.replay_of(2));
    assert_eq!(replay(&stories), None);
    let mark = Mark {
        act: "act-2".to_owned(),
        did: Did::Replayed,
        seqs: vec![4, 99],
        to: None,
        generation: 0,
        at: Timestamp::from_secs(250),
    };
    stories.mark(&mark);
    let expected = Replay {
        act: "act-2".to_owned(),
        at: Timestamp::from_secs(250),
        dead_letter: Some(4),
    };
    assert_eq!(replay(&stories), Some(expected));
    stories.mark(&Mark {
        did: Did::Discarded,
        ..mark
    });
    assert_eq!(
        stories.deliveries().next().and_then(Story::ended),
        Some(Final::Delivered),
        "the higher generation counts"
    );
}

#[test]
fn what_is_not_wanted_is_passed_by() {
    let (org, other) = (org(), "other".parse().expect("a name"));
    let ids = HashSet::from(["another".to_owned()]);
    for (wanted, expected) in [
        (
            Wanted::Event {
                org: &org,
                id: "e",
                source: None,
            },
            1,
        ),
        (
            Wanted::Event {
                org: &org,
                id: "e",
                source: Some("/s"),
            },
            1,
        ),
        (
            Wanted::Event {
                org: &org,
                id: "e",
                source: Some("/t"),
            },
            0,
        ),
        (
            Wanted::Event {
                org: &org,
                id: "f",
                source: None,
            },
            0,
        ),
        (
            Wanted::Event {
                org: &other,
                id: "e",
                source: None,
            },
            0,
        ),
        (Wanted::Ids { org: &org, ids: &ids }, 0),
        (
            Wanted::Of {
                org: &org,
                integration: Some("i-1"),
                provider: None,
            },
            1,
        ),
        (
            Wanted::Of {
                org: &org,
                integration: Some("i-2"),
                provider: None,
            },
            0,
        ),
        (
            Wanted::Of {
                org: &other,
                integration: None,
                provider: None,
            },
            0,
        ),
    ] {
        for report in 0..3 {
            let mut stories = Stories::new(wanted);
            match report {
                0 => stories.record(tried(0, 1, Next::Retrying)),
                1 => stories.bury(4, *buried(0, DeadReason::Exhausted)),
                _ => stories.wait(owed(0, 0), Place::Lane),
            }
            assert_eq!(stories.deliveries().count(), expected, "{wanted:?}");
        }
    }
}

#[test]
fn what_waits_for_others_says_for_which() {
    let said = |place, attempt, due: Option<i64>| {
        let (org, id) = (org(), "e".to_owned());
        let mut stories = Stories::new(Wanted::Event {
            org: &org,
            id: &id,
            source: None,
        });
        let waiting = Delivery {
            attempt,
            due: due.map(Timestamp::from_secs),
            ..owed(0, 0)
        };
        stories.wait(waiting, place);
        let story = stories.deliveries().next().expect("a delivery");
        let (status, waits_for) = story.status(&State::default());
        (status, waits_for, story.next_attempt_at())
    };
    let at = Some(Timestamp::from_secs(500));
    assert_eq!(said(Place::Batch, 0, Some(500)), ("parked", Some("batch"), at));
    assert_eq!(said(Place::Ordered, 0, None), ("parked", Some("order"), None));
    assert_eq!(said(Place::Ordered, 2, Some(500)), ("retrying", None, at));
}

#[test]
fn a_member_becomes_its_digest() {
    let (org, member) = (org(), owed(0, 0));
    let manifest = digest::Manifest {
        id: "D".to_owned(),
        org: org.clone(),
        integration: member.integration.clone(),
        first: 1,
        last: 1,
        count: 1,
        sent: true,
        way: None,
    };
    let digest = manifest.digest(vec![member.clone()], 1).expect("a digest");
    let ended = Attempt::unasked(&digest, Next::Final(Final::Delivered), Timestamp::from_secs(200));
    let ids = HashSet::from([member.id.clone()]);
    let event = Wanted::Event {
        org: &org,
        id: "e",
        source: None,
    };
    for wanted in [event, Wanted::Ids { org: &org, ids: &ids }] {
        // It is in BATCH for a moment after its digest has gone.
        let mut stories = Stories::new(wanted);
        stories.wait(member.clone(), Place::Batch);
        assert_eq!(stories.deliveries().count(), 1);
        stories.record(ended.clone());
        let found: Vec<&Story> = stories.deliveries().collect();
        assert_eq!(found.len(), 1, "one delivery of the event: {wanted:?}");
        assert_eq!((found[0].id.as_str(), found[0].ended()), ("D", Some(Final::Delivered)));
        assert!(found[0].has_member(&org, &member.id));
        assert!(!found[0].has_member(&org, "D"));
        let shown = json!(found[0].view(&State::default(), None));
        assert_eq!(shown["event_type"], digest::EVENT_TYPE, "a digest of one is a digest");
        assert_eq!(shown["event_ids"], json!(["e"]));
    }
}
