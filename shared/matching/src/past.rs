//! Which accepted events of the past a replay sends to an integration.

use signalbox_proto::{
    Accepted, Integration,
    act::EventFilter,
    integration::{Status, Subscription},
    pattern::{InvalidPattern, Pattern},
};

use crate::{ConditionError, Index};

/// What a replay does about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is sent, behind those of this key of its integration's `order_by`.
    Send(Option<String>),
    /// It is of another org, time or type than was asked for.
    Beside,
    /// It was asked for, but the integration's own subscription does not select it.
    Unselected,
    /// It was asked for, and the integration's `where` or `order_by` could not be answered.
    Unanswered(ConditionError),
}

/// A replay's filter and its integration's subscription, made ready to look at many events.
#[derive(Debug)]
pub struct Past<'a> {
    filter: &'a EventFilter,
    pattern: Option<Pattern>,
    /// The integration alone.
    subscription: Index,
}

impl<'a> Past<'a> {
    /// Fails where the filter's pattern is none. The integration counts as active, whatever it is.
    pub fn new(filter: &'a EventFilter, integration: &Integration) -> Result<Self, InvalidPattern> {
        let pattern = filter.event_type.as_deref().map(str::parse).transpose()?;
        let mut wanted = Integration {
            status: Status::Active,
            ..integration.clone()
        };
        if filter.ignore_subscription {
            wanted.subscription = Subscription {
                events: vec![">".to_owned()],
                ..Subscription::default()
            };
        }
        let mut subscription = Index::new();
        subscription.upsert(&wanted);
        Ok(Self {
            filter,
            pattern,
            subscription,
        })
    }

    /// The pattern of the types that were asked for, if any was.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// What is done about an event.
    pub fn choose(&self, accepted: &Accepted) -> Choice {
        let (filter, event) = (self.filter, &accepted.event);
        let in_time = accepted.at >= filter.since && filter.until.is_none_or(|until| accepted.at < until);
        let covers = |pattern: &Pattern| pattern.matches(&event.event_type);
        if event.org != filter.org || !in_time || !self.pattern.as_ref().is_none_or(covers) {
            return Choice::Beside;
        }
        let mut matches = Vec::with_capacity(1);
        self.subscription.matches(accepted, &mut matches);
        match matches.pop().map(|found| found.result.map(|()| found.key)) {
            None => Choice::Unselected,
            Some(Ok(key)) => Choice::Send(key),
            Some(Err(error)) => Choice::Unanswered(error),
        }
    }
}

#[cfg(test)]
mod tests;
