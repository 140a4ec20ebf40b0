//! A batch that is refused as a whole, written piece by piece.

use signalbox_proto::DeadReason;
use signalbox_store::{
    Error, Kind,
    history::{DeliveryFilter, Proof},
};

use super::records::{MADE, attempts, delivered, failed, letter, position, record, steps};
use crate::{harness::Database, samples::at};

#[tokio::test]
async fn one_row_that_cannot_be_written_holds_up_no_other() {
    for database in Database::each().await {
        let store = database.open().await;
        record(&store, &attempts([failed(1, 1), failed(2, 1)])).await;
        break_row(&database, &failed(1, 1).delivery).await;
        let mut batch = attempts([delivered(1), delivered(2), delivered(3)]);
        batch.letter(5, at(90), MADE, &letter(4, DeadReason::Exhausted));
        let from = store.position("OUTCOMES").await.unwrap().map(|position| position.seq);
        let refused = store.record(&batch, &steps(from, 9)).await;
        assert!(matches!(refused, Err(Error::Unreadable { .. })), "{refused:?}");
        let apart = store
            .record_apart(&batch, &steps(from, 9), Proof::Another)
            .await
            .unwrap();
        let [(what, _)] = &apart.refused[..] else {
            panic!("{apart:?}")
        };
        assert_eq!(*what, format!("delivery {}", delivered(1).delivery));
        assert_eq!((apart.written.new, apart.written.changed), (2, 1), "{apart:?}");
        assert_eq!(store.position("DEAD").await.unwrap(), Some(position(9)));
        for number in [2, 3] {
            let row = store
                .delivery(None, &delivered(number).delivery)
                .await
                .unwrap()
                .unwrap();
            assert!(row.status().is_final(), "{row:?}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn where_everything_is_refused_nothing_is_passed_by() {
    for database in Database::each().await {
        let store = database.open().await;
        record(&store, &attempts([failed(1, 1)])).await;
        let from = store.position("OUTCOMES").await.unwrap();
        let mut connection = database.connect().await;
        sqlx::query("alter table deliveries rename to elsewhere")
            .execute(&mut connection)
            .await
            .unwrap();
        let batch = attempts([delivered(1), delivered(2)]);
        let seq = from.as_ref().map(|position| position.seq);
        for proof in [Proof::Another, Proof::MadeUp] {
            assert!(store.record_apart(&batch, &steps(seq, 9), proof).await.is_err());
            assert_eq!(store.position("OUTCOMES").await.unwrap(), from);
        }
        sqlx::query("alter table elsewhere rename to deliveries")
            .execute(&mut connection)
            .await
            .unwrap();
        let apart = store
            .record_apart(&batch, &steps(seq, 9), Proof::Another)
            .await
            .unwrap();
        assert!(apart.refused.is_empty(), "{apart:?}");
        store.close().await;
    }
}

/// Makes the row of a delivery unreadable, as a disk or a person may leave it.
async fn break_row(database: &Database, delivery: &str) {
    sqlx::query("update deliveries set history_json = '{' where id = $1")
        .bind(delivery)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn alone_a_row_is_left_out_once_something_else_proves_that_it_is_at_fault() {
    for database in Database::each().await {
        let store = database.open().await;
        record(&store, &attempts([failed(1, 1), failed(2, 1)])).await;
        let before = store.position("OUTCOMES").await.unwrap();
        let seq = before.as_ref().map(|position| position.seq);
        for number in [1, 2] {
            break_row(&database, &failed(number, 1).delivery).await;
        }
        for numbers in [&[1][..], &[1, 2]] {
            let batch = attempts(numbers.iter().map(|number| delivered(*number)));
            let refused = store.record_apart(&batch, &steps(seq, 9), Proof::Another).await;
            assert!(
                matches!(&refused, Err(error) if error.is_of_row()),
                "nothing says whose fault it is: {refused:?}"
            );
            assert_eq!(store.position("OUTCOMES").await.unwrap(), before);
        }
        let batch = attempts([delivered(1), delivered(2)]);
        let apart = store.record_apart(&batch, &steps(seq, 9), Proof::MadeUp).await.unwrap();
        assert_eq!(apart.refused.len(), 2, "{apart:?}");
        assert_eq!((apart.written.new, apart.written.changed), (0, 0), "{apart:?}");
        assert_eq!(store.position("OUTCOMES").await.unwrap(), Some(position(9)));
        // Nothing is left of what was made up.
        let counts =
            "select (select count(*) from deliveries) + (select count(*) from stats where slot like '%made-up%')";
        let count: i64 = sqlx::query_scalar(counts)
            .fetch_one(&mut database.connect().await)
            .await
            .unwrap();
        assert_eq!(count, 2);
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_that_takes_no_delivery_at_all_loses_none() {
    for database in Database::each().await {
        let store = database.open().await;
        record(&store, &attempts([failed(1, 1)])).await;
        let before = store.position("OUTCOMES").await.unwrap();
        let seq = before.as_ref().map(|position| position.seq);
        // A mistake of a migration, as the database sees it: each row is refused for what is in it.
        let statements: &[&str] = match store.kind() {
            Kind::Sqlite => &["create trigger broken before insert on deliveries begin select raise(abort, 'no'); end"],
            Kind::Postgres => &["alter table deliveries add constraint broken check (created_at < 0) not valid"],
        };
        let mut connection = database.connect().await;
        for statement in statements {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
        let batch = attempts([delivered(2)]);
        for proof in [Proof::Another, Proof::MadeUp] {
            let refused = store.record_apart(&batch, &steps(seq, 9), proof).await;
            assert!(matches!(&refused, Err(error) if error.is_of_row()), "{refused:?}");
            assert_eq!(store.position("OUTCOMES").await.unwrap(), before);
        }
        store.close().await;
    }
}

#[tokio::test]
async fn who_was_overtaken_leaves_nothing_out() {
    for database in Database::each().await {
        let store = database.open().await;
        record(&store, &attempts([failed(1, 1)])).await;
        let seq = store.position("OUTCOMES").await.unwrap().map(|position| position.seq);
        break_row(&database, &failed(1, 1).delivery).await;
        // Another recorder goes on, and this one still holds the batch.
        record(&store, &attempts([delivered(2)])).await;
        let after = store.position("OUTCOMES").await.unwrap();
        let batch = attempts([delivered(1)]);
        let refused = store.record_apart(&batch, &steps(seq, 9), Proof::MadeUp).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
        assert_eq!(store.position("OUTCOMES").await.unwrap(), after);
        let filter = DeliveryFilter {
            provider: Some("made-up".to_owned()),
            ..DeliveryFilter::default()
        };
        assert_eq!(store.deliveries(&filter, None, 10).await.unwrap().items, []);
        store.close().await;
    }
}
