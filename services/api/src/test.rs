//! `POST /v1/integrations/{id}/test`: proves that an integration can deliver, and says what the target said.
//!
//! The provider's own probe is sent where it has one, else one event of type `integration.test`, made as a delivery
//! would be, template included, and kept nowhere: no stream, no ledger and no history knows of it.
//!
//! A success makes a `pending_setup` or `inactive` integration `active` and ends `error`; one that a person paused stays
//! paused. A failure of any kind puts an `active` one into `error`, also one that may pass by itself: whoever asks for a
//! test wants to see its result in the status, what comes meanwhile waits, and the oldest of it probes after a minute.
//! Others stay what they are, and keep the reason as their `error_message`.

use std::{collections::BTreeMap, time::Instant};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use signalbox_broker::{Error as BrokerError, holding::Suspension};
use signalbox_proto::{
    Accepted, Delivery, Event, Integration, Outcome, Phase, RawJson, State as Held, Timestamp,
    integration::Status,
    state::{Cause, PROBE_FIRST_SECS},
    types,
};
use signalbox_providers::{
    AnyTarget, Exchange, Request, Step, classify,
    http::{Client, Response},
};
use signalbox_runtime::Problem;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    App, Shared,
    integrations::Nothing,
    problems,
    request::{Body, Path, Query},
    view,
};

/// The type of a test event.
const EVENT_TYPE: &str = "integration.test";
/// Its source: we made it.
const SOURCE: &str = "/signalbox";
/// Most requests of one test, as of one delivery.
const STEPS_MAX: usize = 6;
/// Tests of a process that run at the same time; others wait.
const TESTS_MAX: usize = 16;
/// How often a change of the state that someone else overtakes is tried again.
const TRIES_MAX: usize = 8;

static TESTS: Semaphore = Semaphore::const_new(TESTS_MAX);

/// What a test found out.
struct Tested {
    outcome: Outcome,
    response_code: Option<u16>,
}

pub(crate) async fn test(
    State(shared): App,
    Path(id): Path,
    mut query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Value>, Problem> {
    let org = query.org()?;
    query.end()?;
    let integration = shared.find(&org, &id)?;
    let _turn = TESTS.acquire().await.map_err(|error| problems::internal(&error))?;
    let began = Instant::now();
    let (tested, warnings) = match shared.open(&integration) {
        Ok(opened) => {
            let warnings = opened.entry.warnings(&opened.config, &opened.credentials);
            let tested = prove(shared.client().await?, opened.target.as_ref(), &integration).await;
            (tested, warnings)
        }
        Err(reason) => (
            Tested {
                outcome: Outcome::Suspend { reason, at_once: false },
                response_code: None,
            },
            Vec::new(),
        ),
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let integration = shared.remember(&integration, &tested.outcome).await?;
    let state = shared.directory.state(&integration.id);
    let status = view::status(&integration, &state);
    let word = if tested.outcome == Outcome::Delivered {
        "success"
    } else {
        "failed"
    };
    tracing::info!(
        integration.id = %integration.id, provider = %integration.provider, outcome = word,
        response_code = tested.response_code, duration_ms, "integration tested"
    );
    let warnings: Vec<Value> = warnings
        .into_iter()
        .map(|warning| json!({ "field": warning.pointer, "message": warning.message }))
        .collect();
    Ok(Json(json!({
        "status": word,
        "message": message(&tested),
        "response_code": tested.response_code,
        "duration_ms": duration_ms,
        "warnings": warnings,
        "integration_status": status,
    })))
}

fn message(tested: &Tested) -> String {
    match (tested.outcome.reason(), tested.response_code) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(code)) => format!("the target answered {code}"),
        (None, None) => "the target took it".to_owned(),
    }
}

/// Sends the lightest proof there is, and says what came of it.
async fn prove(client: &Client, target: &dyn AnyTarget, integration: &Integration) -> Tested {
    let timeout = target.about().timeout;
    let client = &client.connecting_within(integration.connect_timeout());
    if let Some(Request::Http(request)) = target.probe(Timestamp::now()) {
        return match client.send(request, timeout).await {
            Ok(response) => Tested {
                outcome: target.classify(&response, Timestamp::now()),
                response_code: Some(response.status),
            },
            Err(error) => failed(classify::by_error(&error), &[]),
        };
    }
    let delivery = match delivery(integration, Timestamp::now()) {
        Ok(delivery) => delivery,
        Err(error) => {
            let reason = format!("no test event can be made: {error}");
            return failed(Outcome::Reject { reason }, &[]);
        }
    };
    let mut exchanges: Vec<Exchange> = Vec::new();
    loop {
        match target.next(&delivery, &exchanges, Timestamp::now()) {
            Step::Done(outcome) => return failed(outcome, &exchanges),
            Step::Send(_) if exchanges.len() >= STEPS_MAX => {
                let reason = format!("more than {STEPS_MAX} requests for one event");
                return failed(Outcome::Reject { reason }, &exchanges);
            }
            Step::Send(Request::Http(request)) => match client.send(request, timeout).await {
                Ok(response) => exchanges.push(Exchange { response }),
                Err(error) => return failed(classify::by_error(&error), &exchanges),
            },
        }
    }
}

fn failed(outcome: Outcome, exchanges: &[Exchange]) -> Tested {
    let last: Option<&Response> = exchanges.last().map(|exchange| &exchange.response);
    Tested {
        outcome,
        response_code: last.map(|response| response.status),
    }
}

/// A delivery of an event that says it is a test. It has a new id each time: a receiver that forgets repeats must not
/// forget this one.
fn delivery(integration: &Integration, now: Timestamp) -> Result<Delivery, serde_json::Error> {
    let message = format!(
        "This is a test of the integration {}. Nothing has happened.",
        integration.name
    );
    let data = json!({
        "test": true,
        "message": message,
        "integration_id": integration.id,
        "integration": integration.name,
        "provider": integration.provider,
    });
    let event = Event {
        id: Uuid::now_v7().to_string(),
        org: integration.org.clone(),
        event_type: EVENT_TYPE.parse().expect("our own types are valid"),
        source: SOURCE.to_owned(),
        subject: Some(integration.name.to_string()),
        time: Some(now),
        agent_id: None,
        execution_id: None,
        severity: types::default_severity(EVENT_TYPE),
        severity_named: false,
        data: RawJson::of(&data)?,
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted { event, seq: 0, at: now };
    Ok(Delivery::first(
        accepted,
        &integration.id,
        &integration.provider,
        integration.revision,
        1,
    ))
}

impl Shared {
    /// The guarded client, made when it is first needed: it reads the system's certificates.
    async fn client(&self) -> Result<&Client, Problem> {
        let egress = self.installation.egress.clone();
        self.client
            .get_or_try_init(async || Client::new(egress))
            .await
            .map_err(|error| problems::internal(&error))
    }

    /// What a test means for the integration; gives it as it is now.
    async fn remember(&self, integration: &Integration, outcome: &Outcome) -> Result<Integration, Problem> {
        let (id, now) = (integration.id.as_str(), Timestamp::now());
        let mut current = integration.clone();
        let changed = match outcome.reason() {
            None => {
                if integration.status != Status::Active {
                    current.status = Status::Active;
                    current.revision += 1;
                    current.updated_at = now;
                    // A router that saw it first would publish to a stream that is not there.
                    let ready = self.broker.ensure_provider(&integration.provider).await;
                    ready.map_err(problems::broker)?;
                    self.replace(integration, current.clone()).await?;
                    tracing::info!(integration.id = id, "integration activated by its test");
                }
                match self.broker.recover(id, now).await {
                    Ok(_) => self.note(id, "").await,
                    Err(error) => Err(error),
                }
            }
            Some(reason) if integration.status == Status::Active => {
                let suspension = Suspension {
                    reason,
                    cause: Cause::Refused,
                    probe: None,
                    first_secs: PROBE_FIRST_SECS,
                };
                self.broker.suspend(id, suspension, now).await.map(|_| ())
            }
            Some(reason) => self.note(id, reason).await,
        };
        changed.map_err(problems::broker)?;
        // Seen here at once, and not only when the watch says it.
        let state = self.broker.state(id).await.map_err(problems::broker)?;
        self.directory.put_state(id, state.value, state.revision);
        Ok(current)
    }

    /// Keeps the reason of a test beside a state that holds nothing back; other states have reasons of their own.
    async fn note(&self, integration: &str, reason: &str) -> Result<(), BrokerError> {
        for _ in 0..TRIES_MAX {
            let entry = self.broker.state(integration).await?;
            if entry.value.phase != Phase::Open || entry.value.reason == reason {
                return Ok(());
            }
            let next = Held {
                reason: reason.to_owned(),
                ..entry.value
            };
            match self.broker.set_state(integration, &next, entry.revision).await {
                Err(BrokerError::Conflict { .. }) => {}
                other => return other.map(|_| ()),
            }
        }
        Err(BrokerError::Conflict {
            key: signalbox_proto::subjects::state_key(integration),
        })
    }
}
