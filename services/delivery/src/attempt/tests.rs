use std::collections::BTreeMap;

use serde_json::json;
use signalbox_proto::{Accepted, Event, Name, RawJson, integration::Template, outcome::OutcomeKind, types};
use signalbox_providers::{About, Egress, count::Count, find, http::Response};

use super::*;
use crate::pushers::Pushed;

/// Says what is to come of each push, and notes the events that it was to count.
struct Says(Pushed);

impl Counting for Says {
    async fn push(&self, _: &Client, _: &dyn AnyTarget, _: &Delivery, count: Count) -> Pushed {
        assert_eq!(count.events.len(), 1);
        self.0.clone()
    }
}

fn says(counted: bool, answer: Result<u16, Outcome>) -> Says {
    let response = |status| Response {
        status,
        headers: Default::default(),
        body: "said".into(),
        truncated: false,
    };
    Says(Pushed {
        counted,
        asked: answer.is_ok(),
        answer: answer.map(response),
    })
}

fn delivery() -> Delivery {
    let event = Event {
        id: "e-1".to_owned(),
        org: Name::default_org(),
        event_type: "tick".parse().expect("a type"),
        source: "/default".to_owned(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: types::default_severity("tick"),
        severity_named: false,
        data: RawJson::of(&json!({})).expect("JSON"),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 1,
        at: Timestamp::from_secs(1),
    };
    Delivery::first(accepted, "i-1", &"webhook".parse().expect("a name"), 1, 1)
}

fn about() -> About {
    About {
        integration: "i-1".to_owned(),
        name: "own".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(1),
    }
}

async fn attempt(body: &str) -> Attempted {
    let about = about();
    let template = Template {
        title: None,
        body: Some(body.to_owned()),
    };
    let target = find("webhook")
        .expect("built in")
        .open_with_template(
            json!({ "url": "https://127.0.0.1:9/" }),
            json!({}),
            about,
            Some(&template),
        )
        .expect("a target");
    let client = Client::new(Egress::default()).expect("a client");
    let nothing = says(false, Err(Outcome::Delivered));
    send(&client, &nothing, &Arc::from(target), &delivery()).await
}

/// An attempt of a delivery that is counted.
async fn count(says: &Says, delivery: &Delivery) -> Attempted {
    let config = json!({ "pushgateway_url": "https://push.example.com" });
    let target = find("prometheus")
        .expect("built in")
        .open(config, json!({}), about())
        .expect("a target");
    let client = Client::new(Egress::default()).expect("a client");
    send(&client, says, &Arc::from(target), delivery).await
}

#[tokio::test]
async fn what_was_counted_and_not_pushed_is_carried_on_to_the_attempt_in_which_it_is() {
    let mut delivery = delivery();
    let away = Outcome::Retry {
        reason: "away".to_owned(),
        after: None,
    };
    // Not even counted.
    let attempted = count(&says(false, Err(away.clone())), &delivery).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, false));
    assert_eq!(attempted.steps, []);
    // Counted, and not pushed: because of the gateway, then of ours.
    let attempted = count(&says(true, Ok(503)), &delivery).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, true));
    assert_eq!(
        (attempted.response_code, &*attempted.response_body),
        (Some(503), "said")
    );
    delivery.steps = attempted.steps;
    assert!(pushers::is_counted(&delivery));
    let attempted = count(&says(false, Err(away)), &delivery).await;
    delivery.steps = attempted.steps;
    assert!(pushers::is_counted(&delivery), "it stays counted");
    let attempted = count(&says(true, Ok(200)), &delivery).await;
    assert_eq!(attempted.outcome, Outcome::Delivered);
    assert_eq!(attempted.response_code, Some(200));
}

#[tokio::test]
async fn a_text_that_cannot_be_made_is_rejected_without_asking_the_target() {
    let attempted = attempt("{{ event.data.n }}").await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Reject);
    assert!(!attempted.asked);
    assert_eq!(attempted.response_code, None);
    let reason = attempted.outcome.reason().expect("a reason");
    assert!(
        reason.starts_with("template: body: what it made is not JSON: "),
        "{reason}"
    );
}

#[tokio::test]
async fn a_request_that_found_nobody_is_one_all_the_same() {
    let attempted = attempt("{}").await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Suspend, "the address is private");
    assert!(attempted.asked);
}
