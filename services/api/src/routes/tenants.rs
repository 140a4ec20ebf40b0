//! Routes about tenants and who acts for them: orgs, API keys, the audit.

use serde_json::json;

use super::{Reach, Route, Scope, param};
use crate::{audit, keys, orgs, view::List};

pub(super) fn routes() -> Vec<Route> {
    let of_key = |route: Route| {
        route
            .names("id", param::uuid(), "The key")
            .needs(Scope::Admin, Reach::AnyOrg)
            .refuses(404, "not_found", "there is no such key")
    };
    vec![
        Route::get("/v1/orgs", "listOrgs")
            .needs(Scope::Admin, Reach::AnyOrg)
            .says("tenants", "List orgs", "By name. A key of one org sees this one.")
            .queries(param::page("acme"))
            .answers::<List<orgs::Shown>>(200, "A page of them")
            .serves(orgs::list),
        Route::post("/v1/orgs", "createOrg")
            .needs(Scope::Admin, Reach::Installation)
            .says("tenants", "Make an org", "Its name is its name for ever.")
            .takes::<orgs::Wanted>(true, json!({ "name": "acme", "title": "Acme Ltd" }))
            .changes(&["org.created"])
            .answers::<orgs::Shown>(201, "The org")
            .refuses(409, "already_exists", "there is an org of this name")
            .serves(orgs::create),
        Route::get("/v1/orgs/{name}", "getOrg")
            .needs(Scope::Admin, Reach::AnyOrg)
            .says("tenants", "Show an org", "")
            .names("name", param::org(), "The org")
            .answers::<orgs::Shown>(200, "The org")
            .refuses(404, "not_found", "there is no such org")
            .serves(orgs::show),
        Route::get("/v1/api-keys", "listApiKeys")
            .needs(Scope::Admin, Reach::AnyOrg)
            .says(
                "tenants",
                "List API keys",
                "The oldest first, masked; expired and revoked ones too.",
            )
            .queries(param::page("0199c0de-0000-7000-8000-000000000001"))
            .answers::<List<keys::Shown>>(200, "A page of them")
            .serves(keys::list),
        Route::post("/v1/api-keys", "createApiKey")
            .needs(Scope::Admin, Reach::Org)
            .says(
                "tenants",
                "Make an API key",
                "The answer is the only place where its text ever is.",
            )
            .takes::<keys::Wanted>(true, keys::example())
            .changes(&["api_key.created", "org.created"])
            .answers::<keys::Shown>(201, "The key, with its text")
            .serves(keys::create),
        of_key(Route::get("/v1/api-keys/{id}", "getApiKey"))
            .says("tenants", "Show an API key", "Masked.")
            .answers::<keys::Shown>(200, "The key")
            .serves(keys::show),
        of_key(Route::post("/v1/api-keys/{id}/rotate", "rotateApiKey"))
            .says(
                "tenants",
                "Put a new key into the place of another",
                "Both count for `overlap`, then the new one alone.",
            )
            .takes::<keys::Rotation>(false, json!({ "overlap": "24h" }))
            .changes(&["api_key.rotated"])
            .answers::<keys::Shown>(201, "The new key, with its text")
            .refuses(
                409,
                "key_ended",
                "the key is revoked, has expired or was rotated already",
            )
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(keys::rotate),
        of_key(Route::delete("/v1/api-keys/{id}", "revokeApiKey"))
            .says(
                "tenants",
                "Revoke an API key",
                "It is refused everywhere within a second.",
            )
            .changes(&["api_key.revoked"])
            .answers::<keys::Shown>(200, "The key as it is now")
            .refuses(409, "key_ended", "the key is revoked already")
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(keys::revoke),
        Route::get("/v1/audit", "listAudit")
            .needs(Scope::Admin, Reach::AnyOrg)
            .says(
                "tenants",
                "Who changed what, when, from where",
                "The newest first, secrets masked.",
            )
            .query("action", param::text("integration.updated"), "Of this action")
            .query(
                "object_type",
                param::text("integration"),
                "About things of this kind, as `object.type` of entries says it",
            )
            .query(
                "object_id",
                param::text("0199c0de-0000-7000-8000-000000000001"),
                "About the thing with this `object.id`",
            )
            .query(
                "actor_id",
                param::text("admin"),
                "By who has this `actor.id`: the holder of a key, or `admin`, the installation's own key",
            )
            .queries(param::span())
            .queries(param::page("1790000000000000000.0199c0de-0000-7000-8000-000000000001"))
            .answers::<List<audit::Shown>>(200, "A page of them")
            .serves(audit::list),
    ]
}
