//! The kinds of targets that this version delivers to.

use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_providers::{Entry, Kind, Limits};
use signalbox_runtime::Problem;
use utoipa::ToSchema;

use crate::{
    problems,
    request::{Path, Query},
    schema,
    view::List,
};

pub(crate) async fn list(query: Query) -> Result<Json<List<Provider>>, Problem> {
    query.end()?;
    Ok(Json(List {
        items: signalbox_providers::registry().iter().map(view).collect(),
        next_cursor: None,
    }))
}

pub(crate) async fn show(Path(name): Path, query: Query) -> Result<Json<Provider>, Problem> {
    query.end()?;
    let entry = signalbox_providers::find(&name).ok_or_else(|| problems::not_found("provider", &name))?;
    Ok(Json(view(entry)))
}

/// A kind of target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Provider {
    #[schema(value_type = schema::Name)]
    name: &'static str,
    #[serde(rename = "type")]
    #[schema(value_type = schema::ProviderType)]
    kind: Kind,
    description: &'static str,
    /// The fields of `config` that it cannot do without
    #[schema(value_type = Vec<String>)]
    required_config: Value,
    /// The fields of `credentials` that it cannot do without
    #[schema(value_type = Vec<String>)]
    required_credentials: Value,
    #[schema(value_type = schema::JsonSchema)]
    config_schema: &'static Value,
    #[schema(value_type = schema::JsonSchema)]
    credentials_schema: &'static Value,
    /// What `config.action` may name; none where there is but one thing to do
    actions: &'static [&'static str],
    #[schema(value_type = schema::ProviderLimits)]
    limits: Limits,
    /// The vendor's own page about what is called
    docs_url: &'static str,
}

fn view(entry: &'static Entry) -> Provider {
    let required = |schema: &Value| schema.get("required").cloned().unwrap_or_else(|| json!([]));
    Provider {
        name: entry.name,
        kind: entry.kind,
        description: entry.description,
        required_config: required(entry.config_schema()),
        required_credentials: required(entry.credentials_schema()),
        config_schema: entry.config_schema(),
        credentials_schema: entry.credentials_schema(),
        actions: entry.actions,
        limits: entry.limits,
        docs_url: entry.docs_url,
    }
}
