//! What an owner is told where a check changed something: an event like any other, so that it can be routed.
//!
//! It is what a worker tells of a suspension that it found, under the same id within a minute: of both that find the
//! same, one is heard.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use signalbox_broker::Broker;
use signalbox_proto::{Event, Integration, RawJson, Timestamp, hash, types};

/// The source of our own events.
const SOURCE: &str = "/signalbox";
/// How long a notice may take to be stored.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// What became of an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Suspended,
    Recovered,
}

impl Kind {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Suspended => "integration.suspended",
            Self::Recovered => "integration.recovered",
        }
    }
}

fn event(kind: Kind, integration: &Integration, reason: &str, now: Timestamp) -> Result<Event, serde_json::Error> {
    let name = &integration.name;
    let message = match kind {
        Kind::Suspended => format!("{name} is suspended: {reason}. Its deliveries wait"),
        Kind::Recovered => format!("{name} works again; what waited is being delivered"),
    };
    let data = json!({
        "integration_id": integration.id,
        "integration": name,
        "provider": integration.provider,
        "reason": reason,
        "count": 1,
        "health_check": true,
        "message": message,
    });
    let minute = now.secs().div_euclid(60);
    Ok(Event {
        id: hash::parts([
            kind.event_type().as_bytes(),
            integration.id.as_bytes(),
            &minute.to_be_bytes(),
        ]),
        org: integration.org.clone(),
        event_type: kind.event_type().parse().expect("our own types are valid"),
        source: SOURCE.to_owned(),
        subject: Some(name.to_string()),
        time: Some(now),
        agent_id: None,
        execution_id: None,
        severity: types::default_severity(kind.event_type()),
        severity_named: false,
        data: RawJson::of(&data)?,
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    })
}

/// Tells it. What it tells of is done already: a notice that cannot be stored in time is logged and not waited for.
pub(super) async fn tell(broker: &Broker, kind: Kind, integration: &Integration, reason: &str, now: Timestamp) {
    let publish = event(kind, integration, reason, now).map_err(|error| error.to_string());
    let publish = publish.and_then(|event| broker.event_publish(&event).map_err(|error| error.to_string()));
    let told = match publish {
        Ok(publish) => {
            let published = broker.publisher().publish_within(publish, TELL_WITHIN).await;
            published.map(|_| ()).map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        let event_type = kind.event_type();
        tracing::warn!(
            error,
            event.r#type = event_type,
            "an event about Signalbox itself could not be stored"
        );
    }
}
