//! What the API says of itself: the OpenAPI document, and the same as one page for people.
//!
//! Both are made once, at the start. The page is whole in itself: no script, nothing from elsewhere.

mod html;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{App, Shared, openapi, request::Query, routes::Route};
use signalbox_runtime::Problem;

/// What a browser may do with the page: show it, and its own style.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document and the page, as they are sent.
pub(crate) struct About {
    document: Bytes,
    page: Bytes,
}

impl About {
    /// Makes both from the table.
    pub(crate) fn of(table: &[Route]) -> Self {
        let document = openapi::document(table);
        Self {
            page: html::page(table, &document).into(),
            document: text(&document).into(),
        }
    }
}

fn text(document: &Value) -> String {
    document.to_string()
}

/// `GET /openapi.json`
pub(crate) async fn document(State(shared): App, query: Query) -> Result<Response, Problem> {
    query.end()?;
    Ok(sent(&shared, "application/json", |about| &about.document))
}

/// `GET /docs`
pub(crate) async fn page(State(shared): App, query: Query) -> Result<Response, Problem> {
    query.end()?;
    Ok(sent(&shared, "text/html; charset=utf-8", |about| &about.page))
}

fn sent(shared: &Arc<Shared>, media: &'static str, of: impl Fn(&About) -> &Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, of(&shared.about).clone()).into_response()
}

#[cfg(test)]
mod tests;
