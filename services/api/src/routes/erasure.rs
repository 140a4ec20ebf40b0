//! Routes that erase for good.

use serde_json::json;

use super::{Reach, Route, Scope, param};
use crate::erase;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/orgs/{name}/erase", "eraseOrg")
            .needs(Scope::Admin, Reach::Installation)
            .says(
                "tenants",
                "Erase an org for good",
                "Nothing is taken in for it any more; its keys are revoked, its integrations withdrawn, and its events, \
                 deliveries, dead letters and history erased. Its name is never used again. With `dry_run` it is counted.",
            )
            .names("name", param::org(), "The org")
            .unhurried()
            .takes::<erase::Wanted>(true, json!({ "confirm": "acme", "dry_run": true }))
            .changes(&["org.erasure_begun"])
            .answers::<erase::Counted>(200, "With `dry_run`: how much it would be")
            .answers::<erase::Shown>(202, "How far it is")
            .refuses(404, "not_found", "there can be no such org")
            .refuses(409, "org_closed", "it is erased, or is being erased; `erasure_id` says by what")
            .serves(erase::org),
        Route::delete("/v1/events/{id}", "eraseEvent")
            .needs(Scope::Admin, Reach::Org)
            .says(
                "events",
                "Erase an event for good",
                "The event, its deliveries wherever they are, its dead letters, records and history. What a target has \
                 been sent is with the target.",
            )
            .names("id", param::text("0199c0de-0000-7000-8000-000000000001"), "The event's id")
            .query("source", param::text("/acme"), "Its source, where events of several sources have the id")
            .query("dry_run", param::flag(), "Only count")
            .unhurried()
            .changes(&["event.erasure_begun"])
            .answers::<erase::Counted>(200, "With `dry_run`: how much it would be")
            .answers::<erase::Shown>(202, "How far it is")
            .refuses(409, "several_events", "several sources have the id; `sources` lists them")
            .serves(erase::event),
        Route::get("/v1/erasures/{id}", "getErasure")
            .needs(Scope::Admin, Reach::AnyOrg)
            .says("tenants", "Show how far an erasure is", "")
            .names("id", param::uuid(), "The erasure")
            .answers::<erase::Shown>(200, "The erasure")
            .refuses(404, "not_found", "there is no such erasure")
            .serves(erase::show),
    ]
}
