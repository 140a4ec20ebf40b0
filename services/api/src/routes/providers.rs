//! Routes about the kinds of targets.

use super::{Reach, Route, Scope, param::text};
use crate::{
    providers::{self, Provider},
    view::List,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/providers", "listProviders")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says(
                "providers",
                "List the kinds of targets",
                "All that this version delivers to, with the schemas of their `config` and `credentials`.",
            )
            .answers::<List<Provider>>(200, "All of them")
            .serves(providers::list),
        Route::get("/v1/providers/{name}", "getProvider")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says("providers", "Show a kind of target", "")
            .names("name", text("webhook"), "The provider's name")
            .answers::<Provider>(200, "The provider")
            .refuses(404, "not_found", "there is no such provider")
            .serves(providers::show),
    ]
}
