//! Keys that wait for a person behind a dead delivery, and whether they still have to.

use std::time::Duration;

use signalbox_proto::{Delivery, Name, Timestamp, subjects, wire};

use crate::{Broker, Error};

/// States of keys' firsts read at a time.
const PART: usize = 500;

impl Broker {
    /// Lets the keys of an integration go that have waited for so long for a person to settle a dead letter that is
    /// settled, or that is not kept any more. Returns the dead deliveries that held them.
    pub async fn release_settled(
        &self,
        provider: &Name,
        org: &Name,
        integration: &str,
        waited: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let now = Timestamp::now();
        let [_, heads] = subjects::ordered_waiting(provider, org, Some(integration));
        let mut held = Vec::new();
        let mut next = 1;
        loop {
            let part = self.read_from(subjects::ORDERED, &heads, next, PART).await?;
            let Some(last) = part.last() else { break };
            next = last.seq + 1;
            let old = part.into_iter().filter(|stored| stored.at + waited <= now);
            held.extend(old.filter_map(|stored| {
                // What cannot be read is its worker's to file.
                let head = wire::decode_delivery(&stored.body).ok().filter(|head| head.held)?;
                Some((head.letter?, head))
            }));
        }
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let marks = self.marks().await?;
        let mut released = Vec::new();
        for (letter, head) in held {
            let settled = marks.is_settled(letter) || !self.has_letter(letter).await?;
            if settled && self.release_ordered(&head).await? {
                released.push(head);
            }
        }
        Ok(released)
    }

    async fn has_letter(&self, seq: u64) -> Result<bool, Error> {
        let found = self.read_from(subjects::DEAD, subjects::DEAD_ALL, seq, 1).await?;
        Ok(found.first().is_some_and(|found| found.seq == seq))
    }
}
