//! How lists are answered: none of them reads a whole table, on either database.

use signalbox_store::{Kind, Store};

use crate::harness::Database;

/// Tables that grow without end.
const TABLES: [&str; 7] = [
    "deliveries",
    "delivery_events",
    "unrouted",
    "dead_letters",
    "gaps",
    "stats",
    "audit",
];

#[tokio::test]
async fn no_list_and_no_pruning_reads_a_whole_table() {
    for database in Database::each().await {
        let store = database.open().await;
        if store.kind() == Kind::Postgres {
            // A whole table is the best way as long as it is empty: it is taken only where no index serves.
            let mut connection = database.connect().await;
            for setting in ["enable_seqscan", "enable_bitmapscan", "enable_sort"] {
                let statement = format!(
                    "do $$ begin execute format('alter database %I set {setting} = off', current_database()); end $$"
                );
                sqlx::query(sqlx::AssertSqlSafe(statement))
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
        store.close().await;
        check(&database.open().await).await;
    }
}

async fn check(store: &Store) {
    let plans = store.history_plans().await.unwrap();
    assert!(plans.len() > 20);
    for plan in plans {
        for step in plan.steps.lines() {
            let whole = TABLES.iter().any(|table| match store.kind() {
                Kind::Sqlite => step.starts_with(&format!("SCAN {table}")),
                Kind::Postgres => step.contains(&format!("Seq Scan on {table}")),
            });
            assert!(!whole, "{}:\n{}", plan.what, plan.steps);
            // Only what was looked at is sorted: a piece of one index comes in order.
            let sorted = step.contains("TEMP B-TREE FOR LAST") || step.contains("TEMP B-TREE FOR RIGHT");
            assert!(!sorted, "{}:\n{}", plan.what, plan.steps);
            let whole_org = step.starts_with("SEARCH deliveries") && step.ends_with("(org=?)");
            assert!(!whole_org, "{}:\n{}", plan.what, plan.steps);
        }
    }
}
