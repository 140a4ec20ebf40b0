use std::collections::BTreeMap;

use super::*;
use crate::{Accepted, Event, RawJson, Severity};

fn delivery() -> Delivery {
    let event = Event {
        id: "1".to_owned(),
        org: "acme".parse().expect("a name"),
        event_type: "a.b".parse().expect("a type"),
        source: "/acme".to_owned(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::default(),
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 7,
        at: Timestamp::from_secs(100),
    };
    Delivery::first(accepted, "0199", &"webhook".parse().expect("a name"), 3, 1)
}

fn all() -> WaitingFilter {
    WaitingFilter {
        org: "acme".parse().expect("a name"),
        ids: Vec::new(),
        integration: None,
        provider: None,
        event_type: None,
        status: None,
        since: None,
        until: Timestamp::from_secs(101),
    }
}

#[test]
fn every_condition_that_is_given_must_hold() {
    let id = delivery().id;
    let with = |change: fn(&mut WaitingFilter, String)| {
        let mut filter = all();
        change(&mut filter, id.clone());
        filter.covers(&delivery(), false)
    };
    assert!(all().covers(&delivery(), true));
    assert!(with(|filter, id| filter.ids = vec!["x".to_owned(), id]));
    assert!(!with(|filter, _| filter.ids = vec!["x".to_owned()]));
    assert!(with(|filter, _| filter.integration = Some("0199".to_owned())));
    assert!(!with(|filter, _| filter.integration = Some("0198".to_owned())));
    assert!(with(|filter, _| filter.event_type = Some("a.b".to_owned())));
    assert!(!with(|filter, _| filter.event_type = Some("a".to_owned())));
    assert!(!with(|filter, _| filter.provider = "slack".parse().ok()));
    assert!(!with(|filter, _| filter.org = Name::default_org()));
    assert!(with(|filter, _| filter.since = Some(Timestamp::from_secs(100))));
    assert!(!with(|filter, _| filter.since = Some(Timestamp::from_secs(101))));
    assert!(
        !with(|filter, _| filter.until = Timestamp::from_secs(100)),
        "before, not at"
    );
}

#[test]
fn how_a_delivery_waits_follows_from_where_and_from_its_attempts() {
    let tried = Delivery {
        attempt: 2,
        ..delivery()
    };
    assert_eq!(Wait::of(&delivery(), false), Wait::Pending);
    assert_eq!(Wait::of(&tried, false), Wait::Retrying);
    assert_eq!(Wait::of(&tried, true), Wait::Parked);
}
