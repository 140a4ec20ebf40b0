//! Counts: for targets that take totals and not events.
//!
//! A provider says what a delivery counts for and how totals are told; it never knows a total. Whoever delivers adds to the
//! totals of the integration ([`signalbox_proto::totals`]), which all workers share, and sends the request that tells them
//! all. It may tell those of several deliveries at once: a delivery has arrived when a request went well that held it.

use std::sync::Arc;

use bytes::Bytes;
use signalbox_proto::totals::{Counted, Totals};

use crate::http;

/// What a delivery counts for, and how to tell it.
#[derive(Clone, Debug)]
pub struct Count {
    /// Its events.
    pub events: Vec<Counted>,
    /// How the target is told.
    pub push: Arc<Push>,
}

/// How a target is told totals: the same for all deliveries of an integration.
#[derive(Debug)]
pub struct Push {
    /// The request, without its body.
    pub(crate) head: http::Request,
    /// What the names of the target's metrics begin with.
    pub(crate) prefix: String,
    /// Writes the body.
    pub(crate) write: fn(prefix: &str, totals: &Totals) -> Vec<u8>,
}

impl Push {
    /// The request that tells these totals.
    pub fn request(&self, totals: &Totals) -> http::Request {
        http::Request {
            body: Bytes::from((self.write)(&self.prefix, totals)),
            ..self.head.clone()
        }
    }
}
