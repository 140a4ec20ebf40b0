//! Routes about deliveries.

use serde_json::{Value, json};

use super::{Param, Place, Reach, Route, Scope, param};
use crate::{
    acts::{self, Shown, WaitingCounted, WaitingWanted},
    deliveries::{self, STATUSES},
    schema,
    view::{Delivery, HistoryList, InFull},
};

const ID: &str = "abcdefghijklmnopqrstuv";
const CURSOR: &str = "1769851800000000000.abcdefghijklmnopqrstuv";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/deliveries", "listDeliveries")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "deliveries",
                "List deliveries",
                "Those of the newest events first, for as long as history is kept. A page may have fewer than `limit`, also \
                 none: the list goes on as long as there is a `next_cursor`. `gaps` are times of the page of which records \
                 were lost. While the database does not answer, `recorded` is false, `truncated` true, and the page has what \
                 the streams still hold: what waits, and what ended in the last hour or since `since`.",
            )
            .query("integration", param::integration(), "Of this integration, by id or name")
            .queries(filter())
            .answers::<HistoryList<Delivery>>(200, "A page of them")
            .refuses(404, "not_found", "there is no such integration")
            .serves(deliveries::list),
        Route::get("/v1/integrations/{id}/deliveries", "listDeliveriesOfIntegration")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says("deliveries", "List deliveries of an integration", "As the list of all.")
            .names("id", param::integration(), "The integration, by id or name")
            .queries(filter())
            .answers::<HistoryList<Delivery>>(200, "A page of them")
            .refuses(404, "not_found", "there is no such integration")
            .serves(deliveries::of_integration),
        Route::get("/v1/deliveries/{id}", "getDelivery")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "deliveries",
                "Show a delivery",
                "With every attempt that is kept, why it stands as it does, and what comes next.",
            )
            .names("id", id(), "The delivery's id")
            .query("integration", param::integration(), "Look at this integration alone, by id or name")
            .answers::<InFull>(200, "The delivery")
            .refuses(404, "not_found", "there is no such delivery, or no such integration, in this org")
            .serves(deliveries::show),
        Route::post("/v1/deliveries/{id}/retry", "retryDelivery")
            .needs(Scope::DeadLettersWrite, Reach::Org)
            .says(
                "deliveries",
                "Try a delivery now",
                "One that waits for its next attempt is sent now. The attempt counts as the one that was scheduled.",
            )
            .names("id", id(), "The delivery's id")
            .query("integration", param::integration(), "Look at this integration alone, by id or name")
            .changes(&["delivery.retried"])
            .answers::<InFull>(202, "The delivery, on its way")
            .refuses(404, "not_found", "there is no such delivery, or no such integration, in this org")
            .refuses(409, "paused", "its integration is paused")
            .refuses(409, "suspended", "its target refuses us")
            .refuses(409, "draining", "it goes in its turn")
            .refuses(409, "gathered", "it goes with the next digest")
            .refuses(409, "ordered", "it goes in the order of its key")
            .refuses(409, "in_digest", "it is a member of the digest `delivery_id`")
            .refuses(409, "delivered", "its target has it")
            .refuses(409, "ended", "it ended otherwise; `dead_letter_id` names its dead letter")
            .refuses(409, "moving", "it is on its way at this moment")
            .serves(deliveries::retry),
        act("/v1/deliveries/retry", "retryDeliveries")
            .says(
                "deliveries",
                "Try many deliveries now",
                "Those that wait for their next attempt: by `ids`, by `filter`, or `all: true`. With `dry_run` they are \
                 counted and nothing is done.",
            )
            .changes(&["deliveries.retried"])
            .serves(acts::retry_waiting),
        act("/v1/deliveries/discard", "discardDeliveries")
            .says(
                "deliveries",
                "Give up what waits",
                "By `ids`, by `filter`, or `all: true`; they become dead letters. With `dry_run` they are counted and \
                 nothing is done.",
            )
            .changes(&["deliveries.discarded"])
            .serves(acts::discard_waiting),
    ]
}

fn id() -> Value {
    json!({ "type": "string", "pattern": schema::DELIVERY_ID, "examples": [ID] })
}

fn filter() -> Vec<Param> {
    let query = |name, schema, about| Param::new(Place::Query, name, schema, about);
    let mut params = vec![
        query("provider", param::provider(), "Of this provider"),
        query(
            "status",
            param::words(&STATUSES),
            "Of this status; `success` is delivered, `failed` dead or expired, `waiting` pending, retrying or parked",
        ),
        query("event_type", param::event_type(), "Of events of this type, exactly"),
    ];
    params.extend(param::span());
    params.extend(param::page(CURSOR));
    params
}

/// What retry and discard have in common.
fn act(path: &'static str, id: &'static str) -> Route {
    Route::post(path, id)
        .needs(Scope::DeadLettersWrite, Reach::Org)
        .unhurried()
        .takes::<WaitingWanted>(
            true,
            json!({ "filter": { "integration": "oncall", "older_than": "1h" }, "dry_run": true }),
        )
        .answers::<WaitingCounted>(200, "With `dry_run`: how many it would be about")
        .answers::<Shown>(202, "The act that was begun")
        .refuses(
            404,
            "not_found",
            "an integration that does not exist, or ids of which none waits",
        )
        .refuses(409, "too_many_acts", "100 acts are at work")
        .refuses(422, "empty_filter", "nothing says which deliveries")
}
