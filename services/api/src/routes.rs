//! Every route of the HTTP API, as one table.
//!
//! The router, what stands before each handler, the OpenAPI document and the page for people are all made from it: see
//! [`crate::frame`], [`crate::openapi`], [`crate::page`]. A new route is a new entry in the module of its noun.

mod about;
mod acts;
mod dead_letters;
mod deliveries;
mod drafts;
mod erasure;
mod event_types;
mod events;
mod installation;
mod integrations;
mod master_key;
mod param;
mod providers;
mod route;
mod stats;
mod tenants;

pub(crate) use param::{Param, Place};
pub(crate) use route::{Answer, Effect, Reach, Route, Shape, Taken, Who};
pub(crate) use signalbox_proto::Scope;

/// The groups of routes, in the order in which they are shown, each with what it is about.
pub(crate) const TAGS: [(&str, &str); 10] = [
    ("events", "What happened: published, looked up, replayed, followed"),
    (
        "integrations",
        "Targets of an org, with their subscriptions and policies",
    ),
    ("deliveries", "What is owed to integrations, with every attempt"),
    ("dead letters", "What Signalbox stopped trying"),
    ("acts", "Bulk replays, retries and discards, worked through by a keeper"),
    ("event types", "The registry of event types of an org"),
    ("providers", "The kinds of targets that this version delivers to"),
    ("tenants", "Orgs, API keys, and who changed what"),
    ("installation", "The installation as a whole"),
    ("about", "This document and its page"),
];

/// The table.
pub(crate) fn table() -> Vec<Route> {
    [
        events::routes(),
        integrations::routes(),
        drafts::routes(),
        deliveries::routes(),
        stats::routes(),
        dead_letters::routes(),
        acts::routes(),
        event_types::routes(),
        providers::routes(),
        tenants::routes(),
        installation::routes(),
        master_key::routes(),
        erasure::routes(),
        about::routes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests;
