//! Attempts at a target that keeps things, one after another, with a vendor that is a function.

use signalbox_proto::{Delivery, Outcome, Timestamp, refs::Refs};

use crate::{
    AnyTarget, Request,
    conformance::keeping::{self, Remembered},
    http::{self, Response},
};

/// One thing, and what is remembered of it.
pub(crate) struct Attempts {
    pub(crate) target: Box<dyn AnyTarget>,
    pub(crate) delivery: Delivery,
    pub(crate) refs: Refs,
    pub(crate) names: Refs,
    pub(crate) now: Timestamp,
    /// The requests of all attempts, those that make something with a `!` before their name.
    pub(crate) asked: Vec<(String, http::Request)>,
}

impl Attempts {
    pub(crate) fn at(target: Box<dyn AnyTarget>, delivery: Delivery, now: Timestamp) -> Self {
        Self {
            target,
            delivery,
            refs: Refs::default(),
            names: Refs::default(),
            now,
            asked: Vec::new(),
        }
    }

    /// One attempt. `vendor` answers a request, or does not; then the attempt ends, as one that ran out of time.
    pub(crate) fn attempt(&mut self, mut vendor: impl FnMut(&http::Request) -> Option<Response>) -> Outcome {
        let mut remembered = Remembered {
            refs: std::mem::take(&mut self.refs),
            names: std::mem::take(&mut self.names),
        };
        let answers = |_: bool, request: &Request| match request {
            Request::Http(request) => vendor(request),
            other => panic!("it speaks HTTP: {other:?}"),
        };
        let came = keeping::attempt(&*self.target, &self.delivery, &mut remembered, self.now, answers);
        let Remembered { refs, names } = remembered;
        (self.refs, self.names) = (refs, names);
        let asked = came.names.into_iter().zip(came.requests);
        self.asked.extend(asked.map(|(name, (once, request))| {
            let mark = if once { "!" } else { "" };
            (format!("{mark}{name}"), request)
        }));
        came.outcome.unwrap_or_else(|| Outcome::Retry {
            reason: "no complete answer".to_owned(),
            after: None,
        })
    }

    /// The names of all requests so far.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.asked.iter().map(|(name, _)| &**name).collect()
    }

    /// How often something was asked for that may be done once.
    pub(crate) fn made(&self) -> usize {
        self.asked.iter().filter(|(name, _)| name.starts_with('!')).count()
    }
}

/// An answer without headers; of a long body what a client reads of it.
pub(crate) fn answered(status: u16, body: &str) -> Response {
    let head = body.as_bytes().get(..http::BODY_BYTES_MAX);
    Response {
        status,
        headers: ::http::HeaderMap::new(),
        body: bytes::Bytes::copy_from_slice(head.unwrap_or(body.as_bytes())),
        truncated: head.is_some() && body.len() > http::BODY_BYTES_MAX,
    }
}
