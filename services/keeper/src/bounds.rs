//! Which high-water marks what waits is above, and how long the storage lasts.
//!
//! Pure. A mark that was passed holds until there is a tenth less, so that a door does not open and shut with every
//! look.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use signalbox_broker::{bounds::Size, waiting::Look};
use signalbox_proto::{
    Name, Timestamp,
    bounds::{Budget, Crowded, Marks, Over, Share, WAITING},
    subjects,
};

use crate::Config;

/// Below this part of its mark, in percent, something is below it again.
const RELIEVED_PERCENT: u64 = 90;
/// How full of its share DEAD may be of inputs that are refused, in percent: what is left is for all else that ends there.
const REFUSALS_PERCENT: u64 = 50;
/// Crowded integrations that are named.
const CROWDED_MAX: usize = 100;
/// Looks that growth is told from.
const LOOKS_MAX: usize = 30;
/// Looks that marks hold for, and a while more.
const HOLDS_LOOKS: u64 = 3;
const HOLDS_SECS: u64 = 60;

/// What a look found above its marks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) marks: Marks,
    /// Integrations above their mark, those too that are not named.
    pub(crate) crowded: usize,
}

/// Whether something is above its mark, where it was or was not before.
fn over(is: u64, mark: u64, was: bool) -> Option<Over> {
    let from = if was { percent(mark, RELIEVED_PERCENT) } else { mark };
    (is > from).then_some(Over { is, mark })
}

/// The same of a setting, where 0 is no mark.
fn over_setting(is: u64, mark: u64, was: bool) -> Option<Over> {
    over(is, mark, was).filter(|over| over.mark > 0)
}

fn percent(of: u64, percent: u64) -> u64 {
    of / 100 * percent + of % 100 * percent / 100
}

/// The marks that something is above, after those of the look before.
///
/// Of a look that was cut short the counts are lower bounds: what was above its mark before stays so.
pub(crate) fn judge(before: &Marks, look: &Look, budget: &Budget, config: &Config) -> Judged {
    let mut totals = BTreeMap::<&str, u64>::new();
    let mut integrations = Vec::new();
    for one in &look.integrations {
        *totals.entry(&one.org).or_default() += one.total();
        let was = before
            .integrations
            .iter()
            .any(|crowded| crowded.integration == one.integration);
        if let Some(over) = over_setting(one.total(), config.waiting_integration_max, was) {
            integrations.push(Crowded {
                org: one.org.clone(),
                integration: one.integration.clone(),
                over,
            });
        }
    }
    let orgs = totals.into_iter().filter_map(|(org, total)| {
        let org: Name = org.parse().ok()?;
        let over = over_setting(total, config.waiting_org_max, before.orgs.contains_key(&org))?;
        Some((org, over))
    });
    let mut orgs: BTreeMap<Name, Over> = orgs.collect();
    if look.cut {
        for (org, over) in before.orgs.iter().filter(|_| config.waiting_org_max > 0) {
            orgs.entry(org.clone()).or_insert(*over);
        }
        for crowded in before
            .integrations
            .iter()
            .filter(|_| config.waiting_integration_max > 0)
        {
            if integrations
                .iter()
                .all(|known| known.integration != crowded.integration)
            {
                integrations.push(crowded.clone());
            }
        }
    }
    integrations.sort_by_key(|crowded| std::cmp::Reverse(crowded.over.is));
    let crowded = integrations.len();
    integrations.truncate(CROWDED_MAX);
    let share = |name: &str| budget.shares.iter().find(|share| share.name == name);
    let storage = share(WAITING).and_then(|share| {
        let mark = percent(share.share_bytes, config.storage_high_percent);
        over(share.bytes, mark, before.storage.is_some())
    });
    let dead = share(subjects::DEAD).map(|share| (share.bytes, percent(share.share_bytes, REFUSALS_PERCENT)));
    let refusals = dead.and_then(|(is, mark)| over(is, mark, before.refusals_full));
    let marks = Marks {
        orgs,
        integrations,
        storage,
        refusals_full: refusals.is_some(),
        refusals_left: dead.map(|(is, mark)| mark.saturating_sub(is)),
        holds_secs: config.look_every_s * HOLDS_LOOKS + HOLDS_SECS,
    };
    Judged { marks, crowded }
}

/// What was found at the last looks.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<(Timestamp, Vec<(String, u64)>)>);

impl History {
    /// Takes in what streams hold now, and says how it stands with the budget.
    ///
    /// Streams with a bound have that as their share. What is left of the budget beside what they hold is the share of
    /// what waits: it may use the room that events and dead letters do not, and never more than the disk was given.
    pub(crate) fn budget(&mut self, sizes: &[Size], storage_bytes: u64, now: Timestamp) -> Budget {
        let on_disk = || sizes.iter().filter(|size| size.on_disk);
        let bounded = on_disk().filter_map(|size| Some((size, size.bytes_max?)));
        let mut shares: Vec<Share> = bounded
            .map(|(size, most)| Share {
                name: size.name.clone(),
                bytes: size.bytes,
                share_bytes: most,
                ..Share::default()
            })
            .collect();
        let held: u64 = shares.iter().map(|share| share.bytes).sum();
        let waiting = on_disk().filter(|size| holds_what_waits(&size.name));
        shares.push(Share {
            name: WAITING.into(),
            bytes: waiting.clone().map(|size| size.bytes).sum(),
            share_bytes: storage_bytes.saturating_sub(held),
            ..Share::default()
        });
        shares.extend(waiting.map(|size| Share {
            name: size.name.clone(),
            bytes: size.bytes,
            ..Share::default()
        }));
        if self.0.len() >= LOOKS_MAX {
            self.0.pop_front();
        }
        let found = shares.iter().map(|share| (share.name.clone(), share.bytes)).collect();
        self.0.push_back((now, found));
        for share in &mut shares {
            share.growth = self.growth(share, now);
            share.full_in_secs = full_in(share);
        }
        shares.sort_by(|left, right| left.name.cmp(&right.name));
        Budget { at: now, shares }
    }

    /// Bytes a second since the oldest look that knows it.
    fn growth(&self, share: &Share, now: Timestamp) -> i64 {
        let of = |found: &[(String, u64)]| {
            found
                .iter()
                .find(|(name, _)| *name == share.name)
                .map(|(_, bytes)| *bytes)
        };
        let first = self.0.iter().find_map(|(at, found)| Some((*at, of(found)?)));
        let Some((at, bytes)) = first.filter(|(at, _)| now.since(*at) >= Duration::from_secs(1)) else {
            return 0;
        };
        let grown = i128::from(share.bytes) - i128::from(bytes);
        let millis = i128::try_from(now.since(at).as_millis()).unwrap_or(i128::MAX);
        i64::try_from(grown * 1_000 / millis).unwrap_or_default()
    }
}

fn full_in(share: &Share) -> Option<u64> {
    let growth = u64::try_from(share.growth).ok().filter(|growth| *growth > 0)?;
    let left = share
        .share_bytes
        .checked_sub(share.bytes)
        .filter(|_| share.share_bytes > 0)?;
    Some(left / growth)
}

/// Whether a stream holds deliveries that wait. They have no bound of their own: one would drop the oldest.
fn holds_what_waits(stream: &str) -> bool {
    [subjects::PARKED, subjects::BATCH, subjects::ORDERED].contains(&stream)
        || subjects::provider_of_stream(stream).is_some()
}

#[cfg(test)]
mod tests;
