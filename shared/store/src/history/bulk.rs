//! Statements about many rows at once, in a few fixed sizes, so that few texts are prepared.

use sqlx::{
    Any, Arguments as _, Encode, Type,
    any::{AnyArguments, AnyRow},
};

use crate::Error;

/// Rows of one statement: as many of the first as fit, then of the next.
const SIZES: [usize; 4] = [128, 32, 8, 1];
/// What the driver calls SQLite.
const SQLITE: &str = "SQLite";

/// The same statement for each number of rows.
pub(super) struct Bulk {
    /// For PostgreSQL, which numbers parameters.
    numbered: [String; 4],
    /// For SQLite: a numbered parameter has a name there, and with each value the driver asks for its name, for which SQLite
    /// looks through all of them.
    plain: [String; 4],
}

impl Bulk {
    /// `head ($1, $2), ($3, $4) tail`: rows of so many columns.
    pub(super) fn rows(head: &str, columns: usize, tail: &str) -> Self {
        Self::new(head, tail, |row, name| {
            let parameters: Vec<String> = (1..=columns).map(|column| name(row * columns + column)).collect();
            format!("({})", parameters.join(", "))
        })
    }

    /// `head ($1, $2, $3) tail`: a list of values.
    pub(super) fn list(head: &str, tail: &str) -> Self {
        Self::new(&format!("{head} ("), &format!(") {tail}"), |row, name| name(row + 1))
    }

    fn new(head: &str, tail: &str, row: impl Fn(usize, &dyn Fn(usize) -> String) -> String) -> Self {
        let texts = |name: &dyn Fn(usize) -> String| {
            SIZES.map(|size| {
                let rows: Vec<String> = (0..size).map(|number| row(number, name)).collect();
                format!("{head}{}{tail}", rows.join(", "))
            })
        };
        Self {
            numbered: texts(&|number| format!("${number}")),
            plain: texts(&|_| "?".to_owned()),
        }
    }

    /// Parts of a list, each with the text for so many.
    fn parts<'a, T>(
        &'static self,
        connection: &sqlx::AnyConnection,
        mut left: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> + use<'a, T> {
        let texts = if connection.backend_name() == SQLITE {
            &self.plain
        } else {
            &self.numbered
        };
        std::iter::from_fn(move || {
            let index = SIZES.iter().position(|size| *size <= left.len())?;
            let (part, rest) = left.split_at(SIZES[index]);
            left = rest;
            Some((texts[index].as_str(), part))
        })
    }

    /// Runs it for all of a list.
    pub(super) async fn execute<T>(
        &'static self,
        connection: &mut sqlx::AnyConnection,
        items: &[T],
        bind: impl Fn(&mut Parameters, &T),
    ) -> Result<(), Error> {
        for (text, part) in self.parts(connection, items) {
            let parameters = Parameters::of(part, &bind);
            sqlx::query_with(text, parameters.0).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Reads what it finds for all of a list.
    pub(super) async fn fetch<T>(
        &'static self,
        connection: &mut sqlx::AnyConnection,
        items: &[T],
        bind: impl Fn(&mut Parameters, &T),
    ) -> Result<Vec<AnyRow>, Error> {
        let mut rows = Vec::new();
        for (text, part) in self.parts(connection, items) {
            let parameters = Parameters::of(part, &bind);
            rows.extend(sqlx::query_with(text, parameters.0).fetch_all(&mut *connection).await?);
        }
        Ok(rows)
    }
}

/// The values of one statement, in order.
pub(super) struct Parameters(AnyArguments);

impl Parameters {
    fn of<T>(items: &[T], bind: impl Fn(&mut Self, &T)) -> Self {
        let mut parameters = Self(AnyArguments::default());
        for item in items {
            bind(&mut parameters, item);
        }
        parameters
    }

    pub(super) fn push<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) {
        self.0.add(value).expect("our types are encoded by moving them");
    }
}
