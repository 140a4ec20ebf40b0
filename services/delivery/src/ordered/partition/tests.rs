use signalbox_proto::{Accepted, Event};

use super::*;

fn delivery() -> Delivery {
    let event = serde_json::json!({
        "id": "e", "org": "acme", "type": "tick", "source": "/test", "severity": "low", "data": { "k": [1, 2] },
    });
    let event: Event = serde_json::from_value(event).expect("an event");
    let accepted = Accepted {
        event,
        seq: 7,
        at: Timestamp::from_secs(60),
    };
    let provider = "webhook".parse().expect("a name");
    Delivery {
        order_key: Some("k".into()),
        ..Delivery::first(accepted, "i", &provider, 1, 1)
    }
}

fn glance(delivery: &Delivery, key: &str) -> Result<Glance, String> {
    Glance::at(&wire::encode(delivery).expect("it can be written"), key)
}

#[test]
fn a_glance_sees_the_place_of_a_delivery() {
    let delivery = delivery();
    let seen = glance(&delivery, "k").expect("it can be read");
    assert_eq!((seen.integration.as_str(), seen.org.as_str()), ("i", "acme"));
    let queued = Queued {
        event: 7,
        generation: 0,
        seq: 12,
        since: Timestamp::from_secs(60),
    };
    assert_eq!(seen.queued(12), queued);
}

#[test]
fn a_glance_sees_the_state_of_a_delivery() {
    let state = Delivery {
        generation: 3,
        due: Some(Timestamp::from_secs(90)),
        probe: true,
        held: true,
        ..delivery()
    };
    let seen = glance(&state, "k").expect("it can be read");
    let head = seen.head(13, Timestamp::from_secs(61));
    assert_eq!(
        (&*head.id, head.event, head.generation, head.seq),
        (&*state.id, 7, 3, 13)
    );
    assert_eq!((head.due, head.probe, head.held), (state.due, true, true));
}

#[test]
fn what_lies_with_another_key_or_has_no_event_is_not_taken() {
    assert!(glance(&delivery(), "another").is_err());
    let empty = Delivery {
        events: Vec::new(),
        ..delivery()
    };
    assert!(glance(&empty, "k").is_err());
    assert!(Glance::at(b"?", "k").is_err());
}
