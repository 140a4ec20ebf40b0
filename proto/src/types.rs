//! The event types: the built-in ones with what they say of themselves, and those that an org registers.
//!
//! One table of title, emoji, tone and severity decides how an event looks everywhere.

use serde::{Deserialize, Serialize};

use crate::{EventType, Name, RawJson, Severity, Timestamp};

/// Longest title of a registered type, in characters.
pub const TITLE_CHARS_MAX: usize = 100;
/// Longest emoji of a registered type, in bytes: a sequence of several code points is one emoji.
pub const EMOJI_BYTES_MAX: usize = 64;
/// Largest JSON Schema of a registered type, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// The emoji of a type that is neither built in nor registered with one.
pub const EMOJI: &str = "ℹ️";

/// Whether an event is good news, bad news, or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Something ended well.
    Good,
    /// Something went wrong.
    Bad,
    /// Something happened.
    #[default]
    Neutral,
}

impl Tone {
    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }
}

/// What is known of a built-in event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The type's name, such as `execution.failed`.
    pub name: &'static str,
    /// The severity of an event that names none.
    pub severity: Severity,
    /// Good news or bad.
    pub tone: Tone,
    /// Shown before the title.
    pub emoji: &'static str,
    /// What people read instead of the name.
    pub title: &'static str,
    /// The message of an event whose data has none; `{field}` stands for that field of the data.
    pub message: Option<&'static str>,
}

const fn of(
    name: &'static str,
    severity: Severity,
    tone: Tone,
    emoji: &'static str,
    title: &'static str,
    message: Option<&'static str>,
) -> BuiltIn {
    BuiltIn {
        name,
        severity,
        tone,
        emoji,
        title,
        message,
    }
}

/// All built-in types, by name.
#[rustfmt::skip]
pub const BUILT_IN: &[BuiltIn] = &[
    of("alert.created", Severity::High, Tone::Bad, "🚨", "Alert Created", None),
    of("alert.resolved", Severity::Low, Tone::Good, "✅", "Alert Resolved", None),
    of("build.completed", Severity::Low, Tone::Good, "✅", "Build Completed", None),
    of("build.failed", Severity::High, Tone::Bad, "❌", "Build Failed", None),
    of("build.queued", Severity::Low, Tone::Neutral, "⏳", "Build Queued", None),
    of("build.started", Severity::Low, Tone::Neutral, "🔨", "Build Started", None),
    of("canary.promoted", Severity::Low, Tone::Good, "🎉", "Canary Promoted", Some("Version {version} promoted to production")),
    of("canary.rolled_back", Severity::High, Tone::Bad, "⚠️", "Canary Rolled Back", Some("Canary rolled back: {reason}")),
    of("canary.started", Severity::Low, Tone::Neutral, "🐤", "Canary Deployment Started", Some("Canary deployment started for version {version}")),
    of("delivery.dead", Severity::High, Tone::Bad, "☠️", "Delivery Dead", None),
    of("delivery.failing", Severity::Medium, Tone::Bad, "⚠️", "Delivery Failing", None),
    of("deployment.completed", Severity::Low, Tone::Good, "✅", "Deployment Completed", None),
    of("deployment.failed", Severity::High, Tone::Bad, "❌", "Deployment Failed", None),
    of("deployment.started", Severity::Low, Tone::Neutral, "🚀", "Deployment Started", None),
    of("execution.completed", Severity::Low, Tone::Good, "✅", "Execution Completed", None),
    of("execution.failed", Severity::High, Tone::Bad, "❌", "Execution Failed", Some("Execution failed: {error}")),
    of("execution.started", Severity::Low, Tone::Neutral, "▶️", "Execution Started", None),
    of("experiment.completed", Severity::Low, Tone::Good, "✅", "Experiment Completed", None),
    of("experiment.started", Severity::Low, Tone::Neutral, "🧪", "Experiment Started", None),
    of("image.pushed", Severity::Low, Tone::Neutral, "📦", "Image Pushed", None),
    of("implementation.completed", Severity::Low, Tone::Good, "✅", "Implementation Completed", None),
    of("implementation.failed", Severity::High, Tone::Bad, "❌", "Implementation Failed", None),
    of("implementation.started", Severity::Low, Tone::Neutral, "🚀", "Implementation Started", None),
    of("integration.recovered", Severity::Low, Tone::Good, "🟢", "Integration Recovered", None),
    of("integration.suspended", Severity::High, Tone::Bad, "⛔", "Integration Suspended", None),
    of("integration.test", Severity::Low, Tone::Neutral, "🔧", "Test", None),
    of("invocation.completed", Severity::Low, Tone::Good, "✅", "Invocation Completed", None),
    of("invocation.denied", Severity::Medium, Tone::Bad, "🚫", "Invocation Denied", None),
    of("invocation.failed", Severity::High, Tone::Bad, "❌", "Invocation Failed", None),
    of("invocation.throttled", Severity::Medium, Tone::Bad, "🐢", "Invocation Throttled", None),
    of("pr.created", Severity::Low, Tone::Neutral, "🔀", "Pull Request Created", None),
    of("pr.merged", Severity::Low, Tone::Good, "🎉", "Pull Request Merged", None),
    of("problem.detected", Severity::High, Tone::Bad, "🔍", "Problem Detected", None),
    of("problem.resolved", Severity::Low, Tone::Good, "✅", "Problem Resolved", None),
    of("proposal.approved", Severity::Low, Tone::Good, "✅", "Proposal Approved", None),
    of("proposal.created", Severity::Low, Tone::Neutral, "💡", "Proposal Created", None),
    of("signalbox.digest", Severity::Low, Tone::Neutral, "📚", "Digest", None),
    of("spec.approved", Severity::Low, Tone::Good, "✅", "Spec Approved", None),
    of("spec.created", Severity::Low, Tone::Neutral, "📝", "Spec Created", None),
    of("spec.status_changed", Severity::Low, Tone::Neutral, "📝", "Spec Status Changed", None),
    of("system.degraded", Severity::Critical, Tone::Bad, "🔴", "System Degraded", Some("System degraded: {reason}")),
    of("system.recovered", Severity::Low, Tone::Good, "🟢", "System Recovered", Some("System has recovered to healthy state")),
    of("validation.failed", Severity::High, Tone::Bad, "❌", "Validation Failed", None),
];

/// Types that open something, each with the one that closes it. Both share the first token: their family.
pub const PAIRS: [(&str, &str); 3] = [
    ("alert.created", "alert.resolved"),
    ("problem.detected", "problem.resolved"),
    ("system.degraded", "system.recovered"),
];

/// The built-in type of this name, if it is one.
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN
        .binary_search_by(|entry| entry.name.cmp(name))
        .ok()
        .map(|index| &BUILT_IN[index])
}

/// The severity of an event of this type that names none: the type's, else `low`.
pub fn default_severity(name: &str) -> Severity {
    built_in(name).map_or(Severity::Low, |entry| entry.severity)
}

/// A type that an org registered, as KV CONFIG carries it. What it leaves out is the built-in type's, if it
/// names one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The tenant.
    pub org: Name,
    /// The type's name.
    pub name: EventType,
    /// What people read instead of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Shown before the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// The severity of an event that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Good news or bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    /// A JSON Schema that the data of every such event must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<RawJson>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// One more at each change; 0 where a version wrote it that did not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Registered {
    /// What an event of this type carries along, so that every formatter shows it as registered; `None` where
    /// the type says nothing of its looks.
    pub fn look(&self) -> Option<Look> {
        let look = Look {
            title: self.title.clone(),
            emoji: self.emoji.clone(),
            tone: self.tone,
        };
        (look != Look::default()).then_some(look)
    }
}

/// How an event of a registered type looks, as it was when the event was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// What people read instead of the type's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Shown before the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// Good news or bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
}

#[cfg(test)]
mod tests;
