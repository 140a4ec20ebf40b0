//! Routes about bulk acts.

use serde_json::json;

use super::{Reach, Route, Scope, param};
use crate::{
    acts::{self, STATUSES, Shown},
    view::List,
};

const ID: &str = "0199c0de-0000-7000-8000-0000000000ac";

pub(super) fn routes() -> Vec<Route> {
    let id = || json!({ "type": "string", "format": "uuid", "examples": [ID] });
    let missing = |route: Route| route.refuses(404, "not_found", "there is no such act, or it is of another org");
    vec![
        Route::get("/v1/acts", "listActs")
            .needs(Scope::DeliveriesRead, Reach::AnyOrg)
            .says(
                "acts",
                "List bulk acts",
                "Newest first. An act is kept for 30 days after it ended, the newest 1,000.",
            )
            .query("status", param::words(&STATUSES), "Those of this status alone")
            .queries(param::page(ID))
            .answers::<List<Shown>>(200, "A page of them")
            .serves(acts::list),
        missing(
            Route::get("/v1/acts/{id}", "getAct")
                .needs(Scope::DeliveriesRead, Reach::AnyOrg)
                .says("acts", "Show a bulk act", "What it is about and how far it has come.")
                .names("id", id(), "The act's id"),
        )
        .answers::<Shown>(200, "The act")
        .serves(acts::show),
        missing(
            Route::post("/v1/acts/{id}/cancel", "cancelAct")
                .needs(Scope::DeadLettersWrite, Reach::AnyOrg)
                .says(
                    "acts",
                    "Stop a bulk act",
                    "What it has done stays done. One that has ended already is answered as it is.",
                )
                .names("id", id(), "The act's id"),
        )
        .changes(&["act.cancelled"])
        .answers::<Shown>(200, "The act as it is now")
        .refuses(
            409,
            "conflict",
            "a keeper wrote it again and again meanwhile: try again",
        )
        .serves(acts::cancel),
        missing(
            Route::post("/v1/acts/{id}/resume", "resumeAct")
                .needs(Scope::DeadLettersWrite, Reach::AnyOrg)
                .says(
                    "acts",
                    "Let a stopped act go on",
                    "A cancelled or failed act goes on from where it was; nothing is done twice.",
                )
                .names("id", id(), "The act's id"),
        )
        .changes(&["act.resumed"])
        .answers::<Shown>(200, "The act as it is now")
        .refuses(409, "act_done", "nothing is left of it")
        .refuses(409, "act_unknown", "a newer version of Signalbox wrote it")
        .refuses(
            409,
            "conflict",
            "a keeper wrote it again and again meanwhile: try again",
        )
        .serves(acts::resume),
    ]
}
