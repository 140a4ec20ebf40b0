//! Room in the lanes of an act's targets: what a slow one has not taken yet holds the act back.
//!
//! Without it, what finds no place in a worker would be parked, and live deliveries behind it.

use std::{collections::BTreeMap, time::Duration};

use signalbox_broker::Error;
use signalbox_proto::Name;
use tokio::time::Instant;

use crate::{Keeper, pace::Window, view::View};

/// How long one chunk waits for room at most: one target that stands still slows an act on many down, and does not
/// stop it. What it has not taken then waits in the bulk lane, and after that in PARKED.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Room for so many is enough for a chunk.
const ENOUGH: u64 = 32;
/// Targets of one chunk that are looked at; one with more is spread so thinly that none fills.
const TARGETS_MAX: usize = 8;

/// What is known of the lanes of the targets.
#[derive(Debug, Default)]
pub(crate) struct Room(BTreeMap<String, Window>);

impl Room {
    /// Waits a while until the lanes have room for so many deliveries to each target; ends early when `over`.
    pub(crate) async fn wait(
        &mut self,
        keeper: &Keeper,
        targets: &BTreeMap<(Name, String), u64>,
        over: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let until = Instant::now() + WAIT_MAX;
        for ((provider, integration), wanted) in targets.iter().take(TARGETS_MAX) {
            let window = self.0.entry(integration.clone()).or_insert_with(Window::new);
            let org = |view: &View| view.integrations.get(integration).map(|known| known.org.clone());
            let Some(org) = keeper.view.read(org) else { continue };
            loop {
                let there = keeper.broker.in_lanes(provider, &org, integration).await?;
                if window.more(there) >= (*wanted).min(ENOUGH) || over() || Instant::now() >= until {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
