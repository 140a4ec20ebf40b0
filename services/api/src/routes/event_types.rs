//! Routes about event types.

use serde_json::{Value, json};

use super::{Reach, Route, Scope, param};
use crate::{
    event_types::{self, DeletedType, Given, Shown},
    view::List,
};

pub(super) fn routes() -> Vec<Route> {
    let named = |route: Route| route.names("type", param::event_type(), "The event type");
    vec![
        Route::get("/v1/event-types", "listEventTypes")
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says(
                "event types",
                "List event types",
                "The built-in ones and those of the org, as they take effect, by name.",
            )
            .query(
                "built_in",
                param::words(&["true", "false"]),
                "Built-in ones alone, or the org's own alone",
            )
            .queries(param::page("execution.failed"))
            .answers::<List<Shown>>(200, "A page of them")
            .serves(event_types::list),
        Route::post("/v1/event-types", "createEventType")
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "event types",
                "Register an event type",
                "Under the name of a built-in type it wins over that, and what it leaves out is as it is built in.",
            )
            .takes::<Given>(true, example())
            .changes(&["event_type.created", "org.created"])
            .answers::<Shown>(201, "The type as it takes effect")
            .tagged()
            .refuses(409, "already_exists", "the org has registered it already")
            .refuses(409, "too_many", "the org has registered as many types as it may")
            .serves(event_types::create),
        named(Route::get("/v1/event-types/{type}", "getEventType"))
            .needs(Scope::IntegrationsRead, Reach::Org)
            .says("event types", "Show an event type", "")
            .answers::<Shown>(200, "The type as it takes effect")
            .refuses(404, "not_found", "it is neither built in nor registered")
            .serves(event_types::show),
        named(Route::put("/v1/event-types/{type}", "putEventType"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "event types",
                "Register an event type, or replace it",
                "What the body does not name is taken away.",
            )
            .conditional()
            .takes::<Given>(false, json!({ "title": "Deployed", "severity": "low", "tone": "good" }))
            .changes(&["event_type.updated", "event_type.created", "org.created"])
            .answers::<Shown>(200, "The type was replaced")
            .tagged()
            .answers::<Shown>(201, "The type is new")
            .tagged()
            .refuses(409, "conflict", "someone else changed it at the same time")
            .refuses(409, "too_many", "the org has registered as many types as it may")
            .serves(event_types::put),
        named(Route::delete("/v1/event-types/{type}", "deleteEventType"))
            .needs(Scope::IntegrationsWrite, Reach::Org)
            .says(
                "event types",
                "Forget an event type of the org",
                "Under a built-in name the built-in type shows again.",
            )
            .conditional()
            .changes(&["event_type.deleted"])
            .answers::<DeletedType>(200, "It is forgotten")
            .refuses(404, "not_found", "it is neither built in nor registered")
            .refuses(
                409,
                "built_in",
                "it is built in, and the org has registered nothing over it",
            )
            .refuses(409, "conflict", "someone else changed it at the same time")
            .serves(event_types::delete),
    ]
}

fn example() -> Value {
    json!({
        "type": "deploy.done",
        "title": "Deployed",
        "emoji": "🚀",
        "severity": "low",
        "tone": "good",
        "schema": { "type": "object", "required": ["version"] },
    })
}
