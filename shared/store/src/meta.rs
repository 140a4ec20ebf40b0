//! What is known of this database itself: small texts by name, such as whether an older installation was taken over.

use sqlx::{Any, Executor};

use crate::{
    Change, Error, Store,
    sql::{Row, Sql},
};

impl Store {
    /// The text of this name.
    pub async fn meta(&self, name: &str) -> Result<Option<String>, Error> {
        let row = Sql::new("select value from meta where name = $1")
            .with(name)
            .optional(self.reading())
            .await?;
        row.map(|row| Row::of("meta", &row).text("value")).transpose()
    }

    /// Sets the text of a name.
    pub async fn set_meta(&self, name: &str, value: &str) -> Result<(), Error> {
        set(self.writing(), name, value).await
    }

    /// Puts a text into the place of what it is known to be, `None` for nothing. Whether it was that.
    pub async fn replace_meta(&self, name: &str, known: Option<&str>, value: &str) -> Result<bool, Error> {
        replace(self.writing(), name, known, value).await
    }
}

impl Change {
    /// The same together with other things. It is no thing of its own for the audit.
    pub async fn set_meta(&mut self, name: &str, value: &str) -> Result<(), Error> {
        set(self.connection(), name, value).await
    }

    /// As [`Store::replace_meta`], together with other things.
    pub async fn replace_meta(&mut self, name: &str, known: Option<&str>, value: &str) -> Result<bool, Error> {
        replace(self.connection(), name, known, value).await
    }
}

async fn set<'e>(executor: impl Executor<'e, Database = Any>, name: &str, value: &str) -> Result<(), Error> {
    Sql::new("insert into meta (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value")
        .with(name)
        .with(value)
        .execute(executor)
        .await?;
    Ok(())
}

async fn replace<'e>(
    executor: impl Executor<'e, Database = Any>,
    name: &str,
    known: Option<&str>,
    value: &str,
) -> Result<bool, Error> {
    let sql = match known {
        Some(_) => Sql::new("update meta set value = $1 where name = $2 and value = $3"),
        None => Sql::new("insert into meta (value, name) values ($1, $2) on conflict (name) do nothing"),
    };
    let sql = sql.with(value).with(name);
    let sql = match known {
        Some(known) => sql.with(known),
        None => sql,
    };
    Ok(sql.execute(executor).await? == 1)
}
