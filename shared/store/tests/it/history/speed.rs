//! How much history is written and how quickly pages are read. Prints figures; run it alone, built for release:
//!
//! `cargo test -p signalbox-store --release --test it -- --ignored --nocapture speed`

use std::time::{Duration, Instant};

use signalbox_proto::Attempt;
use signalbox_store::{
    Kind, Store,
    history::{Cursor, DeliveryFilter, Old, Status},
};

use super::records::{attempts, delivered, failed, owed, record};
use crate::{harness::Database, samples::at};

/// Deliveries that are written, unless `SIGNALBOX_SPEED_DELIVERIES` says otherwise.
const DELIVERIES: u64 = 200_000;
/// Records of one batch.
const BATCH: u64 = 4_096;
/// Pages that are read of each list.
const PAGES: u64 = 400;
/// Rows that are pruned at most.
const PRUNED: u64 = 1_000_000;
/// The kernel's ticks of processor time in a second.
const TICKS: f64 = 100.0;

fn row(number: u64, attempt: Attempt) -> Attempt {
    owed(Attempt {
        integration: format!("0199c0de-0000-7000-8000-{:012}", number % 500),
        ..attempt
    })
}

/// The processor time that this process has had.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / TICKS
}

async fn write(store: &Store, what: &str, count: u64, make: impl Fn(u64) -> Attempt) {
    let (mut took, mut used, mut first) = (Duration::ZERO, 0.0, 1);
    while first <= count {
        let last = (first + BATCH - 1).min(count);
        let batch = attempts((first..=last).map(&make));
        let (began, cpu_before) = (Instant::now(), cpu());
        record(store, &batch).await;
        took += began.elapsed();
        used += cpu() - cpu_before;
        if first % (BATCH * 250) == 1 {
            eprintln!("{:?} {what}: {last} of {count}, {took:.0?}", store.kind());
        }
        first = last + 1;
    }
    eprintln!(
        "{:?} {what}: {:.0} records/s, {:.1} µs of CPU a record",
        store.kind(),
        count as f64 / took.as_secs_f64(),
        used * 1e6 / count as f64
    );
}

/// Prints how long so many reads took.
fn print(store: &Store, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    eprintln!(
        "{:?} {what}: p50 {:?}, p99 {:?}, most {:?}",
        store.kind(),
        at(50),
        at(99),
        at(100)
    );
}

/// Pages one after another from the newest on, and as many from places all over the list.
async fn read(store: &Store, what: &str, filter: &DeliveryFilter, count: u64) {
    let mut times = Vec::new();
    let mut after = None;
    for number in 0..PAGES {
        if number >= PAGES / 2 {
            after = Some(Cursor {
                created_at: at((count * (number % 97) / 97) as i64),
                id: String::new(),
            });
        }
        let began = Instant::now();
        let page = store.deliveries(filter, after.as_ref(), 50).await.unwrap();
        times.push(began.elapsed());
        after = page.next;
    }
    print(store, &format!("page of {what}"), times);
}

/// Single deliveries, and those of an event, all over the table.
async fn look_up(store: &Store, count: u64) {
    let (mut one, mut of_event) = (Vec::new(), Vec::new());
    for number in 0..PAGES {
        let number = count * (number % 97) / 97 + 1;
        let attempt = row(number, delivered(number));
        let began = Instant::now();
        assert!(store.delivery(Some("acme"), &attempt.delivery).await.unwrap().is_some());
        one.push(began.elapsed());
        let event = &attempt.events[0].id;
        let began = Instant::now();
        let found = store.deliveries_of_event("acme", event, None, None, 50).await.unwrap();
        of_event.push(began.elapsed());
        assert_eq!(found.len(), 1);
    }
    print(store, "one delivery", one);
    print(store, "deliveries of an event", of_event);
}

/// Prunes the older half of what was written, a part at a time.
async fn prune(store: &Store, count: u64) {
    let (mut times, mut gone) = (Vec::new(), 0);
    let began = Instant::now();
    while gone < PRUNED.min(count / 2) {
        let began = Instant::now();
        let pruned = store.prune(Old::Deliveries, at((count / 2) as i64)).await.unwrap();
        times.push(began.elapsed());
        if pruned == 0 {
            break;
        }
        gone += pruned;
    }
    eprintln!(
        "{:?} pruned: {:.0} rows/s",
        store.kind(),
        gone as f64 / began.elapsed().as_secs_f64()
    );
    print(store, "a transaction of pruning", times);
}

#[tokio::test]
#[ignore = "prints figures"]
async fn speed() {
    let count = std::env::var("SIGNALBOX_SPEED_DELIVERIES").map_or(DELIVERIES, |count| count.parse().unwrap());
    for database in Database::each().await {
        let store = database.open().await;
        write(&store, "new deliveries", count, |number| row(number, delivered(number))).await;
        let fails = |number| row(number + count, failed(number + count, 1));
        write(&store, "first attempts that fail", count / 10, fails).await;
        let ends = |number| {
            row(
                number + count,
                Attempt {
                    attempt: 2,
                    ..delivered(number + count)
                },
            )
        };
        write(&store, "second attempts", count / 10, ends).await;
        if store.kind() == Kind::Postgres {
            let mut connection = database.connect().await;
            sqlx::query("analyze").execute(&mut connection).await.unwrap();
        }
        let org = DeliveryFilter {
            org: Some("acme".to_owned()),
            ..DeliveryFilter::default()
        };
        let integration = DeliveryFilter {
            integration: Some(row(7, delivered(7)).integration),
            ..org.clone()
        };
        let rare = DeliveryFilter {
            provider: Some("slack".to_owned()),
            ..org.clone()
        };
        let dead = DeliveryFilter {
            statuses: vec![Status::Dead, Status::Expired],
            ..org.clone()
        };
        read(&store, "all", &DeliveryFilter::default(), count).await;
        read(&store, "an org", &org, count).await;
        read(&store, "an integration", &integration, count).await;
        read(&store, "what is not there, a bounded look each", &rare, count).await;
        read(&store, "failed", &dead, count).await;
        look_up(&store, count).await;
        prune(&store, count).await;
        store.close().await;
    }
}
