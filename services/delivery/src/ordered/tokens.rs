//! Tokens of the rate limits of integrations whose deliveries go in order: asked for before a key is chosen, so that
//! nothing is taken in hand that could not go.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use signalbox_proto::Timestamp;

/// How far ahead tokens are asked for.
pub(crate) const AHEAD: Duration = Duration::from_secs(1);
/// Tokens asked for at a time, at most: what a worker that dies may take with it.
pub(crate) const ASKED_MAX: usize = 16;
/// The wait after a question that failed.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// The tokens of all limited integrations.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, Own>);

#[derive(Debug, Default)]
struct Own {
    slots: VecDeque<Timestamp>,
    until: Option<Timestamp>,
    /// Not asked again before.
    again: Option<Timestamp>,
    asking: bool,
}

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Now; the token is used.
    Yes,
    /// Not before this time.
    At(Timestamp),
    /// Ask, and say what was answered.
    Ask,
    /// An answer is awaited.
    Asked,
}

impl Tokens {
    /// Takes a token for one request.
    pub(crate) fn take(&mut self, integration: &str, now: Timestamp) -> Token {
        let own = self.0.entry(integration.to_owned()).or_default();
        if own.until.is_some_and(|until| until <= now) {
            own.slots.clear();
        }
        match own.slots.front() {
            Some(at) if *at <= now => {
                own.slots.pop_front();
                Token::Yes
            }
            Some(at) => Token::At(*at),
            None if own.asking => Token::Asked,
            None => match own.again {
                Some(again) if again > now => Token::At(again),
                _ => {
                    own.asking = true;
                    Token::Ask
                }
            },
        }
    }

    /// A token was not used.
    pub(crate) fn unused(&mut self, integration: &str, now: Timestamp) {
        if let Some(own) = self.0.get_mut(integration) {
            own.slots.push_front(now);
        }
    }

    /// What was answered.
    pub(crate) fn told(
        &mut self,
        integration: &str,
        slots: Vec<Timestamp>,
        until: Option<Timestamp>,
        again: Option<Timestamp>,
    ) {
        let own = self.0.entry(integration.to_owned()).or_default();
        own.asking = false;
        own.again = again;
        own.until = until;
        own.slots.extend(slots);
    }

    /// The question failed.
    pub(crate) fn failed(&mut self, integration: &str, now: Timestamp) {
        self.told(integration, Vec::new(), None, Some(now + FAILED_WAIT));
    }
}

#[cfg(test)]
mod tests;
