use std::time::Duration;

use signalbox_proto::{
    Integration, RawJson, State, Timestamp,
    integration::{Flow, RateLimit, Status, Subscription},
};

use super::Terms;

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn integration(rate_limit: RateLimit) -> Integration {
    Integration {
        id: "i1".into(),
        org: "acme".parse().expect("a name"),
        name: "hook".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        revision: 1,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: Flow {
            rate_limit: Some(rate_limit),
            ..Flow::default()
        },
        created_at: NOW,
        updated_at: NOW,
    }
}

fn minute(limit: u32) -> RateLimit {
    RateLimit {
        per_minute: Some(limit),
        ..RateLimit::default()
    }
}

fn rate(per_second: u32) -> State {
    State {
        drain_per_second: Some(per_second),
        ..State::default()
    }
}

#[test]
fn a_limit_or_a_rate_sets_a_pace_and_nothing_else_does() {
    let unlimited = integration(RateLimit::default());
    assert_eq!(Terms::of(&unlimited, &State::default()), None);
    let waits = State {
        not_before: Some(NOW),
        ..State::default()
    };
    assert_eq!(
        Terms::of(&unlimited, &waits),
        None,
        "it waits, then goes as it is taken"
    );
    assert!(Terms::of(&unlimited, &rate(5)).is_some());
    assert!(Terms::of(&integration(minute(60)), &State::default()).is_some());
    let mut deleted = integration(minute(60));
    deleted.status = Status::Deleted;
    assert_eq!(Terms::of(&deleted, &State::default()), None, "nothing is sent to it");
}

#[test]
fn the_default_limit_of_a_provider_sets_a_pace_too() {
    let mut slack = integration(RateLimit::default());
    slack.provider = "slack".parse().expect("a name");
    assert_eq!(
        Terms::of(&slack, &State::default()),
        None,
        "it has none by its owner's will"
    );
    slack.flow = Flow::default();
    let terms = Terms::of(&slack, &State::default());
    assert_eq!(terms.map(|terms| terms.limit), Some(minute(60)));
}

#[test]
fn a_change_of_any_term_makes_others_of_them() {
    let first = Terms::of(&integration(minute(60)), &rate(5));
    let later = State {
        not_before: Some(NOW + Duration::from_secs(1)),
        ..rate(5)
    };
    let dropping = State {
        drop_before: Some(NOW),
        ..rate(5)
    };
    assert_eq!(first, Terms::of(&integration(minute(60)), &rate(5)));
    for other in [rate(6), later, dropping] {
        assert_ne!(first, Terms::of(&integration(minute(60)), &other));
    }
    assert_ne!(first, Terms::of(&integration(minute(61)), &rate(5)));
}

#[test]
fn what_goes_in_a_second_is_read_at_a_time() {
    let part = |limit, state: &State| Terms::of(&integration(limit), state).map(|terms| terms.part());
    let hour = |limit| RateLimit {
        per_hour: Some(limit),
        ..RateLimit::default()
    };
    assert_eq!(part(minute(600), &State::default()), Some(10));
    assert_eq!(part(minute(1), &State::default()), Some(1));
    assert_eq!(part(minute(1_000_000), &State::default()), Some(256));
    assert_eq!(part(hour(7_200), &State::default()), Some(2));
    // The slower of a limit and a rate.
    assert_eq!(part(minute(600), &rate(3)), Some(3));
    assert_eq!(part(minute(60), &rate(50)), Some(1));
    assert_eq!(part(RateLimit::default(), &rate(50)), Some(50));
}
