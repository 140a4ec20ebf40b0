//! Rows that are looked up by what names them, many at a time: what a page of a list or a story still lacks.

use std::{collections::HashMap, sync::LazyLock};

use signalbox_proto::Timestamp;

use super::{
    attempts::History,
    batch::Letter,
    bulk::Bulk,
    letters,
    recorded::{Member, Recorded},
    rows,
};
use crate::{
    Error, Store,
    sql::{Row, Sql},
};

/// The newest deliveries of an integration among which the newest attempt is looked for.
const NEWEST: i64 = 20;

/// Each integration with the delivery that was tried last, of its newest ones. What ended without a request says nothing.
const LAST_TRIED: &str = "select one.id as id, tried.changed_at as changed_at, tried.history_json as history_json \
    from integrations as one inner join deliveries as tried on tried.id = (select id from \
    (select id, changed_at, status from deliveries where integration_id = one.id order by created_at desc, id desc limit ";
const OF_INTEGRATIONS: &str = ") as newest where status not in ('expired', 'discarded') order by changed_at desc limit 1) \
    where one.id";

fn last_tried(integrations: &[&str]) -> Sql {
    Sql::new(LAST_TRIED)
        .bind(NEWEST)
        .push(OF_INTEGRATIONS)
        .among(integrations.iter().copied())
}

/// The statements, for whoever asks how they are answered.
pub(super) fn statements() -> Vec<(&'static str, Sql)> {
    vec![
        ("the newest attempts of integrations", last_tried(&["i", "j"])),
        (
            "members of digests",
            Sql::new("select event_id from delivery_events where delivery_id in ($1, $2)")
                .with("d")
                .with("e"),
        ),
        (
            "dead letters of deliveries",
            Sql::new("select seq from dead_letters where delivery_id in ($1, $2)")
                .with("d")
                .with("e"),
        ),
    ]
}

impl Store {
    /// Those of these deliveries that are recorded, in no order.
    pub async fn deliveries_by_id(&self, ids: &[&str]) -> Result<Vec<Recorded>, Error> {
        let mut connection = self.reading().acquire().await?;
        rows::by_id(&mut connection, ids).await
    }

    /// The members of these digests, each with the digest's id: those of one in the order of their events.
    pub async fn members(&self, digests: &[&str]) -> Result<Vec<(String, Member)>, Error> {
        static SELECT: LazyLock<Bulk> = LazyLock::new(|| {
            Bulk::list(
                "select delivery_id, event_id, event_source, event_type, event_seq, created_at from delivery_events \
                 where delivery_id in",
                " order by delivery_id, event_seq",
            )
        });
        let mut connection = self.reading().acquire().await?;
        let rows = SELECT
            .fetch(&mut connection, digests, |parameters, id| parameters.push(*id))
            .await?;
        let read = |row| {
            let row = Row::of("a member of a digest", row);
            let member = Member {
                event_seq: row.count("event_seq")?,
                event_id: row.text("event_id")?,
                event_source: row.text("event_source")?,
                event_type: row.text("event_type")?,
                created_at: row.time("created_at")?,
            };
            Ok((row.text("delivery_id")?, member))
        };
        rows.iter().map(read).collect()
    }

    /// The dead letters of these deliveries, in no order.
    pub async fn dead_letters_of(&self, deliveries: &[&str]) -> Result<Vec<Letter>, Error> {
        static SELECT: LazyLock<Bulk> = LazyLock::new(|| {
            Bulk::list(
                concat!(
                    "select ",
                    letters::columns!(),
                    " from dead_letters where delivery_id in"
                ),
                "",
            )
        });
        let Some(incarnation) = self.dead_incarnation().await? else {
            return Ok(Vec::new());
        };
        let mut connection = self.reading().acquire().await?;
        let rows = SELECT
            .fetch(&mut connection, deliveries, |parameters, id| parameters.push(*id))
            .await?;
        let found: Vec<Letter> = rows.iter().map(letters::read).collect::<Result<_, _>>()?;
        Ok(found
            .into_iter()
            .filter(|letter| letter.incarnation == incarnation)
            .collect())
    }

    /// Those of these dead letters of the present DEAD that are recorded, by their sequences, in no order.
    pub async fn dead_letters_by_seq(&self, seqs: &[u64]) -> Result<Vec<Letter>, Error> {
        let Some(incarnation) = self.dead_incarnation().await? else {
            return Ok(Vec::new());
        };
        let mut connection = self.reading().acquire().await?;
        let found = letters::by_seq(&mut connection, seqs).await?;
        let of_now = |letter: &Letter| letter.incarnation == incarnation;
        Ok(found.into_iter().filter(of_now).collect())
    }

    /// When each of these integrations was last tried, by its newest deliveries: a retry of an older one does not
    /// count. One that was never tried is left out.
    pub async fn last_attempts(&self, integrations: &[&str]) -> Result<HashMap<String, Timestamp>, Error> {
        if integrations.is_empty() {
            return Ok(HashMap::new());
        }
        let mut found = HashMap::new();
        for row in last_tried(integrations).all(self.reading()).await? {
            let row = Row::of("a delivery", &row);
            let history: &str = row.get("history_json")?;
            let history: History =
                serde_json::from_str(history).map_err(|error| row.unreadable("history_json", error))?;
            let at = match history.last_sent() {
                Some(last) => last.at,
                // Its dead letter alone is recorded.
                None => row.time("changed_at")?,
            };
            found.insert(row.text("id")?, at);
        }
        Ok(found)
    }
}
