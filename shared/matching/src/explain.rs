//! Why an integration was or was not matched by an event, for people.
//!
//! Asks what the index asks, with its own parts, in its order; so the answer is the router's for the same
//! integration and event.

use signalbox_proto::{Integration, Severity, event::Accepted, integration::Status};

use crate::{
    condition::{Answer, ConditionError, EventView},
    index::{Filter, read_patterns},
};

/// What the router says of an event and an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event is delivered.
    Match,
    /// The event is of another org.
    ForeignOrg,
    /// The integration is not active.
    Inactive(Status),
    /// No pattern covers the event's type.
    Type {
        /// Those that there are.
        patterns: Vec<String>,
    },
    /// The event is of another agent.
    Agent {
        /// Those that are wanted.
        wanted: Vec<String>,
        /// The event's.
        is: String,
    },
    /// The event is not serious enough.
    Severity {
        /// The least that is wanted.
        least: Severity,
        /// The event's.
        is: Severity,
    },
    /// The `where` does not hold.
    Condition {
        /// Its text.
        text: String,
        /// What it says.
        how: How,
    },
    /// The `where` has no answer: the delivery is a dead letter of stage `route`.
    Error {
        /// Its text.
        text: String,
        /// Why.
        error: ConditionError,
    },
}

/// How a `where` does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It is false.
    False,
    /// It reads what the event does not have; which field, where that is known.
    Absent(Option<String>),
}

impl Verdict {
    /// Whether a pattern of an active integration covers the event's type, so that only the filter decided.
    pub fn is_near(&self) -> bool {
        match self {
            Self::Match | Self::Agent { .. } | Self::Severity { .. } | Self::Condition { .. } | Self::Error { .. } => {
                true
            }
            Self::ForeignOrg | Self::Inactive(_) | Self::Type { .. } => false,
        }
    }
}

/// Asks an integration, as it is, about an event. The cost is that of compiling its `where`.
pub fn explain(integration: &Integration, accepted: &Accepted) -> Verdict {
    explain_view(integration, accepted, &EventView::new(accepted))
}

/// As [`explain`](fn@explain), for who asks many about one event: the view of it is read once.
pub fn explain_view(integration: &Integration, accepted: &Accepted, view: &EventView<'_>) -> Verdict {
    let event = &accepted.event;
    if integration.org != event.org {
        return Verdict::ForeignOrg;
    }
    if integration.status != Status::Active {
        return Verdict::Inactive(integration.status);
    }
    let subscription = &integration.subscription;
    let (patterns, _) = read_patterns(&subscription.events);
    if !patterns.iter().any(|pattern| pattern.matches(&event.event_type)) {
        return Verdict::Type {
            patterns: subscription.events.clone(),
        };
    }
    // Asked one after another, so that the cheap ones spare the `where`.
    let given = &subscription.filter;
    let without_condition = signalbox_proto::integration::Filter {
        condition: None,
        ..given.clone()
    };
    if let Some(filter) = Filter::of(&without_condition) {
        if !filter.wants_agent(event) {
            return Verdict::Agent {
                wanted: given.agent_ids.clone(),
                is: event.agent_id.clone().unwrap_or_default(),
            };
        }
        if !filter.wants_severity(event) {
            return Verdict::Severity {
                least: given.min_severity.unwrap_or_default(),
                is: event.severity,
            };
        }
    }
    let (Some(text), Some(filter)) = (&given.condition, Filter::of(given)) else {
        return Verdict::Match;
    };
    let answer = match filter.condition {
        None => return Verdict::Match,
        Some(Ok(condition)) => condition.answer(view),
        Some(Err(error)) => Err(error),
    };
    let text = text.clone();
    match answer {
        Ok(Answer::True) => Verdict::Match,
        Ok(Answer::False) => Verdict::Condition { text, how: How::False },
        Ok(Answer::Absent(field)) => Verdict::Condition {
            text,
            how: How::Absent(field),
        },
        Err(error) => Verdict::Error { text, error },
    }
}

#[cfg(test)]
mod tests;
