//! The life of a spec at the double of a tracker, cut at every place there is: what any tracker must keep.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Outcome, Timestamp};

use crate::{
    AnyTarget,
    conformance::{
        hostile,
        keeping::{Came, Remembered, attempt},
    },
    http::{self, Response},
};

/// Attempts at one life: more than its retries need, however it is cut.
const ATTEMPTS_MAX: usize = 60;
/// The first step of the retry schedule.
const RETRY: Duration = Duration::from_secs(5);
const BEGIN: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A vendor in memory, which makes another of whatever it is asked for.
pub(crate) trait Double: Default {
    /// What it answers at this time.
    fn answer(&mut self, request: &http::Request, now: Timestamp) -> Response;
    /// What it has.
    fn has(&self) -> Has;
}

/// What stands at a vendor, all issues together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Has {
    /// The state of each issue.
    pub(crate) issues: Vec<String>,
    /// The names of subtasks.
    pub(crate) subtasks: Vec<String>,
    /// The addresses of links.
    pub(crate) links: Vec<String>,
    /// What each comment is known by.
    pub(crate) comments: Vec<String>,
}

/// How a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is carried out, and nobody hears of it: a timeout, or a worker that dies behind it.
    Unheard,
    /// It never arrives.
    Lost,
    /// It is carried out and answered with a 502.
    Wrong,
    /// It is refused with a 429.
    Limited,
}

pub(crate) const CUTS: [Cut; 4] = [Cut::Unheard, Cut::Lost, Cut::Wrong, Cut::Limited];

/// The events of one spec in the order in which they happen.
pub(crate) fn events() -> Vec<Delivery> {
    let spec = |status: &str| json!({ "id": "FEAT-0001", "title": "User Authentication", "status": status });
    let pr = json!({ "number": 42, "url": "https://github.com/org/repo/pull/42" });
    let of = |name: &str, data: Value| (name.to_owned(), data);
    let all = [
        of(
            "spec.created",
            json!({ "spec": spec("draft"), "acceptance_criteria": ["A user signs in", "A user signs out"] }),
        ),
        of("spec.approved", json!({ "spec": spec("approved") })),
        of(
            "implementation.started",
            json!({ "spec": { "id": "FEAT-0001", "title": "User Authentication" }, "branch": "spec/feat-0001" }),
        ),
        of("pr.created", json!({ "spec": { "id": "FEAT-0001" }, "pr": pr })),
        of(
            "implementation.completed",
            json!({ "spec": spec("implemented"), "pr": pr }),
        ),
        of("pr.merged", json!({ "spec": { "id": "FEAT-0001" }, "pr": pr })),
    ];
    let deliveries = all.iter().enumerate().map(|(index, (name, data))| {
        let mut event = hostile::event(name, data);
        event.id = format!("evt-{index}");
        hostile::delivery(event, index as u64 + 1)
    });
    deliveries.collect()
}

/// All that happened.
pub(crate) struct Lived<D> {
    pub(crate) vendor: D,
    pub(crate) requests: Vec<http::Request>,
}

/// Delivers in this order, with the request of this number cut. What fails comes again behind all others.
pub(crate) fn live<D: Double>(target: &dyn AnyTarget, deliveries: &[Delivery], cut: Option<(usize, Cut)>) -> Lived<D> {
    let (mut vendor, mut now, mut count) = (D::default(), BEGIN, 0);
    let mut requests = Vec::new();
    let mut remembered = Remembered::default();
    let mut queue: VecDeque<&Delivery> = deliveries.iter().collect();
    for _ in 0..ATTEMPTS_MAX {
        let Some(delivery) = queue.pop_front() else {
            return Lived { vendor, requests };
        };
        now = now + Duration::from_secs(1);
        let Came { outcome, .. } = attempt(target, delivery, &mut remembered, now, |_, request| {
            let crate::Request::Http(request) = request else {
                panic!("a tracker is asked over HTTP: {request:?}");
            };
            requests.push(request.clone());
            let this = cut.filter(|(at, _)| *at == count).map(|(_, how)| how);
            count += 1;
            let said = |status| Response {
                status,
                headers: ::http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                truncated: false,
            };
            match this {
                None => Some(vendor.answer(request, now)),
                Some(Cut::Lost) => None,
                Some(Cut::Limited) => Some(said(429)),
                Some(Cut::Unheard) => {
                    vendor.answer(request, now);
                    None
                }
                Some(Cut::Wrong) => {
                    vendor.answer(request, now);
                    Some(said(502))
                }
            }
        });
        match outcome {
            Some(Outcome::Delivered) => {}
            None => {
                now = now + RETRY;
                queue.push_back(delivery);
            }
            Some(Outcome::Retry { after, .. }) => {
                now = now + after.unwrap_or(RETRY);
                queue.push_back(delivery);
            }
            Some(other) => panic!("{}: {other:?}", delivery.event().event.event_type),
        }
    }
    panic!("it never ends: {cut:?}");
}

/// All orders of the first three.
pub(crate) fn orders() -> Vec<Vec<Delivery>> {
    let events = events();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let in_order = |order: [usize; 3]| -> Vec<Delivery> {
        let all = order.into_iter().chain(3..events.len());
        all.map(|at| events[at].clone()).collect()
    };
    orders.into_iter().map(in_order).collect()
}

/// However it is cut and in any order of the first three there is one issue in this state, with one link, each subtask once
/// and no comment twice.
pub(crate) fn check<D: Double>(target: &dyn AnyTarget, state: &str, subtasks: usize, links: usize) {
    for (number, order) in orders().iter().enumerate() {
        let whole = live::<D>(target, order, None).requests.len();
        assert!(whole > 6, "{whole} requests in all");
        let twice: Vec<Delivery> = order.iter().chain(order).cloned().collect();
        let told_again = live::<D>(target, &twice, None);
        assert_eq!(
            told_again.requests.len(),
            whole,
            "what is delivered comes again, and nothing is asked for"
        );
        for at in 0..whole {
            for how in CUTS {
                let has = live::<D>(target, order, Some((at, how))).vendor.has();
                let told = format!("order {number}, request {at} {how:?}: {has:#?}");
                assert_eq!(has.issues, [state], "{told}");
                let each = |list: &[String]| (list.len(), list.iter().collect::<BTreeSet<_>>().len());
                assert_eq!(each(&has.subtasks), (subtasks, subtasks), "{told}");
                assert_eq!(each(&has.links), (links, links), "{told}");
                let (comments, different) = each(&has.comments);
                assert_eq!(comments, different, "{told}");
            }
        }
    }
}
