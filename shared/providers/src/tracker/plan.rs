//! What is to be done at the issue of an event.

use signalbox_proto::Delivery;

use super::{Action, Does, Settings, said::Said, thing};
use crate::entity::{Entity, Part};

/// Where a spec stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    /// It is being written.
    Draft,
    /// It is being read.
    Review,
    /// It is to be built.
    Approved,
    /// It is built.
    Implemented,
}

impl Status {
    /// As data writes it, in any case.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "draft" => Some(Self::Draft),
            "review" | "in_review" | "in review" => Some(Self::Review),
            "approved" => Some(Self::Approved),
            "implemented" => Some(Self::Implemented),
            _ => None,
        }
    }

    fn of_type(event_type: &str) -> Option<Self> {
        match event_type {
            "spec.created" => Some(Self::Draft),
            "spec.approved" => Some(Self::Approved),
            "implementation.completed" | "pr.merged" => Some(Self::Implemented),
            _ => None,
        }
    }
}

/// All that is to be done, in this order, once there is an issue. What is asked of it is done where it can be: an event
/// without a status, or with one that has no state at the target, comments, so that none leaves nothing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// A subtask for each criterion.
    pub(super) subtasks: bool,
    /// Link the pull request.
    pub(super) link: bool,
    /// Comment, unless the issue was made by this delivery: then it says all of it.
    pub(super) comment: bool,
    /// Move it there.
    pub(super) status: Option<Status>,
    /// Whether it is about what is the case from now on, so that no older event is to change it.
    pub(super) is_news: bool,
    /// What the event does to an alert.
    pub(super) part: Part,
}

impl Plan {
    /// The plan of a delivery. `has_state` says which statuses the target knows.
    pub(super) fn of(
        delivery: &Delivery,
        said: &Said,
        settings: Settings,
        does: Does,
        has_state: impl Fn(Status) -> bool,
    ) -> Self {
        let nothing = Self {
            subtasks: false,
            link: false,
            comment: false,
            status: None,
            is_news: false,
            part: Part::Alone,
        };
        if delivery.is_digest() {
            return nothing;
        }
        let event = &delivery.event().event;
        let event_type = event.event_type.as_str();
        // What tells of a spec closes no alert, and the other way round.
        let is_of_spec = said.spec_id.is_some() || thing::is_of_life(event_type);
        let part = if is_of_spec {
            Part::Alone
        } else {
            Entity::of(event).part
        };
        let named = said
            .status
            .or_else(|| Status::of_type(event_type))
            .filter(|_| is_of_spec);
        // What resolves an alert is its end: the state in which work is done.
        let named = named.or((part == Part::Closes).then_some(Status::Implemented));
        let can_link = does.links && said.pr.is_some();
        let has_criteria = does.subtasks && !said.criteria.is_empty();
        let wanted = match settings.action {
            None => Self {
                subtasks: settings.create_subtasks && has_criteria && event_type.starts_with("spec."),
                link: settings.link_pr && can_link,
                // An alert that is over: the comment says when and why.
                comment: part == Part::Closes,
                status: named,
                ..nothing
            },
            Some(Action::Create) => nothing,
            Some(Action::UpdateStatus) => Self {
                status: named,
                ..nothing
            },
            Some(Action::Comment) => Self {
                comment: true,
                ..nothing
            },
            Some(Action::Link) => Self {
                link: can_link,
                ..nothing
            },
            Some(Action::CreateSubtask) => Self {
                subtasks: has_criteria,
                ..nothing
            },
        };
        let status = wanted.status.filter(|status| has_state(*status));
        let is_seen = wanted.subtasks || wanted.link || status.is_some();
        Self {
            comment: does.comments && (wanted.comment || !is_seen),
            status,
            is_news: wanted.status.is_some() || part != Part::Alone,
            part,
            ..wanted
        }
    }
}
