use std::collections::BTreeMap;

use serde_json::json;
use signalbox_proto::{Accepted, Event, Name, RawJson, integration::Template, outcome::OutcomeKind, types};
use signalbox_providers::{About, Egress, find};

use super::*;

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

async fn attempt(body: &str) -> Attempted {
    let about = About {
        integration: "i-1".to_owned(),
        name: "own".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(1),
    };
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
    send(&client, &Arc::from(target), &delivery()).await
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
