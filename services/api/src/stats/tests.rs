//! What a request for figures means.

use signalbox_proto::Timestamp;
use signalbox_store::history::{Figures, stats::OfProvider};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Saturday noon.
const NOW: &str = "2026-11-21T12:30:00Z";

fn asked(query: &str) -> Result<Asked, Problem> {
    Asked::read(&mut Query::read(query).expect("a query"), at(NOW))
}

fn refused(query: &str) -> String {
    match asked(query) {
        Ok(_) => panic!("{query} was taken"),
        Err(problem) => problem.to_string(),
    }
}

fn parts(query: &str) -> Vec<(String, String)> {
    let asked = asked(query).expect("it is taken");
    let row = OfProvider {
        provider: "webhook".to_owned(),
        at: at("2026-11-21T00:00:00Z"),
        figures: Figures::default(),
    };
    let series = series(&asked, &asked.window(), &[row]);
    let parts = series.into_iter();
    parts
        .map(|part| (part.since.to_string(), part.until.to_string()))
        .collect()
}

#[test]
fn a_window_is_a_day_where_none_is_named() {
    let asked = asked("").expect("it is taken");
    assert_eq!((asked.since, asked.until), (at("2026-11-20T12:30:00Z"), at(NOW)));
    let window = asked.window();
    assert_eq!(window.since(), at("2026-11-20T12:00:00Z"));
    assert_eq!(window.until(), at("2026-11-21T13:00:00Z"));
}

#[test]
fn what_is_too_long_or_empty_is_refused_by_its_field() {
    assert!(refused("since=91d").contains("90 days"), "{}", refused("since=91d"));
    assert!(refused("since=2026-12-01T00:00:00Z").contains("not before"));
    assert!(refused("since=32d&group_by=hour").contains("31 days"));
    assert!(refused("group_by=month").contains("hour, day, week"));
    assert!(asked("since=90d&group_by=week").is_ok());
}

#[test]
fn a_series_has_each_part_of_its_window_and_no_more() {
    assert_eq!(parts("since=90m"), []);
    assert_eq!(parts("since=90m&group_by=hour").len(), 2);
    let days = parts("since=2d&group_by=day");
    assert_eq!(days.len(), 3);
    assert_eq!(days[0].0, at("2026-11-19T00:00:00Z").to_string());
    assert_eq!(days[2].1, at("2026-11-22T00:00:00Z").to_string());
    // Weeks begin on Mondays; the first and the last one are cut by the window.
    let weeks = parts("since=10d&group_by=week");
    let begins: Vec<String> = weeks.into_iter().map(|(since, _)| since).collect();
    let expected = ["2026-11-11T00:00:00Z", "2026-11-16T00:00:00Z"].map(|text| at(text).to_string());
    assert_eq!(begins, expected);
}
