//! `order`: deliveries of many keys, one after another by key, while requests fail and workers are killed at random.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::{
    super::{
        fleet::{CORE, Roles, WORKER},
        publisher::Pace,
    },
    Promise, Size, Stage,
    chance::Chance,
    findings::Findings,
    witness::{Answer, Arrival},
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[
    ("keys", 100, 1_000),
    ("events", 5_000, 100_000),
    ("rate", 200, 1_000),
    ("workers", 3, 4),
    ("kills", 5, 30),
    ("seed", 1, 1),
];

const EVENT: &str = "bench.ordered";
/// Requests in a hundred that the receiver fails.
const FAILING_PERCENT: u64 = 5;

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let (keys, events, kills) = (size.of("keys"), size.of("events"), size.of("kills"));
    let mut layout: Vec<Roles> = vec![CORE];
    layout.extend((0..size.of("workers")).map(|_| WORKER));
    let fleet = stage.raise(&layout, &[]).await?;
    let ordered = stage.integration(
        0,
        EVENT,
        json!({
            "order_by": "event.data.key",
            "retry": { "schedule": ["1s", "1s", "1s", "2s", "2s", "5s", "5s", "10s", "10s", "10s"] },
        }),
    );
    stage.apply(fleet, &[ordered]).await?;
    stage.witness.answer(0, Answer::Unsteady(FAILING_PERCENT));
    let mut load = stage.load(fleet).await?;
    let run = stage.witness.begin(events);
    stage.say(format!("{events} events of {keys} keys, {kills} kills"));
    let pace = Pace {
        events,
        rate: size.of("rate"),
    };
    let padding = stage.data.clone();
    let data = move |event: u64| Bytes::from(format!("{{\"key\":\"k{}\",\"more\":{padding}}}", event % keys));
    let publishing = load.publish_as("default", run, pace, |_| EVENT.to_owned(), data);
    let killing = kill(stage, fleet, size, pace.at(events));
    let (published, killed) = tokio::join!(publishing, killing);
    published?;
    killed?;
    stage.say("waiting for the rest");
    stage.complete(fleet, run, events).await?;

    let arrivals: Vec<Arrival> = stage.witness.book(|book| book.of(run).copied().collect());
    let seen = judge(&arrivals, keys);
    let delivered = stage.witness.book(|book| book.delivered(run));
    let lost = events - delivered.min(events);
    let doctor = stage.settled(fleet, Some(0)).await?;
    let mut found = Findings::new(Promise::Order, size);
    found.figure("lost", lost);
    found.figure("requests", arrivals.len());
    found.figure("order", &seen);
    found.ledger(&doctor);
    found.always("nothing is lost", lost, lost == 0);
    found.always(
        "no event comes before an earlier one of its key",
        seen.wrong_order,
        seen.wrong_order == 0,
    );
    found.always(
        "none is tried before the one before it was taken",
        seen.overtaken,
        seen.overtaken == 0,
    );
    found.always(
        "what comes twice comes right after itself",
        seen.repeats_apart,
        seen.repeats_apart == 0,
    );
    Ok(found)
}

/// Kills random workers at random moments of a time, and starts each again.
async fn kill(stage: &mut Stage, fleet: usize, size: &Size, time: Duration) -> anyhow::Result<()> {
    let kills = size.of("kills");
    let mut chance = Chance::new(size.of("seed"));
    let workers = stage.fleets[fleet].members(WORKER);
    let Some(apart) = u64::try_from(time.as_millis())?.checked_div(kills) else {
        return Ok(());
    };
    for _ in 0..kills {
        sleep(chance.millis(1..apart.max(1) * 2)).await;
        let worker = workers[usize::try_from(chance.number(0..workers.len() as u64))?];
        stage.fleets[fleet].crash(worker).await?;
    }
    Ok(())
}

/// What the receiver saw of the order.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Order {
    /// Events whose first request came after one of a later event of its key.
    wrong_order: u64,
    /// Events whose first request came while the one before it had not been taken.
    overtaken: u64,
    /// Requests for what had been taken, right after it.
    repeats_adjacent: u64,
    /// The same after a later event of its key.
    repeats_apart: u64,
    /// Requests for what had not been taken.
    retries: u64,
}

/// Reads the requests in the order of their arrival; event `n` is of key `n % keys`.
fn judge(arrivals: &[Arrival], keys: u64) -> Order {
    #[derive(Default)]
    struct Key {
        /// By number within the key: whether it was taken.
        seen: HashMap<u64, bool>,
        last: Option<u64>,
    }
    let mut order = Order::default();
    let mut of: HashMap<u64, Key> = HashMap::new();
    for arrival in arrivals {
        let number = arrival.event / keys;
        let key = of.entry(arrival.event % keys).or_default();
        let behind = key.last.is_some_and(|last| number < last);
        match key.seen.get(&number) {
            None if behind => order.wrong_order += 1,
            None => {
                let before = number.checked_sub(1);
                order.overtaken += u64::from(before.is_some_and(|before| key.seen.get(&before) != Some(&true)));
            }
            Some(true) if key.last == Some(number) => order.repeats_adjacent += 1,
            Some(_) if behind => order.repeats_apart += 1,
            Some(_) => order.retries += 1,
        }
        *key.seen.entry(number).or_default() |= arrival.taken;
        key.last = key.last.max(Some(number));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(event: u64, taken: bool) -> Arrival {
        Arrival {
            run: 0,
            event,
            integration: 0,
            published_us: 0,
            at_us: 0,
            delivery: 0,
            taken,
            first: false,
        }
    }

    fn check(sequence: &[(u64, bool)], expected: Order) {
        let arrivals: Vec<Arrival> = sequence.iter().map(|(event, taken)| arrival(*event, *taken)).collect();
        assert_eq!(judge(&arrivals, 2), expected, "{sequence:?}");
    }

    #[test]
    fn retries_and_adjacent_repeats_are_in_order() {
        // Keys 0 and 1 in turns: what one does is nothing to the other.
        check(
            &[(0, false), (1, true), (0, true), (0, true), (3, true), (2, true)],
            Order {
                retries: 1,
                repeats_adjacent: 1,
                ..Order::default()
            },
        );
    }

    #[test]
    fn what_comes_too_early_too_late_or_again_is_seen() {
        let wrong = Order {
            overtaken: 1,
            wrong_order: 1,
            ..Order::default()
        };
        check(&[(2, true), (0, true)], wrong);
        let overtaken = Order {
            overtaken: 1,
            repeats_apart: 1,
            ..Order::default()
        };
        check(&[(0, false), (2, true), (0, true)], overtaken);
        let again = Order {
            repeats_apart: 1,
            ..Order::default()
        };
        check(&[(0, true), (2, true), (0, true)], again);
    }
}
