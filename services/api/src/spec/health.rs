//! Whether a provider can be checked by the clock: by a proof that leaves nothing behind.

use std::time::Duration;

use serde_json::Value;
use signalbox_proto::{Name, Timestamp};
use signalbox_providers::{About, Entry};

/// Why an integration cannot have health checks; `None` where it can.
///
/// Without a connection test of the vendor only a test event would prove anything: one each hour is noise for people,
/// and for a program an event that never happened.
pub(super) fn refusal(entry: &Entry, org: &Name, name: &Name, config: &Value, credentials: &Value) -> Option<String> {
    let about = About {
        integration: String::new(),
        name: name.clone(),
        org: org.clone(),
        brand: "".into(),
        timeout: Duration::from_secs(1),
    };
    // What is wrong with its fields is complained of elsewhere.
    let target = entry.open(config.clone(), credentials.clone(), about).ok()?;
    if target.probe(Timestamp::now()).is_some() {
        return None;
    }
    let remedy = match entry.name {
        "slack" => "give credentials.bot_token in the place of config.webhook_url, or leave it out",
        _ => "leave it out",
    };
    Some(format!(
        "{} has no connection test that leaves nothing behind, and a test event each time would be noise: {remedy}",
        if entry.name == "slack" {
            "a Slack webhook"
        } else {
            entry.name
        }
    ))
}

#[cfg(test)]
mod tests;
