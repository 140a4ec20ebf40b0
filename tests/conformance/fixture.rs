//! What the checks need to know of each provider.

use std::time::Duration;

use serde_json::Value;
use signalbox_proto::{Delivery, Timestamp, integration::Template, outcome::OutcomeKind};
use signalbox_providers::{About, AnyTarget, Entry, Request, Step, find, http, registry};

/// The time of every attempt.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// One way of setting a provider up, and what then holds.
pub(crate) struct Fixture {
    pub(crate) provider: &'static str,
    /// Tells the fixtures of one provider apart in messages.
    pub(crate) name: &'static str,
    pub(crate) config: Value,
    pub(crate) credentials: Value,
    /// The owner's texts, where this way has any.
    pub(crate) template: Option<Template>,
    /// Texts of config and credentials that must be printed nowhere.
    pub(crate) secrets: Vec<&'static str>,
    /// Fails where a request is not what the vendor takes.
    pub(crate) accepts: fn(&http::Request, &Delivery),
    /// Answers as the vendor documents them: status, headers, body, and what they mean.
    pub(crate) answers: Vec<Answer>,
}

/// One documented answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
    pub(crate) means: OutcomeKind,
}

/// An answer without headers.
pub(crate) const fn answer(status: u16, body: &'static str, means: OutcomeKind) -> Answer {
    Answer {
        status,
        headers: &[],
        body,
        means,
    }
}

/// Every fixture; each provider of the registry has one at least.
pub(crate) fn all() -> Vec<Fixture> {
    let all: Vec<Fixture> = [super::webhook::fixtures(), super::slack::fixtures()]
        .into_iter()
        .flatten()
        .collect();
    for entry in registry() {
        assert!(
            all.iter().any(|fixture| fixture.provider == entry.name),
            "provider {} has no fixture: add tests/conformance/{}.rs",
            entry.name,
            entry.name
        );
    }
    all
}

impl Fixture {
    pub(crate) fn entry(&self) -> &'static Entry {
        find(self.provider).unwrap_or_else(|| panic!("there is no provider {}", self.provider))
    }

    pub(crate) fn target(&self) -> Box<dyn AnyTarget> {
        let about = About {
            integration: "0197c0de-0000-7000-8000-000000000001".to_owned(),
            name: "conformance".parse().expect("a name"),
            org: "acme".parse().expect("a name"),
            brand: "Signalbox".into(),
            timeout: Duration::from_secs(15),
        };
        self.entry()
            .open_with_template(
                self.config.clone(),
                self.credentials.clone(),
                about,
                self.template.as_ref(),
            )
            .unwrap_or_else(|error| panic!("{}: {error}", self.title()))
    }

    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.provider, self.name)
    }
}

/// The first request of a delivery.
pub(crate) fn first_request(target: &dyn AnyTarget, delivery: &Delivery) -> http::Request {
    match target.next(delivery, &[], NOW) {
        Step::Send(Request::Http(request)) => request,
        Step::Done(outcome) => panic!("no request but {outcome:?} for {:?}", delivery.event().event.event_type),
    }
}
