//! `GET /v1/integrations/{id}/settings`: what holds for an integration, and where each of it comes from.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_proto::{
    Integration, Name, Timestamp,
    health::{self, Check},
    subjects,
};
use signalbox_runtime::{Problem, duration};
use utoipa::ToSchema;

use crate::{
    App, Shared,
    caller::Caller,
    problems,
    request::{Path, Query},
    schema, view,
};

/// What the settings of this installation say of every integration, as this process reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `delivery.integration_in_flight_max`.
    pub integration_in_flight_max: u64,
    /// `delivery.org_share_percent`.
    pub org_share_percent: u64,
    /// `keeper.waiting_org_max`; 0 for any number.
    pub waiting_org_max: u64,
}

/// Where a setting comes from
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SettingOrigin)]
enum Origin {
    /// Nobody said anything: it is compiled in
    Default,
    /// The provider has a default of its own
    Provider,
    /// The settings of the installation bound what an org may have
    Org,
    /// Its owner said so
    Integration,
}

/// A setting as it holds
#[derive(Debug, Serialize, ToSchema)]
struct Setting {
    #[schema(value_type = schema::Anything)]
    value: Value,
    origin: Origin,
}

/// What holds for an integration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EffectiveSettings)]
pub(crate) struct Answer {
    integration_id: String,
    #[schema(value_type = schema::Name)]
    integration: Name,
    #[schema(value_type = schema::Name)]
    org: Name,
    #[schema(value_type = schema::Name)]
    provider: Name,
    revision: u64,
    settings: Settings,
    /// What its last health check found; null where none was made
    health: Option<Health>,
}

/// Each setting with its origin.
#[derive(Debug, Serialize, ToSchema)]
struct Settings {
    /// Requests in spans of time, or `none`
    rate_limit: Setting,
    /// The waits before each further attempt, before jitter
    retry_schedule: Setting,
    /// How long a delivery may wait
    expire_after: Setting,
    /// How long a request may take in all
    timeout: Setting,
    /// How long a connection may take
    connect_timeout: Setting,
    /// When a digest closes; null where each event goes alone
    batch: Setting,
    /// Deliveries for which this has the same value go one after another; null where there is no order
    order_by: Setting,
    /// What a dead delivery means for those of its key behind it
    order_on_dead: Setting,
    /// Texts of the owner; null where the provider's own form is used
    template: Setting,
    /// Between two health checks; null where there are none
    health_check: Setting,
    /// Requests that one worker has under way for it at most
    in_flight_max: Setting,
    /// Of a hundred places of a worker, those that its org may have for targets that do not answer quickly
    org_share_percent: Setting,
    /// Deliveries that may wait for its org before its publishing is refused; null for any number
    org_waiting_max: Setting,
}

/// What a health check found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntegrationHealth)]
struct Health {
    /// What the target's answer meant; null while the first check is under way
    #[schema(value_type = Option<schema::OutcomeWord>)]
    outcome: Option<Value>,
    /// Why it was not well
    error_message: Option<String>,
    response_code: Option<u16>,
    #[schema(value_type = Option<schema::Time>)]
    checked_at: Option<Timestamp>,
    #[schema(value_type = schema::Time)]
    next_at: Timestamp,
}

pub(crate) async fn show(
    State(shared): App,
    caller: Caller,
    Path(id): Path,
    query: Query,
) -> Result<Json<Answer>, Problem> {
    query.end()?;
    let integration = shared.find(&caller.org, &id).await?;
    let health = shared.health(&integration).await?;
    Ok(Json(Answer {
        integration_id: integration.id.clone(),
        integration: integration.name.clone(),
        org: integration.org.clone(),
        provider: integration.provider.clone(),
        revision: integration.revision,
        settings: settings(&integration, shared.limits),
        health,
    }))
}

impl Shared {
    /// What the keeper noted of its checks, while it has any.
    async fn health(&self, integration: &Integration) -> Result<Option<Health>, Problem> {
        let Some(every_secs) = integration.flow.health_check_secs else {
            return Ok(None);
        };
        let key = subjects::health_key(&integration.id);
        let found = self.broker.get::<Check>(subjects::STATE, &key).await;
        let found = found.map_err(problems::broker)?.map(|entry| entry.value);
        let next_at = health::due(found.as_ref(), integration, every_secs);
        Ok(found.map(|check| {
            let last = check.last;
            Health {
                outcome: last.as_ref().map(|last| json!(last.outcome)),
                error_message: last.as_ref().and_then(|last| last.error_message.clone()),
                response_code: last.as_ref().and_then(|last| last.response_code),
                checked_at: last.map(|last| last.at),
                next_at,
            }
        }))
    }
}

/// What holds, each with its origin: pure.
fn settings(integration: &Integration, limits: Limits) -> Settings {
    let flow = &integration.flow;
    let own = |value: Value, is_own: bool| Setting {
        value,
        origin: if is_own { Origin::Integration } else { Origin::Default },
    };
    let span = |span| json!(duration::format(span));
    let of_org = |value: Value| Setting {
        value,
        origin: Origin::Org,
    };
    Settings {
        rate_limit: rate_limit(integration),
        retry_schedule: own(
            json!(view::spans(integration.schedule())),
            integration.schedule_secs.is_some(),
        ),
        expire_after: own(
            span(integration.expire_after()),
            integration.expire_after_secs.is_some(),
        ),
        timeout: own(span(integration.timeout()), integration.timeout_secs.is_some()),
        connect_timeout: own(span(integration.connect_timeout()), flow.connect_timeout_secs.is_some()),
        batch: own(json!(flow.batch.map(view::batch)), flow.batch.is_some()),
        order_by: own(json!(flow.order_by), flow.order_by.is_some()),
        order_on_dead: own(json!(flow.order_on_dead), !flow.order_on_dead.is_release()),
        template: Setting {
            value: json!(integration.template),
            origin: match integration.template {
                Some(_) => Origin::Integration,
                None => Origin::Provider,
            },
        },
        health_check: own(
            json!(flow.health_check_secs.map(view::span_of)),
            flow.health_check_secs.is_some(),
        ),
        in_flight_max: own(json!(limits.integration_in_flight_max), false),
        org_share_percent: of_org(json!(limits.org_share_percent)),
        org_waiting_max: of_org(json!(Some(limits.waiting_org_max).filter(|most| *most > 0))),
    }
}

fn rate_limit(integration: &Integration) -> Setting {
    let limit = signalbox_providers::rate_limit_of(integration);
    Setting {
        value: view::rate_limit(limit),
        origin: match integration.flow.rate_limit {
            Some(_) => Origin::Integration,
            None => Origin::Provider,
        },
    }
}

#[cfg(test)]
mod tests;
