//! `digest`: events that go out in digests while keeper, workers and router are killed inside a window.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::{
    super::{
        fleet::{Roles, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    chance::Chance,
    findings::Findings,
    witness::Arrival,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("events", 10_000, 10_000),
    ("rate", 400, 200),
    ("kills", 6, 15),
    ("seed", 1, 1),
];

const EVENT: &str = "bench.batched";
const WINDOW_S: u64 = 10;
const EVENTS_MAX: usize = 1_000;
/// Each may be killed alone.
const DOORS: Roles = &["ingest", "api"];
const ROUTER: Roles = &["router"];
const KEEPER: Roles = &["keeper"];

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let (events, kills) = (size.of("events"), size.of("kills"));
    let fleet = stage.raise(&[DOORS, ROUTER, KEEPER, WORKER], &[]).await?;
    let batch = json!({ "batch": { "window": format!("{WINDOW_S}s"), "events_max": EVENTS_MAX } });
    let batched = stage.integration(0, EVENT, batch);
    stage.apply(fleet, &[batched]).await?;
    let mut load = stage.load(fleet).await?;
    let run = stage.witness.begin(events);
    stage.say(format!("{events} events in windows of {WINDOW_S} s, {kills} kills"));
    let pace = Pace {
        events,
        rate: size.of("rate"),
    };
    let publishing = load.publish(run, pace, |_| EVENT.to_owned());
    let killing = kill(stage, fleet, size, pace.at(events));
    let (published, killed) = tokio::join!(publishing, killing);
    published?;
    killed?;
    stage.say("waiting for the last digests");
    stage.complete(fleet, run, events).await?;

    let arrivals: Vec<Arrival> = stage.witness.book(|book| book.of(run).copied().collect());
    let (delivered, unreadable) = stage.witness.book(|book| (book.delivered(run), book.unreadable()));
    let seen = judge(&arrivals);
    let lost = events - delivered.min(events);
    let doctor = stage.settled(fleet, Some(0)).await?;
    let mut found = Findings::new(Promise::Digest, size);
    found.figure("lost", lost);
    found.figure("digests", &seen);
    found.figure("unreadable", unreadable);
    found.ledger(&doctor);
    found.always("nothing is lost", lost, lost == 0);
    found.always(
        "each event is in one digest alone",
        seen.in_several,
        seen.in_several == 0,
    );
    found.always(
        "a digest that comes again has the same members",
        seen.changed,
        seen.changed == 0,
    );
    found.always(
        format!("a digest has at most {EVENTS_MAX} events"),
        seen.members_most,
        seen.members_most <= EVENTS_MAX,
    );
    Ok(found)
}

/// Kills keeper, worker and router in turns at random moments of a time, and starts each again.
async fn kill(stage: &mut Stage, fleet: usize, size: &Size, time: Duration) -> anyhow::Result<()> {
    let kills = size.of("kills");
    let mut chance = Chance::new(size.of("seed"));
    let Some(apart) = u64::try_from(time.as_millis())?.checked_div(kills) else {
        return Ok(());
    };
    for kill in 0..kills {
        sleep(chance.millis(1..apart.max(1) * 2)).await;
        let role = match kill % 3 {
            0 => KEEPER,
            1 => WORKER,
            _ => ROUTER,
        };
        for number in stage.fleets[fleet].members(role) {
            stage.fleets[fleet].crash(number).await?;
        }
    }
    Ok(())
}

/// What the receiver saw of digests.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Digests {
    /// Digests by id, and requests for them.
    ids: usize,
    requests: usize,
    /// Events that were in more than one.
    in_several: usize,
    /// Digests that came again with other members.
    changed: usize,
    members_least: usize,
    members_most: usize,
}

fn judge(arrivals: &[Arrival]) -> Digests {
    let mut of_event: HashMap<u64, BTreeSet<u64>> = HashMap::new();
    // One request is one moment of one id.
    let mut requests: BTreeMap<(u64, u64), BTreeSet<u64>> = BTreeMap::new();
    for arrival in arrivals {
        of_event.entry(arrival.event).or_default().insert(arrival.delivery);
        requests
            .entry((arrival.delivery, arrival.at_us))
            .or_default()
            .insert(arrival.event);
    }
    let mut digests: HashMap<u64, &BTreeSet<u64>> = HashMap::new();
    let mut changed = BTreeSet::new();
    for ((id, _), members) in &requests {
        if *digests.entry(*id).or_insert(members) != members {
            changed.insert(*id);
        }
    }
    let sizes = || digests.values().map(|members| members.len());
    Digests {
        ids: digests.len(),
        requests: requests.len(),
        in_several: of_event.values().filter(|digests| digests.len() > 1).count(),
        changed: changed.len(),
        members_least: sizes().min().unwrap_or_default(),
        members_most: sizes().max().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(delivery: u64, at_us: u64, events: &[u64]) -> impl Iterator<Item = Arrival> {
        events.iter().map(move |event| Arrival {
            run: 0,
            event: *event,
            integration: 0,
            published_us: 0,
            at_us,
            delivery,
            taken: true,
            first: false,
        })
    }

    #[test]
    fn an_event_in_two_digests_and_a_digest_that_changes_are_seen() {
        let check = |requests: Vec<Arrival>, in_several, changed| {
            let seen = judge(&requests);
            assert_eq!((seen.in_several, seen.changed), (in_several, changed), "{seen:?}");
        };
        check(request(1, 5, &[1, 2]).chain(request(1, 6, &[1, 2])).collect(), 0, 0);
        check(request(1, 5, &[1, 2]).chain(request(2, 6, &[2, 3])).collect(), 1, 0);
        check(request(1, 5, &[1, 2]).chain(request(1, 6, &[1])).collect(), 0, 1);
    }
}
