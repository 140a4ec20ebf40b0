use signalbox_proto::bounds::{Crowded, Over};

use super::*;
use crate::doctor::Level;

fn share(name: &str, percent: u64, full_in_secs: Option<u64>) -> Share {
    Share {
        name: name.into(),
        bytes: percent * 1_000_000,
        share_bytes: 100_000_000,
        growth: 1_500,
        full_in_secs,
    }
}

fn judged(shares: Vec<Share>) -> Vec<(Level, String)> {
    let budget = Budget {
        at: Timestamp::from_secs(1_000),
        shares,
    };
    judge_budget(&budget)
        .into_iter()
        .map(|finding| (finding.level, finding.what))
        .collect()
}

#[test]
fn a_stream_that_is_full_soon_is_named_with_the_time_left() {
    let found = judged(vec![share("DEAD", 40, Some(3 * 3_600 + 1_200))]);
    assert_eq!(
        found,
        [(Level::Warn, "DEAD is full in about 3h at this rate (1500 B/s)".into())]
    );
    let found = judged(vec![share("INGEST", 40, Some(150))]);
    assert_eq!(
        found,
        [(
            Level::Error,
            "INGEST is full in about 2m at this rate (1500 B/s)".into()
        )]
    );
}

#[test]
fn what_is_nearly_empty_or_lasts_or_is_relieved_is_no_finding() {
    let shares = vec![
        share("DEAD", 4, Some(60)),
        share("INGEST", 40, Some(100 * 3_600)),
        share("EVENTS", 80, Some(60)),
        share("OUTCOMES", 80, Some(60)),
        share("DEAD", 90, None),
    ];
    assert_eq!(judged(shares), []);
}

#[test]
fn what_waits_is_measured_against_its_own_share() {
    let level = |percent| judged(vec![share(WAITING, percent, None)])[0].0;
    assert_eq!(
        [level(10), level(80), level(96)],
        [Level::Ok, Level::Warn, Level::Error]
    );
}

#[test]
fn what_waits_where_the_others_leave_nothing_is_an_error() {
    let share = |bytes| Share {
        name: WAITING.into(),
        bytes,
        ..Share::default()
    };
    let found = |bytes| judged(vec![share(bytes)]).remove(0);
    assert_eq!(found(0).0, Level::Ok);
    let (level, what) = found(5_000);
    assert_eq!(
        (level, what.as_str()),
        (
            Level::Error,
            "what waits takes 5000 B of storage, and the other streams leave nothing"
        )
    );
}

#[test]
fn a_keeper_that_does_not_look_is_missed_and_its_marks_are_nothing_any_more() {
    let marks = Marks {
        storage: Some(Over { is: 12, mark: 10 }),
        holds_secs: 90,
        ..Marks::default()
    };
    let budget = Budget {
        at: Timestamp::from_secs(1_000),
        shares: Vec::new(),
    };
    let judged = |budget: Option<&Budget>, now| {
        let found = judge_room(&marks, budget, &|_| None, Timestamp::from_secs(now));
        let found: Vec<(Level, bool)> = found
            .iter()
            .map(|one| (one.level, one.what.contains("all publishing is refused")))
            .collect();
        found
    };
    assert_eq!(judged(Some(&budget), 1_089), [(Level::Error, true)]);
    assert_eq!(judged(Some(&budget), 1_090), [(Level::Warn, false)]);
    let none = judge_room(&Marks::default(), None, &|_| None, Timestamp::from_secs(1_000));
    assert!(none.is_empty(), "an installation that has just started");
}

#[test]
fn what_is_refused_is_an_error_and_what_is_crowded_a_warning() {
    let over = Over { is: 12, mark: 10 };
    let marks = Marks {
        orgs: [("acme".parse().unwrap(), over)].into(),
        integrations: vec![Crowded {
            org: "acme".into(),
            integration: "id".into(),
            over,
        }],
        storage: Some(over),
        refusals_full: true,
        refusals_left: Some(0),
        holds_secs: 90,
    };
    let findings = judge_marks(&marks, &|_| Some("oncall".into()));
    let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
    assert_eq!(levels, [Level::Error, Level::Error, Level::Warn, Level::Error]);
    assert!(findings[2].what.contains("acme/oncall"), "{}", findings[2].what);
    assert!(findings.iter().all(|finding| finding.remedy.is_some()));
    assert!(judge_marks(&Marks::default(), &|_| None).is_empty());
}
