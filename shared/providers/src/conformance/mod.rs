//! What every provider must keep, whatever its vendor: one table of samples, one list of checks.
//!
//! A provider joins by [`Sampled`], in a file of its own folder: [`crate::Entry::of`] asks for it in tests, so that none
//! can be left out. The checks read the requests that a provider makes and hold them to the vendor's limits with code that
//! the provider does not use.

mod bot_api;
pub(crate) mod contracts;
pub(crate) mod hostile;
pub(crate) mod keeping;
mod live;
pub(crate) mod readable;
mod requests;
pub(crate) mod responses;
mod schemas;

use std::time::Duration;

use serde_json::Value;
use signalbox_proto::{
    Delivery, Timestamp,
    integration::Template,
    outcome::OutcomeKind,
    totals::{Mark, Totals},
};

use self::contracts::Claim;
use crate::{About, AnyTarget, Entry, Exchange, Provider, Request, Step, http, mail, nats, objects, registry};

/// The time of every attempt.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A provider that can be tried.
pub(crate) trait Sampled: Provider {
    /// The ways of setting it up that differ in what is sent; one at least.
    fn samples() -> Vec<Sample>;
}

/// One way of setting a provider up, and what then holds.
pub(crate) struct Sample {
    /// Tells the samples of one provider apart in messages.
    pub(crate) name: &'static str,
    pub(crate) config: Value,
    pub(crate) credentials: Value,
    /// The owner's texts, where this way has any.
    pub(crate) template: Option<Template>,
    /// Texts of config and credentials that must be printed nowhere.
    pub(crate) secrets: Vec<&'static str>,
    /// Fails where a request is not what the vendor takes.
    pub(crate) accepts: fn(&http::Request, &Delivery),
    /// What the vendor's own published schema is to say of a request; nothing where there is none.
    pub(crate) claims: fn(&http::Request) -> Vec<Claim>,
    /// What the vendor answers where it takes a request.
    pub(crate) yes: Answer,
    /// Answers as the vendor documents them: status, headers, body, and what they mean.
    pub(crate) answers: Vec<Answer>,
}

/// One documented answer.
#[derive(Clone)]
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

/// For vendors that publish no schema of their requests.
pub(crate) fn no_claims(_: &http::Request) -> Vec<Claim> {
    Vec::new()
}

impl Answer {
    pub(crate) fn response(&self) -> http::Response {
        let headers = self.headers.iter().map(|(name, value)| {
            let name = name.parse::<::http::HeaderName>().expect("a header's name");
            (name, value.parse::<::http::HeaderValue>().expect("a header's value"))
        });
        http::Response {
            status: self.status,
            headers: headers.collect(),
            body: self.body.into(),
            truncated: false,
        }
    }
}

/// A request of any transport as one over HTTP: with headers and a body, and an address that says where it goes.
pub(crate) fn as_http(request: Request) -> http::Request {
    match request {
        Request::Http(request) => request,
        Request::Nats(request) => nats::as_http(&request),
        Request::Object(request) => objects::as_http(&request),
        Request::Mail(request) => mail::as_http(&request),
        Request::Count(count) => count.push.request(&Totals::default()),
    }
}

/// A sample with its provider.
pub(crate) struct Case {
    pub(crate) entry: &'static Entry,
    pub(crate) sample: Sample,
}

/// Every sample of every provider.
fn all() -> Vec<Case> {
    let cases: Vec<Case> = registry().iter().flat_map(Case::of).collect();
    for entry in registry() {
        let has_one = cases.iter().any(|case| case.entry.name == entry.name);
        assert!(has_one, "{} has no sample", entry.name);
    }
    cases
}

/// Who is to send a hostile delivery: of every provider one sample, each in its turn.
fn in_turn(cases: &[Case], index: usize) -> impl Iterator<Item = &Case> {
    // The samples stand by providers. Their turn is chosen at random, as the deliveries' kinds come in turns themselves.
    let mut random = hostile::Random::of(index as u64);
    cases
        .chunk_by(|one, next| one.entry.name == next.entry.name)
        .map(move |samples| &samples[random.below(samples.len())])
}

impl Case {
    /// The samples of one provider.
    pub(crate) fn of(entry: &'static Entry) -> Vec<Self> {
        let samples = (entry.samples)().into_iter();
        samples.map(|sample| Self { entry, sample }).collect()
    }

    pub(crate) fn target(&self) -> Box<dyn AnyTarget> {
        let Sample {
            config,
            credentials,
            template,
            ..
        } = &self.sample;
        let about = About {
            integration: "0197c0de-0000-7000-8000-000000000001".to_owned(),
            name: "conformance".parse().expect("a name"),
            org: "acme".parse().expect("a name"),
            brand: "Signalbox".into(),
            timeout: Duration::from_secs(15),
        };
        self.entry
            .open_with_template(config.clone(), credentials.clone(), about, template.as_ref())
            .unwrap_or_else(|error| panic!("{}: {error}", self.title()))
    }

    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.entry.name, self.sample.name)
    }

    /// Whether the status of its answers is one of HTTP; that of a mail server is a reply code of SMTP, in which 5xx is for
    /// good.
    pub(crate) fn speaks_http(&self) -> bool {
        let event = hostile::event("execution.failed", &serde_json::json!({}));
        let first = self.target().next(&hostile::delivery(event, 1), &[], NOW);
        !matches!(first, Step::Send(Request::Mail(_)))
    }

    /// The requests of a delivery whose vendor takes each of them.
    pub(crate) fn requests(&self, target: &dyn AnyTarget, delivery: &Delivery) -> Vec<http::Request> {
        if target.thing(delivery).is_some() {
            return keeping::requests(self, target, delivery);
        }
        let mut requests = Vec::new();
        let mut so_far = Vec::new();
        loop {
            match target.next(delivery, &so_far, NOW) {
                Step::Send(request) => {
                    let printed = format!("{request:?}");
                    for secret in &self.sample.secrets {
                        assert!(!printed.contains(secret), "{}: {printed} holds a secret", self.title());
                    }
                    requests.push(match request {
                        // What a first count leads to.
                        Request::Count(count) => {
                            let mut totals = Totals::default();
                            totals.count(Mark::of(delivery), &count.events, NOW);
                            count.push.request(&totals)
                        }
                        request => as_http(request),
                    });
                }
                Step::Done(outcome) => {
                    assert_eq!(outcome.kind(), OutcomeKind::Delivered, "{}: {outcome:?}", self.title());
                    return requests;
                }
            }
            so_far.push(Exchange {
                response: self.sample.yes.response(),
            });
        }
    }
}
