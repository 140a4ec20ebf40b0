use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use serde_json::json;
use signalbox_proto::{Accepted, Event, Name, RawJson, integration::Template, outcome::OutcomeKind, types};
use signalbox_providers::{
    About, Egress,
    count::Count,
    find,
    things::{Known, Move, Thing},
};

use super::*;
use crate::{lease::Lease, pushers::Pushed, things::Kept};

/// Of a target that keeps no things.
struct Nothing;

impl Remembering for Nothing {
    type Book = Kept;
    type Holding = Lease;

    async fn take(&self, _: &str, thing: &str) -> Result<(Kept, Lease), String> {
        unreachable!("nobody is at {thing}");
    }
}

fn means<C>(counting: C) -> Means<C, Nothing> {
    Means {
        counting,
        remembering: Nothing,
    }
}

/// Says what is to come of each push, and notes the events that it was to count.
#[derive(Clone)]
struct Says(Pushed);

impl Counting for Says {
    async fn push(&self, _: &Client, _: (&dyn AnyTarget, u64), _: &Delivery, count: Count) -> Pushed {
        assert_eq!(count.events.len(), 1);
        self.0.clone()
    }
}

fn response(status: u16) -> Response {
    Response {
        status,
        headers: Default::default(),
        body: "said".into(),
        truncated: false,
    }
}

fn says(counted: bool, answer: Result<u16, Outcome>) -> Says {
    Says(Pushed {
        counted,
        asked: answer.is_ok(),
        is_hindered: answer.is_err(),
        answer: answer.map(response),
    })
}

pub(crate) fn delivery() -> Delivery {
    let event = Event {
        id: "e-1".to_owned(),
        org: Name::default_org(),
        event_type: "tick".parse().expect("a type"),
        source: "/default".to_owned(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: types::default_severity("tick"),
        severity_named: false,
        data: RawJson::of(&json!({})).expect("JSON"),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 1,
        at: Timestamp::from_secs(1),
    };
    Delivery::first(accepted, "i-1", &"webhook".parse().expect("a name"), 1, 1)
}

pub(crate) fn about() -> About {
    About {
        integration: "i-1".to_owned(),
        name: "own".parse().expect("a name"),
        org: Name::default_org(),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(1),
    }
}

async fn attempt(body: &str) -> Attempted {
    let about = about();
    let template = Template {
        title: None,
        body: Some(body.to_owned()),
    };
    let target = find("webhook")
        .expect("built in")
        .open_with_template(
            json!({ "url": "https://127.0.0.1:9/" }),
            json!({}),
            about,
            Some(&template),
        )
        .expect("a target");
    let client = Client::new(Egress::default()).expect("a client");
    let nothing = means(says(false, Err(Outcome::Delivered)));
    send(&client, &nothing, &Arc::from(target), &delivery(), 1).await
}

/// A target that takes three requests for each delivery.
struct InThree(Box<dyn AnyTarget>);

impl AnyTarget for InThree {
    fn about(&self) -> &About {
        self.0.about()
    }

    fn redactor(&self) -> &Redactor {
        self.0.redactor()
    }

    fn next(&self, delivery: &Delivery, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last().map(|exchange| exchange.response.status) {
            Some(503) => Step::Done(Outcome::Retry {
                reason: "away".to_owned(),
                after: None,
            }),
            Some(_) if so_far.len() == 3 => Step::Done(Outcome::Delivered),
            _ => self.0.next(delivery, &[], now),
        }
    }

    fn thing(&self, _: &Delivery) -> Option<Thing> {
        None
    }

    fn go_on(&self, _: &Delivery, _: &Known<'_>, _: Timestamp) -> Move {
        unreachable!("it keeps no things");
    }

    fn probe(&self, _: Timestamp) -> Option<Request> {
        None
    }

    fn classify(&self, _: &Response, _: Timestamp) -> Outcome {
        Outcome::Delivered
    }
}

/// Answers one request after another with these statuses, each in a body of its own.
struct Answers(Mutex<VecDeque<u16>>);

impl Counting for Answers {
    async fn push(&self, _: &Client, _: (&dyn AnyTarget, u64), _: &Delivery, _: Count) -> Pushed {
        let status = self.0.lock().expect("nobody panicked").pop_front();
        let status = status.expect("an answer is left");
        let answer = Response {
            body: format!("it is {status}").into(),
            ..response(status)
        };
        Pushed {
            counted: false,
            asked: true,
            is_hindered: false,
            answer: Ok(answer),
        }
    }
}

async fn in_three(answers: &[u16], delivery: &Delivery, revision: u64) -> Attempted {
    let config = json!({ "pushgateway_url": "https://push.example.com" });
    let counts = find("prometheus").expect("built in");
    let counts = counts.open(config, json!({}), about()).expect("a target");
    let target: Arc<dyn AnyTarget> = Arc::new(InThree(counts));
    let client = Client::new(Egress::default()).expect("a client");
    let means = means(Answers(Mutex::new(answers.iter().copied().collect())));
    let attempted = send(&client, &means, &target, delivery, revision).await;
    let left = means.counting.0.into_inner().expect("nobody panicked");
    assert!(left.is_empty(), "requests that were not sent: {left:?}");
    attempted
}

#[tokio::test]
async fn an_attempt_goes_on_behind_the_last_step_that_is_finished() {
    let mut delivery = delivery();
    // The first step is finished once there is a second; the second is not.
    let attempted = in_three(&[201, 503], &delivery, 4).await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Retry);
    assert_eq!(attempted.response_code, Some(503));
    let progress = attempted.progress.expect("it has come somewhere");
    let step = StepDone {
        status: 201,
        body: b"it is 201".to_vec(),
    };
    assert_eq!((progress.revision, &*progress.steps), (4, &[step.clone()][..]));
    delivery.progress = Some(progress);
    // An attempt that brings nothing new keeps what there is.
    let attempted = in_three(&[503], &delivery, 4).await;
    assert_eq!(attempted.progress, delivery.progress);
    // For another revision the steps may mean something else.
    let attempted = in_three(&[503], &delivery, 5).await;
    assert_eq!(attempted.progress, None);
    let attempted = in_three(&[202, 200], &delivery, 4).await;
    assert_eq!(attempted.outcome, Outcome::Delivered);
    let steps = attempted.progress.expect("two are finished").steps;
    assert_eq!(steps.iter().map(|step| step.status).collect::<Vec<_>>(), [201, 202]);
}

#[tokio::test]
async fn a_kept_answer_that_is_read_as_a_failure_is_asked_for_again() {
    let mut delivery = delivery();
    let away = StepDone {
        status: 503,
        body: b"it was away".to_vec(),
    };
    delivery.progress = Some(Progress {
        revision: 4,
        steps: vec![away],
        counted: false,
    });
    let attempted = in_three(&[201, 202, 200], &delivery, 4).await;
    assert_eq!((attempted.outcome, attempted.asked), (Outcome::Delivered, true));
}

#[tokio::test]
async fn an_attempt_that_sends_nothing_tells_no_answer_of_one_before() {
    let mut delivery = delivery();
    let done = StepDone {
        status: 200,
        body: b"it is done".to_vec(),
    };
    delivery.progress = Some(Progress {
        revision: 4,
        steps: vec![done; 3],
        counted: false,
    });
    let attempted = in_three(&[], &delivery, 4).await;
    assert_eq!((attempted.outcome, attempted.asked), (Outcome::Delivered, false));
    assert_eq!((attempted.response_code, &*attempted.response_body), (None, ""));
}

/// An attempt of a delivery that is counted.
async fn count(says: &Says, delivery: &Delivery) -> Attempted {
    let config = json!({ "pushgateway_url": "https://push.example.com" });
    let target = find("prometheus")
        .expect("built in")
        .open(config, json!({}), about())
        .expect("a target");
    let client = Client::new(Egress::default()).expect("a client");
    send(&client, &means(says.clone()), &Arc::from(target), delivery, 1).await
}

#[tokio::test]
async fn what_was_counted_and_not_pushed_is_carried_on_to_the_attempt_in_which_it_is() {
    let mut delivery = delivery();
    let away = Outcome::Retry {
        reason: "away".to_owned(),
        after: None,
    };
    // Not even counted.
    let attempted = count(&says(false, Err(away.clone())), &delivery).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, false));
    assert_eq!(attempted.progress, None);
    // Counted, and not pushed: because of the gateway, then of ours.
    let attempted = count(&says(true, Ok(503)), &delivery).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, true));
    assert_eq!(
        (attempted.response_code, &*attempted.response_body),
        (Some(503), "said")
    );
    delivery.progress = attempted.progress;
    assert!(pushers::is_counted(&delivery));
    let attempted = count(&says(false, Err(away)), &delivery).await;
    delivery.progress = attempted.progress;
    assert!(pushers::is_counted(&delivery), "it stays counted");
    let attempted = count(&says(true, Ok(200)), &delivery).await;
    assert_eq!(attempted.outcome, Outcome::Delivered);
    assert_eq!(attempted.response_code, Some(200));
}

#[tokio::test]
async fn a_text_that_cannot_be_made_is_rejected_without_asking_the_target() {
    let attempted = attempt("{{ event.data.n }}").await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Reject);
    assert!(!attempted.asked);
    assert_eq!(attempted.response_code, None);
    let reason = attempted.outcome.reason().expect("a reason");
    assert!(
        reason.starts_with("template: body: what it made is not JSON: "),
        "{reason}"
    );
}

#[tokio::test]
async fn a_request_that_found_nobody_is_one_all_the_same() {
    let attempted = attempt("{}").await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Suspend, "the address is private");
    assert!(attempted.asked);
}
