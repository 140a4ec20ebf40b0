#![doc = include_str!("README.md")]

mod answers;
mod html;
mod message;
mod mime;
mod recipients;

use std::{collections::BTreeMap, fmt, sync::Arc};

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::Deserialize;
use signalbox_proto::{Delivery, Outcome, Timestamp, outcome};
use url::Url;

use self::{
    answers::{Expected, Next},
    mime::Head,
    recipients::Recipient,
};
pub use self::{
    message::{SUBJECT_CHARS_MAX, TEXT_CHARS_MAX},
    recipients::RECIPIENTS_MAX,
};
use crate::{
    Exchange, FieldError, Kind, Limits, Provider, Request, Secret, Step, Target, Text,
    display::Display,
    fields::{self, keep, keep_all},
    http::Response,
    mail::{self, Account, Answer, Login, Mail, Security, Server},
    template::{Markup, Takes},
};

/// Where a server takes mails of its own users (RFC 6409), unless the config names another port.
pub const PORT: u16 = 587;
/// Longest user name and password, in characters.
const LOGIN_CHARS_MAX: usize = 255;

/// A mail server.
pub struct Email;

/// Where mails go, by which server, and who they are from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server that takes the mails.
    #[serde(default)]
    smtp: Smtp,
    /// Another way to write smtp.host.
    #[serde(default)]
    smtp_host: Option<String>,
    /// Another way to write smtp.port.
    #[serde(default)]
    #[schemars(range(min = 1))]
    smtp_port: Option<u16>,
    /// Who the mails are from: an address, or `Name <address>`.
    #[serde(default)]
    #[schemars(example = &"Signalbox <signalbox@example.com>")]
    from: Option<String>,
    /// Another way to write from.
    #[serde(default)]
    from_address: Option<String>,
    /// Who gets which events: type patterns, each with its addresses.
    #[serde(default)]
    #[schemars(example = &serde_json::json!({ "alert.*": ["oncall@example.com"] }))]
    recipients: BTreeMap<String, Vec<String>>,
    /// Who gets every event.
    #[serde(default)]
    to_addresses: Vec<String>,
}

/// A mail server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name, or its address where the operator allows that.
    #[serde(default)]
    #[schemars(example = &"smtp.example.com")]
    host: Option<String>,
    /// Its port: 587 unless it is said here. On 465 and 2465 the connection is encrypted from the first byte.
    #[serde(default)]
    #[schemars(range(min = 1), example = 587)]
    port: Option<u16>,
    /// Whether encryption is required, which is so unless it is said here. Without it a mail may go in clear, to addresses
    /// that the operator allows, and a password never does.
    #[serde(default)]
    #[schemars(example = true)]
    secure: Option<bool>,
}

/// What lets us in; nothing where the server asks for nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user at the mail server, often a whole address.
    #[serde(default)]
    #[schemars(example = &"signalbox@example.com")]
    username: Option<String>,
    /// Its password, at many servers one that is made for an app.
    #[serde(default)]
    #[schemars(example = "a long password")]
    password: Option<Secret>,
}

/// What every request of an integration shares.
pub struct Prepared {
    account: Arc<Account>,
    /// The field that names the server.
    host_pointer: &'static str,
    from: Mailbox,
    recipients: Vec<Recipient>,
    warnings: Vec<FieldError>,
}

impl Provider for Email {
    type Config = Config;
    type Credentials = Credentials;
    type Prepared = Prepared;

    const NAME: &'static str = "email";
    const DESCRIPTION: &'static str = "Sends mails by an SMTP server, to recipients by type of event";
    const DOCS: &'static str = "https://www.rfc-editor.org/rfc/rfc6409";
    const KIND: Kind = Kind::Notification;
    const LIMITS: Limits = Limits { per_minute: Some(60) };
    const TEMPLATE: Takes = Takes::texts(Markup::Plain);

    fn prepare(config: Config, credentials: Credentials) -> Result<Prepared, Vec<FieldError>> {
        let mut errors = Vec::new();
        let Config {
            smtp,
            smtp_host,
            smtp_port,
            from,
            from_address,
            recipients,
            to_addresses,
        } = &config;
        let host = one_of(
            ("config/smtp/host", &smtp.host),
            ("config/smtp_host", smtp_host),
            &mut errors,
        );
        let port = one_of(
            ("config/smtp/port", &smtp.port),
            ("config/smtp_port", smtp_port),
            &mut errors,
        );
        let from = one_of(
            ("config/from", from),
            ("config/from_address", from_address),
            &mut errors,
        );
        let secure = smtp.secure.unwrap_or(true);
        let port = port.map_or(PORT, |(pointer, port)| {
            if *port == 0 {
                errors.push(FieldError::new(pointer, "is no port"));
            }
            *port
        });
        let host_pointer = host.map_or("config/smtp/host", |(pointer, _)| pointer);
        let server = host.ok_or("is missing: give the name of the mail server".to_owned());
        let server = server.and_then(|(_, host)| Server::read(host, port, secure));
        let server = keep(
            server.map_err(|message| FieldError::new(host_pointer, message)),
            &mut errors,
        );
        let missing = || FieldError::new("config/from", "is missing: give the address that mails are from");
        let from = from.ok_or_else(missing);
        let from = keep(
            from.and_then(|(pointer, text)| recipients::mailbox(pointer, text)),
            &mut errors,
        );
        let recipients = keep_all(recipients::read(to_addresses, recipients), &mut errors);
        let login = keep_all(login(&credentials), &mut errors);
        match (server, from, recipients, login) {
            (Some(server), Some(from), Some(recipients), Some(login)) if errors.is_empty() => Ok(Prepared {
                warnings: warnings(&server, smtp.secure),
                account: Arc::new(Account::new(server, login)),
                host_pointer,
                from,
                recipients,
            }),
            _ => Err(errors),
        }
    }

    fn urls(prepared: &Prepared) -> Vec<(&'static str, &Url)> {
        vec![(prepared.host_pointer, prepared.account.server.url())]
    }

    fn warnings(prepared: &Prepared) -> Vec<FieldError> {
        prepared.warnings.clone()
    }

    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], _now: Timestamp) -> Step {
        let expected = expected(&target.prepared, delivery);
        if expected.is_empty() {
            // Nobody would have it, and nobody would know.
            let reason = format!(
                "no recipient gets {}: give config.recipients a pattern for it, or config.to_addresses an address",
                delivery.event().event.event_type
            );
            return Step::Done(Outcome::Reject { reason });
        }
        match answers::next(&expected, so_far) {
            Next::Done(outcome) => Step::Done(outcome.map_reason(|reason| outcome::reason(&reason))),
            Next::Send(numbers) => Step::Send(transaction(target, delivery, text, &numbers)),
        }
    }

    /// To all recipients at once: the first request of a delivery.
    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, _now: Timestamp) -> Request {
        let expected = expected(&target.prepared, delivery);
        let numbers: Vec<usize> = expected.iter().map(|one| one.number).collect();
        transaction(target, delivery, text, &numbers)
    }

    fn classify(response: &Response, _now: Timestamp) -> Outcome {
        let outcome = match Answer::of(response) {
            Some(answer) => answers::by_reply(&answer),
            None => answers::unread(response),
        };
        outcome.map_reason(|reason| outcome::reason(&reason))
    }

    /// Connects, encrypts, proves who we are, and takes leave.
    fn probe(target: &Target<Self>, _now: Timestamp) -> Option<Request> {
        Some(Request::Mail(mail::Request {
            integration: target.about.integration.clone(),
            account: target.prepared.account.clone(),
            mail: None,
        }))
    }
}

/// Those who get a delivery, by their numbers in the config.
fn expected<'a>(prepared: &'a Prepared, delivery: &Delivery) -> Vec<Expected<'a>> {
    let all = prepared.recipients.iter().enumerate();
    all.filter(|(_, recipient)| recipient.gets(delivery))
        .map(|(number, recipient)| Expected {
            number,
            pointer: &recipient.pointer,
        })
        .collect()
}

/// The mail of a delivery for these recipients. Its bytes are the same whoever is left to get it and whenever it is tried
/// again, so that a repeat is one: its date is that of the acceptance, or of the replay.
fn transaction(target: &Target<Email>, delivery: &Delivery, text: &Text, numbers: &[usize]) -> Request {
    let Prepared {
        account,
        from,
        recipients,
        ..
    } = &target.prepared;
    let page = message::write(&Display::of(delivery, &target.about), text);
    let everybody = recipients.iter().filter(|recipient| recipient.gets(delivery));
    let message = mime::write(
        Head {
            from,
            to: everybody.map(|recipient| &recipient.mailbox).collect(),
            id: &delivery.id,
            date: delivery.since,
        },
        page,
    );
    let to = numbers.iter().filter_map(|number| {
        let recipient = recipients.get(*number)?;
        Some((*number, recipient.mailbox.email.clone()))
    });
    Request::Mail(mail::Request {
        integration: target.about.integration.clone(),
        account: account.clone(),
        mail: Some(Mail {
            from: from.email.clone(),
            to: to.collect(),
            message,
        }),
    })
}

/// What is written in one of two ways, with the field that holds it.
fn one_of<'a, T>(
    (name, value): (&'static str, &'a Option<T>),
    (alias, other): (&'static str, &'a Option<T>),
    errors: &mut Vec<FieldError>,
) -> Option<(&'static str, &'a T)> {
    match (value, other) {
        (Some(value), Some(_)) => {
            let message = format!("is {} in another way: keep one of them", name.replace('/', "."));
            errors.push(FieldError::new(alias, message));
            Some((name, value))
        }
        (Some(value), None) => Some((name, value)),
        (None, Some(value)) => Some((alias, value)),
        (None, None) => None,
    }
}

/// Both fields, or none.
fn login(credentials: &Credentials) -> Result<Option<Login>, Vec<FieldError>> {
    let wrong = |field: &str, message: &str| Err(vec![FieldError::new(format!("credentials/{field}"), message)]);
    let (username, password) = match (&credentials.username, &credentials.password) {
        (None, None) => return Ok(None),
        (Some(_), None) => return wrong("password", "is missing beside the username"),
        (None, Some(_)) => return wrong("username", "is missing beside the password"),
        (Some(username), Some(password)) => (username, password),
    };
    let mut errors = Vec::new();
    let username = keep(
        fields::line("credentials/username", username, LOGIN_CHARS_MAX),
        &mut errors,
    );
    let password = keep(
        fields::line("credentials/password", password.expose(), LOGIN_CHARS_MAX),
        &mut errors,
    );
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Login {
            username,
            password: Secret::from(&*password),
        })),
        _ => Err(errors),
    }
}

fn warnings(server: &Server, secure: Option<bool>) -> Vec<FieldError> {
    if server.security() == Security::Implicit && secure == Some(false) {
        let message = "has no effect on this port, where everything is encrypted";
        return vec![FieldError::new("config/smtp/secure", message)];
    }
    Vec::new()
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("account", &self.account)
            .field("recipients", &self.recipients.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
