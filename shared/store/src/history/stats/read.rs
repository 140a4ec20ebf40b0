//! Figures of a window of time, read.

use signalbox_proto::Timestamp;

use super::{Figures, Window, figures, piece, slot};
use crate::{
    Error, Store,
    sql::{Row, Sql},
};

/// Integrations that are read by one statement.
const AT_ONCE: usize = 20;

/// What happened to deliveries of one provider in one hour, or one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfProvider {
    /// The kind of target.
    pub provider: String,
    /// When that hour or day begins.
    pub at: Timestamp,
    /// What happened.
    pub figures: Figures,
}

/// What happened to deliveries of one integration in one hour, or one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfIntegration {
    /// The integration's id.
    pub integration: String,
    /// When that hour or day begins.
    pub at: Timestamp,
    /// What happened.
    pub figures: Figures,
}

impl Store {
    /// What happened in a window to deliveries of an org, by provider: each hour and day of it in which there was
    /// something.
    pub async fn stats_of_providers(&self, org: &str, window: &Window) -> Result<Vec<OfProvider>, Error> {
        let found = self.figures(window.of_providers(org)).await?;
        let found = found
            .into_iter()
            .map(|(provider, at, figures)| OfProvider { provider, at, figures });
        Ok(found.collect())
    }

    /// The same by integration, for these integrations of an org.
    pub async fn stats_of_integrations(
        &self,
        org: &str,
        integrations: &[&str],
        window: &Window,
    ) -> Result<Vec<OfIntegration>, Error> {
        let mut all = Vec::new();
        for part in integrations.chunks(AT_ONCE) {
            let ranges = part
                .iter()
                .flat_map(|integration| window.of_integration(org, integration));
            let found = self.figures(ranges.collect()).await?;
            all.extend(found.into_iter().map(|(integration, at, figures)| OfIntegration {
                integration,
                at,
                figures,
            }));
        }
        Ok(all)
    }

    /// Whose, when, and what.
    async fn figures(&self, ranges: Vec<(String, String)>) -> Result<Vec<(String, Timestamp, Figures)>, Error> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let rows = ranges_of(&ranges).all(self.reading()).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("figures of an hour or a day", row);
            let whose = slot::whose(row.get("slot")?).ok_or_else(|| row.unreadable("slot", "it names nobody"))?;
            found.push((whose.to_owned(), row.time("at")?, figures(&row)?));
        }
        Ok(found)
    }
}

/// All ranges, each of which is one of the primary key.
fn ranges_of(ranges: &[(String, String)]) -> Sql {
    let mut sql = Sql::new("");
    for (number, (from, to)) in ranges.iter().enumerate() {
        if number > 0 {
            sql = sql.push(" union all ");
        }
        sql = piece(sql, from, to);
    }
    sql
}

/// The statements, for whoever asks how they are answered.
pub(in crate::history) fn statements() -> Vec<(&'static str, Sql)> {
    let window = Window::of(Timestamp::from_secs(1_000), Timestamp::from_secs(1_000_000));
    let mut integrations = window.of_integration("acme", "i");
    integrations.extend(window.of_integration("acme", "j"));
    vec![
        ("figures of providers", ranges_of(&window.of_providers("acme"))),
        ("figures of integrations", ranges_of(&integrations)),
    ]
}
