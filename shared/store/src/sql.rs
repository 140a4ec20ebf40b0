//! Statements, and what they answer.
//!
//! sqlx's own builder of texts writes `?` for a parameter of any database, which PostgreSQL does not understand; both
//! understand `$1`. So the texts are put together here, of constants and numbered parameters alone.
//!
//! Two things to know of the driver for any database: a `NULL` for a `DOUBLE PRECISION` goes to PostgreSQL as one of
//! four bytes, so no such column may be null; and `sum` of `BIGINT` is of a type that it does not read without a `cast`.

use std::{borrow::Cow, fmt::Display, fmt::Write as _, str::FromStr};

use signalbox_proto::Timestamp;
use sqlx::{
    Any, AssertSqlSafe, Decode, Encode, Executor, Row as _, Type,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::Error;

/// A statement with its parameters.
///
/// **Invariant:** its text consists of constants of this crate; whatever comes from elsewhere is a parameter.
#[must_use]
pub(crate) struct Sql {
    text: String,
    arguments: AnyArguments,
}

impl Sql {
    pub(crate) fn new(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            arguments: AnyArguments::default(),
        }
    }

    /// The same with a text before it.
    pub(crate) fn around(head: &'static str, inner: Self) -> Self {
        Self {
            text: format!("{head}{}", inner.text),
            ..inner
        }
    }

    /// More of the text.
    pub(crate) fn push(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// The value of the next parameter, which the text names by its number.
    pub(crate) fn with<'t, T: Encode<'t, Any> + Type<Any>>(mut self, value: T) -> Self {
        use sqlx::Arguments as _;
        self.arguments.add(value).expect("our types are encoded by moving them");
        self
    }

    /// A parameter at this place of the text.
    pub(crate) fn bind<'t, T: Encode<'t, Any> + Type<Any>>(self, value: T) -> Self {
        use sqlx::Arguments as _;
        let mut bound = self.with(value);
        let number = bound.arguments.len();
        write!(bound.text, "${number}").expect("a string takes any text");
        bound
    }

    /// ` in ($1, $2)`; nothing is in an empty list.
    pub(crate) fn among<'t, T: Encode<'t, Any> + Type<Any>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let mut sql = self.push(" in (");
        let mut is_first = true;
        for value in values {
            if !is_first {
                sql = sql.push(", ");
            }
            is_first = false;
            sql = sql.bind(value);
        }
        if is_first { sql.push("null)") } else { sql.push(")") }
    }

    fn query(self) -> Query<'static, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments)
    }

    /// Runs it; how many rows it concerned.
    pub(crate) async fn execute<'e>(self, executor: impl Executor<'e, Database = Any>) -> Result<u64, sqlx::Error> {
        Ok(self.query().execute(executor).await?.rows_affected())
    }

    /// Its one row, if there is one.
    pub(crate) async fn optional<'e>(
        self,
        executor: impl Executor<'e, Database = Any>,
    ) -> Result<Option<AnyRow>, sqlx::Error> {
        self.query().fetch_optional(executor).await
    }

    /// Its one row.
    pub(crate) async fn one<'e>(self, executor: impl Executor<'e, Database = Any>) -> Result<AnyRow, sqlx::Error> {
        self.query().fetch_one(executor).await
    }

    /// All its rows.
    pub(crate) async fn all<'e>(self, executor: impl Executor<'e, Database = Any>) -> Result<Vec<AnyRow>, sqlx::Error> {
        self.query().fetch_all(executor).await
    }
}

/// A row, read column by column.
pub(crate) struct Row<'r> {
    row: &'r AnyRow,
    what: &'static str,
}

impl<'r> Row<'r> {
    /// `what` it is of, for errors.
    pub(crate) const fn of(what: &'static str, row: &'r AnyRow) -> Self {
        Self { row, what }
    }

    /// A value. The driver's own error would repeat what is there instead.
    pub(crate) fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &'static str) -> Result<T, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.unreadable(column, "it is of another type"))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, Error> {
        self.get(column)
    }

    pub(crate) fn text_option(&self, column: &'static str) -> Result<Option<String>, Error> {
        self.get(column)
    }

    /// A text that has a form.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T, Error> {
        let text: &str = self.get(column)?;
        text.parse().map_err(|reason| self.unreadable(column, reason))
    }

    pub(crate) fn parsed_option<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<Option<T>, Error> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| text.parse().map_err(|reason| self.unreadable(column, reason)))
            .transpose()
    }

    pub(crate) fn json_option(&self, column: &'static str) -> Result<Option<serde_json::Value>, Error> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| serde_json::from_str(text).map_err(|reason| self.unreadable(column, reason)))
            .transpose()
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<&'r [u8], Error> {
        self.get(column)
    }

    pub(crate) fn number(&self, column: &'static str) -> Result<i64, Error> {
        self.get(column)
    }

    /// A number that is never below zero.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, Error> {
        u64::try_from(self.number(column)?).map_err(|reason| self.unreadable(column, reason))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, Error> {
        Ok(self.number(column)? != 0)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, Error> {
        self.number(column).map(Timestamp::from_nanos)
    }

    pub(crate) fn time_option(&self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        let nanos: Option<i64> = self.get(column)?;
        Ok(nanos.map(Timestamp::from_nanos))
    }

    pub(crate) fn unreadable(&self, column: &'static str, reason: impl Display) -> Error {
        Error::unreadable(self.what, format!("column {column}: {reason}"))
    }
}

/// A count as columns hold it.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A text of somebody else as both databases store it: PostgreSQL refuses the character NUL.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests;
