//! Figures of hours and days, written with the rows that they count.

use std::time::Instant;

use signalbox_proto::{DeadReason, Timestamp};
use signalbox_store::{
    Store,
    history::{
        Batch, Figures, Old,
        stats::{Count, DAY, Window},
    },
};

use super::records::{MADE, attempts, delivered, failed, letter, record};
use crate::{
    harness::{Database, on_each},
    samples::at,
};

const INTEGRATION: &str = "integration-1";

async fn sum(store: &Store, window: &Window) -> (Figures, Figures) {
    let mut by_provider = Figures::default();
    for row in store.stats_of_providers("acme", window).await.unwrap() {
        assert_eq!(row.provider, "webhook");
        by_provider.add(&row.figures);
    }
    let mut by_integration = Figures::default();
    let found = store
        .stats_of_integrations("acme", &[INTEGRATION, "other"], window)
        .await;
    for row in found.unwrap() {
        assert_eq!(row.integration, INTEGRATION);
        by_integration.add(&row.figures);
    }
    (by_provider, by_integration)
}

#[tokio::test]
async fn figures_are_written_with_the_rows_and_move_with_them() {
    on_each(async |store| {
        let window = Window::of(at(0), at(4 * 86_400));
        record(&store, &attempts([delivered(1), failed(2, 1), failed(3, 1)])).await;
        let mut batch = attempts([delivered(1), failed(2, 2)]);
        batch.letter(5, at(90), MADE, &letter(3, DeadReason::Exhausted));
        record(&store, &batch).await;
        // Two days later.
        record(&store, &attempts([delivered(200_000)])).await;
        let (by_provider, by_integration) = sum(&store, &window).await;
        assert_eq!(by_provider, by_integration);
        let counts: Vec<u64> = Count::ALL.iter().map(|count| by_provider.count(*count)).collect();
        assert_eq!(counts, [2, 1, 0, 0, 1, 0, 2, 3, 0, 0]);
        assert_eq!((by_provider.latency.total(), by_provider.duration.total()), (2, 5));
        assert_eq!(by_provider.duration.quantile(0.99), Some(12.0));
        // The hours alone say the same, and a window has what is in it.
        assert_eq!(sum(&store, &window.by_hour()).await.0, by_provider);
        let (first, _) = sum(&store, &Window::of(at(0), at(7_200))).await;
        assert_eq!((first.count(Count::Delivered), first.ended()), (1, 2));
        assert_eq!(store.stats_of_providers("other", &window).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_was_refused_counts_nothing() {
    on_each(async |store| {
        record(&store, &attempts([delivered(1)])).await;
        let refused = store
            .record(&attempts([delivered(2)]), &super::records::steps(None, 9))
            .await;
        assert!(refused.is_err());
        let (figures, _) = sum(&store, &Window::of(at(0), at(100))).await;
        assert_eq!(figures.count(Count::Delivered), 1);
    })
    .await;
}

#[tokio::test]
async fn figures_that_are_too_old_go_with_the_history() {
    on_each(async |store| {
        record(&store, &attempts([delivered(1), delivered(400_000)])).await;
        let all = Window::of(at(0), at(500_000));
        assert_eq!(sum(&store, &all).await.0.count(Count::Delivered), 2);
        // Of the first: an hour and a day, of the provider and of the integration.
        assert_eq!(store.prune(Old::Stats, at(200_000)).await.unwrap(), 4);
        assert_eq!(store.prune(Old::Stats, at(200_000)).await.unwrap(), 0);
        assert_eq!(sum(&store, &all).await.0.count(Count::Delivered), 1);
    })
    .await;
}

#[tokio::test]
async fn many_integrations_are_read_at_once() {
    on_each(async |store| {
        let ids: Vec<String> = (0..50).map(|number| format!("integration-{number}")).collect();
        let of_all = ids.iter().enumerate().map(|(number, id)| signalbox_proto::Attempt {
            integration: id.clone(),
            delivery: format!("delivery-{number}"),
            ..delivered(number as u64)
        });
        let batch: Batch = attempts(of_all);
        record(&store, &batch).await;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let window = Window::of(Timestamp::default(), at(100));
        let found = store.stats_of_integrations("acme", &ids, &window).await.unwrap();
        let days = found
            .iter()
            .filter(|row| row.figures.count(Count::Delivered) == 1)
            .count();
        assert_eq!(days, 50);
    })
    .await;
}

/// As many as ten million deliveries of two hundred integrations over a quarter leave.
const INTEGRATIONS: usize = 200;
const HOURS: i64 = 90 * 24;
/// Rows of one statement.
const PART: usize = 1_000;

/// `cargo test -p signalbox-store --release --test it -- --ignored --nocapture figures_of_a_quarter`
#[tokio::test]
#[ignore = "prints figures"]
async fn figures_of_a_quarter_are_read_quickly() {
    for database in Database::each().await {
        let store = database.open().await;
        fill(&database).await;
        let ids: Vec<String> = (0..INTEGRATIONS).map(|number| format!("i-{number:03}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let end = Timestamp::from_secs((FIRST + HOURS) * 3_600 - 1_800);
        for (what, days, by_hour) in [
            ("a day", 1, true),
            ("31 days by hour", 31, true),
            ("90 days", 90, false),
        ] {
            let window = Window::of(end - DAY * days, end);
            let fine = if by_hour { window.by_hour() } else { window };
            let page = (10_000 / window.rows()).clamp(1, 50);
            let mut times = Vec::new();
            let mut count = 0;
            for _ in 0..50 {
                let began = Instant::now();
                count = store.stats_of_providers("acme", &fine).await.unwrap().len();
                count += store
                    .stats_of_integrations("acme", &ids[..page], &window)
                    .await
                    .unwrap()
                    .len();
                times.push(began.elapsed());
            }
            times.sort_unstable();
            eprintln!(
                "{:?} {what}, {page} integrations, {count} rows: p50 {:?}, p99 {:?}",
                store.kind(),
                times[25],
                times[49]
            );
            assert!(count > page, "{count}");
        }
        store.close().await;
    }
}

/// The hour with which it begins: a midnight.
const FIRST: i64 = 24 * 20_000;

/// Past the recorder, which would take its time.
async fn fill(database: &Database) {
    let mut connection = database.connect().await;
    let times: Vec<String> = (60..110).map(|bucket| format!("{bucket},{}", bucket % 7 + 1)).collect();
    let times = times.join(",");
    let figures = format!(r#"{{"n":[180,3,0,0,1,0,180,20,3],"l":[{times}],"d":[{times}]}}"#);
    let mut rows = Vec::new();
    for hour in FIRST..FIRST + HOURS {
        let is_midnight = hour % 24 == 0;
        let levels = if is_midnight { &["h", "d"][..] } else { &["h"] };
        for level in levels {
            let at = hour * 3_600_000_000_000;
            for number in 0..INTEGRATIONS {
                rows.push(format!("('acme:{level}:i-{number:03}:{hour:07}', {at}, '{figures}')"));
            }
            for provider in ["slack", "webhook"] {
                rows.push(format!("('acme:{level}:-:{hour:07}:{provider}', {at}, '{figures}')"));
            }
        }
    }
    for part in rows.chunks(PART) {
        let text = format!("insert into stats (slot, at, figures_json) values {}", part.join(", "));
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::query("analyze").execute(&mut connection).await.unwrap();
}
