use signalbox_proto::{Attempt, Timestamp, outcome::EventRef, outcome::Next};

use super::{Cursor, DeliveryFilter, DeliveryPage, Recorded, merged};
use crate::history::Status;

fn recorded(second: i64, id: &str) -> Recorded {
    let attempt = Attempt {
        delivery: id.to_owned(),
        generation: 0,
        attempt: 1,
        org: "acme".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        integration: "i".to_owned(),
        events: vec![EventRef {
            id: "e".to_owned(),
            source: "/s".to_owned(),
            event_type: "a.b".parse().expect("a type"),
            seq: 1,
            accepted_at: Timestamp::from_secs(second),
            matched: 1,
        }],
        at: Timestamp::from_secs(second),
        duration_ms: 1,
        outcome: None,
        response_code: None,
        response_body: String::new(),
        error_message: None,
        next: Next::Parked,
        next_at: None,
    };
    Recorded::of_attempt(attempt).expect("it has an event").0
}

fn cursor(second: i64, id: &str) -> Cursor {
    Cursor {
        created_at: Timestamp::from_secs(second),
        id: id.to_owned(),
    }
}

fn ids(page: &DeliveryPage) -> Vec<&str> {
    page.items.iter().map(|item| item.id.as_str()).collect()
}

#[test]
fn a_page_of_several_pieces_ends_where_the_first_of_them_was_not_looked_at_any_further() {
    let short = DeliveryPage {
        items: vec![recorded(9, "i"), recorded(5, "e")],
        next: Some(cursor(4, "x")),
    };
    let whole = DeliveryPage {
        items: vec![recorded(7, "g"), recorded(3, "c")],
        next: None,
    };
    let page = merged(vec![short.clone(), whole.clone()], 10);
    assert_eq!(ids(&page), ["i", "g", "e"]);
    assert_eq!(page.next, Some(cursor(4, "x")));
    let page = merged(vec![short, whole], 2);
    assert_eq!(ids(&page), ["i", "g"]);
    assert_eq!(page.next, Some(cursor(7, "g")));
}

#[test]
fn a_delivery_that_changes_between_two_looks_is_listed_once() {
    let piece = || DeliveryPage {
        items: vec![recorded(9, "i")],
        next: None,
    };
    let page = merged(vec![piece(), piece()], 10);
    assert_eq!((ids(&page), page.next.clone()), (vec!["i"], None));
}

#[test]
fn what_is_delivered_is_found_by_its_org_and_all_else_by_its_status() {
    let count = |org: Option<&str>, statuses: &[Status]| {
        let filter = DeliveryFilter {
            org: org.map(str::to_owned),
            statuses: statuses.to_vec(),
            ..DeliveryFilter::default()
        };
        filter.pieces(None).len()
    };
    assert_eq!(count(Some("acme"), &[]), 1);
    assert_eq!(count(Some("acme"), &[Status::Delivered, Status::Dead]), 1);
    assert_eq!(count(Some("acme"), &[Status::Dead, Status::Expired]), 2);
    assert_eq!(count(None, &[Status::Dead, Status::Expired]), 1);
}
