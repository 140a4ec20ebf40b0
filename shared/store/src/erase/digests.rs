//! An event leaves the digests that it was a member of: what was answered to all of them goes, and the others keep their end.

use serde_json::Value;
use signalbox_proto::{Name, subjects};
use sqlx::AnyConnection;

use crate::{
    Error, Store,
    sql::{Row, Sql},
};

/// Digests that one transaction changes at most: the answers of each may be long.
const PART: i64 = 50;
/// A history without attempts.
const NOTHING: &str = r#"{"attempts":[]}"#;
/// What an attempt has of a target's answer.
const ANSWERS: [&str; 2] = ["response_body", "error_message"];

impl Store {
    /// Takes an event out of its digests; how many rows that concerned.
    ///
    /// How many events a digest has is not asked: the recorder may have read already what OUTCOMES has of it without the
    /// event. Attempts stay, without what they were answered: of one that is taken away the counts would be added once more
    /// when it is recorded again.
    pub(super) async fn leave_digests(&self, org: &Name, source: &str, id: &str) -> Result<u64, Error> {
        let mut erased = 0;
        loop {
            let mut transaction = self.begin().await?;
            wait_for_recorder(&mut transaction).await?;
            let rows = Sql::new(
                "select digest.id as id, digest.history_json as history_json from \
                 (select distinct delivery_id from delivery_events where event_id = $1 and event_source = $2) as member \
                 inner join deliveries as digest on digest.id = member.delivery_id where digest.org = $3 limit $4",
            )
            .with(id)
            .with(source)
            .with(org.as_str())
            .with(PART)
            .all(&mut *transaction)
            .await?;
            if rows.is_empty() {
                return Ok(erased);
            }
            for row in &rows {
                let row = Row::of("a digest", row);
                let (digest, history) = (row.text("id")?, row.text("history_json")?);
                erased += leave(&mut transaction, &digest, &history, (source, id)).await?;
            }
            transaction.commit().await?;
        }
    }
}

/// Lets no recorder write until the end of the transaction: it would put back what it has read of a row before. Each of its
/// transactions begins with its positions.
async fn wait_for_recorder(connection: &mut AnyConnection) -> Result<(), Error> {
    Sql::new("update positions set seq = seq where stream = $1")
        .with(subjects::OUTCOMES)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes an event, by source and id, out of one digest. One that has no other member goes.
async fn leave(
    connection: &mut AnyConnection,
    digest: &str,
    history: &str,
    (source, id): (&str, &str),
) -> Result<u64, Error> {
    let mut erased =
        Sql::new("delete from delivery_events where delivery_id = $1 and event_source = $2 and event_id = $3")
            .with(digest)
            .with(source)
            .with(id)
            .execute(&mut *connection)
            .await?;
    // DEAD held the digest as a whole.
    erased += Sql::new("delete from dead_letters where delivery_id = $1")
        .with(digest)
        .execute(&mut *connection)
        .await?;
    let others = Sql::new(
        "select event_id, event_source, event_seq from delivery_events where delivery_id = $1 \
         order by created_at, event_seq",
    )
    .with(digest)
    .all(&mut *connection)
    .await?;
    let Some(first) = others.first() else {
        let gone = Sql::new("delete from deliveries where id = $1").with(digest);
        return Ok(erased + gone.execute(connection).await?);
    };
    let first = Row::of("a member of a digest", first);
    // It stays in its place of the lists: its time is no longer that of its first event.
    erased += Sql::new(
        "update deliveries set history_json = $1, error_message = null, event_id = $2, event_source = $3, event_seq = $4, \
         event_count = $5 where id = $6",
    )
    .with(unanswered(history))
    .with(first.text("event_id")?)
    .with(first.text("event_source")?)
    .with(first.number("event_seq")?)
    .with(i64::try_from(others.len()).unwrap_or(i64::MAX))
    .with(digest)
    .execute(connection)
    .await?;
    Ok(erased)
}

/// A history without what was answered. As the value that it is, so that what only a newer version has written stays.
fn unanswered(history: &str) -> String {
    let Ok(mut history) = serde_json::from_str::<Value>(history) else {
        // Nobody can read it: it may hold anything.
        return NOTHING.to_owned();
    };
    let attempts = history.get_mut("attempts").and_then(Value::as_array_mut);
    for attempt in attempts.into_iter().flatten() {
        if let Some(fields) = attempt.as_object_mut() {
            for answer in ANSWERS {
                fields.remove(answer);
            }
        }
    }
    history.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_its_attempts_and_loses_what_was_answered() {
        let history = r#"{"attempts":[{"attempt":1,"at":5,"response_body":"a","next":"retrying","later":"kept"},
            {"attempt":2,"at":6,"error_message":"b"}],"left_out":[0,7,false]}"#;
        let left: Value = serde_json::from_str(&unanswered(history)).expect("JSON");
        let expected = serde_json::json!({
            "attempts": [{ "attempt": 1, "at": 5, "next": "retrying", "later": "kept" }, { "attempt": 2, "at": 6 }],
            "left_out": [0, 7, false],
        });
        assert_eq!(left, expected);
        assert_eq!(unanswered("{"), NOTHING, "what cannot be read may hold anything");
    }
}
