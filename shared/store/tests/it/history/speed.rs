//! How much history is written and how quickly pages are read. Prints figures; run it alone, built for release:
//!
//! `cargo test -p signalbox-store --release --test it -- --ignored --nocapture speed`

use std::time::{Duration, Instant};

use signalbox_proto::Attempt;
use signalbox_store::{
    Kind, Store,
    history::{DeliveryFilter, Status},
};

use super::records::{attempts, delivered, failed, owed, record};
use crate::harness::Database;

/// Deliveries that are written, unless `SIGNALBOX_SPEED_DELIVERIES` says otherwise.
const DELIVERIES: u64 = 200_000;
/// Records of one batch.
const BATCH: u64 = 4_096;
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
    let (mut batches, mut first) = (Vec::new(), 1);
    while first <= count {
        let last = (first + BATCH - 1).min(count);
        batches.push((first..=last).map(&make).collect::<Vec<_>>());
        first = last + 1;
    }
    let (began, cpu_before) = (Instant::now(), cpu());
    for batch in batches {
        record(store, &attempts(batch)).await;
    }
    let (took, used) = (began.elapsed().as_secs_f64(), cpu() - cpu_before);
    eprintln!(
        "{:?} {what}: {:.0} records/s, {:.1} µs of CPU a record",
        store.kind(),
        count as f64 / took,
        used * 1e6 / count as f64
    );
}

async fn read(store: &Store, what: &str, filter: &DeliveryFilter) {
    let mut times = Vec::new();
    let mut after = None;
    for _ in 0..200 {
        let began = Instant::now();
        let page = store.deliveries(filter, after.as_ref(), 50).await.unwrap();
        times.push(began.elapsed());
        after = page.next;
    }
    times.sort_unstable();
    let (p50, p99): (Duration, Duration) = (times[100], times[197]);
    eprintln!("{:?} page of {what}: p50 {p50:?}, p99 {p99:?}", store.kind());
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
        read(&store, "all", &DeliveryFilter::default()).await;
        read(&store, "an org", &org).await;
        read(&store, "an integration", &integration).await;
        read(&store, "what is not there, a bounded look each", &rare).await;
        read(&store, "failed", &dead).await;
        store.close().await;
    }
}
