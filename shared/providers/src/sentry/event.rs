//! Sentry's event as far as it is used here, and its limits.
//!
//! Fields and limits: the vendor's schema of events and its pages on payloads, tags, releases and data handling.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroUsize};

use serde::Serialize;
use signalbox_proto::{Severity, Timestamp, types::Tone};

use super::data::Data;

/// Characters of a message.
pub(super) const MESSAGE_CHARS_MAX: usize = 8_192;
/// Characters of a tag's value.
pub(super) const TAG_CHARS_MAX: usize = 200;
/// Characters of the host or agent that it happened on; the vendor takes 256.
pub(super) const SERVER_CHARS_MAX: usize = 200;
/// Characters of a release.
pub(super) const RELEASE_CHARS_MAX: usize = 200;
/// Characters of an environment.
pub(super) const ENVIRONMENT_CHARS_MAX: usize = 64;
/// Bytes of a fingerprint. The vendor names no limit.
pub(super) const FINGERPRINT_BYTES_MAX: usize = 200;
/// Earlier events that are shown with the last one of a digest; the vendor keeps 100.
pub(super) const BREADCRUMBS_MAX: usize = 20;
/// Characters of a breadcrumb.
pub(super) const BREADCRUMB_CHARS_MAX: usize = 200;
/// Bytes of names and values of the metadata; the vendor takes 8 KiB of a context.
pub(super) const METADATA_BYTES_MAX: usize = 6_000;
/// Characters of a name and of a value in a context.
pub(super) const CONTEXT_CHARS_MAX: usize = 200;

/// One event: the payload of an envelope's item.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    pub(super) event_id: &'a str,
    pub(super) timestamp: Timestamp,
    pub(super) platform: &'static str,
    pub(super) level: Level,
    pub(super) logger: &'static str,
    /// The type of the event: it stands behind an issue's title.
    pub(super) transaction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<&'a str>,
    /// Events with the same one are one issue.
    pub(super) fingerprint: [String; 1],
    pub(super) logentry: LogEntry,
    pub(super) tags: Tags<'a>,
    pub(super) contexts: Contexts<'a>,
    #[serde(skip_serializing_if = "Data::is_empty")]
    pub(super) extra: Data<'a>,
    #[serde(skip_serializing_if = "Breadcrumbs::is_empty")]
    pub(super) breadcrumbs: Breadcrumbs<'a>,
    pub(super) sdk: Sdk,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Info,
    Warning,
    Error,
    Fatal,
}

/// The text of an event; its first line is the title of the issue.
#[derive(Debug, Serialize)]
pub(super) struct LogEntry {
    pub(super) formatted: String,
}

/// What issues are searched by. Names are letters, digits and `_.:-`, at most 32; values are one line.
#[derive(Debug, Serialize)]
pub(super) struct Tags<'a> {
    pub(super) agent_id: Cow<'a, str>,
    pub(super) event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) execution_id: Option<Cow<'a, str>>,
    pub(super) integration: &'a str,
    pub(super) org: &'a str,
    pub(super) severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Cow<'a, str>>,
}

/// Groups of fields, each shown under its name.
#[derive(Debug, Serialize)]
pub(super) struct Contexts<'a> {
    pub(super) signalbox: Origin<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// Where the event comes from.
#[derive(Debug, Serialize)]
pub(super) struct Origin<'a> {
    pub(super) brand: Cow<'a, str>,
    /// Of several events that are one here: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Cow<'a, str>>,
    /// When it happened, also where the vendor puts another time in its place.
    pub(super) time: Timestamp,
    pub(super) delivery_id: &'a str,
    /// Fields of the data that found no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fields_left_out: Option<NonZeroUsize>,
}

/// What happened before.
#[derive(Debug, Serialize)]
pub(super) struct Breadcrumbs<'a> {
    pub(super) values: Vec<Breadcrumb<'a>>,
}

/// One event before.
#[derive(Debug, Serialize)]
pub(super) struct Breadcrumb<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) level: Level,
    pub(super) category: &'a str,
    pub(super) message: String,
}

/// Who sends.
#[derive(Debug, Serialize)]
pub(super) struct Sdk {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

impl Level {
    /// Good news is never an error, and bad news never mere information.
    pub(super) const fn of(severity: Severity, tone: Tone) -> Self {
        match (tone, severity) {
            (Tone::Good, _) | (Tone::Neutral, Severity::Low) => Self::Info,
            (_, Severity::Low | Severity::Medium) => Self::Warning,
            (_, Severity::High) => Self::Error,
            (_, Severity::Critical) => Self::Fatal,
        }
    }
}

impl Breadcrumbs<'_> {
    const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
