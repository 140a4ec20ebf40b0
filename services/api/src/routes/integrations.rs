//! Routes about integrations.

use serde_json::json;

use super::{Reach, Route, Scope, param};
use crate::{
    apply, integrations, preview, schema, test,
    view::{self, List, STATUSES},
};

pub(super) fn routes() -> Vec<Route> {
    let missing = |route: Route| {
        route
            .names("id", param::integration(), "The integration, by id or name")
            .refuses(404, "not_found", "there is no such integration in this org")
    };
    let revised = |route: Route| {
        missing(route)
            .conditional()
            .refuses(409, "conflict", "someone else changed it at the same time")
    };
    vec![
        Route::get("/v1/integrations", "listIntegrations")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says("integrations", "List integrations", "By name, secrets masked.")
            .query("provider", param::provider(), "Of this provider")
            .query("type", param::words(&view::kinds()), "Of providers of this type")
            .query("status", param::words(&STATUSES), "Of this status")
            .queries(param::page("oncall"))
            .answers::<List<view::Integration>>(200, "A page of them")
            .serves(integrations::list),
        Route::post("/v1/integrations", "createIntegration")
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Make an integration",
                "It is `pending_setup` until it is tested or activated, unless `status` says `active` or `inactive`.",
            )
            .takes::<schema::IntegrationWanted>(
                true,
                json!({
                    "name": "oncall",
                    "provider": "webhook",
                    "config": { "url": "https://example.com/hook" },
                    "events": ["execution.failed", "alert.*"],
                    "status": "active",
                }),
            )
            .changes(&["integration.created", "integration.paused", "org.created"])
            .answers::<view::Integration>(201, "The integration")
            .tagged()
            .refuses(409, "already_exists", "the org has an integration of this name")
            .refuses(422, "invalid_integration", "`errors` names each fault with `field` and `message`")
            .serves(integrations::create),
        revised(Route::put("/v1/integrations/{id}", "replaceIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Replace an integration",
                "What is left out has its default again; the status stays unless it is given. `***` in the place of a secret \
                 keeps what is stored. Provider, org and id never change.",
            )
            .takes::<schema::IntegrationWhole>(
                true,
                json!({
                    "name": "oncall",
                    "config": { "url": "https://example.com/hook" },
                    "events": ["alert.*"],
                }),
            )
            .changes(&["integration.updated", "integration.paused", "integration.resumed", "integration.activated"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .refuses(409, "already_exists", "the org has another integration of this name")
            .refuses(422, "invalid_integration", "`errors` names each fault with `field` and `message`")
            .serves(integrations::put),
        revised(Route::patch("/v1/integrations/{id}", "changeIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Change fields of an integration",
                "A merge patch (RFC 7396): null takes a field away, objects are merged, all else is replaced.",
            )
            .takes::<schema::IntegrationPatch>(false, json!({ "events": ["alert.*", "execution.failed"] }))
            .changes(&["integration.updated", "integration.paused", "integration.resumed", "integration.activated"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .refuses(409, "already_exists", "the org has another integration of this name")
            .refuses(422, "invalid_integration", "`errors` names each fault with `field` and `message`")
            .serves(integrations::patch),
        revised(Route::post("/v1/integrations/{id}/activate", "activateIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Activate an integration",
                "It is matched and delivered from now on; what a person paused or a failing target held goes too.",
            )
            .takes::<integrations::Nothing>(false, json!({}))
            .changes(&["integration.activated", "integration.resumed"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .serves(integrations::activate),
        revised(Route::post("/v1/integrations/{id}/deactivate", "deactivateIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Deactivate an integration",
                "Nothing new is matched; what waits already is kept until it expires.",
            )
            .takes::<integrations::Nothing>(false, json!({}))
            .changes(&["integration.deactivated"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .serves(integrations::deactivate),
        missing(Route::get("/v1/integrations/{id}", "getIntegration"))
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says("integrations", "Show an integration", "Secrets are masked.")
            .answers::<view::Integration>(200, "The integration")
            .tagged()
            .serves(integrations::show),
        revised(Route::delete("/v1/integrations/{id}", "deleteIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Delete an integration",
                "Refused while anything waits for it, unless `discard` says that it may end as discarded.",
            )
            .query("discard", param::flag(), "End what waits for it as discarded")
            .changes(&["integration.deleted"])
            .answers::<integrations::Deleted>(200, "It is gone")
            .refuses(409, "deliveries_waiting", "deliveries wait for it: `waiting` says how many")
            .serves(integrations::delete),
        missing(Route::post("/v1/integrations/{id}/pause", "pauseIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says("integrations", "Hold its deliveries", "Events are matched and kept until it is resumed, or they expire.")
            .takes::<integrations::Nothing>(false, json!({}))
            .changes(&["integration.paused"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(integrations::pause),
        missing(Route::post("/v1/integrations/{id}/resume", "resumeIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says("integrations", "Let its deliveries go", "The oldest first, at `rate` a second at most.")
            .takes::<integrations::Resume>(false, json!({ "rate": 10, "drop_older_than": "1h" }))
            .changes(&["integration.resumed"])
            .answers::<view::Integration>(200, "The integration as it is now")
            .tagged()
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(integrations::resume),
        missing(Route::post("/v1/integrations/{id}/test", "testIntegration"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "integrations",
                "Prove that it can deliver",
                "Sends the provider's lightest proof, else one event of type `integration.test`. A success makes it \
                 `active`; a failure makes an active one `error`.",
            )
            .takes::<integrations::Nothing>(false, json!({}))
            .unhurried()
            .changes(&["integration.tested"])
            .answers::<test::Answer>(200, "How it went, whether well or not")
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(test::test),
        missing(Route::post("/v1/integrations/{id}/preview", "previewIntegration"))
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says(
                "integrations",
                "The request that an event would cause",
                "Of an `event` that is made up, or of an `event_id` that was accepted. Secrets are masked, nothing is sent.",
            )
            .takes::<preview::Asked>(true, json!({ "event": { "type": "execution.failed", "data": { "error": "timeout" } } }))
            .changes_nothing()
            .answers::<preview::Answer>(200, "The request, and whether the event concerns the integration")
            .refuses(404, "never_accepted", "the event's input was rejected; `dead_letter_id` names the dead letter")
            .refuses(404, "not_accepted_yet", "ingest has not taken the event yet")
            .refuses(409, "several_events", "several sources have the id; `sources` lists them")
            .refuses(422, "not_open", "its secrets or its config cannot be opened")
            .serves(preview::preview),
        Route::post("/v1/apply", "apply")
            .needs(Scope::IntegrationsWrite, Reach::AnyOrg)
            .says(
                "integrations",
                "Make the integrations be what a file says",
                "All is checked before the first is written. `***` in the place of a secret keeps what is stored. `org` is \
                 that of integrations that name none.",
            )
            .large()
            .unhurried()
            .takes::<apply::Wanted>(
                true,
                json!({
                    "integrations": [{
                        "name": "oncall",
                        "provider": "webhook",
                        "config": { "url": "https://example.com/hook" },
                        "events": ["execution.failed", "alert.*"],
                        "filter": { "min_severity": "high" },
                    }],
                    "dry_run": true,
                }),
            )
            .changes(&["integration.created", "integration.updated", "integration.deleted", "org.created"])
            .answers::<schema::Applied>(200, "What changed, or with `dry_run` would change")
            .refuses(409, "deliveries_waiting", "deliveries wait for what would go: `changes` says for which")
            .refuses(409, "conflict", "someone else changed one at the same time: apply again")
            .refuses(422, "invalid_integrations", "`errors` names each fault with `index`, `field` and `message`")
            .refuses(422, "no_org", "an empty list with `prune` has to say which org is meant")
            .serves(apply::apply),
        Route::get("/v1/export", "export")
            .needs(Scope::IntegrationsRead, Reach::AnyOrg)
            .says("integrations", "The integrations as a file would say them", "Secrets are masked.")
            .answers::<integrations::Export>(200, "All of them")
            .serves(integrations::export),
    ]
}
