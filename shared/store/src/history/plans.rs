//! How the database answers the statements of lists: none of them may read a whole table.

use sqlx::Row as _;

use super::{deliveries, letters::LetterFilter, lookups, prune::Old, ranges, stats};
use crate::{Error, Kind, Store, sql::Sql};

/// The plan of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the statement is.
    pub what: &'static str,
    /// The database's own words, a step a line.
    pub steps: String,
}

impl Store {
    /// The plan of each statement by which history is read and pruned.
    pub async fn history_plans(&self) -> Result<Vec<Plan>, Error> {
        let (head, column) = match self.kind() {
            Kind::Sqlite => ("explain query plan ", "detail"),
            Kind::Postgres => ("explain ", "QUERY PLAN"),
        };
        let statements = [
            deliveries::statements(),
            LetterFilter::statements(),
            lookups::statements(),
            ranges::statements(),
            stats::statements(),
            Old::statements(),
        ];
        let mut plans = Vec::new();
        for (what, sql) in statements.into_iter().flatten() {
            let rows = Sql::around(head, sql).all(self.reading()).await?;
            let steps: Vec<String> = rows
                .iter()
                .map(|row| row.try_get::<String, _>(column))
                .collect::<Result<_, _>>()?;
            plans.push(Plan {
                what,
                steps: steps.join("\n"),
            });
        }
        Ok(plans)
    }
}
