//! Routes that say what would be, and what holds: nothing is changed by them.

use serde_json::json;

use super::{Reach, Route, Scope, param};
use crate::{draft, effective};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/subscriptions/try", "trySubscription")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says(
                "integrations",
                "Ask a draft about the last events",
                "For each of the newest events of the org: whether a subscription that is only a draft matches it, and if \
                 not, why. It is asked as the router would. Nothing is sent, stored or changed.",
            )
            .takes::<draft::Asked>(
                true,
                json!({ "events": ["alert.*"], "filter": { "where": "event.data.success_rate < 0.9" }, "last": 100 }),
            )
            .changes_nothing()
            .answers::<draft::Answer>(200, "What it would have taken")
            .refuses(404, "not_found", "there is no such integration in this org")
            .refuses(422, "invalid_integration", "`errors` names each fault with `field` and `message`")
            .serves(draft::try_draft),
        Route::get("/v1/integrations/{id}/settings", "getIntegrationSettings")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says(
                "integrations",
                "The settings that hold, and who said so",
                "Each as `value` and `origin`: `default`, `provider`, `org` (what the installation allows any org) or \
                 `integration`. With what the last health check found.",
            )
            .names("id", param::integration(), "The integration, by id or name")
            .answers::<effective::Answer>(200, "The settings")
            .refuses(404, "not_found", "there is no such integration in this org")
            .serves(effective::show),
    ]
}
