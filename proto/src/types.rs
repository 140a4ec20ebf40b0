//! The built-in event types and what they say of themselves.

use crate::Severity;

/// What is known of a built-in event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The type's name, such as `execution.failed`.
    pub name: &'static str,
    /// The severity of an event that names none.
    pub severity: Severity,
}

const fn of(name: &'static str, severity: Severity) -> BuiltIn {
    BuiltIn { name, severity }
}

/// All built-in types, by name.
pub const BUILT_IN: &[BuiltIn] = &[
    of("alert.created", Severity::High),
    of("alert.resolved", Severity::Low),
    of("build.completed", Severity::Low),
    of("build.failed", Severity::High),
    of("build.queued", Severity::Low),
    of("build.started", Severity::Low),
    of("canary.promoted", Severity::Low),
    of("canary.rolled_back", Severity::High),
    of("canary.started", Severity::Low),
    of("delivery.dead", Severity::High),
    of("delivery.failing", Severity::Medium),
    of("deployment.completed", Severity::Low),
    of("deployment.failed", Severity::High),
    of("deployment.started", Severity::Low),
    of("execution.completed", Severity::Low),
    of("execution.failed", Severity::High),
    of("execution.started", Severity::Low),
    of("experiment.completed", Severity::Low),
    of("experiment.started", Severity::Low),
    of("image.pushed", Severity::Low),
    of("implementation.completed", Severity::Low),
    of("implementation.failed", Severity::High),
    of("implementation.started", Severity::Low),
    of("integration.recovered", Severity::Low),
    of("integration.suspended", Severity::High),
    of("integration.test", Severity::Low),
    of("invocation.completed", Severity::Low),
    of("invocation.denied", Severity::Medium),
    of("invocation.failed", Severity::High),
    of("invocation.throttled", Severity::Medium),
    of("pr.created", Severity::Low),
    of("pr.merged", Severity::Low),
    of("problem.detected", Severity::High),
    of("problem.resolved", Severity::Low),
    of("proposal.approved", Severity::Low),
    of("proposal.created", Severity::Low),
    of("signalbox.digest", Severity::Low),
    of("spec.approved", Severity::Low),
    of("spec.created", Severity::Low),
    of("spec.status_changed", Severity::Low),
    of("system.degraded", Severity::Critical),
    of("system.recovered", Severity::Low),
    of("validation.failed", Severity::High),
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

#[cfg(test)]
mod tests;
