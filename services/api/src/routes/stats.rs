//! Routes about figures.

use super::{Reach, Route, Scope, param};
use crate::stats::{self, GROUPS};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/stats", "getStats")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "deliveries",
                "Counts, rates, times and what waits",
                "Over a window of whole hours: of the org, by provider, and by integration in pages. Deliveries are counted \
                 when they came to stand as they do, attempts when they began. A page is shorter than `limit` where the \
                 window is long. What waits is counted now, some seconds ago at most.",
            )
            .queries(param::span())
            .query(
                "group_by",
                param::words(&GROUPS),
                "Also cut the window into hours (31 days at most), days or weeks that begin on Monday, in UTC",
            )
            .query("integration", param::integration(), "Of this integration alone, by id or name")
            .query("provider", param::provider(), "Of this provider alone")
            .queries(param::page("oncall"))
            .answers::<stats::Answer>(200, "The figures")
            .refuses(404, "not_found", "there is no such integration in this org")
            .serves(stats::stats),
    ]
}
