//! Which issue a delivery is about.

use signalbox_proto::{Delivery, Event, hash};

use super::said::Said;
use crate::{
    entity::{Entity, Part, SYSTEM},
    things::Thing,
};

/// Families of events that tell of one spec, from its draft to the merge.
const LIFE: [&str; 3] = ["spec.", "implementation.", "pr."];
/// Longest name of a thing, in bytes; longer ones end in a hash.
const NAME_BYTES_MAX: usize = 512;
/// Begins every marker.
const MARKER: &str = "signalbox-";

/// Whether an event of this type tells of the life of a spec.
pub(super) fn is_of_life(event_type: &str) -> bool {
    LIFE.iter().any(|family| event_type.starts_with(family))
}

/// What a delivery is about: a spec by `data.spec.id`, whatever the type; else what [`Entity`] names, where the events of a
/// spec's life are one family. A digest is a thing of its own, and so is an event that names nothing and belongs to no pair:
/// an issue for all such events together would be about none of them.
pub(super) fn of(delivery: &Delivery) -> Thing {
    if delivery.is_digest() {
        return Thing::Own;
    }
    by(delivery, &Said::of(&delivery.event().event))
}

/// As [`of`], where its data is read already.
pub(super) fn by(delivery: &Delivery, said: &Said) -> Thing {
    match &said.spec_id {
        _ if delivery.is_digest() => Thing::Own,
        Some(id) => Thing::Named(format!("spec/{id}")),
        None => named(&delivery.event().event),
    }
}

fn named(event: &Event) -> Thing {
    let entity = Entity::of(event);
    let agent = event.agent_id.as_deref();
    let says_more = entity.name != SYSTEM && Some(&*entity.name) != agent;
    if is_of_life(event.event_type.as_str()) && says_more {
        return Thing::Named(format!("spec/{}", entity.name.trim()));
    }
    if entity.part == Part::Alone && entity.name == SYSTEM {
        return Thing::Own;
    }
    Thing::Named(entity.key("", NAME_BYTES_MAX))
}

/// What is left at the target: on the issue of a round where `part` is empty, else on a part of it.
pub(super) fn marker(integration: &str, thing: &str, round: &str, part: &str) -> String {
    let parts = [
        &b"tracker"[..],
        integration.as_bytes(),
        thing.as_bytes(),
        round.as_bytes(),
        part.as_bytes(),
    ];
    format!("{MARKER}{}", hash::parts(parts))
}
