//! `signalbox integrations show --effective`: every setting that holds, and who said so.

use serde_json::Value;

use crate::cli::{
    Output,
    output::{text, time},
};

/// The settings in the order of the answer.
const NAMES: [&str; 13] = [
    "rate_limit",
    "retry_schedule",
    "expire_after",
    "timeout",
    "connect_timeout",
    "batch",
    "order_by",
    "order_on_dead",
    "template",
    "health_check",
    "in_flight_max",
    "org_share_percent",
    "org_waiting_max",
];

pub(super) fn people(answer: &Value) -> String {
    let rows = NAMES.iter().map(|name| {
        let setting = &answer["settings"][name];
        let value = match &setting["value"] {
            Value::Null => "-".to_owned(),
            value => text(value),
        };
        vec![(*name).to_owned(), value, text(&setting["origin"])]
    });
    let mut lines = vec![Output::table(&["SETTING", "VALUE", "FROM"], rows)];
    let health = &answer["health"];
    if !health.is_null() {
        let outcome = match &health["outcome"] {
            Value::Null => "is under way".to_owned(),
            outcome => format!("at {}: {}", time(&health["checked_at"]), text(outcome)),
        };
        let error = health["error_message"].as_str().map(|error| format!(" ({error})"));
        lines.push(format!(
            "\nlast health check {outcome}{}; the next at {}",
            error.unwrap_or_default(),
            time(&health["next_at"])
        ));
    }
    lines.join("\n")
}
