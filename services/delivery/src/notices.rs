//! What Signalbox tells about itself: events like any other, so that they can be routed.
//!
//! At most one of a kind for an integration in a minute, with a count; and a delivery of such an
//! event never causes another.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use signalbox_broker::Broker;
use signalbox_proto::{Delivery, Event, EventType, RawJson, Timestamp, hash, types};

/// The source of our own events.
pub(crate) const SOURCE: &str = "/signalbox";

/// How long a notice may take to be stored.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// Integrations and kinds remembered before those silent for an hour are looked for.
const SAID_MAX: usize = 10_000;
/// One that has said nothing for so many minutes is forgotten.
const SILENT_MINUTES: i64 = 60;

/// Kinds of notices, each an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Dead,
    Failing,
    Suspended,
    Recovered,
}

impl Kind {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Dead => "delivery.dead",
            Self::Failing => "delivery.failing",
            Self::Suspended => "integration.suspended",
            Self::Recovered => "integration.recovered",
        }
    }
}

/// What this worker has said of late.
#[derive(Debug)]
pub(crate) struct Notices {
    /// By integration and kind: the minute last spoken in, and how many were kept back since.
    said: HashMap<(String, Kind), (i64, u64)>,
    /// How many there may be before the silent ones are looked for again.
    sweep_at: usize,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            said: HashMap::new(),
            sweep_at: SAID_MAX,
        }
    }
}

/// Whether a delivery carries one of our own events.
pub(crate) fn is_own(delivery: &Delivery) -> bool {
    delivery.events.iter().any(|accepted| {
        let event = &accepted.event;
        event.source == SOURCE
            && [Kind::Dead, Kind::Failing, Kind::Suspended, Kind::Recovered]
                .iter()
                .any(|kind| kind.event_type() == event.event_type.as_str())
    })
}

impl Notices {
    /// The event to publish, if one is due now.
    pub(crate) fn make(
        &mut self,
        kind: Kind,
        delivery: &Delivery,
        name: &str,
        reason: &str,
        now: Timestamp,
    ) -> Option<Event> {
        if is_own(delivery) {
            return None;
        }
        let minute = now.secs().div_euclid(60);
        if self.said.len() >= self.sweep_at {
            self.said.retain(|_, (last, _)| minute - *last <= SILENT_MINUTES);
            self.sweep_at = (self.said.len() * 2).max(SAID_MAX);
        }
        let (last, kept) = self
            .said
            .entry((delivery.integration.clone(), kind))
            .or_insert((i64::MIN, 0));
        if *last == minute {
            *kept += 1;
            return None;
        }
        *last = minute;
        let count = std::mem::take(kept) + 1;
        let data = serde_json::json!({
            "integration_id": delivery.integration,
            "integration": name,
            "provider": delivery.provider,
            "delivery_id": delivery.id,
            "event_id": delivery.event().event.id,
            "event_type": delivery.event().event.event_type,
            "reason": reason,
            "count": count,
            "message": message(kind, name, reason, count),
        });
        let id = hash::parts([
            kind.event_type().as_bytes(),
            delivery.integration.as_bytes(),
            &minute.to_be_bytes(),
        ]);
        Some(Event {
            id,
            org: delivery.org.clone(),
            event_type: kind.event_type().parse::<EventType>().expect("our own types are valid"),
            source: SOURCE.into(),
            subject: Some(name.to_owned()),
            time: Some(now),
            agent_id: None,
            execution_id: None,
            severity: types::default_severity(kind.event_type()),
            severity_named: false,
            data: RawJson::of(&data).ok()?,
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: BTreeMap::new(),
        })
    }
}

fn message(kind: Kind, name: &str, reason: &str, count: u64) -> String {
    match kind {
        Kind::Dead if count == 1 => format!("A delivery to {name} was given up: {reason}"),
        Kind::Dead => format!("{count} deliveries to {name} were given up, the last of them: {reason}"),
        Kind::Failing => format!("Deliveries to {name} fail and are tried again: {reason}"),
        Kind::Suspended => format!("{name} is suspended: {reason}. Its deliveries wait"),
        Kind::Recovered => format!("{name} works again; what waited is being delivered"),
    }
}

/// The notices without the one of a recovery, which is told by whoever has let the integration go, and by nobody else.
pub(crate) fn without_recovery(notices: Vec<Event>) -> Vec<Event> {
    let recovered = Kind::Recovered.event_type();
    let others = notices
        .into_iter()
        .filter(|event| event.event_type.as_str() != recovered);
    others.collect()
}

/// Publishes notices, if there are any. Their ids make a repeat one event. What they tell of has been
/// filed already: a notice that cannot be stored in time is logged and not waited for.
pub(crate) async fn tell(broker: &Broker, notices: impl IntoIterator<Item = Event>) {
    for event in notices {
        tell_one(broker, &event).await;
    }
}

async fn tell_one(broker: &Broker, event: &Event) {
    let told = match broker.event_publish(event) {
        Ok(publish) => broker
            .publisher()
            .publish_within(publish, TELL_WITHIN)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        tracing::warn!(error, event.r#type = %event.event_type, "an event about Signalbox itself could not be stored");
    }
}

#[cfg(test)]
mod tests;
