//! Routes about dead letters.

use serde_json::{Value, json};
use signalbox_proto::DeadReason;

use super::{Param, Place, Reach, Route, Scope, param};
use crate::{
    acts::{self, LettersCounted, LettersWanted, Shown},
    dead::{self, GroupShown},
    schema,
    view::{DeadLetter, HistoryList},
};

const ID: &str = "dl_12";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/dead-letters", "listDeadLetters")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "dead letters",
                "List dead letters",
                "Newest first; those that match every condition given. With `group_by=fingerprint` like ones are counted \
                 instead, the largest groups first, on one page. The org `default` also shows inputs that named no valid org. A \
                 page may have fewer than `limit`, also none: the list goes on as long as there is a `next_cursor`. While \
                 the database does not answer, `recorded` is false, `truncated` true, and the page has what DEAD still holds.",
            )
            .queries(filter())
            .query("group_by", param::words(&["fingerprint"]), "Count like ones instead of listing each")
            .queries(param::page(ID))
            .unhurried()
            .answers::<HistoryList<DeadLetter>>(200, "A page of dead letters, or of groups")
            .or_answers::<HistoryList<GroupShown>>()
            .refuses(404, "not_found", "there is no such integration")
            .serves(dead::list),
        Route::get("/v1/dead-letters/{id}", "getDeadLetter")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says("dead letters", "Show a dead letter", "With the event, or the bytes of the input, and every attempt.")
            .names("id", id(), "The dead letter's id")
            .answers::<DeadLetter>(200, "The dead letter")
            .refuses(404, "not_found", "there is no such dead letter in this org")
            .serves(dead::show),
        act("replay", "replayDeadLetters")
            .says(
                "dead letters",
                "Replay dead letters",
                "By `ids`, by `filter`, or `all: true`; to their own integrations or to another one (`to`). With `dry_run` \
                 they are counted and nothing is done. `rate` is 100 a second where it is not given.",
            )
            .changes(&["dead_letters.replayed"])
            .serves(acts::replay),
        act("discard", "discardDeadLetters")
            .says(
                "dead letters",
                "Discard dead letters",
                "As replay, but they end for good. `to` is not taken. `rate` is 10,000 a second where it is not given.",
            )
            .changes(&["dead_letters.discarded"])
            .serves(acts::discard),
    ]
}

fn id() -> Value {
    json!({ "type": "string", "pattern": schema::DEAD_LETTER_ID, "examples": [ID] })
}

fn filter() -> Vec<Param> {
    let query = |name, schema, about| Param::new(Place::Query, name, schema, about);
    let mut params = vec![
        query(
            "integration",
            param::integration(),
            "Of this integration, by id or name",
        ),
        query("provider", param::provider(), "Of this provider"),
        query(
            "stage",
            param::words(&["ingest", "route", "delivery"]),
            "Made at this stage",
        ),
        query(
            "reason",
            param::words(&DeadReason::ALL.map(DeadReason::as_str)),
            "For a reason of this class",
        ),
        query("fingerprint", param::text("8c1f0a"), "With this fingerprint"),
        query("event_type", param::event_type(), "Of events of this type, exactly"),
    ];
    params.extend(param::span());
    params
}

/// What replay and discard have in common.
fn act(verb: &'static str, id: &'static str) -> Route {
    let path = match verb {
        "replay" => "/v1/dead-letters/replay",
        _ => "/v1/dead-letters/discard",
    };
    Route::post(path, id)
        .needs(Scope::DeadLettersWrite, Reach::Org)
        .unhurried()
        .takes::<LettersWanted>(
            true,
            json!({ "filter": { "integration": "oncall", "since": "2h" }, "dry_run": true }),
        )
        .answers::<LettersCounted>(200, "With `dry_run`: how many it would be about")
        .answers::<Shown>(202, "The act that was begun")
        .refuses(404, "not_found", "an id or an integration that does not exist")
        .refuses(409, "too_many_acts", "100 acts are at work")
        .refuses(422, "empty_filter", "nothing says which dead letters")
}
