use serde_json::json;
use signalbox_proto::Name;
use signalbox_providers::{About, Egress, Step, find};

use super::*;
use crate::decide::tests::delivery;

fn waiting(revision: u64, gateway: &str) -> Waiting {
    let about = About {
        integration: "i1".to_owned(),
        name: "metrics".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(1),
    };
    let config = json!({ "pushgateway_url": gateway });
    let target = find("prometheus").expect("built in").open(config, json!({}), about);
    let first = target.expect("a target").next(&delivery(), &[], Timestamp::now());
    let Step::Send(Request::Count(count)) = first else {
        panic!("{first:?}");
    };
    Waiting {
        revision,
        mark: Mark::of(&delivery()),
        events: count.events,
        push: count.push,
        client: Client::new(Egress::default()).expect("a client"),
        timeout: Duration::from_secs(1),
        tell: oneshot::channel().0,
    }
}

#[tokio::test]
async fn a_push_goes_by_the_newest_settings_whichever_delivery_came_last() {
    let batch = [
        waiting(3, "https://old.example.com"),
        waiting(7, "https://new.example.com"),
        waiting(4, "https://old.example.com"),
    ];
    let request = newest(&batch).expect("one").push.request(&Totals::default());
    assert_eq!(request.url.host_str(), Some("new.example.com"));
    assert!(newest(&[]).is_none());
}
