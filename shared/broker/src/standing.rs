//! What an act means of what was read of a queue, as it stands.
//!
//! A delivery that goes in order and was tried lies twice in ORDERED: as it was queued, and as the state of its key's
//! first. The state counts: it says how often the delivery was tried, when it goes again, and whether it has ended.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use signalbox_proto::{Delivery, act::WaitingFilter, subjects, wire};

use crate::{Broker, Error, browse::Stored, waiting::is_parked};

/// States of keys' firsts that are read at a time.
const AT_ONCE: usize = 16;

/// A delivery that waits, with its message in the queue.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The message.
    pub stored: Stored,
    /// The delivery, with what was tried of it.
    pub delivery: Delivery,
}

impl Broker {
    /// Of what was read of a queue, the deliveries that a filter means. What cannot be read is its worker's to file,
    /// and what has ended and waits to be written down or removed is left out.
    pub async fn covered(
        &self,
        queue: &str,
        read: Vec<Stored>,
        filter: &WaitingFilter,
    ) -> Result<Vec<Standing>, Error> {
        let whatever_status = WaitingFilter {
            status: None,
            ..filter.clone()
        };
        let read = read.into_iter().filter_map(|stored| {
            let delivery = wire::decode_delivery(&stored.body).ok()?;
            whatever_status
                .covers(&delivery, true)
                .then_some(Standing { stored, delivery })
        });
        let read: Vec<Standing> = read.collect();
        let mut firsts = match queue {
            subjects::ORDERED => self.firsts(&read).await?,
            _ => HashMap::new(),
        };
        let stand = read.into_iter().filter_map(|queued| {
            let identity = (queued.delivery.id.clone(), queued.delivery.generation);
            let (parked, delivery) = match firsts.remove(&identity) {
                Some((subject, first)) => (is_parked(queue, &subject, &first), first),
                None => (
                    is_parked(queue, &queued.stored.subject, &queued.delivery),
                    queued.delivery,
                ),
            };
            let meant = filter.covers(&delivery, parked) && delivery.filed.is_none() && !delivery.held;
            meant.then_some(Standing { delivery, ..queued })
        });
        Ok(stand.collect())
    }

    /// The states of the firsts of these deliveries' keys, each with its subject, by delivery and generation.
    async fn firsts(&self, queued: &[Standing]) -> Result<HashMap<(String, u32), (String, Delivery)>, Error> {
        let mut seen = HashSet::new();
        let keys = queued.iter().map(|queued| &queued.delivery);
        let keys = keys.filter(|delivery| seen.insert(delivery.order_key.clone()));
        // As a list, because the compiler cannot follow a borrowing closure into a future that may change threads.
        let asked: Vec<_> = keys.map(|delivery| self.ordered_head(delivery)).collect();
        let found: Vec<Option<(u64, Delivery)>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let each = found.into_iter().flatten().filter_map(|(_, first)| {
            let key = first.order_key.as_ref()?;
            let subject = subjects::ordered_head(&first.provider, &first.org, &first.integration, key);
            Some(((first.id.clone(), first.generation), (subject, first)))
        });
        Ok(each.collect())
    }
}
