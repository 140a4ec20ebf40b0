#![doc = include_str!("README.md")]

mod answers;
mod attributes;
mod event;
mod names;

use std::fmt;

use ::http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_TYPE, HeaderName},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use signalbox_proto::{Delivery, Outcome, Timestamp};
use url::Url;

use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text, fields,
    http::{self, Auth, Response},
};

/// The `eventType` where none is named.
pub const EVENT_TYPE: &str = "SignalboxEvent";
/// Longest `event_type`, in characters.
pub const EVENT_TYPE_CHARS_MAX: usize = 255;
/// Longest `account_id`, in digits.
const ACCOUNT_CHARS_MAX: usize = 20;
/// How a key of the data centre in the EU begins.
const EU_KEY: &str = "eu01";
/// Where the Event API is: in the US, and in the EU.
const HOSTS: [&str; 2] = ["insights-collector.newrelic.com", "insights-collector.eu01.nr-data.net"];

/// Custom events of an account of New Relic.
pub struct NewRelic;

/// Where events go, and what they are called there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The number of the account: in New Relic under Administration, Access management, Accounts.
    #[schemars(with = "String", regex(pattern = "^[0-9]{1,20}$"), example = &"1234567")]
    account_id: Account,
    /// Where the account's data is: us or eu. Default: us.
    #[serde(default)]
    #[schemars(example = Region::Eu)]
    region: Option<Region>,
    /// What the events are called in queries: SELECT * FROM SignalboxEvent. Default: SignalboxEvent.
    #[serde(default)]
    #[schemars(
        regex(pattern = "^[A-Za-z][A-Za-z0-9_:]*$"),
        length(max = 255),
        example = &"SpecIngestion"
    )]
    event_type: Option<String>,
    /// Where the Event API is, for proxies and tests, without /v1. Default: the collector of the region.
    #[serde(default)]
    #[schemars(example = &"https://insights-collector.newrelic.com")]
    base_url: Option<String>,
}

/// The number of an account, which may be written with or without quotes.
#[derive(Debug)]
struct Account(String);

/// Where the data of an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Region {
    /// The data centre in the US.
    Us,
    /// The data centre in the EU.
    Eu,
}

/// What lets requests in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A key of the account of the type Ingest - License. Keys for users, browsers and mobile apps are refused.
    api_key: Secret,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    base: Url,
    events: Url,
    key: HeaderValue,
    event_type: String,
    warnings: Vec<FieldError>,
}

impl Provider for NewRelic {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "new_relic";
    const DESCRIPTION: &'static str = "Sends events to New Relic as custom events to query and chart";
    const DOCS: &'static str = "https://docs.newrelic.com/docs/data-apis/ingest-apis/event-api/introduction-event-api/";
    const KIND: Kind = Kind::Observability;
    const LIMITS: Limits = Limits { per_minute: Some(60) };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let key = fields::keep(fields::key("credentials/api_key", &credentials.api_key), &mut errors);
        let account = fields::keep(account(&config.account_id), &mut errors);
        let event_type = config.event_type.as_deref().unwrap_or(EVENT_TYPE);
        let event_type = fields::keep(event_type_of(event_type), &mut errors);
        let host = match config.region {
            None | Some(Region::Us) => HOSTS[0],
            Some(Region::Eu) => HOSTS[1],
        };
        let base = config.base_url.clone().unwrap_or_else(|| format!("https://{host}"));
        let base = fields::keep(fields::url("config/base_url", &base), &mut errors);
        match (key, account, event_type, base) {
            (Some(key), Some(account), Some(event_type), Some(base)) if errors.is_empty() => Ok(Prepared {
                events: fields::below(&base, &["v1", "accounts", &account, "events"]),
                base,
                key,
                event_type,
                warnings: warnings(&config, &credentials),
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![("config/base_url", &prepared.base)]
    }

    fn hosts(_pointer: &str) -> &'static [&'static str] {
        &HOSTS
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn request(target: &Target<Self>, delivery: &Delivery, _text: &Text, now: Timestamp) -> Request {
        let prepared = &target.prepared;
        let body = event::body(delivery, &prepared.event_type, now, 0).expect("a delivery holds an event");
        post(prepared, body.into())
    }

    /// A large digest may be more than one request takes.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        let Some(last) = so_far.last() else {
            return Step::Send(Self::request(target, delivery, text, now));
        };
        let prepared = &target.prepared;
        match answers::outcome(&last.response, now) {
            Outcome::Delivered if delivery.is_digest() => {
                match event::body(delivery, &prepared.event_type, now, so_far.len()) {
                    Some(body) => Step::Send(post(prepared, body.into())),
                    None => Step::Done(Outcome::Delivered),
                }
            }
            outcome => Step::Done(outcome),
        }
    }

    /// Of a probe.
    fn classify(response: &Response, now: Timestamp) -> Outcome {
        answers::of_probe(response, now)
    }

    /// An empty list: the key is looked at, and no event is made.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(post(&target.prepared, Bytes::from_static(b"[]")))
    }
}

const KEY: HeaderName = HeaderName::from_static("api-key");

fn post(prepared: &Prepared, body: Bytes) -> Request {
    let json = HeaderValue::from_static("application/json");
    Request::Http(http::Request {
        method: Method::POST,
        url: prepared.events.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, json), (KEY, prepared.key.clone())]),
        body,
        auth: Auth::None,
        identity: None,
    })
}

fn account(Account(written): &Account) -> Result<String, FieldError> {
    let account = fields::line("config/account_id", written, ACCOUNT_CHARS_MAX)?;
    if account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(account);
    }
    let message = "is not the number of an account: it has digits alone, such as 1234567";
    Err(FieldError::new("config/account_id", message))
}

/// An `eventType` that New Relic keeps: events of others it drops without a word.
fn event_type_of(written: &str) -> Result<String, FieldError> {
    let pointer = "config/event_type";
    let name = fields::line(pointer, written, EVENT_TYPE_CHARS_MAX)?;
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let wrong = if !begins_well || !name.bytes().all(is_kept) {
        "is not the name of an event: it begins with a letter and holds letters, digits, _ and : alone"
    } else if is_new_relics(&name) {
        "is a name that New Relic keeps for itself: choose another than Metric, MetricRaw, Metric and a digit, or Public_"
    } else if names::is_word_of_queries(&name) {
        "is a word of the query language: choose a name that queries can hold as it is"
    } else {
        return Ok(name);
    };
    Err(FieldError::new(pointer, wrong))
}

fn is_new_relics(name: &str) -> bool {
    let rest = name.strip_prefix("Metric");
    let metric = rest.is_some_and(|rest| matches!(rest, "" | "Raw") || rest.starts_with(|c: char| c.is_ascii_digit()));
    metric || name.starts_with("Public_") || name == "NrIntegrationError"
}

/// A key of one data centre is refused by the other.
fn warnings(config: &Config, credentials: &Credentials) -> Vec<FieldError> {
    let mut warnings = Vec::new();
    let is_eu = credentials.api_key.expose().trim().starts_with(EU_KEY);
    let to_eu = config.region == Some(Region::Eu);
    if config.base_url.is_some() {
        if config.region.is_some() {
            let message = "has no effect beside base_url, which says where the API is";
            warnings.push(FieldError::new("config/region", message));
        }
    } else if is_eu != to_eu {
        let message = if is_eu {
            "is us, and the key is one of the EU: set region to eu"
        } else {
            "is eu, and the key does not begin as those of the EU do: check region and api_key"
        };
        warnings.push(FieldError::new("config/region", message));
    }
    warnings
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl de::Visitor<'_> for Reader {
            type Value = Account;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Account, E> {
                Ok(Account(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Account, E> {
                Ok(Account(number.to_string()))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
