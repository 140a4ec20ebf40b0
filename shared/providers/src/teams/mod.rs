#![doc = include_str!("README.md")]

mod answers;
mod card;
mod message;
mod text;

use std::fmt;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Timestamp};
use url::Url;

use self::answers::Asked;
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    display::Display,
    fields,
    http::{self, Auth},
    template::{Markup, Takes},
};

/// Where workflows take requests.
const WORKFLOWS: &[&str] = &[
    ".logic.azure.com",
    ".environment.api.powerplatform.com",
    ".logic.azure.us",
];
/// Where connectors of the old kind do.
const CONNECTORS: &[&str] = &[".webhook.office.com", "outlook.office.com", "outlook.office365.com"];
/// All of them, as addresses are checked by.
const HOSTS: &[&str] = &[
    "*.logic.azure.com",
    "*.environment.api.powerplatform.com",
    "*.logic.azure.us",
    "*.webhook.office.com",
    "outlook.office.com",
    "outlook.office365.com",
];
/// What proves a request to a workflow.
const SIGNATURE: &str = "sig";
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// A channel or a chat of Microsoft Teams.
pub struct Teams;

/// Where messages go, and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The whole address of a workflow that takes webhook requests, as Teams shows it: whoever knows it can post, so it is
    /// kept secret.
    #[schemars(example = &"https://prod-01.westeurope.logic.azure.com/workflows/…/triggers/manual/paths/invoke?…&sig=…")]
    webhook_url: Secret,
    /// Cards with a coloured header, facts and buttons. Without them a message is one text.
    #[serde(default = "yes")]
    #[schemars(example = &true)]
    use_adaptive_cards: bool,
}

const fn yes() -> bool {
    true
}

/// None: the address of the workflow is all it takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {}

/// What every request of an integration shares.
pub struct Prepared {
    url: Url,
    asked: Asked,
    cards: bool,
    warnings: Vec<FieldError>,
}

impl Provider for Teams {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "teams";
    const DESCRIPTION: &'static str = "Posts cards to a channel or a chat of Microsoft Teams by a workflow";
    const DOCS: &'static str =
        "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook";
    const KIND: Kind = Kind::Notification;
    // Teams names four a second and 60 in 30 seconds; one a second keeps to both.
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Escaped(text::value));

    fn prepare(config: Config, _credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        // Kept as it is: its query holds the signature.
        let url = fields::url("config/webhook_url", config.webhook_url.expose()).map_err(|error| vec![error])?;
        let host = url.host_str().unwrap_or_default();
        let is_connector = CONNECTORS.iter().any(|known| host.ends_with(known));
        let is_workflow = WORKFLOWS.iter().any(|known| host.ends_with(known));
        let signed = url
            .query_pairs()
            .any(|(name, value)| name == SIGNATURE && !value.is_empty());
        let warning = if is_connector {
            Some("is a connector of the old kind, which Microsoft is taking away: make a workflow")
        } else if is_workflow && !signed {
            Some("has no sig: a workflow that only people of the tenant may trigger refuses every message")
        } else {
            None
        };
        let warnings = warning.map(|message| FieldError::new("config/webhook_url", message));
        Ok(Prepared {
            asked: if is_connector {
                Asked::Connector
            } else {
                Asked::Workflow
            },
            url,
            cards: config.use_adaptive_cards,
            warnings: warnings.into_iter().collect(),
        })
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/webhook_url", &prepared.url)]
    }

    fn hosts(_pointer: &str) -> &'static [&'static str] {
        HOSTS
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let prepared = &target.prepared;
        let shown = Display::of(delivery, &target.about);
        let body = if prepared.cards {
            message::write(&shown, text)
        } else {
            message::write_text(&shown, text)
        };
        Request::Http(http::Request {
            method: Method::POST,
            url: prepared.url.clone(),
            headers: HeaderMap::from_iter([JSON]),
            body: body.into(),
            auth: Auth::None,
            identity: None,
        })
    }

    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => Step::Send(Self::request(target, delivery, text, now)),
            Some(exchange) => Step::Done(answers::outcome(&exchange.response, target.prepared.asked, now)),
        }
    }

    /// There is none: whatever a workflow takes, it shows.
    fn probe(_target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        None
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("host", &self.url.host_str())
            .field("asked", &self.asked)
            .field("cards", &self.cards)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
