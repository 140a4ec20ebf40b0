use std::collections::BTreeMap;

use super::*;
use crate::{Accepted, RawJson, Severity, Timestamp};

fn event(count: Option<&str>) -> Event {
    let org: crate::Name = "acme".parse().expect("a name");
    let counted = count.map(|text| (HOPS.to_owned(), text.to_owned()));
    Event {
        id: "evt-1".to_owned(),
        org: org.clone(),
        event_type: "tick".parse().expect("a type"),
        source: Event::default_source(&org),
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
        metadata: BTreeMap::from_iter(counted),
    }
}

#[test]
fn the_header_is_the_one_that_ingest_reads_as_the_attribute() {
    assert_eq!(HOPS_HEADER.strip_prefix("ce-"), Some(HOPS));
}

#[test]
fn what_is_no_count_is_the_limit_and_nothing_is_none() {
    for (text, expected) in [
        (None, 0),
        (Some("0"), 0),
        (Some("1"), 1),
        (Some("2"), 2),
        (Some("3"), HOPS_MAX),
        (Some("4"), HOPS_MAX),
        (Some("255"), HOPS_MAX),
        (Some("256"), HOPS_MAX),
        (Some("00"), HOPS_MAX),
        (Some("-1"), HOPS_MAX),
        (Some("+1"), HOPS_MAX),
        (Some(" 1"), HOPS_MAX),
        (Some("none"), HOPS_MAX),
        (Some("٠"), HOPS_MAX),
        (Some(""), HOPS_MAX),
    ] {
        assert_eq!(hops(&event(text)), expected, "{text:?}");
    }
}

#[test]
fn of_a_digest_the_event_that_came_farthest_counts() {
    let accepted = |count| Accepted {
        event: event(count),
        seq: 1,
        at: Timestamp::from_secs(0),
    };
    let provider = "nats".parse().expect("a name");
    let mut delivery = Delivery::first(accepted(None), "i1", &provider, 1, 1);
    assert_eq!(hops_of(&delivery), 0);
    delivery.events.push(accepted(Some("2")));
    delivery.events.push(accepted(Some("1")));
    assert_eq!(hops_of(&delivery), 2);
}

#[test]
fn a_count_over_the_limit_is_told_from_the_limit_and_from_none() {
    for (text, expected) in [
        ("0", false),
        ("3", false),
        ("x", false),
        ("", false),
        ("4", true),
        ("99", true),
    ] {
        assert_eq!(is_over(text), expected, "{text}");
    }
}
