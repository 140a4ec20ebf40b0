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
}

impl Change {
    /// The same together with other things. It is no thing of its own for the audit.
    pub async fn set_meta(&mut self, name: &str, value: &str) -> Result<(), Error> {
        set(self.connection(), name, value).await
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
