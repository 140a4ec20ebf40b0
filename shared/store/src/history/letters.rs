//! The index of dead letters: written by the recorder, read by lists.

use std::sync::LazyLock;

use signalbox_proto::{Timestamp, subjects};
use sqlx::{AnyConnection, any::AnyRow};

use super::{
    LOOKED_AT_MAX,
    batch::{Letter, Marked},
    bulk::Bulk,
};
use crate::{
    Error, Store,
    sql::{Row, Sql, signed, storable},
};

/// Dead letters that are looked at for groups: the newest.
pub const GROUPED_MAX: u64 = 100_000;
/// Dead letters of a group that are shown: the newest.
const EXAMPLES_MAX: usize = 3;

macro_rules! columns {
    () => {
        "seq, incarnation, at, stage, reason, message, fingerprint, org, provider, integration_id, delivery_id, \
         generation, attempt, event_id, event_source, event_type, event_seq, first_at, last_at, replayed_at, discarded_at"
    };
}
pub(super) use columns;

/// Which dead letters are meant. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// The tenant; `None` for all.
    pub org: Option<String>,
    /// The integration's id.
    pub integration: Option<String>,
    /// The kind of target.
    pub provider: Option<String>,
    /// Where it was made.
    pub stage: Option<String>,
    /// Why, as a class.
    pub reason: Option<String>,
    /// Like errors.
    pub fingerprint: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// Stored at or after.
    pub since: Option<Timestamp>,
    /// Stored before.
    pub until: Option<Timestamp>,
}

/// A page of dead letters, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterPage {
    /// The dead letters.
    pub items: Vec<Letter>,
    /// Where the next page begins; `None` where this is the last. A page may be short, and still not be the last.
    pub next: Option<u64>,
}

/// Dead letters of like errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterGroup {
    /// What they have in common.
    pub fingerprint: String,
    /// How many there are.
    pub count: u64,
    /// Of these, replayed or given up.
    pub settled: u64,
    /// When the first was first tried or seen.
    pub first_at: Timestamp,
    /// When one was last tried or given up.
    pub last_at: Timestamp,
    /// The newest of them; one at least.
    pub examples: Vec<Letter>,
}

/// Groups, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterGroups {
    /// The groups.
    pub items: Vec<LetterGroup>,
    /// Whether there are more groups, or more dead letters than were looked at.
    pub truncated: bool,
}

/// Those of these sequences that are known.
pub(super) async fn by_seq(connection: &mut AnyConnection, seqs: &[u64]) -> Result<Vec<Letter>, Error> {
    static SELECT: LazyLock<Bulk> =
        LazyLock::new(|| Bulk::list(concat!("select ", columns!(), " from dead_letters where seq in"), ""));
    let rows = SELECT
        .fetch(connection, seqs, |parameters, seq| parameters.push(signed(*seq)))
        .await?;
    rows.iter().map(read).collect()
}

/// Writes dead letters over what is known of them.
pub(super) async fn write(connection: &mut AnyConnection, letters: &[Letter]) -> Result<(), Error> {
    static UPSERT: LazyLock<Bulk> = LazyLock::new(|| {
        let columns: Vec<&str> = columns!().split(", ").collect();
        let set: Vec<String> = columns
            .iter()
            .skip(1)
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        Bulk::rows(
            concat!("insert into dead_letters (", columns!(), ") values "),
            columns.len(),
            &format!(" on conflict (seq) do update set {}", set.join(", ")),
        )
    });
    UPSERT
        .execute(connection, letters, |parameters, letter| {
            parameters.push(signed(letter.seq));
            parameters.push(letter.incarnation.nanos());
            parameters.push(letter.at.nanos());
            parameters.push(letter.stage.as_str());
            parameters.push(letter.reason.as_str());
            parameters.push(storable(&letter.message).as_ref());
            parameters.push(storable(&letter.fingerprint).as_ref());
            parameters.push(letter.org.as_str());
            parameters.push(letter.provider.clone());
            parameters.push(letter.integration.clone());
            parameters.push(letter.delivery.clone());
            parameters.push(letter.generation.map(i64::from));
            parameters.push(i64::from(letter.attempt));
            parameters.push(letter.event_id.as_deref().map(|text| storable(text).into_owned()));
            parameters.push(letter.event_source.as_deref().map(|text| storable(text).into_owned()));
            parameters.push(letter.event_type.as_deref().map(|text| storable(text).into_owned()));
            parameters.push(letter.event_seq.map(signed));
            parameters.push(letter.first_at.nanos());
            parameters.push(letter.last_at.nanos());
            parameters.push(letter.marked.replayed_at.map(|at| at.nanos()));
            parameters.push(letter.marked.discarded_at.map(|at| at.nanos()));
        })
        .await
}

pub(super) fn read(row: &AnyRow) -> Result<Letter, Error> {
    let row = Row::of("a dead letter", row);
    let small = |column| {
        let number: Option<i64> = row.get(column)?;
        number
            .map(|number| u32::try_from(number).map_err(|error| row.unreadable(column, error)))
            .transpose()
    };
    let event_seq: Option<i64> = row.get("event_seq")?;
    Ok(Letter {
        seq: row.count("seq")?,
        incarnation: row.time("incarnation")?,
        at: row.time("at")?,
        stage: row.text("stage")?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        fingerprint: row.text("fingerprint")?,
        org: row.text("org")?,
        provider: row.text_option("provider")?,
        integration: row.text_option("integration_id")?,
        delivery: row.text_option("delivery_id")?,
        generation: small("generation")?,
        attempt: small("attempt")?.unwrap_or_default(),
        event_id: row.text_option("event_id")?,
        event_source: row.text_option("event_source")?,
        event_type: row.text_option("event_type")?,
        event_seq: event_seq.map(i64::unsigned_abs),
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        marked: Marked {
            replayed_at: row.time_option("replayed_at")?,
            discarded_at: row.time_option("discarded_at")?,
        },
    })
}

impl LetterFilter {
    /// What a look begins with: the part of an index, and from where on. Letters of a stream that there was before are
    /// not shown.
    fn looked(&self, columns: &'static str, before: Option<u64>) -> Sql {
        let mut sql = Sql::new("select ")
            .push(columns)
            .push(" from dead_letters where seq < ");
        sql = sql.bind(before.map_or(i64::MAX, signed));
        match (&self.integration, &self.org, &self.fingerprint) {
            (Some(integration), _, None) => sql = sql.push(" and integration_id = ").bind(integration.as_str()),
            (_, Some(org), Some(fingerprint)) => {
                sql = sql.push(" and org = ").bind(org.as_str());
                sql = sql.push(" and fingerprint = ").bind(fingerprint.as_str());
            }
            (_, Some(org), None) => sql = sql.push(" and org = ").bind(org.as_str()),
            (_, None, _) => {}
        }
        sql.push(" order by seq desc limit ")
    }

    /// The conditions that are asked of each one that is looked at.
    fn narrowed(&self, mut sql: Sql) -> Sql {
        let texts = [
            (" and org = ", &self.org),
            (" and integration_id = ", &self.integration),
            (" and provider = ", &self.provider),
            (" and stage = ", &self.stage),
            (" and reason = ", &self.reason),
            (" and fingerprint = ", &self.fingerprint),
            (" and event_type = ", &self.event_type),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                sql = sql.push(condition).bind(value.as_str());
            }
        }
        if let Some(since) = self.since {
            sql = sql.push(" and at >= ").bind(since.nanos());
        }
        if let Some(until) = self.until {
            sql = sql.push(" and at < ").bind(until.nanos());
        }
        sql
    }

    fn page(&self, incarnation: i64, before: Option<u64>, limit: usize) -> Sql {
        let sql = self.looked(columns!(), before).bind(signed(LOOKED_AT_MAX));
        let sql = Sql::around(concat!("select ", columns!(), " from ("), sql)
            .push(") as looked where incarnation = ")
            .bind(incarnation);
        self.narrowed(sql)
            .push(" order by seq desc limit ")
            .bind(signed(limit as u64))
    }

    fn groups(&self, incarnation: i64, before: Option<u64>, limit: usize) -> Sql {
        let sql = self.looked(columns!(), before).bind(signed(GROUPED_MAX));
        let sql = Sql::around(
            "select fingerprint, count(*) as found, \
             cast(sum(case when replayed_at is null and discarded_at is null then 0 else 1 end) as bigint) as settled, \
             min(first_at) as first_at, max(last_at) as last_at, max(seq) as newest from (",
            sql,
        )
        .push(") as looked where incarnation = ")
        .bind(incarnation);
        self.narrowed(sql)
            .push(" group by fingerprint order by found desc, newest desc limit ")
            .bind(signed(limit as u64))
    }

    /// The statements of lists, each with what it is, for whoever asks how they are answered.
    pub(super) fn statements() -> Vec<(&'static str, Sql)> {
        let org = Self {
            org: Some("acme".to_owned()),
            ..Self::default()
        };
        let integration = Self {
            integration: Some("i".to_owned()),
            ..org.clone()
        };
        let fingerprint = Self {
            fingerprint: Some("f".to_owned()),
            reason: Some("rejected".to_owned()),
            ..org.clone()
        };
        vec![
            ("dead letters", Self::default().page(0, None, 50)),
            ("dead letters of an org", org.page(0, Some(7), 50)),
            ("dead letters of an integration", integration.page(0, None, 50)),
            ("dead letters of a group", fingerprint.page(0, None, 50)),
            ("groups of dead letters", org.groups(0, None, 50)),
            ("dead letters of an event", of_event("acme", "e")),
            ("an event that could not be routed", unmade("acme", 7)),
            (
                "one dead letter",
                Sql::new(concat!("select ", columns!(), " from dead_letters where seq = $1")).with(7_i64),
            ),
        ]
    }
}

fn of_event(org: &str, event: &str) -> Sql {
    Sql::new(concat!(
        "select ",
        columns!(),
        " from dead_letters where event_id = $1 and org = $2 order by seq limit "
    ))
    .with(event)
    .with(org)
    .bind(signed(LOOKED_AT_MAX))
}

fn unmade(org: &str, event_seq: u64) -> Sql {
    Sql::new(concat!(
        "select ",
        columns!(),
        " from dead_letters where event_seq = $1 and delivery_id is null and org = $2 order by seq desc limit 1"
    ))
    .with(signed(event_seq))
    .with(org)
}

impl Store {
    /// Dead letters, the newest first, from before a sequence on.
    pub async fn dead_letters(
        &self,
        filter: &LetterFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LetterPage, Error> {
        let Some(incarnation) = self.dead_incarnation().await? else {
            return Ok(LetterPage::default());
        };
        let rows = filter
            .page(incarnation.nanos(), before, limit.saturating_add(1))
            .all(self.reading())
            .await?;
        let mut items: Vec<Letter> = rows.iter().map(read).collect::<Result<_, _>>()?;
        if items.len() > limit {
            items.truncate(limit);
            let next = items.last().map(|letter| letter.seq);
            return Ok(LetterPage { items, next });
        }
        // All that was looked at is told: is there more behind it?
        let last = filter
            .looked("seq", before)
            .push("1 offset ")
            .bind(signed(LOOKED_AT_MAX - 1))
            .optional(self.reading())
            .await?;
        let next = last
            .map(|row| Row::of("a dead letter", &row).count("seq"))
            .transpose()?;
        Ok(LetterPage { items, next })
    }

    /// Groups of like errors among the newest [`GROUPED_MAX`] dead letters from before a sequence on.
    pub async fn dead_letter_groups(
        &self,
        filter: &LetterFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LetterGroups, Error> {
        let Some(incarnation) = self.dead_incarnation().await? else {
            return Ok(LetterGroups::default());
        };
        let rows = filter
            .groups(incarnation.nanos(), before, limit.saturating_add(1))
            .all(self.reading())
            .await?;
        let beyond = filter.looked("seq", before).push("1 offset ").bind(signed(GROUPED_MAX));
        let truncated = rows.len() > limit || beyond.optional(self.reading()).await?.is_some();
        let mut items = Vec::new();
        for row in rows.iter().take(limit) {
            let row = Row::of("a group of dead letters", row);
            let one = LetterFilter {
                fingerprint: Some(row.text("fingerprint")?),
                ..filter.clone()
            };
            let before = row.count("newest")?.saturating_add(1);
            let newest = one
                .page(incarnation.nanos(), Some(before), EXAMPLES_MAX)
                .all(self.reading())
                .await?;
            items.push(LetterGroup {
                fingerprint: row.text("fingerprint")?,
                count: row.count("found")?,
                settled: row.count("settled")?,
                first_at: row.time("first_at")?,
                last_at: row.time("last_at")?,
                examples: newest.iter().map(read).collect::<Result<_, _>>()?,
            });
        }
        Ok(LetterGroups { items, truncated })
    }

    /// Dead letters of an event, the oldest first.
    pub async fn dead_letters_of_event(&self, org: &str, event: &str) -> Result<Vec<Letter>, Error> {
        let rows = of_event(org, event).all(self.reading()).await?;
        let letters: Vec<Letter> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let incarnation = self.dead_incarnation().await?;
        let of_now = |letter: &Letter| Some(letter.incarnation) == incarnation;
        Ok(letters.into_iter().filter(of_now).collect())
    }

    /// The dead letter of an event that could not become deliveries, by the event's sequence in EVENTS.
    pub async fn dead_letter_of_unrouted(&self, org: &str, event_seq: u64) -> Result<Option<Letter>, Error> {
        let found = unmade(org, event_seq).optional(self.reading()).await?;
        let found = found.as_ref().map(read).transpose()?;
        let incarnation = self.dead_incarnation().await?;
        Ok(found.filter(|letter| Some(letter.incarnation) == incarnation))
    }

    /// One dead letter of the present DEAD.
    pub async fn dead_letter(&self, seq: u64) -> Result<Option<Letter>, Error> {
        let sql = Sql::new(concat!("select ", columns!(), " from dead_letters where seq = $1")).with(signed(seq));
        let found = sql.optional(self.reading()).await?.as_ref().map(read).transpose()?;
        let incarnation = self.dead_incarnation().await?;
        Ok(found.filter(|letter| Some(letter.incarnation) == incarnation))
    }

    /// When the DEAD was made whose letters are shown.
    pub(super) async fn dead_incarnation(&self) -> Result<Option<Timestamp>, Error> {
        Ok(self
            .position(subjects::DEAD)
            .await?
            .map(|position| position.incarnation))
    }
}
