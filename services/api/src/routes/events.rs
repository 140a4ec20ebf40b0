//! Routes about events: publishing, which is the role ingest's, and what became of them.

mod publish;

use serde_json::json;

use super::{Reach, Route, Scope, Shape, param};
use crate::{
    acts::{self, EventsCounted, EventsStarted, EventsWanted},
    schema, tail, trace,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        publish::route(),
        Route::get("/v1/events/{id}", "getEvent")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "events",
                "The whole story of an event",
                "The event, its deliveries with every attempt, why each stands as it does, and why the other integrations \
                 of the org do not have it. An event that an integration was given is found for as long as history is kept; \
                 others are looked for among those of the last day, or since `since`.",
            )
            .names("id", param::text("0199c0de-0000-7000-8000-000000000001"), "The event's id")
            .query("source", param::text("/acme"), "Its source, where events of several sources have the id")
            .query("since", param::moment("7d"), "Look among all events since then: a time, or a duration back from now")
            .unhurried()
            .answers::<trace::Trace>(200, "The story")
            .refuses(404, "not_found", "nobody knows the event")
            .refuses(404, "never_accepted", "its input was rejected; `dead_letter_id` names the dead letter")
            .refuses(404, "not_accepted_yet", "ingest has not taken it yet")
            .refuses(409, "several_events", "several sources have the id; `sources` lists them")
            .refuses(410, "erased", "it was erased")
            .serves(trace::trace),
        Route::post("/v1/events/replay", "replayEvents")
            .needs(Scope::DeadLettersWrite, Reach::Org)
            .says(
                "events",
                "Send events of the past to an integration",
                "Accepted events since `since`, in their order; those that its subscription selects, or all of the type \
                 with `ignore_subscription`. With `dry_run` they are counted and nothing is sent.",
            )
            .unhurried()
            .takes::<EventsWanted>(true, json!({ "since": "2h", "to": "oncall", "dry_run": true }))
            .changes(&["events.replayed"])
            .answers::<EventsCounted>(200, "With `dry_run`: how many it would be about")
            .answers::<EventsStarted>(202, "The act that was begun")
            .refuses(404, "not_found", "there is no such integration")
            .refuses(409, "too_many_acts", "100 acts are at work")
            .serves(acts::replay_events),
        Route::get("/v1/tail/{what}", "tail")
            .needs(Scope::DeliveriesRead, Reach::Org)
            .says(
                "events",
                "Follow what happens as it happens",
                "Server-Sent Events until the caller goes. `data` is JSON: an accepted event, an attempt, or a dead letter; \
                 `id` is its place. An entry of the kind `gap` says that the stream has let go of what was asked for \
                 (`messages`). A comment comes every 15 s.",
            )
            .names(
                "what",
                json!({ "type": "string", "enum": ["events", "deliveries", "dead"] }),
                "What is followed",
            )
            .query("type", param::text("alert.*"), "Of the event types that this pattern covers")
            .query("integration", param::integration(), "Of this integration, by id or name")
            .query("since", param::moment("10m"), "Begin then, and not now")
            .header("Last-Event-ID", param::text("4711"), "Go on behind this entry")
            .unhurried()
            .without_store()
            .answers_as(
                200,
                "The entries; each `data` is one of these",
                "text/event-stream",
                vec![
                    Shape::of::<tail::EventEntry>(),
                    Shape::of::<tail::AttemptEntry>(),
                    Shape::of::<tail::LetterEntry>(),
                    Shape::of::<schema::TailGap>(),
                ],
            )
            .refuses(404, "not_found", "there is no such tail, or no such integration")
            .refuses(503, "too_many_tails", "the process serves 64 tails already")
            .serves(tail::tail),
    ]
}
