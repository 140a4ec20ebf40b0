//! Which accepted events of the past a replay sends to an integration.

use signalbox_proto::{
    Accepted, Integration,
    act::EventFilter,
    integration::Status,
    pattern::{InvalidPattern, Pattern},
};

use crate::{ConditionError, Index};

/// What a replay does about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is sent.
    Send,
    /// It is of another org, time or type than was asked for.
    Beside,
    /// It was asked for, but the integration's own subscription does not select it.
    Unselected,
    /// It was asked for, and the integration's `where` could not be answered.
    Unanswered(ConditionError),
}

/// A replay's filter and its integration's subscription, made ready to look at many events.
#[derive(Debug)]
pub struct Past<'a> {
    filter: &'a EventFilter,
    pattern: Option<Pattern>,
    /// The integration alone; `None` where its subscription is ignored.
    subscription: Option<Index>,
}

impl<'a> Past<'a> {
    /// Fails where the filter's pattern is none. The integration counts as active, whatever it is.
    pub fn new(filter: &'a EventFilter, integration: &Integration) -> Result<Self, InvalidPattern> {
        let pattern = filter.event_type.as_deref().map(str::parse).transpose()?;
        let subscription = (!filter.ignore_subscription).then(|| {
            let mut index = Index::new();
            index.upsert(&Integration {
                status: Status::Active,
                ..integration.clone()
            });
            index
        });
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
        let Some(subscription) = &self.subscription else {
            return Choice::Send;
        };
        let mut matches = Vec::with_capacity(1);
        subscription.matches(accepted, &mut matches);
        match matches.pop().map(|found| found.result) {
            None => Choice::Unselected,
            Some(Ok(())) => Choice::Send,
            Some(Err(error)) => Choice::Unanswered(error),
        }
    }
}

#[cfg(test)]
mod tests;
