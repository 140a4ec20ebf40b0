//! What this crate expects of sqlx and of the two databases.

use sqlx::Row as _;

use crate::harness::Database;

#[tokio::test]
async fn one_text_of_sql_means_the_same_on_both() {
    for database in Database::each().await {
        database.open().await.close().await;
        let mut connection = database.connect().await;
        sqlx::query("create table sample (name text not null primary key, number bigint, bytes bytea, title text)")
            .execute(&mut connection)
            .await
            .unwrap();
        let insert = "insert into sample (name, number, bytes, title) values ($1, $2, $3, $4) \
                      on conflict (name) do update set number = excluded.number where excluded.number > sample.number \
                      returning name, number, bytes, title";
        for (number, written) in [(7_i64, true), (6, false), (i64::MAX, true)] {
            let row = sqlx::query(insert)
                .bind("näme")
                .bind(number)
                .bind(vec![0_u8, 255])
                .bind(Option::<String>::None)
                .fetch_optional(&mut connection)
                .await
                .unwrap();
            assert_eq!(row.is_some(), written);
            if let Some(row) = row {
                assert_eq!(row.get::<String, _>("name"), "näme");
                assert_eq!(row.get::<i64, _>("number"), number);
                assert_eq!(row.get::<Vec<u8>, _>("bytes"), [0, 255]);
                assert_eq!(row.get::<Option<String>, _>("title"), None);
            }
        }
        // A parameter that is named twice, rows compared as one, and what is counted.
        let row = sqlx::query(
            "select count(*) as found, min(number) as least, max(title) as none from sample \
             where (name, number) > ($1, $2) and name <> $3 and ($4 is null or name = $4) and $2 = 5",
        )
        .bind("a".to_owned())
        .bind(5_i64)
        .bind("b")
        .bind(Option::<&str>::None)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(row.get::<i64, _>("found"), 1);
        assert_eq!(row.get::<Option<i64>, _>("least"), Some(i64::MAX));
        assert_eq!(row.get::<Option<String>, _>("none"), None);
    }
}

#[tokio::test]
async fn names_are_sorted_by_their_bytes_whatever_the_language_of_the_database() {
    for database in Database::each().await {
        database.open().await.close().await;
        let mut connection = database.connect().await;
        if database.server().is_some() {
            // Else this would show nothing.
            let sorted: Vec<String> = sqlx::query_scalar(
                "select name from (values ('b'), ('a-c'), ('a_b'), ('ab'), ('B')) as names (name) order by name",
            )
            .fetch_all(&mut connection)
            .await
            .unwrap();
            assert_ne!(sorted, ["B", "a-c", "a_b", "ab", "b"]);
        }
        for name in ["b", "a-c", "a_b", "ab", "B"] {
            sqlx::query("insert into meta (name, value) values ($1, '')")
                .bind(name)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let sorted: Vec<String> = sqlx::query_scalar("select name from meta order by name")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(sorted, ["B", "a-c", "a_b", "ab", "b"]);
        let above: Vec<String> = sqlx::query_scalar("select name from meta where name > $1 order by name")
            .bind("a_")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(above, ["a_b", "ab", "b"]);
    }
}
