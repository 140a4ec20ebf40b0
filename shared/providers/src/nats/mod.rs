#![doc = include_str!("README.md")]

mod answers;
mod client;
mod login;
mod server;
mod subject;

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Name, Outcome, Timestamp, outcome, relay};
use url::Url;

pub use self::{
    answers::by_error,
    client::{Client, Error, Publish, Request},
    login::{Identity, Login},
    server::{Server, Servers},
};
use self::{login::Given, subject::Subject};
use crate::{
    FieldError, Kind, Limits, Provider, Secret, Step, Target, Text,
    fields::{keep, keep_all},
    http,
    payload::{self, Message, Payload, TRACE},
    template::{Markup, Takes},
};

/// Longest body that a template makes, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of headers with attributes of an event: a stream takes 64 KiB of headers in all.
const ATTRIBUTES_BYTES_MAX: usize = 60 * 1024;
/// Attributes without which there is no CloudEvent.
const REQUIRED: [&str; 4] = ["ce-id", "ce-source", "ce-specversion", "ce-type"];
/// By which a stream knows a repeat. Names of headers are told apart by case over NATS; as a header of [`Publish`] it stands
/// in lower case.
const MESSAGE_ID: &str = "Nats-Msg-Id";
const MESSAGE_ID_LOWER: HeaderName = HeaderName::from_static("nats-msg-id");
const HOPS_HEADER: HeaderName = HeaderName::from_static(relay::HOPS_HEADER);

/// A subject of a NATS server.
pub struct Nats;

/// Where events go and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: `tls://host:4222`, or `nats://host:4222` where the operator allows the address. Up to 8 of one cluster,
    /// joined by commas.
    #[schemars(example = "tls://nats.example.com:4222")]
    url: String,
    /// The subject to publish to. A whole token may be `{type}`, `{org}` or `{severity}`, but for the first.
    #[schemars(example = "events.{type}")]
    subject: String,
    /// Whether a stream of JetStream must store each event before it counts as delivered. Without one a server that takes
    /// an event is enough, whether anybody listens or not.
    #[serde(default = "yes")]
    #[schemars(example = true)]
    jetstream: bool,
    /// The form of the body.
    #[serde(default)]
    #[schemars(example = &"cloudevents_binary")]
    payload: Payload,
    /// That the server asks for no credentials. Without them and without this an integration is refused.
    #[serde(default)]
    #[schemars(example = false)]
    anonymous: bool,
}

/// What proves who we are: one of the four ways. Signalbox never uses its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A user, with `password`.
    #[serde(default)]
    #[schemars(example = &"signalbox")]
    user: Option<String>,
    /// The user's password.
    #[serde(default)]
    #[schemars(example = "a long password")]
    password: Option<Secret>,
    /// A token that stands for a user.
    #[serde(default)]
    #[schemars(example = &"s3cr3t")]
    token: Option<Secret>,
    /// The seed of a user's nkey: it begins with `SU` and signs what the server asks; it is never sent.
    #[serde(default)]
    #[schemars(example = "SU…")]
    nkey: Option<Secret>,
    /// The whole content of a credentials file (`.creds`): a user's JWT and the seed of its nkey.
    #[serde(default)]
    #[schemars(example = "-----BEGIN NATS USER JWT-----\n…")]
    creds: Option<Secret>,
}

/// What every request of an integration shares.
#[derive(Debug)]
pub struct Prepared {
    servers: Servers,
    identity: Identity,
    subject: Subject,
    jetstream: bool,
    payload: Payload,
}

const fn yes() -> bool {
    true
}

impl Provider for Nats {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "nats";
    const DESCRIPTION: &'static str =
        "Publishes events to a subject of a NATS server, with acknowledgement by JetStream";
    const DOCS: &'static str = "https://docs.nats.io/nats-concepts/jetstream";
    const KIND: Kind = Kind::Webhook;
    const LIMITS: Limits = Limits { per_minute: None };
    /// The body of a template is the whole body of the message.
    const TEMPLATE: Takes = Takes {
        title: false,
        body_bytes_max: TEMPLATE_BYTES_MAX,
        markup: Markup::Json,
    };

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let servers = keep(server::read("config/url", &config.url), &mut errors);
        let subject = keep(Subject::read("config/subject", &config.subject), &mut errors);
        let Credentials {
            user,
            password,
            token,
            nkey,
            creds,
        } = &credentials;
        let given = Given {
            user: user.as_deref(),
            password: password.as_ref(),
            token: token.as_ref(),
            nkey: nkey.as_ref(),
            creds: creds.as_ref(),
        };
        let login = keep_all(given.login(config.anonymous), &mut errors);
        match (servers, subject, login) {
            (Some(servers), Some(subject), Some(login)) if errors.is_empty() => Ok(Prepared {
                identity: Identity::of(&servers, login),
                servers,
                subject,
                jetstream: config.jetstream,
                payload: config.payload,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        let each = prepared.servers.iter();
        each.map(|server| ("config/url", server.url())).collect()
    }

    fn misplaced(prepared: &Prepared, org: &Name) -> Vec<FieldError> {
        let wrong = prepared.subject.check_org(org).err();
        wrong
            .map(|message| FieldError::new("config/subject", message))
            .into_iter()
            .collect()
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        let nests = matches!(prepared.payload, Payload::Standard | Payload::Envelope | Payload::Flat);
        if !(prepared.subject.is_input() && nests) {
            return Vec::new();
        }
        let message = "makes the whole body the data of a new event, one envelope in the other at each hop: \
                       cloudevents_binary sends the data alone";
        vec![FieldError::new("config/payload", message)]
    }

    fn next(
        target: &Target<Self>,
        delivery: &Delivery,
        text: &Text,
        so_far: &[crate::Exchange],
        now: Timestamp,
    ) -> Step {
        match so_far.last() {
            Some(exchange) => Step::Done(Self::classify(&exchange.response, now)),
            None if target.prepared.subject.is_input() && relay::hops_of(delivery) >= relay::HOPS_MAX => {
                let reason = format!(
                    "the event came round {} times already: it would go on for ever",
                    relay::HOPS_MAX
                );
                Step::Done(Outcome::Reject { reason })
            }
            None => Step::Send(Self::request(target, delivery, text, now)),
        }
    }

    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> crate::Request {
        let Prepared {
            servers,
            identity,
            subject,
            jetstream,
            payload,
        } = &target.prepared;
        let mut message = Message::of(delivery);
        let place = subject.place(&message);
        let hops = (relay::hops_of(delivery) + 1).to_string();
        if let Some(event_type) = subject.input_type(&place) {
            // A new event of its own type: under the id of the first it would be dropped as a repeat of it.
            message.id = &delivery.id;
            message.event_type = event_type;
        }
        message.metadata.to_mut().insert(relay::HOPS.to_owned(), hops.clone());
        let mut headers = HeaderMap::new();
        if let Some(content_type) = payload.content_type() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let mut body = payload.write(&message, &mut headers);
        if let Some(text) = &text.body {
            body = text.clone().into_bytes();
            // Of a binary CloudEvent the data is replaced, whatever it was.
            if *payload == Payload::CloudeventsBinary {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        fit(&mut headers);
        headers.insert(MESSAGE_ID_LOWER, payload::header_value(&delivery.id));
        headers.insert(HOPS_HEADER, payload::header_value(&hops));
        for name in TRACE {
            if let Some(Ok(value)) = message.metadata.get(name).map(|text| HeaderValue::from_str(text)) {
                headers.insert(name, value);
            }
        }
        crate::Request::Nats(Request {
            integration: target.about.integration.clone(),
            servers: servers.clone(),
            identity: identity.clone(),
            publish: Some(Publish {
                subject: place,
                headers,
                body: body.into(),
                jetstream: *jetstream,
            }),
        })
    }

    fn classify(response: &http::Response, now: Timestamp) -> Outcome {
        answers::by_answer(response, now).map_reason(|reason| outcome::reason(&reason))
    }

    /// Connects, proves who we are, and leaves nothing behind.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<crate::Request> {
        Some(crate::Request::Nats(Request {
            integration: target.about.integration.clone(),
            servers: target.prepared.servers.clone(),
            identity: target.prepared.identity.clone(),
            publish: None,
        }))
    }
}

/// Leaves out the longest attributes of an event until a stream takes the headers. What ingest accepts comes near to that
/// only where many attributes hold nothing but characters that headers must escape.
fn fit(headers: &mut HeaderMap) {
    let size = |name: &HeaderName, value: &HeaderValue| name.as_str().len() + value.len() + 4;
    let mut bytes: usize = headers.iter().map(|(name, value)| size(name, value)).sum();
    while bytes > ATTRIBUTES_BYTES_MAX {
        let optional = headers.iter().filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("ce-") && !REQUIRED.contains(&name)
        });
        let Some((longest, value)) = optional.max_by_key(|(_, value)| value.len()) else {
            return;
        };
        bytes -= size(longest, value);
        let longest = longest.clone();
        headers.remove(&longest);
    }
}

/// A header's name as it is sent.
pub(crate) fn header_name(name: &HeaderName) -> &str {
    if *name == MESSAGE_ID_LOWER {
        MESSAGE_ID
    } else {
        name.as_str()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use self::conformance::as_http;
