//! The kinds of targets that this version delivers to.

use axum::Json;
use serde_json::{Value, json};
use signalbox_providers::Entry;
use signalbox_runtime::Problem;

use crate::{
    problems,
    request::{Path, Query},
};

pub(crate) async fn list(query: Query) -> Result<Json<Value>, Problem> {
    query.end()?;
    let items: Vec<Value> = signalbox_providers::registry().iter().map(view).collect();
    Ok(Json(json!({ "items": items, "next_cursor": null })))
}

pub(crate) async fn show(Path(name): Path, query: Query) -> Result<Json<Value>, Problem> {
    query.end()?;
    let entry = signalbox_providers::find(&name).ok_or_else(|| problems::not_found("provider", &name))?;
    Ok(Json(view(entry)))
}

fn view(entry: &Entry) -> Value {
    let required = |schema: &Value| schema.get("required").cloned().unwrap_or_else(|| json!([]));
    json!({
        "name": entry.name,
        "type": entry.kind,
        "description": entry.description,
        "required_config": required(entry.config_schema()),
        "required_credentials": required(entry.credentials_schema()),
        "config_schema": entry.config_schema(),
        "credentials_schema": entry.credentials_schema(),
        "actions": [],
        "limits": entry.limits,
        "docs_url": null,
    })
}
