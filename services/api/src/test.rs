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
use serde::Serialize;
use serde_json::json;
use signalbox_broker::holding::Suspension;
use signalbox_proto::{
    Accepted, Delivery, Event, Integration, Outcome, RawJson, Timestamp,
    integration::Status,
    state::{Cause, PROBE_FIRST_SECS},
    types,
};
use signalbox_providers::{
    AnyTarget, Client, Exchange, Step,
    http::Response,
    things::memory::{Came, Memory},
};
use signalbox_runtime::Problem;
use signalbox_store::outbox::Kind;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App, Shared,
    caller::Caller,
    integrations::{Nothing, deed},
    problems,
    request::{Body, Path, Query},
    schema, view,
};

/// The type of a test event.
const EVENT_TYPE: &str = "integration.test";
/// Its source: we made it.
const SOURCE: &str = "/signalbox";
/// Most requests of one test, as of one delivery.
const STEPS_MAX: usize = 6;
/// Tests of a process that run at the same time; others wait.
const TESTS_MAX: usize = 16;

static TESTS: Semaphore = Semaphore::const_new(TESTS_MAX);

/// What a test says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntegrationTest)]
pub(crate) struct Answer {
    #[schema(value_type = schema::TestStatus)]
    status: &'static str,
    /// What the target said, in words
    message: String,
    response_code: Option<u16>,
    duration_ms: u64,
    warnings: Vec<Warning>,
    #[schema(value_type = schema::IntegrationStatus)]
    integration_status: &'static str,
}

/// What is taken, and yet not what its owner may mean.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Warning {
    field: String,
    message: String,
}

/// What a test found out.
struct Tested {
    outcome: Outcome,
    response_code: Option<u16>,
}

pub(crate) async fn test(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Answer>, Problem> {
    query.end()?;
    let integration = shared.find(&caller.org, &id).await?;
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
    let integration = shared.remember(&caller, &integration, &tested.outcome).await?;
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
    let warnings = warnings.into_iter().map(|warning| Warning {
        field: warning.pointer,
        message: warning.message,
    });
    Ok(Json(Answer {
        status: word,
        message: message(&tested),
        response_code: tested.response_code,
        duration_ms,
        warnings: warnings.collect(),
        integration_status: status,
    }))
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
    if let Some(request) = target.probe(Timestamp::now()) {
        return match client.send(request, timeout).await {
            Ok(Exchange { response }) => Tested {
                outcome: target.classify(&response, Timestamp::now()),
                response_code: Some(response.status),
            },
            Err(unanswered) => failed(unanswered.outcome, &[]),
        };
    }
    let delivery = match delivery(integration, Timestamp::now()) {
        Ok(delivery) => delivery,
        Err(error) => {
            let reason = format!("no test event can be made: {error}");
            return failed(Outcome::Reject { reason }, &[]);
        }
    };
    if target.thing(&delivery).is_some() {
        // What it leaves at the target nobody remembers: the next test is another thing.
        let Came { outcome, response_code } = Memory::default().deliver(client, target, &delivery).await;
        return Tested { outcome, response_code };
    }
    let mut exchanges: Vec<Exchange> = Vec::new();
    loop {
        match target.next(&delivery, &exchanges, Timestamp::now()) {
            Step::Done(outcome) => return failed(outcome, &exchanges),
            Step::Send(_) if exchanges.len() >= STEPS_MAX => {
                let reason = format!("more than {STEPS_MAX} requests for one event");
                return failed(Outcome::Reject { reason }, &exchanges);
            }
            Step::Send(request) => match client.send(request, timeout).await {
                Ok(exchange) => exchanges.push(exchange),
                Err(unanswered) => return failed(unanswered.outcome, &exchanges),
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

    /// What a test means for the integration; gives it as it is now. The entry of the test and what it changes in the
    /// database are one transaction; whether deliveries are held follows.
    async fn remember(
        &self,
        caller: &Caller,
        integration: &Integration,
        outcome: &Outcome,
    ) -> Result<Integration, Problem> {
        let (id, now) = (integration.id.as_str(), Timestamp::now());
        let reason = outcome.reason();
        let becomes_active = reason.is_none() && integration.status != Status::Active;
        let current = if becomes_active {
            Integration {
                status: Status::Active,
                revision: integration.revision + 1,
                updated_at: now,
                ..integration.clone()
            }
        } else {
            integration.clone()
        };
        let mut change = self.store().change().await.map_err(problems::store)?;
        if becomes_active {
            let replaced = change.replace_integration(&current, integration.revision).await;
            replaced.map_err(problems::store)?;
        }
        change.set_error_message(id, reason).await.map_err(problems::store)?;
        let result = json!({ "outcome": outcome.kind(), "reason": reason });
        let mut after = self.told(&current);
        after["test"] = result;
        let deed = deed(
            "integration.tested",
            &current,
            Some(self.told(integration)),
            Some(after),
        );
        change.audit(&caller.did(deed, now)).await.map_err(problems::store)?;
        change.commit().await.map_err(problems::store)?;
        if becomes_active {
            self.tell(Kind::Integration, id).await;
            tracing::info!(integration.id = id, "integration activated by its test");
        }
        let held = match reason {
            None => self.broker.recover(id, now).await.map(|_| ()),
            Some(reason) if integration.status == Status::Active => {
                let suspension = Suspension {
                    reason,
                    cause: Cause::Refused,
                    probe: None,
                    first_secs: PROBE_FIRST_SECS,
                };
                self.broker.suspend(id, suspension, now).await.map(|_| ())
            }
            Some(_) => Ok(()),
        };
        held.map_err(problems::broker)?;
        // Seen here at once, and not only when the watch says it.
        let state = self.broker.state(id).await.map_err(problems::broker)?;
        self.directory.put_state(id, state.value, state.revision);
        Ok(current)
    }
}
