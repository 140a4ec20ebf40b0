//! The kinds of targets that Signalbox delivers to: one folder per provider, the table that names
//! them, and the guarded client that sends their requests.
//!
//! A provider does no I/O. It turns a delivery into the next request and an answer into an outcome
//! ([`Provider`]); the delivery worker sends the request through [`Client`], which checks
//! addresses, bounds time and size, and follows no redirect. [`classify`] holds what an answer or a
//! failed request means where a provider's vendor says nothing else.
//!
//! Who works with providers by name uses [`find`] and [`registry`]: an [`Entry`] checks a
//! configuration, tells its secret fields from the others, and opens an [`AnyTarget`].
//!
//! To add a provider, write its folder, then a `mod` line and an `Entry::of` line here. Its form,
//! checks, masking and delivery come from that table.

use std::sync::LazyLock;

use signalbox_proto::{Integration, integration::RateLimit};

mod build;
mod client;
mod entry;
mod error;
mod graphql;
mod markdown;
mod mended;
mod once;
mod payload;
mod pool;
mod provider;
mod secret;

pub mod azure_devops;
pub mod classify;
#[cfg(test)]
mod conformance;
pub mod count;
pub mod datadog;
pub mod discord;
pub mod display;
pub mod email;
pub mod entity;
pub mod fields;
pub mod gcs;
pub mod github;
pub mod github_projects;
pub mod gitlab;
pub mod http;
pub mod jenkins;
pub mod jira;
pub mod linear;
pub mod mail;
pub mod nats;
pub mod new_relic;
pub mod ntfy;
pub mod objects;
pub mod opsgenie;
pub mod pagerduty;
pub mod planned;
pub mod preview;
pub mod prometheus;
pub mod redact;
pub mod s3;
pub mod sentry;
pub mod slack;
pub mod teams;
pub mod telegram;
pub mod template;
pub mod things;
mod tracker;
pub mod webhook;
pub mod wording;

pub use client::{Client, Unanswered};
pub use entry::{AnyTarget, Entry};
pub use error::{Error, FieldError};
pub use http::Egress;
pub use provider::{About, Exchange, Installation, Kind, Limits, Provider, Request, Step, Target, Text};
pub use secret::{MASK, SECRET_MARK, Secret};

static REGISTRY: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    vec![
        Entry::of::<azure_devops::AzureDevops>(),
        Entry::of::<datadog::Datadog>(),
        Entry::of::<discord::Discord>(),
        Entry::of::<email::Email>(),
        Entry::of::<gcs::Gcs>(),
        Entry::of::<github::Github>(),
        Entry::of::<github_projects::GithubProjects>(),
        Entry::of::<gitlab::Gitlab>(),
        Entry::of::<jenkins::Jenkins>(),
        Entry::of::<jira::Jira>(),
        Entry::of::<linear::Linear>(),
        Entry::of::<nats::Nats>(),
        Entry::of::<new_relic::NewRelic>(),
        Entry::of::<ntfy::Ntfy>(),
        Entry::of::<opsgenie::Opsgenie>(),
        Entry::of::<pagerduty::Pagerduty>(),
        Entry::of::<prometheus::Prometheus>(),
        Entry::of::<s3::S3>(),
        Entry::of::<sentry::Sentry>(),
        Entry::of::<slack::Slack>(),
        Entry::of::<teams::Teams>(),
        Entry::of::<telegram::Telegram>(),
        Entry::of::<webhook::Webhook>(),
    ]
});

/// All providers, by name.
pub fn registry() -> &'static [Entry] {
    &REGISTRY
}

/// How many requests an integration may get in a span of time: what it says, or what its provider bears.
pub fn rate_limit_of(integration: &Integration) -> RateLimit {
    let by_default = || find(integration.provider.as_str()).map(|entry| entry.limits.rate_limit());
    let said = integration.flow.rate_limit;
    said.or_else(by_default).unwrap_or_default()
}

/// The provider of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name)
}
