use std::time::Duration;

use signalbox_proto::{Accepted, Delivery, Phase};

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn draining(rate: Option<u32>, drop_before: Option<Timestamp>) -> State {
    State {
        phase: Phase::Draining,
        since: at(100),
        drain_per_second: rate,
        drop_before,
        ..State::default()
    }
}

fn body(since: Timestamp) -> Vec<u8> {
    let event = serde_json::json!({
        "id": "e", "org": "default", "type": "tick", "source": "/test", "severity": "low", "data": {},
    });
    let event = serde_json::from_value(event).expect("an event");
    let accepted = Accepted {
        event,
        seq: 7,
        at: since,
    };
    let provider = "webhook".parse().expect("a name");
    wire::encode(&Delivery::first(accepted, "i", &provider, 1, 1)).expect("it can be written")
}

#[test]
fn a_rate_is_about_what_waited_when_the_drain_began() {
    let state = draining(Some(10), None);
    assert!(is_meant(&body(at(50)), &state, at(60), true));
    assert!(!is_meant(&body(at(110)), &state, at(110), true));
    assert!(
        !is_meant(&body(at(50)), &state, at(60), false),
        "one that is tried again later"
    );
}

#[test]
fn what_is_to_be_dropped_is_waited_for_whatever_is_before_it() {
    let state = draining(None, Some(at(100) - Duration::from_secs(10)));
    assert!(is_meant(&body(at(50)), &state, at(50), false));
    assert!(!is_meant(&body(at(95)), &state, at(95), true));
    assert!(
        !is_meant(b"?", &state, at(50), true),
        "what cannot be read is not waited for"
    );
}

#[test]
fn keys_are_read_from_deliveries_and_states_alike() {
    assert_eq!(key_of("signalbox.ordered.webhook.3.default.i.k").as_deref(), Some("k"));
    assert_eq!(
        key_of("signalbox.orderedhead.webhook.3.default.i.k").as_deref(),
        Some("k")
    );
    assert_eq!(key_of("signalbox.orderedmark.webhook.3.mark"), None);
}
